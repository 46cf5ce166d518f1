//! Upgrades: a WebSocket passes with the identity of its handshake, and no other protocol does.

use super::application::{Application, DECLINES, ECHO, FRAME, WEBSOCKET_KEY};
use super::cases::Wanted::{Drops, Passes, Refused, Upgrades, UpgradesWithoutIdentity};
use super::cases::{Case, ask, forged, get, judge};
use super::keyward::TOKENS;
use super::proxy::{Kind, Proxy};
use keyward_tests::http::{Connection, Request};

/// All cases, in the order of the table.
pub(super) const ALL: &[Case] = &[
    Case {
        name: "valid, WebSocket",
        request: |tokens| websocket(get("/").bearer(&tokens.good.text)),
        wanted: Upgrades(|tokens| &tokens.good),
    },
    Case {
        name: "sufficient, WebSocket with `Connection: Upgrade, X-Auth-Scopes`",
        request: |tokens| {
            let request = get("/orders/1").bearer(&tokens.orders.text);
            websocket(request).without("Connection").header("Connection", "Upgrade, X-Auth-Scopes")
        },
        wanted: Upgrades(|tokens| &tokens.orders),
    },
    Case {
        name: "public path, WebSocket with forged identity headers",
        request: |_| forged(websocket(get("/public/a"))),
        wanted: UpgradesWithoutIdentity,
    },
    Case {
        name: "valid, WebSocket that the application declines",
        request: |tokens| websocket(get(DECLINES).bearer(&tokens.good.text)),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case { name: "no token, WebSocket", request: |_| websocket(get("/")), wanted: Refused },
    Case {
        name: "insufficient, WebSocket",
        request: |tokens| websocket(get("/orders/1").bearer(&tokens.good.text)),
        wanted: Refused,
    },
    Case {
        name: "valid, upgrade to `h2c`",
        request: |tokens| h2c(get("/").bearer(&tokens.good.text)),
        wanted: Drops(|tokens| &tokens.good),
    },
    Case {
        name: "valid, upgrade to `websocket, h2c`",
        request: |tokens| upgrade(get("/").bearer(&tokens.good.text), "websocket, h2c"),
        wanted: Drops(|tokens| &tokens.good),
    },
    Case {
        name: "valid, two upgrades, to `websocket` and to `h2c`",
        request: |tokens| upgrade(get("/").bearer(&tokens.good.text), "websocket").header("Upgrade", "h2c"),
        wanted: Drops(|tokens| &tokens.good),
    },
    Case { name: "no token, upgrade to `h2c`", request: |_| h2c(get("/")), wanted: Refused },
    Case {
        name: "valid, `CONNECT`",
        request: |tokens| ask("CONNECT", "app.example.org:80").bearer(&tokens.good.text),
        wanted: Refused,
    },
    Case {
        name: "valid, `CONNECT` with a path",
        request: |tokens| ask("CONNECT", "/").bearer(&tokens.good.text),
        wanted: Refused,
    },
];

/// Sends a case's request. Returns the client's result for the table, or an error.
///
/// A WebSocket must echo a frame. After any other response, the connection must not be a tunnel to
/// the application: the proxy checks the next request on it as usual.
pub(super) fn check(case: &Case, kind: Kind, proxy: &Proxy, application: &Application) -> Result<String, String> {
    let request = (case.request)(&TOKENS);
    application.take();
    let mut connection = Connection::open(proxy.address()).unwrap();
    let response = connection.ask(&request).map_err(|error| format!("{}: {}: {error}", kind.name, case.name))?;
    let next =
        if response.status == 101 { FRAME.to_vec() } else { get("/orders/1").header("Connection", "close").to_bytes() };
    // The proxy may have closed the connection.
    let sent = connection.send(next);
    let rest = connection.rest();
    let seen = application.take();
    let rest = rest.map_err(|error| format!("{}: {}: {error}, {sent:?}, {seen:?}", kind.name, case.name))?;
    let mut upgrades = seen.iter().flat_map(|seen| &seen.headers).filter(|(name, _)| name == "upgrade");
    if let Some((_, value)) = upgrades.find(|(_, value)| value != "websocket") {
        return Err(format!("{}: {}: the application received `Upgrade: {value}`", kind.name, case.name));
    }
    if response.status == 101 && rest != ECHO {
        return Err(format!("{}: {}: {}", kind.name, case.name, String::from_utf8_lossy(&rest)));
    }
    judge(case, kind, &request, &response, &seen)
}

pub(super) fn websocket(request: Request) -> Request {
    upgrade(request, "websocket").header("Sec-WebSocket-Key", WEBSOCKET_KEY).header("Sec-WebSocket-Version", "13")
}

fn h2c(request: Request) -> Request {
    upgrade(request, "h2c").header("Connection", "HTTP2-Settings").header("HTTP2-Settings", "AAMAAABkAAQAAP__")
}

fn upgrade(request: Request, protocol: &str) -> Request {
    request.header("Connection", "Upgrade").header("Upgrade", protocol)
}

//! Users whom a site knows by a cookie: with the cookie alone, requests of another origin change
//! nothing.

use super::application::Application;
use super::cases::{self, Case, Wanted, ask, get};
use super::each;
use super::keyward::{Keyward, Tokens};
use super::page::Table;
use super::proxy::{self, Asks, Kind, Proxy};
use super::upgrades;
use crate::sessions::Api;
use Wanted::{Passes, PassesWithoutIdentity, Refused, Upgrades};
use keyward_tests::http::Request;
use keyward_tests::peers;
use std::sync::Mutex;

/// Changes to the policies of the example: `members` has the default methods of sessions, `orders`
/// has more.
const POLICIES: [(&str, &str); 2] = [
    ("members = \"any\"", "members = { action = \"any\", session = \"site\" }"),
    ("methods = [\"GET\", \"HEAD\"]", "session = \"site\", session_methods = [\"GET\", \"POST\"]"),
];

/// Added to the example: a session handler, with the port of its API to be inserted.
const SITE_HANDLER: &str = r#"
[endpoints.site]
url = "http://127.0.0.1:PORT/user"
private = ["127.0.0.1"]
cookies = ["sid"]
timeout_ms = 5000

[[handlers]]
name = "site"
component = "builtin:session"
actors = ["ann"]
http.site = "site"
session.cookies = ["sid"]
limits.wall_ms = 10000
"#;

/// Changes to the example of each proxy, as its comments describe, so that it passes on cookies.
const PASSES_COOKIES: [(&str, &[(&str, &str)]); 5] = [
    ("nginx", &[("# proxy_set_header Cookie", "proxy_set_header Cookie")]),
    ("Caddy", &[]),
    ("HAProxy", &[("{ \"authorization\" }", "{ \"authorization\", \"cookie\" }")]),
    ("Traefik", &[("[Authorization]", "[Authorization, Cookie]")]),
    ("Envoy", &[("# allowed_headers", "allowed_headers")]),
];

/// A method with the user's cookie, which must be refused.
macro_rules! method {
    ($method:literal) => {
        Case {
            name: concat!("cookie, `", $method, "`"),
            request: |tokens| cross_site(tokens, ask($method, "/").body("a=b")),
            wanted: Refused,
        }
    };
}

/// A form on another origin, which must be refused.
macro_rules! form {
    ($type:literal, $body:literal) => {
        Case {
            name: concat!("cookie, `POST` of a form as `", $type, "`"),
            request: |tokens| cross_site(tokens, ask("POST", "/").header("Content-Type", $type).body($body)),
            wanted: Refused,
        }
    };
}

/// A `POST` with these headers, which must be refused.
macro_rules! claims {
    ($header:literal: $value:literal $(, $more:literal: $its:literal)*) => {
        Case {
            name: concat!("cookie, `POST` with `", $header, ": ", $value, "`" $(, ", `", $more, ": ", $its, "`")*),
            request: |tokens| cross_site(tokens, form("/", "a=b")).header($header, $value)$(.header($more, $its))*,
            wanted: Refused,
        }
    };
}

/// All cases, in the order of the table.
const ALL: &[Case] = &[
    Case { name: "cookie", request: |tokens| cross_site(tokens, get("/")), wanted: Passes(|tokens| &tokens.session) },
    Case {
        name: "cookie, `HEAD`",
        request: |tokens| cross_site(tokens, ask("HEAD", "/")),
        wanted: Passes(|tokens| &tokens.session),
    },
    Case {
        name: "cookie, `OPTIONS`",
        request: |tokens| cross_site(tokens, ask("OPTIONS", "/")),
        wanted: Passes(|tokens| &tokens.session),
    },
    Case {
        name: "cookie, `GET` of a form with `_method=DELETE`",
        request: |tokens| cross_site(tokens, get("/?_method=DELETE")),
        wanted: Passes(|tokens| &tokens.session),
    },
    Case {
        name: "cookie, `GET` with `X-HTTP-Method-Override: DELETE`",
        request: |tokens| cross_site(tokens, get("/")).header("X-HTTP-Method-Override", "DELETE"),
        wanted: Passes(|tokens| &tokens.session),
    },
    Case {
        name: "cookie, WebSocket",
        request: |tokens| cross_site(tokens, upgrades::websocket(get("/"))),
        wanted: Upgrades(|tokens| &tokens.session),
    },
    Case {
        name: "public path, cookie, `POST` of a form",
        request: |tokens| cross_site(tokens, form("/public/a", "a=b")),
        wanted: PassesWithoutIdentity,
    },
    Case { name: "forged cookie", request: |_| get("/").header("Cookie", "sid=c00kie-of-root"), wanted: Refused },
    Case { name: "no cookie, preflight", request: |_| preflight(ask("OPTIONS", "/")), wanted: Refused },
    form!("application/x-www-form-urlencoded", "a=b"),
    form!("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"),
    form!("text/plain", "a=b\r\n"),
    Case {
        name: "cookie, `POST` of an empty form",
        request: |tokens| cross_site(tokens, form("/", "")),
        wanted: Refused,
    },
    method!("PUT"),
    method!("DELETE"),
    method!("PATCH"),
    Case {
        name: "cookie, `POST` with `_method=GET` in query and body",
        request: |tokens| cross_site(tokens, form("/?_method=GET", "_method=GET")),
        wanted: Refused,
    },
    Case {
        name: "cookie, `POST` with `_method=DELETE` in query and body",
        request: |tokens| cross_site(tokens, form("/?_method=DELETE", "_method=DELETE")),
        wanted: Refused,
    },
    claims!("X-HTTP-Method-Override": "GET"),
    claims!("X-HTTP-Method": "GET"),
    claims!("X-Method-Override": "GET"),
    claims!("X-Original-Method": "GET"),
    claims!("X-Forwarded-Method": "GET"),
    claims!("X-Original-Method": "GET", "X-Forwarded-Method": "GET"),
    claims!("x_original_method": "GET", "x_forwarded_method": "GET"),
    claims!("X.Original.Method": "GET", "X.Forwarded.Method": "GET"),
    claims!("X-Original_Method": "GET", "X-Forwarded_Method": "GET"),
    claims!("X-Forwarded-Method": "GET", "X-Forwarded-Method": "GET"),
    claims!("X-Forwarded-Method": "GET", "Connection": "X-Forwarded-Method, X-Original-Method"),
    Case {
        name: "valid token, with a cookie",
        request: |tokens| signed_in(tokens, get("/")).bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid token, with a cookie, `POST` of a form",
        request: |tokens| cross_site(tokens, form("/", "a=b")).bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "tampered token, with a cookie",
        request: |tokens| signed_in(tokens, get("/")).bearer(&tokens.tampered),
        wanted: Refused,
    },
    Case {
        name: "tampered token, with a cookie, `POST` of a form",
        request: |tokens| cross_site(tokens, form("/", "a=b")).bearer(&tokens.tampered),
        wanted: Refused,
    },
    Case {
        name: "cookie, `POST` of a form, `session_methods = [\"GET\", \"POST\"]`",
        request: |tokens| cross_site(tokens, form("/orders/1", "a=b")),
        wanted: Passes(|tokens| &tokens.session),
    },
    Case {
        name: "cookie, `DELETE`, `session_methods = [\"GET\", \"POST\"]`",
        request: |tokens| cross_site(tokens, ask("DELETE", "/orders/1")),
        wanted: Refused,
    },
];

#[test]
fn cookies_alone_admit_nothing_that_changes_anything() {
    let api = Api::start();
    let keyward = start("cookies", &api);
    let kinds: Vec<_> = proxy::ALL.into_iter().filter(|kind| kind.asks == Asks::Policy).collect();
    let (installed, missing): (Vec<Kind>, Vec<Kind>) = kinds.iter().partition(|kind| kind.is_installed());
    for kind in missing {
        peers::skip(kind.name, "it is not installed");
    }
    let table = Mutex::new(Table::new(ALL.iter().map(|case| case.name), kinds.iter().map(|kind| kind.name)));
    let wrong = Mutex::new(Vec::new());
    each(installed, |kind| {
        let application = Application::start();
        let proxy = Proxy::start_edited(kind, &keyward, application.address(), &passes_cookies(kind));
        for case in ALL {
            let check = if matches!(case.wanted, Upgrades(_)) { upgrades::check } else { cases::check };
            match check(case, kind, &proxy, &application) {
                Ok(cell) => table.lock().unwrap().set(case.name, kind.name, cell),
                Err(error) => wrong.lock().unwrap().push(error),
            }
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.extend(table.into_inner().unwrap().compare("cookies").err());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Starts a daemon with a session handler over this API.
pub(super) fn start(name: &str, api: &Api) -> Keyward {
    Keyward::start_edited(name, false, |config| {
        let config = POLICIES.iter().fold(config, |config, (from, to)| {
            assert!(config.contains(from), "{from}");
            config.replace(from, to)
        });
        config + &SITE_HANDLER.replace("PORT", &api.port.to_string())
    })
}

/// Returns the changes to the example of a proxy, so that it passes on cookies.
pub(super) fn passes_cookies(kind: Kind) -> Vec<(&'static str, String)> {
    let (_, edits) = PASSES_COOKIES.iter().find(|(name, _)| *name == kind.name).unwrap();
    edits.iter().map(|(from, to)| (*from, (*to).to_owned())).collect()
}

fn signed_in(tokens: &Tokens, request: Request) -> Request {
    request.header("Cookie", &tokens.session.text)
}

/// Adds the user's cookie, and what browsers add to a request that another site caused.
fn cross_site(tokens: &Tokens, request: Request) -> Request {
    signed_in(tokens, request).header("Origin", "https://evil.example.net").header("Sec-Fetch-Site", "cross-site")
}

fn preflight(request: Request) -> Request {
    request.header("Origin", "https://evil.example.net").header("Access-Control-Request-Method", "DELETE")
}

fn form(target: &str, body: &str) -> Request {
    ask("POST", target).header("Content-Type", "application/x-www-form-urlencoded").body(body)
}

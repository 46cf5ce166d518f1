//! The cases for every proxy.

use super::application::{Application, Seen};
use super::keyward::{SITE, TOKENS, Token, Tokens};
use super::proxy::{Kind, Proxy};
use keyward_tests::http::{Connection, Request, Response};

/// The identity headers, in the order of [`Token::identity`].
const IDENTITY: [&str; 5] = ["x-auth-subject", "x-auth-token-id", "x-auth-scopes", "x-auth-handler", "x-auth-expires"];

/// A request, and its required result.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// The name in the table.
    pub(super) name: &'static str,
    pub(super) request: fn(&Tokens) -> Request,
    pub(super) wanted: Wanted,
}

/// The required result of a request. The proxy chooses the status of a refusal, which is in the
/// table.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// The request reaches the application unchanged, with all identity headers of this token,
    /// and no others.
    Passes(fn(&Tokens) -> &Token),
    /// The request reaches the application without an identity.
    PassesWithoutIdentity,
    /// Like [`Wanted::Passes`], and the connection becomes a WebSocket.
    Upgrades(fn(&Tokens) -> &Token),
    /// Like [`Wanted::PassesWithoutIdentity`], and the connection becomes a WebSocket.
    UpgradesWithoutIdentity,
    /// Like [`Wanted::Passes`], but without the upgrade; or refused.
    Drops(fn(&Tokens) -> &Token),
    /// The request does not reach the application.
    Refused,
}

use Wanted::{Drops, Passes, PassesWithoutIdentity, Refused, Upgrades, UpgradesWithoutIdentity};

/// A path that must be refused without a token.
macro_rules! without_token {
    ($path:literal) => {
        Case { name: concat!("no token, `", $path, "`"), request: |_| get($path), wanted: Refused }
    };
}

/// A path that must be refused with a token that is insufficient for its policy.
macro_rules! insufficient {
    ($path:literal) => {
        Case {
            name: concat!("insufficient, `", $path, "`"),
            request: |tokens| get($path).bearer(&tokens.good.text),
            wanted: Refused,
        }
    };
}

/// All cases, in the order of the table.
pub(super) const ALL: &[Case] = &[
    Case {
        name: "valid token",
        request: |tokens| get("/").bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, `POST` with a body",
        request: |tokens| ask("POST", "/").bearer(&tokens.good.text).body("a=b"),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, `bearer` and two spaces",
        request: |tokens| get("/").header("Authorization", format!("bearer  {}", tokens.good.text)),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, with a query",
        request: |tokens| get("/?a=b&policy=orders&token=x").bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, with a query of characters that no path may contain",
        request: |tokens| get("/?a=%5c..%2f%3b%0a%25%c0%ae%ef%bc%8f").bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, `POST` with a body of 2 MB",
        request: |tokens| ask("POST", "/").bearer(&tokens.good.text).body("a".repeat(2 << 20)),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, with a head of 20 KiB",
        request: |tokens| padded(get("/").bearer(&tokens.good.text), 3, 6_700),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, with 95 headers",
        // With `Host`, `Authorization` and `Connection`.
        request: |tokens| padded(get("/").bearer(&tokens.good.text), 92, 8),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case { name: "no token", request: |_| get("/"), wanted: Refused },
    Case { name: "no token, `OPTIONS`", request: |_| ask("OPTIONS", "/"), wanted: Refused },
    Case { name: "another scheme", request: |_| get("/").basic("alice", "secret"), wanted: Refused },
    Case {
        name: "token in the query only",
        request: |tokens| get(&format!("/?access_token={}", tokens.good.text)),
        wanted: Refused,
    },
    Case { name: "tampered", request: |tokens| get("/").bearer(&tokens.tampered), wanted: Refused },
    Case { name: "expired", request: |tokens| get("/").bearer(&tokens.expired), wanted: Refused },
    Case { name: "token of no handler", request: |tokens| get("/").bearer(&tokens.foreign), wanted: Refused },
    Case {
        name: "malformed",
        request: |tokens| get("/").bearer(format!("{} \u{e9}\"", tokens.good.text)),
        wanted: Refused,
    },
    Case { name: "empty", request: |_| get("/").header("Authorization", "Bearer"), wanted: Refused },
    Case {
        name: "two `Authorization` headers, both valid",
        request: |tokens| get("/").bearer(&tokens.good.text).bearer(&tokens.free.text),
        wanted: Refused,
    },
    Case {
        name: "two `Authorization` headers, the second tampered",
        request: |tokens| get("/").bearer(&tokens.good.text).bearer(&tokens.tampered),
        wanted: Refused,
    },
    Case { name: "more than 8 KiB", request: |tokens| get("/").bearer(&tokens.oversized), wanted: Refused },
    Case {
        name: "valid, with forged identity headers",
        request: |tokens| forged(get("/")).bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case { name: "no token, with forged identity headers", request: |_| forged(get("/")), wanted: Refused },
    Case {
        name: "tampered, with forged identity headers",
        request: |tokens| forged(get("/")).bearer(&tokens.tampered),
        wanted: Refused,
    },
    Case {
        name: "public path, with forged identity headers",
        request: |_| forged(get("/public/a")),
        wanted: PassesWithoutIdentity,
    },
    Case {
        name: "valid, with `Connection: close, X-Auth-Scopes`",
        request: |tokens| get("/").bearer(&tokens.good.text).header("Connection", "close, X-Auth-Scopes"),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "valid, with `Connection: X-Auth-Subject`",
        request: |tokens| get("/").bearer(&tokens.good.text).header("Connection", "X-Auth-Subject"),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "sufficient, with every identity header in `Connection`",
        request: |tokens| get("/orders/1").bearer(&tokens.orders.text).header("Connection", IDENTITY.join(", ")),
        wanted: Passes(|tokens| &tokens.orders),
    },
    Case {
        name: "sufficient for the policy",
        request: |tokens| get("/orders/1").bearer(&tokens.orders.text),
        wanted: Passes(|tokens| &tokens.orders),
    },
    Case {
        name: "not restricted",
        request: |tokens| get("/orders/1?a=b").bearer(&tokens.free.text),
        wanted: Passes(|tokens| &tokens.free),
    },
    Case {
        name: "insufficient for the policy",
        request: |tokens| get("/orders/1").bearer(&tokens.good.text),
        wanted: Refused,
    },
    Case {
        name: "restricted to nothing",
        request: |tokens| get("/orders/1").bearer(&tokens.nothing.text),
        wanted: Refused,
    },
    Case {
        name: "sufficient, but with a method that the policy does not allow",
        request: |tokens| claims_to_be_fine(ask("DELETE", "/orders/1")).bearer(&tokens.orders.text),
        wanted: Refused,
    },
    without_token!("/public/../orders/1"),
    without_token!("/public/%2e%2e/orders/1"),
    without_token!("/public/..%2forders/1"),
    without_token!("http://app.example.org/public/../orders/1"),
    insufficient!("http://app.example.org/orders/1"),
    insufficient!("//orders/1"),
    insufficient!("/%6frders/1"),
    without_token!("/public/..;/orders/1"),
    without_token!("/public/%2e%2e;/orders/1"),
    without_token!("/public/..%3b/orders/1"),
    without_token!("/public/..\\orders/1"),
    without_token!("/public/..%5Corders/1"),
    without_token!("/public/..%c0%aforders/1"),
    without_token!("/public/%C0%AE%c0%ae/orders/1"),
    without_token!("/public/..%e0%80%aforders/1"),
    without_token!("/public/..%ef%bc%8forders/1"),
    without_token!("/public/%EF%BC%8E%ef%bc%8e/orders/1"),
    Case {
        name: "no token, `/public/..／orders/1`, not encoded",
        request: |_| get("/public/..／orders/1"),
        wanted: Refused,
    },
    without_token!("/public/..%00/orders/1"),
    without_token!("/public/..%0A/orders/1"),
    without_token!("/public/..%7f/orders/1"),
    without_token!("/public/..%252forders/1"),
    insufficient!("/orders;x/1"),
    insufficient!("/orders%3Bx/1"),
    insufficient!("/orders\\1"),
    insufficient!("/orders%5c1"),
    Case { name: "no verdict: the handler loops", request: |tokens| get("/").bearer(&tokens.looping), wanted: Refused },
];

/// The first case.
pub(super) const GOOD: &Case = &ALL[0];

/// Sends a case's request. Returns the client's result for the table, or an error.
pub(super) fn check(case: &Case, kind: Kind, proxy: &Proxy, application: &Application) -> Result<String, String> {
    let request = (case.request)(&TOKENS).header("Connection", "close");
    application.take();
    let response = request.send(proxy.address());
    judge(case, kind, &request, &response, &application.take())
}

/// Compares a response, and the requests that reached the application, with the case's result.
/// Returns the table cell.
pub(super) fn judge(
    case: &Case,
    kind: Kind,
    request: &Request,
    response: &Response,
    seen: &[Seen],
) -> Result<String, String> {
    let passes = |seen: &Seen, token: &Token| {
        as_sent(request, seen)?;
        let [_, rest @ ..] = &token.identity;
        let subject = Some(token.subject(kind.encodes()));
        is_identity(seen, |at| at.checked_sub(1).map_or(subject, |at| Some(rest[at].as_str())))
    };
    let passes_without_identity = |seen: &Seen| as_sent(request, seen).and_then(|()| is_identity(seen, |_| None));
    let right = match (case.wanted, seen, response.status) {
        (Passes(token) | Drops(token), [seen], 200) | (Upgrades(token), [seen], 101) => passes(seen, token(&TOKENS)),
        (PassesWithoutIdentity, [seen], 200) | (UpgradesWithoutIdentity, [seen], 101) => passes_without_identity(seen),
        (Refused | Drops(_), [], 400..) => refusal(response),
        _ => Err(format!("{} requests reached the application", seen.len())),
    };
    match right {
        Ok(()) => Ok(cell(response)),
        Err(wrong) => Err(format!("{}: {}: {wrong}; {response:?}; {seen:?}", kind.name, case.name)),
    }
}

/// Sends an identity header as a trailer, which must not become a header. Returns the table cell.
pub(super) fn check_trailers(kind: Kind, proxy: &Proxy, application: &Application) -> Result<String, String> {
    let request = ask("POST", "/public/a").header("Transfer-Encoding", "chunked").header("Connection", "close");
    let chunks = b"3\r\na=b\r\n0\r\nX-Auth-Subject: root\r\n\r\n";
    application.take();
    let response = Connection::open(proxy.address()).and_then(|mut connection| {
        connection.send([request.to_bytes().as_slice(), chunks].concat())?;
        connection.answer(false)
    });
    let seen = application.take();
    match (response, seen.as_slice()) {
        (Ok(response), [seen]) if response.status == 200 && seen.body == b"a=b" => {
            is_identity(seen, |_| None).map_err(|wrong| format!("{}: {wrong}", kind.name))?;
            Ok(if seen.trailers.is_empty() { "dropped" } else { "forwarded" }.to_owned())
        }
        (response, seen) => Err(format!("{}: {response:?}; {seen:?}", kind.name)),
    }
}

/// Returns the table cell: the status, and whether Keyward's own challenge was passed on.
fn cell(response: &Response) -> String {
    let ours = challenges(response).any(|challenge| challenge.contains("realm=\"keyward\""));
    format!("{}{}", response.status, if ours { "*" } else { "" })
}

fn challenges(response: &Response) -> impl Iterator<Item = &str> {
    let challenges = response.headers.iter().filter(|(name, _)| name == "www-authenticate");
    challenges.map(|(_, value)| value.as_str())
}

fn refusal(response: &Response) -> Result<(), String> {
    if response.status == 401 && !challenges(response).next().is_some_and(|first| first.starts_with("Bearer")) {
        return Err("a 401 without a challenge".to_owned());
    }
    if let Some((name, _)) = response.headers.iter().find(|(name, _)| IDENTITY.contains(&name.as_str())) {
        return Err(format!("the client got `{name}`"));
    }
    Ok(())
}

/// Checks that a request arrived unchanged.
fn as_sent(request: &Request, seen: &Seen) -> Result<(), String> {
    let sent = String::from_utf8_lossy(&request.to_bytes()).into_owned();
    let first = format!("{} {} HTTP/1.1", seen.method, seen.target);
    let (head, body) = sent.split_once("\r\n\r\n").unwrap_or_default();
    let padding = head.lines().filter(|line| line.starts_with(PADDING)).count();
    let padding_seen = seen.headers.iter().filter(|(name, _)| name.starts_with(&PADDING.to_ascii_lowercase())).count();
    if sent.lines().next() == Some(&first) && body.as_bytes() == seen.body && padding == padding_seen {
        Ok(())
    } else {
        Err("it arrived as another request".to_owned())
    }
}

/// Checks that the application receives these values, each once, and no variants of their names.
/// Many applications do not distinguish the separators in a header's name (CGI, WSGI).
fn is_identity<'a>(seen: &Seen, wanted: impl Fn(usize) -> Option<&'a str>) -> Result<(), String> {
    for (at, name) in IDENTITY.iter().enumerate() {
        let alike = seen.headers.iter().filter(|(given, _)| given.replace(['_', '.'], "-") == *name);
        // Bytes, like the application's characters.
        let values: Vec<_> = alike.map(|(_, value)| value.clone()).collect();
        let right = match wanted(at) {
            Some(value) => values == [value.bytes().map(char::from).collect::<String>()],
            None => values.iter().all(|value| value == "-"),
        };
        if !right {
            return Err(format!("the application heard {name}: {values:?}, not {:?}", wanted(at)));
        }
        // A server between proxy and application would remove the header.
        let mut connection = seen.headers.iter().filter(|(given, _)| given == "connection");
        if let Some((_, value)) = connection.find(|(_, value)| value.to_ascii_lowercase().contains(name)) {
            return Err(format!("the application heard `Connection: {value}`"));
        }
    }
    Ok(())
}

pub(super) fn get(target: &str) -> Request {
    ask("GET", target)
}

pub(super) fn ask(method: &str, target: &str) -> Request {
    Request::new(method, target).without("Host").header("Host", SITE)
}

/// The beginning of the names that [`padded`] adds.
const PADDING: &str = "X-Padding-";

/// Adds headers without a meaning, each with a value of this length.
fn padded(request: Request, count: usize, length: usize) -> Request {
    let value = "p".repeat(length);
    (0..count).fold(request, |request, at| request.header(&format!("{PADDING}{at}"), &value))
}

/// Adds forged identity headers in every spelling, and some of them twice.
pub(super) fn forged(request: Request) -> Request {
    let names = IDENTITY.iter().flat_map(|name| spellings(name));
    let request = names.enumerate().fold(request, |request, (at, name)| request.header(&mixed_case(&name, at), "root"));
    request.header("X-Auth-Subject", "admin").header("X-AUTH-SCOPES", "*")
}

/// Returns a name with every mixture of separators that applications do not distinguish.
fn spellings(name: &str) -> Vec<String> {
    let add = |start: String, word: &str| ["-", "_", "."].map(|separator| format!("{start}{separator}{word}"));
    let mut words = name.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(vec![first], |starts, word| starts.into_iter().flat_map(|start| add(start, word)).collect())
}

/// Changes every third letter to upper case, starting with a different one for each name.
fn mixed_case(name: &str, at: usize) -> String {
    let letters = name.chars().zip(at..);
    letters.map(|(letter, at)| if at % 3 == 0 { letter.to_ascii_uppercase() } else { letter }).collect()
}

/// Adds claims about the original request, in every header that some proxy uses for that.
fn claims_to_be_fine(request: Request) -> Request {
    let request = ["X-Original-Method", "X-Forwarded-Method", "X-HTTP-Method-Override", "X-Method-Override"]
        .iter()
        .fold(request, |request, name| request.header(name, "GET"));
    ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri"]
        .iter()
        .fold(request, |request, name| request.header(name, "/orders/2"))
}

//! What every proxy is driven through.

use super::application::{Application, Seen};
use super::keyward::{SITE, TOKENS, Token, Tokens};
use super::proxy::{Kind, Proxy};
use keyward_tests::http::{Request, Response};

/// The identity headers, in the order of [`Token::identity`].
const IDENTITY: [&str; 5] = ["x-auth-subject", "x-auth-token-id", "x-auth-scopes", "x-auth-handler", "x-auth-expires"];

/// A request, and what must become of it.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// What it is called in the table.
    pub(super) name: &'static str,
    pub(super) request: fn(&Tokens) -> Request,
    pub(super) wanted: Wanted,
}

/// What must become of a request. The status of what is refused is the proxy's to choose; the table says which it is.
#[derive(Clone, Copy)]
pub(super) enum Wanted {
    /// It reaches the application as it was sent, with all that is known of this token, and nothing else.
    Passes(fn(&Tokens) -> &Token),
    /// It reaches the application, which hears of nobody.
    PassesForNobody,
    /// It does not reach the application.
    Refused,
}

use Wanted::{Passes, PassesForNobody, Refused};

/// All of them, in the order of the table.
pub(super) const ALL: &[Case] = &[
    Case {
        name: "good token",
        request: |tokens| get("/").bearer(&tokens.good.text),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "good, `POST` with a body",
        request: |tokens| ask("POST", "/").bearer(&tokens.good.text).body("a=b"),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "good, `bearer` and two spaces",
        request: |tokens| get("/").header("Authorization", format!("bearer  {}", tokens.good.text)),
        wanted: Passes(|tokens| &tokens.good),
    },
    Case {
        name: "good, with a query",
        request: |tokens| get("/?a=b&policy=orders&token=x").bearer(&tokens.good.text),
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
    Case { name: "nobody's", request: |tokens| get("/").bearer(&tokens.foreign), wanted: Refused },
    Case {
        name: "malformed",
        request: |tokens| get("/").bearer(format!("{} \u{e9}\"", tokens.good.text)),
        wanted: Refused,
    },
    Case { name: "empty", request: |_| get("/").header("Authorization", "Bearer"), wanted: Refused },
    Case {
        name: "two `Authorization` headers, both good",
        request: |tokens| get("/").bearer(&tokens.good.text).bearer(&tokens.free.text),
        wanted: Refused,
    },
    Case {
        name: "two `Authorization` headers, the second bad",
        request: |tokens| get("/").bearer(&tokens.good.text).bearer(&tokens.tampered),
        wanted: Refused,
    },
    Case { name: "more than 8 KiB", request: |tokens| get("/").bearer(&tokens.oversized), wanted: Refused },
    Case {
        name: "good, with forged identity headers",
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
        wanted: PassesForNobody,
    },
    Case {
        name: "enough for the policy",
        request: |tokens| get("/orders/1").bearer(&tokens.orders.text),
        wanted: Passes(|tokens| &tokens.orders),
    },
    Case {
        name: "not restricted at all",
        request: |tokens| get("/orders/1?a=b").bearer(&tokens.free.text),
        wanted: Passes(|tokens| &tokens.free),
    },
    Case {
        name: "not enough for the policy",
        request: |tokens| get("/orders/1").bearer(&tokens.good.text),
        wanted: Refused,
    },
    Case {
        name: "restricted to nothing",
        request: |tokens| get("/orders/1").bearer(&tokens.nothing.text),
        wanted: Refused,
    },
    Case {
        name: "enough, but another method than the policy's",
        request: |tokens| claims_to_be_fine(ask("DELETE", "/orders/1")).bearer(&tokens.orders.text),
        wanted: Refused,
    },
    Case { name: "no token, `/public/../orders/1`", request: |_| get("/public/../orders/1"), wanted: Refused },
    Case { name: "no token, `/public/%2e%2e/orders/1`", request: |_| get("/public/%2e%2e/orders/1"), wanted: Refused },
    Case { name: "no token, `/public/..%2forders/1`", request: |_| get("/public/..%2forders/1"), wanted: Refused },
    Case {
        name: "not enough, `//orders/1`",
        request: |tokens| get("//orders/1").bearer(&tokens.good.text),
        wanted: Refused,
    },
    Case {
        name: "not enough, `/%6frders/1`",
        request: |tokens| get("/%6frders/1").bearer(&tokens.good.text),
        wanted: Refused,
    },
    Case { name: "no verdict: the handler loops", request: |tokens| get("/").bearer(&tokens.looping), wanted: Refused },
];

/// The first of them.
pub(super) const GOOD: &Case = &ALL[0];

/// Sends a case's request and gives what the client saw, for the table; or what is wrong about it.
pub(super) fn check(case: &Case, kind: Kind, proxy: &Proxy, application: &Application) -> Result<String, String> {
    let request = (case.request)(&TOKENS).header("Connection", "close");
    application.take();
    let response = request.send(proxy.address());
    let seen = application.take();
    let right = match (case.wanted, seen.as_slice()) {
        (Passes(token), [seen]) if response.status == 200 => as_sent(&request, seen).and_then(|()| {
            let token = token(&TOKENS);
            let [_, rest @ ..] = &token.identity;
            let subject = Some(token.subject(kind.encodes()));
            is_identity(seen, |at| at.checked_sub(1).map_or(subject, |at| Some(rest[at].as_str())))
        }),
        (PassesForNobody, [seen]) if response.status == 200 => {
            as_sent(&request, seen).and_then(|()| is_identity(seen, |_| None))
        }
        (Refused, []) if response.status >= 400 => refusal(&response),
        _ => Err(format!("{} requests reached the application", seen.len())),
    };
    match right {
        Ok(()) => Ok(cell(&response)),
        Err(wrong) => Err(format!("{}: {}: {wrong}; {response:?}; {seen:?}", kind.name, case.name)),
    }
}

/// What stands in the table: the status, and whether Keyward's own challenge came with it.
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

/// Whether a request arrived as it was sent.
fn as_sent(request: &Request, seen: &Seen) -> Result<(), String> {
    let sent = String::from_utf8_lossy(&request.to_bytes()).into_owned();
    let first = format!("{} {} HTTP/1.1", seen.method, seen.target);
    let body = sent.split_once("\r\n\r\n").map(|(_, body)| body.as_bytes());
    if sent.lines().next() == Some(&first) && body == Some(&seen.body) {
        Ok(())
    } else {
        Err("it arrived as another request".to_owned())
    }
}

/// Whether the application hears these values, each once, and nothing in spellings that it may take for the same: what
/// stands between the words of a header's name is lost on its way to many of them (CGI, WSGI).
fn is_identity<'a>(seen: &Seen, wanted: impl Fn(usize) -> Option<&'a str>) -> Result<(), String> {
    for (at, name) in IDENTITY.iter().enumerate() {
        let alike = seen.headers.iter().filter(|(given, _)| given.replace(['_', '.'], "-") == *name);
        // Bytes, as the application's characters are.
        let values: Vec<_> = alike.map(|(_, value)| value.clone()).collect();
        let right = match wanted(at) {
            Some(value) => values == [value.bytes().map(char::from).collect::<String>()],
            None => values.iter().all(|value| value == "-"),
        };
        if !right {
            return Err(format!("the application heard {name}: {values:?}, not {:?}", wanted(at)));
        }
    }
    Ok(())
}

fn get(target: &str) -> Request {
    ask("GET", target)
}

fn ask(method: &str, target: &str) -> Request {
    Request::new(method, target).without("Host").header("Host", SITE)
}

/// The client says who it is, once and twice and in other spellings.
fn forged(request: Request) -> Request {
    let request = IDENTITY.iter().fold(request, |request, name| {
        request.header(name, "root").header(&name.replace('-', "_"), "root").header(&name.replace('-', "."), "root")
    });
    request.header("X-Auth-Subject", "admin").header("X-AUTH-SCOPES", "*")
}

/// The client says what the original request was, in every header that some proxy uses for that.
fn claims_to_be_fine(request: Request) -> Request {
    let request = ["X-Original-Method", "X-Forwarded-Method", "X-HTTP-Method-Override", "X-Method-Override"]
        .iter()
        .fold(request, |request, name| request.header(name, "GET"));
    ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri"]
        .iter()
        .fold(request, |request, name| request.header(name, "/orders/2"))
}

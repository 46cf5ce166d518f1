//! Forward authentication, where a table is clearer than single cases: all reasons for a rejection,
//! and all disguises of a path.

use super::world::{self, BAD, SERVER, token};
use keyward_tests::http::{Request, Response};

/// The proxy protocols.
const DIALECTS: [&str; 3] = ["nginx", "forward", "envoy"];

fn original(dialect: &str, policy: &str, path: &[u8]) -> Request {
    let request = Request::get(&format!("/v1/auth/{dialect}/{policy}")).bearer(token("good"));
    match dialect {
        "nginx" => request.header("X-Original-Method", "GET").header("X-Original-URI", path),
        _ => request.header("X-Forwarded-Method", "GET").header("X-Forwarded-Uri", path),
    }
}

/// Returns a response without the parts that always differ.
fn comparable(answer: Response) -> Response {
    let changing = ["x-request-id", "date"];
    let headers = answer.headers.into_iter().filter(|(name, _)| !changing.contains(&name.as_str()));
    Response { headers: headers.collect(), ..answer }
}

/// The response does not reveal why a token is invalid: it is identical for every reason, byte by
/// byte, in each protocol.
#[test]
fn every_invalid_token_gets_the_same_response() {
    let mut answers = Vec::new();
    for dialect in DIALECTS {
        let request = || Request::get(&format!("/v1/auth/{dialect}/members"));
        let malformed = ["", " ", "a b", "a,b", "\"a\"", "é", "=", "a=b", "a\tb"];
        let bad = BAD.iter().map(|name| token(name)).chain(malformed.map(str::to_owned));
        for token in bad {
            answers.push((token.clone(), comparable(SERVER.ask(&request().bearer(token)))));
        }
        let good = token("good");
        let doubled = request().bearer(&good).bearer(&good);
        answers.push(("two headers".to_owned(), comparable(SERVER.ask(&doubled))));
    }
    let (_, first) = &answers[0];
    assert_eq!(first.status, 401);
    for (token, answer) in &answers {
        assert_eq!(answer, first, "{token:?}");
    }
}

/// The same for introspection: always `{"active":false}`, whatever the reason.
#[test]
fn every_invalid_token_is_inactive_in_the_same_words() {
    let oddities = ["", "%20", "%00", "%0d%0aX%3a%20y", "%C3%A9", "x%2C+Bearer+y", "%FF", "..%2F..%2Fx", "--help"];
    let bad = BAD.iter().map(|name| token(name)).chain(oddities.map(str::to_owned));
    let answers: Vec<_> = bad
        .map(|token| {
            let form = Request::form("/v1/introspect", format!("token={token}&token_type_hint=access_token"));
            comparable(SERVER.ask(&form.basic("app", &world::secret("app"))))
        })
        .collect();
    assert_eq!((answers[0].status, answers[0].text()), (200, r#"{"active":false}"#));
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

/// A path that servers may interpret in two ways matches no pattern, although it starts with a
/// permitted path.
#[test]
fn a_disguised_path_matches_nothing() {
    for dialect in ["nginx", "forward"] {
        let plain =
            ["/api/", "/api/x", "/api/x/", "/api/x.y", "/api/x%20y", "/api/..x", "/api/x?a=/../b", "/api/%C3%A9"];
        for path in plain {
            let answer = SERVER.ask(&original(dialect, "paths", path.as_bytes()));
            assert_eq!(answer.status, 200, "{dialect} {path}");
        }
        for path in [
            &b"/api/../admin"[..],
            b"/api/..",
            b"/api/./x",
            b"/api/.",
            b"/api//admin",
            b"/api/x//",
            b"//api/x",
            b"/api/%2e%2e/admin",
            b"/api/.%2E/admin",
            b"/api/%2e",
            b"/api/%2fadmin",
            b"/api/x%2F..%2F..%2Fadmin",
            b"/api/%5c..%5cadmin",
            b"/api\\..\\admin",
            b"/api/\\admin",
            b"/api/%252e%252e/admin",
            b"/api/%25",
            b"/api/;/admin",
            b"/api/..;/admin",
            b"/api/x;jsessionid=1",
            b"/api/%00",
            b"/api/x#/../admin",
            b"/api/x y",
            b"/api/\xc3\xa9",
            b"/api/%3B/admin",
            b"/api/%0a",
            b"/api/%c0%ae%c0%ae/admin",
            b"/api/..%C0%AFadmin",
            b"/api/..%e0%80%afadmin",
            b"/api/%ef%bc%8e%EF%BC%8E/admin",
            b"/api/..%ef%bc%8fadmin",
            b"api/x",
            b"http://shop.example.org/api/x",
            b"?/api/x",
            b"*",
            b"/API/x",
            b"/%61pi/x",
            b"/api",
        ] {
            let answer = SERVER.ask(&original(dialect, "paths", path));
            assert_eq!(answer.status, 403, "{dialect} {}", String::from_utf8_lossy(path));
            assert_eq!(answer.json()["error"], "access_denied");
            assert_eq!(answer.header("x-auth-subject"), None);
        }
    }
    for path in
        ["/api/../x", "/api//x", "/api/%2e%2e/x", "/api/%2F", "/api/a;b", "/api/%25", "/../v1/auth/envoy/members"]
    {
        let request = Request::get(&format!("/v1/auth/envoy/paths{path}")).bearer(token("good"));
        assert_eq!(SERVER.ask(&request).status, 403, "envoy {path}");
    }
}

/// Every method, with a body and without, and HTTP/1.0: the status is 200 or 401, and never 100.
#[test]
fn every_method_and_version_is_answered_without_reading_a_body() {
    for dialect in DIALECTS {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X", "get"] {
            for version in ["HTTP/1.0", "HTTP/1.1"] {
                let request = || Request::new(method, &format!("/v1/auth/{dialect}/members")).version(version);
                let with_body =
                    |request: Request| request.header("Expect", "100-continue").header("Content-Length", "7");
                for (request, status) in [
                    (request().bearer(token("bot")), 200),
                    (with_body(request().bearer(token("bot"))), 200),
                    (with_body(request()), 401),
                ] {
                    let answer = SERVER.ask(&request);
                    assert_eq!(answer.status, status, "{dialect} {method} {version}: {answer:?}");
                    assert_eq!(answer.header("x-auth-subject"), (status == 200).then_some("bot"));
                    assert!(answer.body.is_empty(), "{answer:?}");
                }
            }
        }
    }
}

/// Envoy may treat 202, 204 and similar statuses as either verdict, so none of them is used.
#[test]
fn only_five_statuses_are_ever_returned() {
    for dialect in DIALECTS {
        for policy in ["members", "orders", "get", "paths", "signed", "nothing"] {
            for name in ["good", "narrow", "expired", "nobody", "looping", "down", "long", "shut"] {
                let answer = SERVER.ask(&Request::get(&format!("/v1/auth/{dialect}/{policy}")).bearer(token(name)));
                assert!([200, 401, 403, 404, 503].contains(&answer.status), "{dialect} {policy} {name}: {answer:?}");
                let challenged = answer.header("www-authenticate").is_some();
                assert!(answer.status != 401 || challenged, "a 401 has a challenge: {answer:?}");
                assert!(!challenged || [401, 403].contains(&answer.status), "{answer:?}");
            }
        }
    }
}

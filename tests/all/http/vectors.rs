//! Datasette's own tokens over HTTP: every verify and create case through the JSON API, and the
//! cases that the original answered over HTTP itself, on `/v1/actor`.

use super::server::Server;
use super::world;
use crate::vectors::{Answer, Case, IN_PROCESS, answer_in_json, cases, judge};
use keyward_tests::http::{Request, Response};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Returns cases in groups that share a server.
fn groups(op: &str) -> Vec<Vec<Case>> {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases(op) {
        let group = format!("{}\0{}\0{}\0{:?}", case.secret, case.settings, case.now_text, case.actions);
        groups.entry(group).or_default().push(case);
    }
    groups.into_values().collect()
}

/// Starts a server for a group.
fn server(group: &[Case]) -> Server {
    Server::start(world::config(), IN_PROCESS.registry(&group[0]), group[0].now)
}

fn ask(server: &Server, path: &str, body: &Value) -> Response {
    server.ask(&Request::json(path, body).basic("app", &world::secret("app")))
}

#[test]
fn every_verify_case_one_by_one_and_in_batches() {
    let mut asked = 0;
    for group in groups("verify") {
        let server = server(&group);
        for case in &group {
            let answer = ask(&server, "/v1/verify", &json!({"token": case.input["token"]}));
            assert_eq!(answer.status, 200, "{}: {answer:?}", case.id);
            judge(case, &answer_in_json(answer.text())).unwrap();
            asked += 1;
        }
        let tokens: Vec<_> = group.iter().map(|case| &case.input["token"]).collect();
        let answer = ask(&server, "/v1/verify", &json!({"tokens": tokens}));
        assert_eq!(answer.status, 200, "{answer:?}");
        let outcomes = answer.json()["outcomes"].as_array().unwrap().clone();
        assert_eq!(outcomes.len(), group.len(), "one outcome for each token");
        for (case, outcome) in group.iter().zip(outcomes) {
            judge(case, &answer_in_json(&outcome.to_string())).unwrap();
        }
    }
    assert!(asked >= 100, "{asked}");
}

#[test]
fn every_create_case() {
    let (mut made, mut refused) = (0, 0);
    for group in groups("create") {
        let server = server(&group);
        for case in &group {
            let answer = ask(&server, "/v1/tokens", &create_body(&case.input));
            let answer = match answer.status {
                201 => Answer::Token(answer.json()["token"].as_str().unwrap().to_owned()),
                400 | 403 | 409 => Answer::Refused(answer.json()["error_description"].as_str().unwrap().to_owned()),
                _ => Answer::Failed(format!("{answer:?}")),
            };
            match answer {
                Answer::Token(_) => made += 1,
                _ => refused += 1,
            }
            judge(case, &answer).unwrap();
        }
    }
    assert!(made >= 20 && refused >= 5, "{made} created, {refused} refused");
}

/// Translates the request of a case. JSON can express all of it, so nothing is omitted as invalid.
fn create_body(input: &Value) -> Value {
    let mut body = Map::new();
    body.insert("actor".into(), input["actor_id"].clone());
    for name in ["expires_after", "restrictions"] {
        if !input[name].is_null() {
            body.insert(name.into(), input[name].clone());
        }
    }
    Value::Object(body)
}

/// A case that Datasette answered over HTTP: its configuration, the `Authorization` header, and its
/// response.
struct Original {
    case: Case,
    authorization: Vec<u8>,
    said: Said,
}

/// The relevant parts of a response.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    status: u16,
    challenge: Option<String>,
    body: Value,
}

fn originals() -> Vec<Original> {
    let file: Value = serde_json::from_str(include_str!("../../vectors/datasette-signed.json")).unwrap();
    let of_http = file["cases"].as_array().unwrap().iter().filter(|case| case["op"] == "http");
    of_http
        .map(|case| {
            let expect = &case["expect"];
            // Datasette's server decoded the bytes of headers as Latin-1, so each character is a
            // byte.
            let authorization = case["input"]["authorization"].as_str().unwrap();
            let authorization = authorization.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
            let said = Said {
                status: u16::try_from(expect["status"].as_u64().unwrap()).unwrap(),
                challenge: expect["www_authenticate"].as_str().map(str::to_owned),
                // Absent if the response was not JSON that strict readers accept.
                body: expect["json"].clone(),
            };
            Original { case: Case::read(case, &file["meta"]["abbr"]), authorization, said }
        })
        .collect()
}

fn refusal(message: &str) -> Said {
    Said {
        status: 401,
        challenge: Some("Bearer error=\"invalid_token\"".to_owned()),
        body: json!({"ok": false, "error": message, "errors": [message], "status": 401}),
    }
}

/// Returns the cases in which Keyward differs from the original: the case, the reason, and the
/// response.
fn deviations() -> Vec<(&'static str, &'static str, Said)> {
    let root = json!({"ok": true, "actor": {"id": "root", "token": "dstok", "token_expires": 1_767_235_599}});
    vec![
        (
            "http-bearer/lower_bearer",
            "schemes are case-insensitive (RFC 9110 section 11.1)",
            Said { status: 200, challenge: None, body: root },
        ),
        (
            "http-bearer/nondict_int",
            "the original raises an exception and returns 500",
            refusal("Invalid token: no timestamp"),
        ),
        (
            "http-bearer/bad_zlib",
            "the original raises an exception and returns 500",
            refusal("Invalid token: not a JSON payload"),
        ),
        (
            "http-bearer/actor_null",
            "an actor id is a non-empty string or an integer",
            refusal("Invalid token: invalid actor id"),
        ),
        (
            "http-bearer/lone_surrogate",
            "JSON readers other than Python's refuse a lone surrogate",
            refusal("Invalid token: invalid actor id"),
        ),
        (
            "http-bearer/sig_junk",
            "a token has a single spelling; the original ignores junk in it",
            refusal("Invalid token signature"),
        ),
    ]
}

#[test]
fn the_originals_responses_over_http() {
    let mut deviations = deviations();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for Original { case, authorization, said } in originals() {
        let server = server(std::slice::from_ref(&case));
        let answer = server.ask(&Request::get("/v1/actor").header("Authorization", &authorization));
        asked += 1;
        let ours = Said {
            status: answer.status,
            challenge: answer.header("www-authenticate").map(str::to_owned),
            body: answer.json(),
        };
        assert!(answer.header("content-type").unwrap().starts_with("application/json"), "{}: {answer:?}", case.id);
        let place = deviations.iter().position(|(id, ..)| *id == case.id);
        match place.map(|place| deviations.remove(place)) {
            Some((id, reason, _)) if ours == said => wrong.push(format!("{id} no longer deviates: {reason}")),
            Some((id, reason, wanted)) if ours != wanted => {
                wrong.push(format!("{id} ({reason}): wanted {wanted:?}, got {ours:?}"));
            }
            None if ours != said => wrong.push(format!("{}: the original returned {said:?}, got {ours:?}", case.id)),
            _ => {}
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(asked == 14 && deviations.is_empty(), "{asked} asked; no case for {deviations:?}");
}

//! Authentication and authorization of clients: every method, and every right.

use super::server::Server;
use super::world::{self, CALLERS, NOW, SERVER, secret, token};
use keyward_server::{Client, Right, SecretDigest};
use keyward_tests::http::{Request, base64};
use serde_json::{Value, json};

fn introspection() -> Request {
    Request::form("/v1/introspect", format!("token={}", token("bot")))
}

/// Returns a `PATCH` request with a JSON body.
pub(super) fn patch(target: &str, body: &Value) -> Request {
    Request::new("PATCH", target).header("Content-Type", "application/json").body(body.to_string())
}

/// Tests each client's rights, by endpoint and method of authentication.
#[test]
fn each_client_has_the_rights_in_its_configuration() {
    for (id, may, _) in CALLERS {
        let endpoints = [
            ("introspect", introspection(), 200),
            ("verify", Request::json("/v1/verify", &json!({"token": token("bot")})), 200),
            // A handler that every client may use, and that creates no tokens.
            ("create", Request::json("/v1/tokens", &json!({"actor": "x", "handler": "bots"})), 403),
            // The server has no store.
            ("revoke", Request::form("/v1/revoke", format!("token={}", token("nobody"))), 404),
            ("revoke", Request::json("/v1/revocations", &json!({"handler": "bots"})), 404),
            ("list list-all", Request::get("/v1/tokens"), 404),
            ("list list-all", Request::get("/v1/tokens/signed/x"), 404),
            ("edit", patch("/v1/tokens/signed/x", &json!({"description": null})), 404),
            // The operation issues a valid token, so it requires `create` as well.
            ("edit+create", Request::json("/v1/tokens/signed/x/rotate", &json!({})), 404),
        ];
        for (right, request, status) in endpoints {
            let is_one = |right: &str| may.split(' ').any(|word| word == right);
            let allowed = right.split(' ').any(|rights| rights.split('+').all(is_one));
            let error = match (allowed, status) {
                (false, _) => Some("unauthorized_client"),
                (true, 403) => Some("access_denied"),
                (true, 404) => Some("not_found"),
                (true, _) => None,
            };
            for (way, request) in [
                ("basic", request.clone().basic(id, &secret(id))),
                ("bearer", request.clone().bearer(secret(id))),
                ("BASIC", request.clone().header("Authorization", basic_text("BASIC", id, &secret(id)))),
                ("basic without padding", {
                    let text = basic_text("Basic", id, &secret(id));
                    request.clone().header("Authorization", text.trim_end_matches('='))
                }),
            ] {
                let answer = SERVER.ask(&request);
                let wanted = if allowed { status } else { 403 };
                assert_eq!(answer.status, wanted, "{id} {right} by {way}: {answer:?}");
                let said = (!answer.body.is_empty()).then(|| answer.json());
                let said = said.as_ref().and_then(|said| said.get("error")?.as_str());
                assert_eq!(said, error, "{id} {right} by {way}");
                assert_eq!(answer.header("www-authenticate"), None);
            }
        }
    }
}

fn basic_text(scheme: &str, id: &str, secret: &str) -> String {
    format!("{scheme} {}", base64(format!("{id}:{secret}").as_bytes()))
}

/// Clients may form-encode id and secret before joining them, as RFC 6749 requires, or not. Covers
/// the encodings of mod_auth_openidc, oauth4webapi and Authlib.
#[test]
fn id_and_secret_may_be_encoded_or_not() {
    let secret = "s3 cret% that has thirty-two bytes + more";
    let mut config = world::config();
    for (id, secret) in [("rs_1", secret), ("short", "hunter2")] {
        let secret = SecretDigest::of(secret);
        let client = Client::new(secret, [Right::Introspect]);
        config.clients.insert(id.to_owned(), client);
    }
    let server = Server::start(config, world::registry(), Some(NOW));
    let ask = |credentials: String| {
        let authorization = format!("Basic {}", base64(credentials.as_bytes()));
        server.ask(&introspection().header("Authorization", authorization))
    };
    for credentials in [
        "rs_1:s3%20cret%25%20that%20has%20thirty-two%20bytes%20%2B%20more".to_owned(),
        "rs_1:s3+cret%25+that+has+thirty-two+bytes+%2B+more".to_owned(),
        "rs%5F1:s3+cret%25+that+has+thirty-two+bytes+%2b+more".to_owned(),
        format!("rs_1:{secret}"),
    ] {
        let answer = ask(credentials.clone());
        assert_eq!((answer.status, &answer.json()["active"]), (200, &true.into()), "{credentials}: {answer:?}");
    }
    for credentials in [
        "rs_1:s3%2520cret%2525%20that%20has%20thirty-two%20bytes%20%2B%20more".to_owned(),
        "rs_1:s3%20cret%25%20that%20has%20thirty-two%20bytes%20%2B%20mor".to_owned(),
        "rs_1".to_owned(),
        "rs_1:".to_owned(),
        format!(":{secret}"),
        format!("{secret}:rs_1"),
        format!("RS_1:{secret}"),
        format!(" rs_1:{secret}"),
        format!("rs_1:{secret}\n"),
        format!("app:{secret}"),
        "short:hunter2".to_owned(),
        String::new(),
    ] {
        let answer = ask(credentials.clone());
        assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_client".into()), "{credentials:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"keyward\""));
    }
}

/// The response does not reveal whether an id exists.
#[test]
fn a_wrong_id_and_a_wrong_secret_get_the_same_response() {
    let mut answers: Vec<_> = ["app", "nobody", "", "APP", "nothing"]
        .iter()
        .map(|id| SERVER.ask(&introspection().basic(id, &secret("another"))))
        .map(|answer| (answer.status, answer.body.clone(), answer.header("www-authenticate").map(str::to_owned)))
        .collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].0, 401);
}

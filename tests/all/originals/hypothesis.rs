//! The bearer tokens of hypothesis' first version, which tries developer tokens first and JWTs
//! then: the results of its function from a bearer token to a user.

use super::answer::Answer;
use super::world::{at, empty_store, grant, put, record};
use super::{Played, Row};
use crate::support::{RUNTIME, TestClock};
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::store::SecretDigest;
use keyward_runtime::{Actors, HandlerConfig, Registry, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;

const HANDLER: &str = "developers";
const PREFIX: &str = "6879-";

/// Replays each case that has a token; also returns the number of cases.
pub(super) fn play() -> (usize, Played) {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/hypothesis.json")).unwrap();
    let (_folder, store) = empty_store();
    // The tokens of its table, one for each user.
    for (place, (token, user)) in vectors["table"].as_object().unwrap().iter().enumerate() {
        let user = user.as_str().unwrap();
        put(&store, HANDLER, record(format!("record-{place}"), user, 0, None), Some(digest(token)));
    }
    let developers = || {
        let mut config = HandlerConfig::new(HANDLER, keyward_handlers::HYPOTHESIS, Actors::Any).prefix(PREFIX);
        config.store = Some(grant(&store));
        config
    };
    let cases = vectors["cases"].as_array().unwrap();
    let mut played = Played::default();
    for case in cases {
        let name = case["id"].as_str().unwrap().split_once('/').unwrap().1;
        let Some(token) = case["token"].as_str() else {
            played.left_out.push((name.to_owned(), "reads an `Authorization` header".to_owned()));
            continue;
        };
        let registry = Registry::builder(&RUNTIME).handler(developers()).handler(jwt(case)).build().unwrap();
        TestClock.set(Some(at(case["now"].as_u64().unwrap())));
        let ours = match registry.verify_blocking(token).unwrap() {
            Verdict::Accepted(acceptance) => {
                let actor: Value = serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap();
                Answer::Actor(actor["id"].clone())
            }
            Verdict::Rejected(rejection) => Answer::Refused(rejection.message),
            Verdict::NotMine => Answer::Nobody,
        };
        let original = match case["expect"]["raises"].as_str() {
            Some(error) => Answer::Status(500, error.to_owned()),
            None => Answer::of_actor(&case["expect"]["userid"]),
        };
        played.rows.push(Row { key: format!("hypothesis/{name}"), asked: "a call".to_owned(), original, ours });
    }
    (cases.len(), played)
}

/// Returns the handler for the JWTs of a case: h's one key, audience and leeway, and any issuer.
fn jwt(case: &Value) -> HandlerConfig {
    let secret = Secret::new(case["secret"].as_str().unwrap());
    let ring = Arc::new(KeyRing::new("client", secret, vec![]).unwrap());
    let issuers = json!([{
        "iss": "id",
        "key": "client",
        "algorithms": ["HS256"],
        "aud": case["audience"],
        "leeway": case["leeway"],
        "dangerous_optional": ["iss"],
    }]);
    HandlerConfig::new("jwt", keyward_handlers::JWT, Actors::Any)
        .prefix("eyJ")
        .key("client", KeyGrant::new(ring).scheme(Scheme::RawHmacSha256))
        .setting("issuers", issuers.to_string())
}

/// Returns the digest that the host stores for a token.
fn digest(token: &str) -> SecretDigest {
    let hex = keyward_server::SecretDigest::of(token).to_hex();
    let bytes: Vec<u8> = (0..32).map(|place| u8::from_str_radix(&hex[2 * place..][..2], 16).unwrap()).collect();
    SecretDigest::new(bytes.try_into().unwrap())
}

//! The developer tokens of hypothesis' first version: the results of its function from a bearer
//! token to a user.

use super::answer::Answer;
use super::world::{at, empty_store, grant, put, record};
use super::{Played, Row};
use crate::support::{RUNTIME, TestClock};
use keyward_runtime::store::SecretDigest;
use keyward_runtime::{Actors, HandlerConfig, Registry, Verdict};
use serde_json::Value;

const HANDLER: &str = "developers";
const PREFIX: &str = "6879-";

/// Replays each case with a token that starts like these, or nearly; also returns the number of
/// cases.
pub(super) fn play() -> (usize, Played) {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/hypothesis.json")).unwrap();
    let (_folder, store) = empty_store();
    // The tokens of its table, one for each user.
    for (place, (token, user)) in vectors["table"].as_object().unwrap().iter().enumerate() {
        let user = user.as_str().unwrap();
        put(&store, HANDLER, record(format!("record-{place}"), user, 0, None), Some(digest(token)));
    }
    let mut config = HandlerConfig::new(HANDLER, keyward_handlers::HYPOTHESIS, Actors::Any);
    config.prefixes = vec![PREFIX.to_owned()];
    config.store = Some(grant(&store));
    let registry = Registry::builder(&RUNTIME).handler(config).build().unwrap();

    let cases = vectors["cases"].as_array().unwrap();
    let mut played = Played::default();
    for case in cases {
        let name = case["id"].as_str().unwrap().split_once('/').unwrap().1;
        let Some(token) = case["token"].as_str().filter(|token| token.starts_with(PREFIX.trim_end_matches('-'))) else {
            let what = if case["token"].is_string() { "read as a JWT" } else { "reads an `Authorization` header" };
            played.left_out.push((name.to_owned(), what.to_owned()));
            continue;
        };
        TestClock.set(Some(at(case["now"].as_u64().unwrap())));
        let ours = match registry.verify_blocking(token).unwrap() {
            Verdict::Accepted(acceptance) => {
                let actor: Value = serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap();
                Answer::Actor(actor["id"].clone())
            }
            Verdict::Rejected(rejection) => Answer::Refused(rejection.message),
            Verdict::NotMine => Answer::Nobody,
        };
        let original = Answer::of_actor(&case["expect"]["userid"]);
        played.rows.push(Row { key: format!("hypothesis/{name}"), asked: "a call".to_owned(), original, ours });
    }
    (cases.len(), played)
}

/// Returns the digest that the host stores for a token.
fn digest(token: &str) -> SecretDigest {
    let hex = keyward_server::SecretDigest::of(token).to_hex();
    let bytes: Vec<u8> = (0..32).map(|place| u8::from_str_radix(&hex[2 * place..][..2], 16).unwrap()).collect();
    SecretDigest::new(bytes.try_into().unwrap())
}

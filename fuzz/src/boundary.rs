//! A registry with a handler that returns whatever the client wrote, and the properties of every
//! result that gets out.

use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::Blame;
use keyward_runtime::{
    Acceptance, ActorId, Actors, CreateRequest, Creation, Error, HandlerConfig, Registry, Runtime, Verdict,
};
use keyward_tests::hostile::{self, CALL_CODES, REASONS};
use serde_json::Value;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

/// The time of all targets: 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600;

/// Maximum lifetime of the handler's tokens, in seconds.
pub(crate) const MAX_TTL: u64 = 3_600;

/// The runtime of all targets.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let now = UnixTime { seconds: NOW, nanoseconds: 0 };
    Runtime::builder().clock(now).dangerous_compile_in_process().build().unwrap()
});

/// The same guest twice: `hostile` may vouch for `hostile:*` and for an hour, `free` for anything.
static ANSWERING: LazyLock<Registry> = LazyLock::new(|| {
    let guest = || hostile::case("answer-by-the-caller").bytes;
    let mut free = config("free", guest(), Actors::Any);
    free.prefixes = vec!["fr_".into()];
    Registry::builder(&RUNTIME).handler(hostile(guest())).handler(free).build().unwrap()
});

/// The same guest as a first-party handler, whose new tokens the host does not verify: this guest
/// verifies by the token's text alone.
static CREATING: LazyLock<Registry> = LazyLock::new(|| {
    let mut creating = hostile(hostile::case("answer-by-the-caller").bytes);
    creating.first_party = true;
    Registry::builder(&RUNTIME).handler(creating).build().unwrap()
});

fn allowed() -> Actors {
    Actors::matching(["hostile:*"]).unwrap()
}

/// Configures a hostile handler with low limits, except for the wall clock, because the machine may
/// be busy.
pub(crate) fn hostile(component: Vec<u8>) -> HandlerConfig {
    config("hostile", component, allowed())
}

fn config(name: &str, component: Vec<u8>, actors: Actors) -> HandlerConfig {
    let mut config = HandlerConfig::new(name, component, actors);
    config.prefixes = vec!["ho_".into()];
    if name == "hostile" {
        config.max_ttl = Some(Duration::from_secs(MAX_TTL));
    }
    config.limits.wall = Duration::from_secs(60);
    config.limits.token_bytes = 128 << 10;
    config
}

/// Returns the acceptance that the host lets through if `hostile` returns `area` from `verify`.
pub(crate) fn answer(area: &[u8]) -> Option<Acceptance> {
    verify(&ANSWERING, &format!("ho_{}", hex(area)))
}

/// Returns the verdict if `free` returns `area` from `verify`.
pub(crate) fn free_answer(area: &[u8]) -> Result<Verdict, Error> {
    ANSWERING.verify_blocking(&format!("fr_{}", hex(area)))
}

/// Returns the token if the guest returns `area` from `create`.
pub(crate) fn creation(area: &[u8]) -> Option<String> {
    create(&CREATING, Some(hex(area)))
}

/// Verifies a token of `hostile`, checks the properties of every result, and returns an acceptance.
pub(crate) fn verify(registry: &Registry, token: &str) -> Option<Acceptance> {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => {
            check_acceptance(&acceptance);
            Some(acceptance)
        }
        Ok(Verdict::NotMine) => None,
        Ok(Verdict::Rejected(rejection)) => {
            check_message(&rejection.message);
            assert!(REASONS.contains(&rejection.reason.as_str()));
            None
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

/// Requests a token from `hostile`, and returns it.
pub(crate) fn create(registry: &Registry, description: Option<String>) -> Option<String> {
    let mut request = CreateRequest::new("hostile:alice");
    request.description = description;
    // Without a lifetime the host would refuse the request: tokens of this handler must expire.
    request.expires_after = NonZeroU32::new(60);
    match registry.create_blocking(request.handler("hostile")) {
        Ok(Creation::Created(created)) => {
            assert!(created.token.starts_with("ho_"), "a token leads back to its handler");
            assert!(created.token.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~+/=-".contains(&b)));
            check_token_id(created.token_id.as_deref());
            assert!(
                created.expires_at.is_some_and(|end| end <= UnixTime::from_seconds(NOW + 60)),
                "it expires when requested, or sooner"
            );
            Some(created.token)
        }
        Ok(Creation::Denied(denied)) => {
            check_message(&denied.message);
            None
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

/// Checks the properties of every acceptance of `hostile`.
fn check_acceptance(acceptance: &Acceptance) {
    let actor = acceptance.actor_ignoring_restrictions();
    let Acceptance { handler, token_id, issued_at, expires_at, key, .. } = acceptance;
    assert_eq!(&**handler, "hostile");
    let json: Value = serde_json::from_str(actor.json()).unwrap();
    let id = json["id"].as_str().unwrap();
    assert!(id.starts_with("hostile:") && !id.contains(char::is_control) && id.len() <= 1_024, "{id:?}");
    assert_eq!(actor.id().and_then(ActorId::as_text), Some(id));
    assert!(!actor.json().contains(['\n', '\r']) && actor.json().len() <= 64 << 10);
    assert_eq!(json.get("token_expires").map(|end| end.as_u64().unwrap()), expires_at.map(|time| time.seconds));
    if let Some(restrictions) = json.get("_r") {
        check_restrictions(restrictions);
    }
    check_token_id(token_id.as_deref());
    assert!(key.is_none(), "a handler without keys: {key:?}");
    assert!(issued_at.is_none_or(|start| start <= UnixTime::from_seconds(NOW + 60)), "from the future: {issued_at:?}");
    let end = expires_at.unwrap();
    assert!(
        end.seconds >= NOW && end.seconds_since(issued_at.unwrap_or(UnixTime::from_seconds(NOW))) <= MAX_TTL,
        "{issued_at:?} to {end:?}"
    );
}

/// Checks that `a`, `d` and `r` have their shapes, and are not empty.
fn check_restrictions(restrictions: &Value) {
    let actions = |list: &Value| assert!(list.as_array().unwrap().iter().all(Value::is_string));
    for (name, value) in restrictions.as_object().unwrap() {
        match (name.as_str(), value) {
            ("a", Value::Array(list)) => {
                assert!(!list.is_empty());
                actions(value);
            }
            ("d", Value::Object(databases)) => {
                assert!(!databases.is_empty());
                databases.values().for_each(actions);
            }
            ("r", Value::Object(databases)) => {
                assert!(!databases.is_empty());
                databases.values().for_each(|resources| resources.as_object().unwrap().values().for_each(actions));
            }
            _ => panic!("not restrictions: {restrictions}"),
        }
    }
}

fn check_token_id(id: Option<&str>) {
    assert!(id.is_none_or(|id| (1..=256).contains(&id.len()) && id.bytes().all(|b| (0x20..0x7f).contains(&b))));
}

fn check_message(message: &str) {
    assert!(message.len() <= 1_024 && !message.contains(char::is_control), "{message:?}");
}

/// Checks that an error is typed, blames the handler, and is one line.
fn check_error(error: &Error) {
    assert_eq!((error.blame(), error.handler()), (Blame::Handler, Some("hostile")), "{error}");
    assert!(CALL_CODES.contains(&error.code()), "{error:?}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
}

/// Returns lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap())
        .collect()
}

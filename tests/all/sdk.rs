//! The SDK's guarantees to a plugin author, as seen from the host.

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::session::{SessionGrant, SessionRequest};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Limits, Registry, RuntimeLimits, Verdict};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

fn registry(mut config: HandlerConfig, prefix: &str) -> Registry {
    config.prefixes = vec![prefix.into()];
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    Registry::builder(&runtime).handler(config).build().unwrap()
}

/// Builds a registry of the handler of `tests/guest`.
fn author() -> Registry {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let component = keyward_guests::build("keyward-tests-guest", &target).unwrap();
    let users = SessionGrant { cookies: ["user".to_owned()].into(), ..SessionGrant::default() };
    registry(HandlerConfig::new("author", component, Actors::Any).session(users), "sdk_")
}

/// Neither logs nor headers contain a token, however careless the handler is.
#[test]
fn a_careless_handler_puts_no_token_into_logs_or_headers() {
    let registry = author();
    let mut made = None;
    let log = support::captured_log(|| made = Some(registry.create_blocking(CreateRequest::new("careless"))));
    let Some(Ok(Creation::Created(created))) = made else { panic!("{made:?}") };
    assert!(log.contains("issued [token] to a friend") && !log.contains(&created.token), "{log}");
    let log = support::captured_log(|| assert!(registry.create_blocking(CreateRequest::new("x")).is_ok()));
    assert!(log.contains("issued nothing"), "{log}");

    for token in ["sdk_an-actor-of-that-name", "sdk_an-id-of-that-name"] {
        let error = registry.verify_blocking(token).unwrap_err();
        assert_eq!(error.code(), "bad-result", "{token}");
        assert!(!error.to_string().contains(token), "{error}");
    }
}

/// A result is passed on, an error is an error, and a panic is a trap whose message is written to
/// the operator's log.
#[test]
fn a_panic_reaches_the_log_as_text() {
    let registry = author();
    assert!(matches!(registry.verify_blocking("sdk_alice"), Ok(Verdict::Accepted(_))));
    assert!(matches!(registry.verify_blocking("sdk_other"), Ok(Verdict::NotMine)));
    let failure = registry.verify_blocking("sdk_failure").unwrap_err();
    assert_eq!((failure.code(), failure.to_string().contains("the moon is down")), ("unavailable", true));
    assert!(!failure.public_message().contains("moon"), "the log has the details, not the client");

    let mut code = "";
    let log = support::captured_log(|| code = registry.verify_blocking("sdk_panic").unwrap_err().code());
    assert_eq!(code, "trap");
    assert!(log.contains("ERROR") && log.contains("author"), "{log}");
    assert!(log.contains("panicked at") && log.contains("on purpose: 42"), "{log}");
    assert!(matches!(registry.verify_blocking("sdk_alice"), Ok(Verdict::Accepted(_))), "the next call succeeds");
}

/// A component with both exports verifies tokens and identifies users.
#[test]
fn a_component_may_be_both_kinds_of_handler() {
    let registry = author();
    let user = SessionRequest::new("GET", "/").cookie("user", "ann");
    let verdict = registry.identify_blocking("author", &user).unwrap();
    let Verdict::Accepted(acceptance) = verdict else { panic!("{verdict:?}") };
    assert_eq!(acceptance.actor_ignoring_restrictions().json(), r#"{"id":"ann"}"#);
    let stranger = SessionRequest::new("GET", "/").cookie("not-granted", "ann");
    assert!(matches!(registry.identify_blocking("author", &stranger), Ok(Verdict::NotMine)));
    assert!(matches!(registry.verify_blocking("sdk_alice"), Ok(Verdict::Accepted(_))));
}

/// A single page of memory is enough for ordinary tokens: limited to it, the handler that ships
/// creates and verifies them.
///
/// The clock does not advance, because `create` uses more memory if it tries to compress, which it
/// does if three bytes of the JSON repeat: in some seconds those of the time do.
#[test]
fn an_ordinary_call_never_grows_its_memory() {
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    let ring = Arc::new(KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap());
    config.keys.insert("token".into(), KeyGrant::new(ring));
    config.limits = Limits { memory_bytes: 64 << 10, ..Limits::default() };
    let registry = registry(config, "dstok_");
    let mut request = CreateRequest::new("root");
    request.expires_after = NonZeroU32::new(60);
    let Ok(Creation::Created(created)) = registry.create_blocking(request) else { panic!("created") };
    assert!(matches!(registry.verify_blocking(&created.token), Ok(Verdict::Accepted(_))));
}

//! Routing: a token is passed to the handler with the longest matching prefix, and to no other.

use crate::support::{self, TestClock};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::{
    Actors, CreateRequest, Creation, HandlerConfig, LoadError, Reason, Registry, Runtime, RuntimeLimits, Verdict,
};
use keyward_tests::hostile;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| support::runtime(RuntimeLimits::default(), NOW));

/// A handler that accepts every token, so that the verdict shows what the handler saw.
fn recorder() -> Vec<u8> {
    hostile::case("accepts-everything").bytes
}

fn recording(name: &str, prefixes: &[&str]) -> HandlerConfig {
    let mut config = HandlerConfig::new(name, recorder(), Actors::Any);
    support::unhurried(&mut config.limits);
    config.prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    config
}

fn signed(prefixes: &[&str]) -> HandlerConfig {
    let ring = Arc::new(KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    support::unhurried(&mut config.limits);
    config.prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    config.keys.insert("token".into(), KeyGrant::new(ring));
    config
}

fn registry(handlers: impl IntoIterator<Item = HandlerConfig>) -> RegistryBuilder {
    handlers.into_iter().fold(Registry::builder(&RUNTIME), RegistryBuilder::handler)
}

/// Returns the handler to which a token was passed, according to the verdict.
fn seen_by(registry: &Registry, token: &str) -> Option<String> {
    match registry.verify_blocking(token).unwrap() {
        Verdict::Accepted(acceptance) => Some(acceptance.handler.to_string()),
        Verdict::NotMine => None,
        Verdict::Rejected(rejection) => rejection.handler.map(|name| name.to_string()),
    }
}

#[test]
fn a_recorder_sees_none_of_ten_thousand_tokens_of_others() {
    let registry = registry([recording("recorder", &["rec_"]), signed(&["dstok_"])]).build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(
        ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let foreign =
        prop_oneof!["[ -~]{0,40}", "(dstok|re|rec|REC|xrec|rec-)_?[A-Za-z0-9._-]{0,40}", "\\PC{0,20}", "rec[^_][a-z]*"]
            .prop_filter("belongs to the recorder", |token| !token.starts_with("rec_"));
    runner
        .run(&foreign, |token| {
            prop_assert_ne!(seen_by(&registry, &token), Some("recorder".to_owned()));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen_by(&registry, "rec_x").as_deref(), Some("recorder"), "it sees its own tokens");
}

/// Datasette's sample handler has a prefix within the signed handler's prefix (A1-17): there the
/// order decides, here it does not matter.
#[test]
fn the_longest_prefix_wins_in_any_order() {
    let hardcoded = || recording("hardcoded", &["dstok_hardcoded_token_"]);
    for handlers in [[signed(&["dstok_"]), hardcoded()], [hardcoded(), signed(&["dstok_"])]] {
        let registry = registry(handlers).build().unwrap();
        assert_eq!(seen_by(&registry, "dstok_hardcoded_token_1").as_deref(), Some("hardcoded"));
        assert_eq!(seen_by(&registry, "dstok_hardcoded_token").as_deref(), Some("signed"));
        assert_eq!(seen_by(&registry, "dstok_").as_deref(), Some("signed"));
        assert_eq!(seen_by(&registry, "dstok"), None);
        assert_eq!(seen_by(&registry, ""), None);
    }
}

/// Such a token cannot contain a secret, so no handler is called, not even one that accepts
/// everything.
#[test]
fn a_token_that_is_only_its_prefix_reaches_no_handler() {
    let registry = registry([recording("outer", &["rec_"]), recording("inner", &["rec_in_"])]).build().unwrap();
    for (token, owner) in [("rec_", "outer"), ("rec_in_", "inner")] {
        let Verdict::Rejected(rejection) = registry.verify_blocking(token).unwrap() else { panic!("{token}") };
        assert_eq!((rejection.handler.as_deref(), rejection.reason), (Some(owner), Reason::Malformed), "{token}");
        assert!(matches!(registry_verify(&registry, owner, token), Verdict::Rejected(_)), "{token}");
    }
    assert!(registry.handlers().all(|handler| handler.counts.calls == 0), "{registry:?}");
    assert_eq!(seen_by(&registry, "rec_in").as_deref(), Some("outer"));
    assert_eq!(registry.handlers().map(|handler| handler.counts.calls).sum::<u64>(), 1);
}

/// Such a secret could never be presented.
#[test]
fn a_secret_that_is_only_a_prefix_does_not_load() {
    let mut config = hardcoded("bots", "bot_");
    config.prefixes = vec!["bot_".into()];
    let error = registry([config]).build().map(drop).unwrap_err();
    assert_eq!(error.code(), "bad-secret");
    assert!(error.to_string().contains("only the prefix"), "{error}");
}

/// A token that would be routed to a handler other than its issuer is refused when it is created.
#[test]
fn no_handler_issues_tokens_under_the_prefix_of_another() {
    // All tokens of `signed` begin with `dstok_ey` or `dstok_.`; here those prefixes belong to
    // another handler.
    let registry = registry([signed(&["dstok_"]), recording("other", &["dstok_e", "dstok_."])]).build().unwrap();
    let error = registry.create_blocking(CreateRequest::new("root")).unwrap_err();
    assert_eq!((error.code(), error.handler()), ("bad-token", Some("signed")));
    // Without a claim on its prefix the handler creates no tokens either, because none could be
    // verified.
    let registry = self::registry([signed(&["other_"])]).build().unwrap();
    assert_eq!(registry.create_blocking(CreateRequest::new("root")).unwrap_err().code(), "bad-token");
}

#[test]
fn naming_a_handler_only_narrows_the_routing() {
    let registry = registry([signed(&["dstok_"]), recording("recorder", &["rec_"])]).build().unwrap();
    assert!(matches!(registry_verify(&registry, "recorder", "rec_x"), Verdict::Accepted(_)));
    assert!(matches!(registry_verify(&registry, "signed", "rec_x"), Verdict::NotMine));
    assert!(matches!(registry_verify(&registry, "recorder", "dstok_x"), Verdict::NotMine));
    let error = pollster::block_on(registry.verify_with("nope", "rec_x")).unwrap_err();
    assert_eq!(error.to_string(), "no handler is named `nope`; configured: `signed`, `recorder`");
}

fn registry_verify(registry: &Registry, handler: &str, token: &str) -> Verdict {
    pollster::block_on(registry.verify_with(handler, token)).unwrap()
}

#[test]
fn the_first_handler_creates_tokens_unless_another_is_named() {
    let registry = registry([signed(&["dstok_"]), recording("recorder", &["rec_"])]).build().unwrap();
    for (name, handler) in [(None, "signed"), (Some("signed"), "signed"), (Some("recorder"), "recorder")] {
        let mut request = CreateRequest::new("hostile:alice");
        request.handler = name.map(str::to_owned);
        let Ok(Creation::Created(created)) = registry.create_blocking(request) else {
            panic!("{handler} created a token")
        };
        assert_eq!(&*created.handler, handler);
    }
    let none = Registry::builder(&RUNTIME).build().unwrap();
    assert_eq!(none.create_blocking(CreateRequest::new("root")).unwrap_err().code(), "no-handler");
    assert!(matches!(none.verify_blocking("x").unwrap(), Verdict::NotMine));
}

#[test]
fn unprefixed_tokens_have_one_owner_unless_sharing_is_enabled() {
    let one = registry([signed(&["dstok_"]), recording("rest", &[])]).build().unwrap();
    assert_eq!(seen_by(&one, "anything").as_deref(), Some("rest"));
    assert_eq!(seen_by(&one, "dstok_x").as_deref(), Some("signed"), "the prefix routes it to `signed`");

    let two = || registry([hardcoded("first", "s3cret-of-the-first"), recording("second", &[])]);
    assert_eq!(two().build().unwrap_err().code(), "several-unprefixed");
    let shared = two().dangerous_share_unprefixed().build().unwrap();
    assert_eq!(seen_by(&shared, "s3cret-of-the-first").as_deref(), Some("first"));
    assert_eq!(seen_by(&shared, "anything").as_deref(), Some("second"), "the first handler returned not-mine");
    let by_second = |token| registry_verify(&shared, "second", token);
    assert!(matches!(by_second("s3cret-of-the-first"), Verdict::NotMine), "narrowing never routes it to the second");
    assert!(!matches!(by_second("anything"), Verdict::NotMine));
}

fn hardcoded(name: &str, secret: &str) -> HandlerConfig {
    let mut config = HandlerConfig::new(name, support::HARDCODED, Actors::Any);
    support::unhurried(&mut config.limits);
    config.secrets.push(("bot".into(), Secret::new(secret.as_bytes())));
    config.settings.insert("actors".into(), r#"{"bot":{"bot_id":"my-bot","_r":{"a":["vi"]}}}"#.into());
    config
}

#[test]
fn a_hardcoded_token_is_its_actor() {
    let mut twice = hardcoded("bots", "s3cret");
    twice.secrets.push(("same".into(), Secret::new(*b"s3cret")));
    let registry = registry([twice]).build().unwrap();
    let Ok(Verdict::Accepted(acceptance)) = registry.verify_blocking("s3cret") else { panic!("accepted") };
    assert_eq!(
        acceptance.actor_ignoring_restrictions().json(),
        r#"{"bot_id":"my-bot","_r":{"a":["vi"]}}"#,
        "of equal secrets the first wins"
    );
    assert_eq!(acceptance.actor_ignoring_restrictions().id(), None);
    for other in ["", "s3cre", "s3cret ", "S3cret", "s3crets", "s3cret\n", "²", "bot"] {
        assert!(matches!(registry.verify_blocking(other).unwrap(), Verdict::NotMine), "{other:?}");
    }
    let Ok(Creation::Denied(denied)) = registry.create_blocking(CreateRequest::new("a")) else { panic!("denied") };
    assert_eq!(denied.denial.as_str(), "not-permitted");
}

#[test]
fn conflicting_claims_do_not_load() {
    let code = |builder: RegistryBuilder| -> LoadError { builder.build().unwrap_err() };
    let error = code(registry([signed(&["dstok_"]), recording("other", &["dstok_"])]));
    assert_eq!((error.code(), error.handler()), ("duplicate-prefix", Some("other")));
    assert_eq!(code(registry([signed(&["a_", "a_"])])).code(), "duplicate-prefix");
    assert_eq!(code(registry([signed(&[""])])).code(), "bad-prefix");
    assert_eq!(code(registry([signed(&["a b"])])).code(), "bad-prefix");
    assert_eq!(code(registry([signed(&["a_"]), signed(&["b_"])])).code(), "duplicate-name");
    // A configured token that would be routed to another handler.
    let error = code(registry([signed(&["dstok_"]), hardcoded("bots", "dstok_abc")]));
    assert_eq!((error.code(), error.handler()), ("foreign-secret", Some("bots")));
    assert!(!error.to_string().contains("dstok_abc"), "{error}");
    let mut prefixed = hardcoded("bots", "abc");
    prefixed.prefixes = vec!["bot_".into()];
    assert_eq!(code(registry([prefixed])).code(), "foreign-secret");
}

/// Two grants with the same key could forge each other's tokens, whatever the names of the rings.
#[test]
fn no_key_is_granted_twice() {
    let ring = |bytes: u8| Arc::new(KeyRing::new("r", Secret::new([bytes; 32]), vec![Secret::new([9; 32])]).unwrap());
    let handler = |name: &str, prefix: &str, ring, namespace: Option<&str>| {
        let mut config = signed(&[prefix]);
        config.name = name.into();
        let grant = match namespace {
            Some(namespace) => KeyGrant::new(ring).namespace(namespace),
            None => KeyGrant::new(ring),
        };
        config.keys.insert("token".into(), grant);
        config
    };
    let build = |one: Option<&str>, two: Option<&str>, other_ring: u8| {
        let handlers = [handler("one", "a_", ring(1), one), handler("two", "b_", ring(other_ring), two)];
        registry(handlers).build().map_err(|error| error.code())
    };
    assert!(build(None, None, 1).is_ok(), "the handlers' names differ");
    assert_eq!(build(Some("x"), Some("x"), 1).unwrap_err(), "shared-key");
    assert_eq!(build(None, Some("one"), 1).unwrap_err(), "shared-key");
    assert_eq!(build(Some("x"), Some("x"), 2).unwrap_err(), "shared-key", "they share a verify-only key");
}

/// The runtime is shared: a component loaded by one registry is not compiled for another, and a
/// reload breaks no call.
#[test]
fn registries_share_a_runtime_and_runtimes_share_nothing() {
    let clock = TestClock;
    clock.set(Some(NOW));
    let other = support::runtime(RuntimeLimits { slots: 4, ..RuntimeLimits::default() }, clock.clone());
    let ours = registry([recording("a", &["a_"])]).build().unwrap();
    let theirs = Registry::builder(&other).handler(recording("b", &["a_"])).build().unwrap();
    assert_eq!(seen_by(&ours, "a_x").as_deref(), Some("a"));
    assert_eq!(seen_by(&theirs, "a_x").as_deref(), Some("b"));
    drop(other);
    assert_eq!(seen_by(&theirs, "a_x").as_deref(), Some("b"), "a registry keeps what it needs");
    clock.set(None);
    assert_eq!(theirs.verify_blocking("a_x").unwrap_err().code(), "runtime", "there is no verdict without a clock");
}

/// A file with a digest other than the pinned one is neither parsed nor compiled.
#[test]
fn a_pinned_component_loads_only_with_its_digest() {
    let mut pinned = recording("a", &["a_"]);
    let digest = RUNTIME.inspect(pinned.component.clone()).unwrap().sha256;
    pinned.sha256 = Some(digest);
    assert!(registry([pinned]).build().is_ok());
    for other in [b"no component at all".to_vec(), [&recorder()[..], b"\0"].concat()] {
        let mut swapped = recording("a", &["a_"]);
        (swapped.component, swapped.sha256) = (other.into(), Some(digest));
        let error = registry([swapped]).build().unwrap_err();
        assert_eq!((error.code(), error.handler()), ("digest-mismatch", Some("a")));
    }
}

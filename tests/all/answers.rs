//! The verdict cache keeps an acceptance for the rest of its second, and never past its expiry.

use crate::support::{self, RUNTIME, TestClock};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::Revocation;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Reason, Registry, Verdict};
use keyward_store::{Location, Store};
use keyward_tests::hostile;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const START: u64 = 1_767_225_600;

fn at(seconds: u64, nanoseconds: u32) {
    TestClock.set(Some(UnixTime { seconds, nanoseconds }));
}

fn recorder(name: &str, component: &str) -> HandlerConfig {
    let mut config = HandlerConfig::new(name, hostile::case(component).bytes, Actors::Any);
    support::unhurried(&mut config.limits);
    config.prefixes = vec!["ho_".into()];
    config
}

fn signed(key: u8) -> HandlerConfig {
    let ring = Arc::new(KeyRing::new("main", Secret::new([key; 32]), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    support::unhurried(&mut config.limits);
    config.prefixes = vec!["dstok_".into()];
    config.keys.insert("token".into(), KeyGrant::new(ring));
    config
}

fn registry(config: HandlerConfig) -> Registry {
    Registry::builder(&RUNTIME).handler(config).build().unwrap()
}

fn create(registry: &Registry, expires_after: Option<u32>) -> String {
    let mut request = CreateRequest::new("root");
    request.expires_after = expires_after.and_then(NonZeroU32::new);
    match registry.create_blocking(request) {
        Ok(Creation::Created(created)) => created.token,
        other => panic!("{other:?}"),
    }
}

/// Returns `accepted`, `not-mine`, or the reason or error code.
fn say(registry: &Registry, token: &str) -> &'static str {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(_)) => "accepted",
        Ok(Verdict::NotMine) => "not-mine",
        Ok(Verdict::Rejected(rejection)) => rejection.reason.as_str(),
        Err(error) => error.code(),
    }
}

/// Returns the number of calls and of cache hits of the first handler.
fn counts(registry: &Registry) -> (u64, u64) {
    let counts = registry.handlers().next().unwrap().counts;
    (counts.calls, counts.cache_hits)
}

#[test]
fn a_handler_is_called_once_per_second_for_a_valid_token() {
    let registry = registry(signed(1));
    at(START, 0);
    let token = create(&registry, None);
    for (second, nanoseconds, calls, kept) in [
        (START, 1, 2, 0),
        (START, 2, 2, 1),
        (START, 999_999_999, 2, 2),
        (START + 1, 0, 3, 2),
        (START + 1, 5, 3, 3),
        // A clock that steps back is believed, as it is without a cache.
        (START, 5, 4, 3),
    ] {
        at(second, nanoseconds);
        assert_eq!(say(&registry, &token), "accepted");
        assert_eq!(counts(&registry), (calls, kept), "at {second}.{nanoseconds}");
    }
    // Another spelling is another token, and rejections are not cached.
    at(START, 5);
    let tampered = format!("{token}x");
    for calls in [5, 6] {
        assert_eq!(say(&registry, &tampered), "bad-signature");
        assert_eq!(counts(&registry), (calls, 3));
    }
}

/// A verdict that depends on more than token, settings, keys and time, or that had side effects, is
/// not cached.
#[test]
fn a_verdict_that_may_change_is_not_cached() {
    at(START, 0);
    for (component, is_kept) in [
        ("benign", true),
        ("accepts-everything", true),
        ("log-long-line", false),
        ("log-1000-lines", false),
        ("random-at-limit", false),
        ("answer-not-mine", false),
        ("answer-revoked", false),
        ("trap-unreachable", false),
    ] {
        let registry = registry(recorder("hostile", component));
        let first = say(&registry, "ho_stile");
        assert_eq!(say(&registry, "ho_stile"), first);
        assert_eq!(counts(&registry), if is_kept { (1, 1) } else { (2, 0) }, "{component}: {first}");
    }
    let mut off = recorder("hostile", "benign");
    off.limits.verdict_cache_bytes = 0;
    let registry = registry(off);
    for calls in [1, 2] {
        assert_eq!(say(&registry, "ho_stile"), "accepted");
        assert_eq!(counts(&registry), (calls, 0));
    }
}

/// The token expires within a second: a fraction of a second after its expiry it is no longer
/// valid.
#[test]
fn a_cached_verdict_does_not_outlive_the_expiry() {
    let registry = registry(signed(1));
    at(START, 0);
    let token = create(&registry, Some(10));
    at(START + 10, 0);
    assert_eq!(say(&registry, &token), "accepted");
    assert_eq!(say(&registry, &token), "accepted");
    assert_eq!(counts(&registry), (2, 1));
    at(START + 10, 1);
    assert_eq!(say(&registry, &token), "expired");
}

#[test]
fn a_revoked_token_is_rejected_although_its_verdict_is_cached() {
    at(START, 0);
    let folder =
        keyward_tests::cli::Folder::new(std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("answers-revoked"));
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    let revocations = Revocations::open(Arc::new(store), Duration::from_secs(10)).unwrap();
    let registry = Registry::builder(&RUNTIME).handler(signed(1)).revocations(revocations).build().unwrap();
    let token = create(&registry, None);
    let Ok(Verdict::Accepted(good)) = registry.verify_blocking(&token) else { panic!("the token is valid") };
    assert_eq!(say(&registry, &token), "accepted");
    assert_eq!(counts(&registry), (2, 1));
    let revocation = Revocation { handler: Some("signed".into()), token_id: good.token_id, ..Revocation::default() };
    pollster::block_on(registry.revocations().unwrap().revoke(revocation)).unwrap();
    assert_eq!(say(&registry, &token), Reason::Revoked.as_str());
    assert_eq!(counts(&registry), (2, 2), "the cached verdict is found but not used");
}

/// A new registry starts with an empty cache.
#[test]
fn a_removed_key_no_longer_verifies() {
    at(START, 0);
    let before = registry(signed(1));
    let token = create(&before, None);
    assert_eq!([say(&before, &token), say(&before, &token)], ["accepted"; 2]);
    let after = registry(signed(2));
    assert_eq!(say(&after, &token), "bad-signature");
}

/// A client that may verify tokens of some handlers only does not get verdicts of others, cached or
/// not.
#[test]
fn a_cached_verdict_is_narrowed_too() {
    at(START, 0);
    let registry = registry(recorder("hostile", "benign"));
    assert_eq!([say(&registry, "ho_stile"), say(&registry, "ho_stile")], ["accepted"; 2]);
    let among = pollster::block_on(registry.verify_among("ho_stile", |name| name == "other")).unwrap();
    assert!(matches!(among, Verdict::NotMine));
}

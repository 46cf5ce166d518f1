//! Handlers that contradict at verification what they returned at creation.

use super::kept::{made, verify};
use super::{FOREVER, NOW, restrictions};
use crate::store::Place;
use crate::support::{RUNTIME, TestClock, time, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::IdKind;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{Revocation, TokenStore};
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Actors, CreateRequest, HandlerConfig, Registry, StoreGrant};
use keyward_tests::hostile;
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const ALICE: &str = "hostile:alice";

/// Lifetime of the tokens of `issued-two-faced`, in seconds.
const LIFETIME: u64 = 1_000;

fn at(seconds: u64) {
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
}

/// Builds a registry of a third-party handler, with or without a store.
fn load(case: &str, store: Option<Arc<dyn TokenStore>>, change: impl Fn(&mut HandlerConfig)) -> Registry {
    at(0);
    let mut config = HandlerConfig::new("h", hostile::case(case).bytes, Actors::Any);
    config.prefixes = vec!["ho_".into()];
    unhurried(&mut config.limits);
    change(&mut config);
    let mut builder = Registry::builder(&RUNTIME).action("view-table", "vt").handler(config);
    if let Some(store) = store {
        builder = builder.records(store.clone(), Revocations::open(store, FOREVER).unwrap());
    }
    builder.build().unwrap()
}

fn two_faced(store: Option<Arc<dyn TokenStore>>) -> Registry {
    load("issued-two-faced", store, |_| {})
}

fn lasting(token: &str, seconds: Option<u64>) -> CreateRequest {
    let mut request = CreateRequest::new(ALICE);
    request.description = Some(token.to_owned());
    request.expires_after = seconds.and_then(|seconds| NonZeroU32::new(seconds.try_into().unwrap()));
    request
}

fn create(registry: &Registry, request: CreateRequest) -> Result<String, String> {
    made(registry.create_blocking(request))
}

/// Runs a test with each kind of store.
fn each_store(test: impl Fn(&Place, &Arc<dyn TokenStore>)) {
    for place in Place::both() {
        let store: Arc<dyn TokenStore> = Arc::new(place.open());
        test(&place, &store);
    }
}

#[test]
fn a_new_token_is_verified_before_it_is_issued() {
    for (case, why) in [
        ("issued-other-id", "its handler returns a different token id"),
        ("issued-random-id", "its handler returns a different token id"),
        ("issued-not-accepted", "its handler does not accept it"),
    ] {
        let said = create(&load(case, None, |_| {}), CreateRequest::new(ALICE)).unwrap_err();
        assert!(said.contains(why), "{case}: {said}");
    }
    let bob = CreateRequest::new("hostile:bob");
    let said = create(&load("benign", None, |_| {}), bob).unwrap_err();
    assert!(said.contains("not for the requested actor"), "{said}");
    let narrow = CreateRequest::new(ALICE).restrictions(restrictions(&[("view-table", None, None)]));
    let said = create(&load("benign", None, |_| {}), narrow).unwrap_err();
    assert!(said.contains("not restricted as requested"), "{said}");
}

#[test]
fn a_token_expires_when_requested() {
    let registry = two_faced(None);
    let said = create(&registry, lasting("ho_e-endless", Some(LIFETIME))).unwrap_err();
    assert!(said.contains("expires later than requested"), "{said}");
    create(&registry, lasting("ho_e-endless", None)).unwrap();
    create(&registry, lasting("ho_-ends", Some(LIFETIME))).unwrap();
}

/// The record of a token decides, whatever its handler returns from the next second on.
#[test]
fn a_token_is_bound_by_its_record() {
    each_store(|_, store| {
        let registry = two_faced(Some(store.clone()));
        create(&registry, lasting("ho_-the-vict", Some(LIFETIME))).unwrap();
        for (token, wanted) in [
            ("ho_p-good", Ok(Some(LIFETIME))),
            ("ho_d-drop", Ok(Some(LIFETIME))),
            ("ho_f-late", Ok(Some(LIFETIME))),
            ("ho_r-name", Err("invalid result")),
            ("ho_v-move", Err("invalid result")),
            ("ho_m-none", Err("invalid result")),
            ("ho_b-actor", Err("invalid result")),
            ("ho_w-wide", Err("invalid result")),
        ] {
            at(0);
            let mut request = lasting(token, Some(LIFETIME));
            if token.starts_with("ho_w") {
                request.restrictions = Some(restrictions(&[("view-table", None, None)]));
            }
            assert_eq!(create(&registry, request).as_deref(), Ok(token));
            assert_eq!(verify(&registry, token), Ok(Some(LIFETIME)), "{token}");
            at(1);
            match (verify(&registry, token), wanted) {
                (Ok(end), Ok(wanted)) => assert_eq!(end, wanted, "{token}"),
                (Err(said), Err(wanted)) => assert!(said.contains(wanted), "{token}: {said}"),
                (is, wanted) => panic!("{token}: {is:?}, not {wanted:?}"),
            }
            at(LIFETIME + 1);
            assert!(verify(&registry, token).is_err(), "{token}");
        }
        assert_eq!(verify(&registry, "ho_-elsewhere").unwrap_err(), "Token has expired");
        at(0);
        assert_eq!(verify(&registry, "ho_-elsewhere"), Ok(Some(LIFETIME)), "issued elsewhere");
        assert!(verify(&registry, "ho_-not-the-vict").unwrap_err().contains("invalid result"));
    });
}

/// `max_ttl` counts from the creation of the record, not from the handler's issue time.
#[test]
fn a_lifetime_starts_when_the_token_is_issued() {
    each_store(|_, store| {
        let registry = load("issued-two-faced", Some(store.clone()), |config| {
            config.max_ttl = Some(Duration::from_secs(LIFETIME))
        });
        let token = create(&registry, lasting("ho_n-always-new", Some(LIFETIME))).unwrap();
        assert_eq!(verify(&registry, &token), Ok(Some(LIFETIME)));
        for later in [1, 500, LIFETIME] {
            at(later);
            assert_eq!(verify(&registry, &token), Ok(Some(LIFETIME)), "{later}");
        }
        at(LIFETIME + 1);
        assert_eq!(verify(&registry, &token).unwrap_err(), "Token has expired");
    });
}

/// A revocation up to a second covers each token issued until then, whatever its handler reports.
#[test]
fn the_issue_time_is_that_of_the_record() {
    each_store(|_, store| {
        let registry = two_faced(Some(store.clone()));
        let token = create(&registry, lasting("ho_f-later", Some(LIFETIME))).unwrap();
        at(2);
        let other = create(&registry, lasting("ho_p-other", Some(LIFETIME))).unwrap();
        let until = Revocation {
            handler: Some("h".to_owned()),
            issued_until: Some(time(NOW.seconds + 1)),
            ..Revocation::default()
        };
        assert_eq!(block_on(registry.revocations().unwrap().revoke(until)).unwrap(), 1);
        at(3);
        assert_eq!(verify(&registry, &token).unwrap_err(), "Token has been revoked");
        assert!(verify(&registry, &other).is_ok());
    });
}

/// A handler that has a store and does not read its records is bound by them as well.
#[test]
fn a_handler_with_a_store_is_bound_by_its_records() {
    each_store(|_, store| {
        let registry = load("store-never-asked", Some(store.clone()), |config| {
            config.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
        });
        let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
        assert_eq!(verify(&registry, &token), Ok(None));
        let other = verify(&registry, "ho_another-token").unwrap_err();
        assert!(other.contains("invalid result"), "{other}");
    });
}

/// A handler that issues a name as a token claims it only until the token is revoked.
#[test]
fn a_name_issued_as_a_token_can_be_freed() {
    each_store(|_, store| {
        let registry = load("issued-two-faced", Some(store.clone()), |config| config.prefixes.clear());
        let name = "service-account-0042";
        create(&registry, lasting(name, Some(LIFETIME))).unwrap();
        let is_token = |text: &str| block_on(registry.is_token(text, IdKind::Actor));
        assert!(is_token(name) && is_token(&format!(" Bearer {name}")) && !is_token("service-account-0043"));
        let of_token = Revocation {
            handler: Some("h".to_owned()),
            token_digest: Some(TokenDigest::of(name)),
            ..Revocation::default()
        };
        assert_eq!(block_on(registry.revocations().unwrap().revoke(of_token)).unwrap(), 1);
        assert!(!is_token(name));
        assert!(create(&registry, lasting(name, Some(LIFETIME))).is_err());
        assert!(!is_token(name));
    });
}

/// The host knows the token of a record, even if the handler inserted the record.
#[test]
fn an_inserted_record_belongs_to_one_token() {
    each_store(|_, store| {
        let registry = load("issued-inserted", Some(store.clone()), |config| {
            config.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
        });
        let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
        let said = verify(&registry, &token).unwrap_err();
        assert!(said.contains("the token id differs from that of the token's record"), "{said}");
        assert!(create(&registry, CreateRequest::new(ALICE)).unwrap_err().contains("randomness"));
    });
}

/// A component with constant randomness creates the same token repeatedly.
#[test]
fn a_token_is_issued_once() {
    each_store(|_, store| {
        let registry = two_faced(Some(store.clone()));
        let first = lasting("ho_p-first-same", Some(LIFETIME));
        create(&registry, first.clone()).unwrap();
        for again in [first, lasting("ho_p-other-same", Some(LIFETIME))] {
            let said = create(&registry, again).unwrap_err();
            assert!(said.contains("randomness") && said.contains("`random`"), "{said}");
        }
    });
}

/// Two clients that issue for one actor in the same second get two tokens with two records, and
/// revoking one leaves the other valid.
#[test]
fn signed_tokens_of_one_second_are_different_or_refused() {
    use keyward_runtime::Creation;
    use keyward_runtime::error::ErrorKind;
    each_store(|_, store| {
        at(0);
        let request = || CreateRequest::new("alice").client("app");
        let unique = super::registry(store.clone(), super::ring(), |_| {});
        let create = |registry: &Registry| match registry.create_blocking(request().handler("signed")) {
            Ok(Creation::Created(created)) => Ok((created.token, created.token_id.unwrap())),
            Ok(Creation::Denied(denied)) => panic!("{}", denied.message),
            Err(error) => Err(error),
        };
        let ((first, id), (second, _)) = (create(&unique).unwrap(), create(&unique).unwrap());
        assert_ne!(first, second);
        let revocation = Revocation { handler: Some("signed".to_owned()), token_id: Some(id), ..Revocation::default() };
        assert_eq!(block_on(unique.revocations().unwrap().revoke(revocation)).unwrap(), 1);
        assert!(verify(&unique, &first).is_err());
        assert_eq!(verify(&unique, &second), Ok(None));

        let plain = super::registry(store.clone(), super::ring(), |handler| {
            handler.settings.remove("unique_tokens");
        });
        let (token, _) = create(&plain).unwrap();
        let error = create(&plain).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::JustIssued), "{error}");
        assert_eq!(verify(&plain, &token), Ok(None));
        at(1);
        assert_ne!(create(&plain).unwrap().0, token);
    });
}

/// A token with many restrictions verifies, or is not created.
#[test]
fn what_is_issued_verifies() {
    let (_folder, store) = super::store();
    at(0);
    let registry = super::registry(store, super::ring(), |_| {});
    for handler in ["stored", "signed"] {
        for (count, is_created) in [(10, true), (600, true), (1_000, true), (3_000, false)] {
            let names: Vec<_> = (0..count).map(|number| format!("resource-{number}")).collect();
            let entries: Vec<_> =
                names.iter().map(|name| ("view-table", Some("fixtures"), Some(name.as_str()))).collect();
            let request = CreateRequest::new("alice").restrictions(restrictions(&entries));
            match registry.create_blocking(request.handler(handler)).unwrap() {
                keyward_runtime::Creation::Created(created) => {
                    assert!(is_created, "{handler} {count}");
                    assert_eq!(verify(&registry, &created.token), Ok(None), "{handler} {count}");
                }
                keyward_runtime::Creation::Denied(denied) => {
                    assert!(!is_created, "{handler} {count}: {}", denied.message);
                    assert_eq!(denied.denial.as_str(), "invalid-request", "{handler} {count}");
                }
            }
        }
    }
}

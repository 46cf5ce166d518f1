//! Handlers that say one thing when they make a token and another when they verify it.

use super::kept::{made, verify};
use super::{FOREVER, NOW, restrictions};
use crate::store::Place;
use crate::support::{RUNTIME, TestClock, unhurried};
use keyward_runtime::{
    Actors, CreateRequest, HandlerConfig, Registry, Revocation, Revocations, StoreGrant, TokenDigest, TokenStore,
    UnixTime,
};
use keyward_tests::hostile;
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;

const ALICE: &str = "hostile:alice";

/// How long the tokens of `issued-two-faced` live, in seconds.
const LIFETIME: u64 = 1_000;

fn at(seconds: u64) {
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
}

/// A third-party handler, with or without a store.
fn load(case: &str, store: Option<Arc<dyn TokenStore>>, change: impl Fn(&mut HandlerConfig)) -> Registry {
    at(0);
    let mut config = HandlerConfig::new("h", hostile::case(case).bytes, Actors::Any);
    config.prefixes = vec!["ho_".into()];
    unhurried(&mut config.limits);
    change(&mut config);
    let mut builder = Registry::builder(&RUNTIME).action("view-table", "vt").handler(config);
    if let Some(store) = store {
        builder = builder.revocations(Revocations::open(store.clone(), FOREVER).unwrap()).records(store);
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
    made(registry.create_blocking(None, request))
}

/// The stores that records are kept in, one after the other.
fn each_store(test: impl Fn(&Place, &Arc<dyn TokenStore>)) {
    for place in Place::both() {
        let store: Arc<dyn TokenStore> = Arc::new(place.open());
        test(&place, &store);
    }
}

#[test]
fn a_new_token_is_verified_before_it_is_given_away() {
    for (case, why) in [
        ("issued-other-id", "its handler names it differently"),
        ("issued-random-id", "its handler names it differently"),
        ("issued-not-accepted", "its handler does not accept it"),
    ] {
        let said = create(&load(case, None, |_| {}), CreateRequest::new(ALICE)).unwrap_err();
        assert!(said.contains(why), "{case}: {said}");
    }
    let bob = CreateRequest::new("hostile:bob");
    let said = create(&load("benign", None, |_| {}), bob).unwrap_err();
    assert!(said.contains("not for the actor that was asked for"), "{said}");
    let narrow =
        CreateRequest { restrictions: Some(restrictions(&[("view-table", None, None)])), ..CreateRequest::new(ALICE) };
    let said = create(&load("benign", None, |_| {}), narrow).unwrap_err();
    assert!(said.contains("not restricted as was asked for"), "{said}");
}

#[test]
fn a_token_ends_when_it_was_to_end() {
    let registry = two_faced(None);
    let said = create(&registry, lasting("ho_e-endless", Some(LIFETIME))).unwrap_err();
    assert!(said.contains("ends later than was asked for"), "{said}");
    create(&registry, lasting("ho_e-endless", None)).unwrap();
    create(&registry, lasting("ho_-ends", Some(LIFETIME))).unwrap();
}

/// The record of a token counts, whatever its handler says from the next second on.
#[test]
fn a_token_is_held_to_its_record() {
    each_store(|_, store| {
        let registry = two_faced(Some(store.clone()));
        create(&registry, lasting("ho_-the-vict", Some(LIFETIME))).unwrap();
        for (token, wanted) in [
            ("ho_p-good", Ok(Some(LIFETIME))),
            ("ho_d-drop", Ok(Some(LIFETIME))),
            ("ho_f-late", Ok(Some(LIFETIME))),
            ("ho_r-name", Err("bad result")),
            ("ho_v-move", Err("bad result")),
            ("ho_m-none", Err("bad result")),
            ("ho_b-actor", Err("bad result")),
            ("ho_w-wide", Err("bad result")),
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
        assert!(verify(&registry, "ho_-not-the-vict").unwrap_err().contains("bad result"));
    });
}

/// `max_ttl` counts from when the record was made, and not from when the handler says so.
#[test]
fn a_lifetime_begins_when_the_token_was_made() {
    each_store(|_, store| {
        let registry = load("issued-two-faced", Some(store.clone()), |config| config.max_ttl = Some(LIFETIME));
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

/// A revocation up to a second includes each token that was made until then, whatever its handler says.
#[test]
fn the_time_of_issue_is_that_of_the_record() {
    each_store(|_, store| {
        let registry = two_faced(Some(store.clone()));
        let token = create(&registry, lasting("ho_f-later", Some(LIFETIME))).unwrap();
        at(2);
        let other = create(&registry, lasting("ho_p-other", Some(LIFETIME))).unwrap();
        let until =
            Revocation { handler: Some("h".to_owned()), issued_until: Some(NOW.seconds + 1), ..Revocation::default() };
        assert_eq!(block_on(registry.revoke(until)).unwrap(), 1);
        at(3);
        assert_eq!(verify(&registry, &token).unwrap_err(), "Token has been revoked");
        assert!(verify(&registry, &other).is_ok());
    });
}

/// A handler that has a store and does not ask for its records is held to them too.
#[test]
fn a_handler_with_a_store_is_held_to_its_records() {
    each_store(|_, store| {
        let registry = load("store-never-asked", Some(store.clone()), |config| {
            config.store = Some(StoreGrant { store: store.clone(), most: u64::MAX });
        });
        let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
        assert_eq!(verify(&registry, &token), Ok(None));
        let other = verify(&registry, "ho_another-token").unwrap_err();
        assert!(other.contains("bad result"), "{other}");
    });
}

/// A handler that issues a name as a token claims it until the token is revoked, and never again.
#[test]
fn a_name_that_was_issued_as_a_token_can_be_freed() {
    each_store(|_, store| {
        let registry = load("issued-two-faced", Some(store.clone()), |config| config.prefixes.clear());
        let name = "service-account-0042";
        create(&registry, lasting(name, Some(LIFETIME))).unwrap();
        let is_token = |text: &str| block_on(registry.is_token(text, false));
        assert!(is_token(name) && is_token(&format!(" Bearer {name}")) && !is_token("service-account-0043"));
        let of_token = Revocation {
            handler: Some("h".to_owned()),
            token_digest: Some(TokenDigest::of(name)),
            ..Revocation::default()
        };
        assert_eq!(block_on(registry.revoke(of_token)).unwrap(), 1);
        assert!(!is_token(name));
        assert!(create(&registry, lasting(name, Some(LIFETIME))).is_err());
        assert!(!is_token(name));
    });
}

/// The host knows which token a record is of, whoever inserted it.
#[test]
fn an_inserted_record_is_of_one_token() {
    each_store(|_, store| {
        let registry = load("issued-inserted", Some(store.clone()), |config| {
            config.store = Some(StoreGrant { store: store.clone(), most: u64::MAX });
        });
        let token = create(&registry, CreateRequest::new(ALICE)).unwrap();
        let said = verify(&registry, &token).unwrap_err();
        assert!(said.contains("the token id is not that of the token's record"), "{said}");
        assert!(create(&registry, CreateRequest::new(ALICE)).unwrap_err().contains("randomness"));
    });
}

/// A component whose randomness is constant makes the same token again and again.
#[test]
fn a_token_is_made_once() {
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

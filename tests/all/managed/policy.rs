//! The operator's policy on lifetimes, idle tokens and their number, for every handler.

use super::{NOW, create, registry, restrictions, ring, store};
use crate::support::{TestClock, time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenId;
use keyward_runtime::{Acceptance, CreateRequest, Creation, HandlerConfig, IssueOptions, Registry, Verdict};
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

const BOTH: [&str; 2] = ["stored", "signed"];

fn at(seconds: u64) {
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
}

fn lasting(seconds: u32) -> CreateRequest {
    let mut request = CreateRequest::new("ann");
    request.expires_after = NonZeroU32::new(seconds);
    request
}

fn verify(registry: &Registry, token: &str) -> Result<Acceptance, String> {
    match registry.verify_blocking(token).unwrap() {
        Verdict::Accepted(acceptance) => Ok(acceptance),
        Verdict::Rejected(rejection) => Err(rejection.message),
        Verdict::NotMine => Err("not mine".to_owned()),
    }
}

#[test]
fn lifetimes_follow_the_policy() {
    let wanted = |default: Option<u64>, max: Option<u64>, asked: Option<u32>| {
        let (_folder, store) = store();
        at(0);
        let registry = registry(store, ring(), |handler| {
            (handler.default_ttl, handler.max_ttl) = (default.map(Duration::from_secs), max.map(Duration::from_secs));
        });
        BOTH.map(|handler| {
            let token = create(&registry, handler, lasting(asked.unwrap_or(0))).ok()?;
            Some(verify(&registry, &token).unwrap().expires_at.map(|end| end.seconds - NOW.seconds))
        })
    };
    for (default, max, asked, ends) in [
        (None, None, None, Some(None)),
        (None, None, Some(9), Some(Some(9))),
        (Some(5), None, None, Some(Some(5))),
        (Some(5), None, Some(9), Some(Some(9))),
        (Some(5), Some(7), None, Some(Some(5))),
        (Some(5), Some(7), Some(7), Some(Some(7))),
        (Some(5), Some(7), Some(8), None),
        (None, Some(7), Some(7), Some(Some(7))),
        (None, Some(7), Some(u32::MAX), None),
        (None, Some(7), None, None),
    ] {
        assert_eq!(wanted(default, max, asked), [ends; 2], "{default:?} {max:?} {asked:?}");
    }
}

/// A policy that contradicts itself, or requires something missing, does not load.
#[test]
fn a_policy_that_cannot_be_enforced_does_not_load() {
    let build = |change: &dyn Fn(&mut HandlerConfig), has_store: bool| {
        let mut config = HandlerConfig::new("signed", crate::support::SIGNED, keyward_runtime::Actors::Any);
        config.first_party = true;
        config.keys.insert("token".into(), keyward_runtime::keys::KeyGrant::new(ring()));
        change(&mut config);
        let (_folder, store) = store();
        let builder = Registry::builder(&crate::support::RUNTIME).handler(config);
        let builder = if has_store {
            builder.records(store.clone(), Revocations::open(store, super::FOREVER).unwrap())
        } else {
            builder
        };
        builder.build().map(drop).map_err(|error| error.code())
    };
    const SECOND: Duration = Duration::from_secs(1);
    for (change, has_store, wanted) in [
        (&(|_: &mut HandlerConfig| {}) as &dyn Fn(&mut HandlerConfig), false, Ok(())),
        (&|config| config.max_idle = Some(Duration::from_secs(600)), true, Ok(())),
        (&|config| config.max_idle = Some(Duration::from_secs(600)), false, Err("bad-policy")),
        (&|config| config.max_idle = Some(Duration::from_secs(599)), true, Err("bad-policy")),
        (&|config| config.default_ttl = Some(SECOND / 2), true, Err("bad-policy")),
        (&|config| config.max_tokens_per_actor = Some(1), true, Ok(())),
        (&|config| config.max_tokens_per_actor = Some(1), false, Err("bad-policy")),
        (&|config| (config.default_ttl, config.max_ttl) = (Some(2 * SECOND), Some(SECOND)), true, Err("bad-policy")),
        (&|config| (config.default_ttl, config.max_ttl) = (Some(2 * SECOND), Some(2 * SECOND)), true, Ok(())),
    ] {
        assert_eq!(build(change, has_store), wanted);
    }
}

/// A used token stays valid; an unused one expires, for handlers with records and without.
#[test]
fn an_unused_token_expires() {
    let (_folder, store) = store();
    let registry = registry(store.clone(), ring(), |handler| handler.max_idle = Some(Duration::from_secs(1_000)));
    at(0);
    let tokens = BOTH.map(|handler| create(&registry, handler, lasting(0)).unwrap());
    let elsewhere = {
        let (_folder, store) = super::store();
        create(&super::registry(store, ring(), |_| {}), "signed", CreateRequest::new("bob")).unwrap()
    };
    let written = |seconds: u64| {
        let deadline = Instant::now() + Duration::from_secs(60);
        let used = || {
            let listed =
                pollster::block_on(registry.tokens().unwrap().list(keyward_runtime::store::Filter::default(), None, 9))
                    .unwrap()
                    .entries;
            listed.iter().all(|listed| listed.record.last_used_at == Some(time(NOW.seconds + seconds)))
        };
        while !used() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(20));
        }
    };
    for seconds in [900, 1_900, 2_900] {
        at(seconds);
        for token in &tokens {
            verify(&registry, token).unwrap();
        }
        written(seconds);
    }
    at(1_000);
    verify(&registry, &elsewhere).unwrap();
    // Its use has not been recorded, so its issue time counts.
    at(1_001);
    assert_eq!(verify(&registry, &elsewhere).unwrap_err(), "Token has not been used for too long");
    for token in &tokens {
        at(3_900);
        verify(&registry, token).unwrap();
    }
    written(3_900);
    for token in &tokens {
        at(4_900);
        let status = |seconds| {
            at(seconds);
            let listed =
                pollster::block_on(registry.tokens().unwrap().list(keyward_runtime::store::Filter::default(), None, 9))
                    .unwrap()
                    .entries;
            listed
                .iter()
                .map(|listed| registry.tokens().unwrap().status(&listed.handler, &listed.record).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(status(4_900), [keyward_runtime::store::Status::Active; 2]);
        assert_eq!(status(4_901), [keyward_runtime::store::Status::Expired; 2]);
        assert_eq!(verify(&registry, token).unwrap_err(), "Token has not been used for too long");
    }
}

#[test]
fn the_number_of_an_actors_tokens_is_limited() {
    let (_folder, store) = store();
    let registry = registry(store, ring(), |handler| handler.max_tokens_per_actor = Some(2));
    for handler in BOTH {
        at(0);
        create(&registry, handler, lasting(10)).unwrap();
        at(1);
        let second = create(&registry, handler, lasting(100)).unwrap();
        at(2);
        assert!(create(&registry, handler, lasting(0)).unwrap_err().contains("`max_tokens_per_actor`"));
        create(&registry, handler, CreateRequest::new("bob")).unwrap();
        // An expired token frees a slot, and so does a revoked one.
        at(11);
        create(&registry, handler, lasting(0)).unwrap();
        at(12);
        assert!(create(&registry, handler, lasting(0)).is_err());
        let token_id = verify(&registry, &second).unwrap().token_id;
        let revocation = Revocation { handler: Some(handler.to_owned()), token_id, ..Revocation::default() };
        assert_eq!(pollster::block_on(registry.revocations().unwrap().revoke(revocation)).unwrap(), 1);
        create(&registry, handler, lasting(0)).unwrap();
    }
    // An idle token occupies no slot either.
    let (_folder, store) = super::store();
    let idle = super::registry(store, ring(), |handler| {
        (handler.max_tokens_per_actor, handler.max_idle) = (Some(1), Some(Duration::from_secs(600)));
    });
    for handler in BOTH {
        at(0);
        create(&idle, handler, lasting(0)).unwrap();
        at(600);
        assert!(create(&idle, handler, lasting(0)).unwrap_err().contains("`max_tokens_per_actor`"));
        at(601);
        create(&idle, handler, lasting(0)).unwrap();
    }
    at(12);
    // A rotation requires no free slot.
    let listed = pollster::block_on(registry.tokens().unwrap().list(
        keyward_runtime::store::Filter {
            handlers: Some(vec!["stored".into()]),
            actor_id: Some("ann".into()),
            status: Some(keyward_runtime::store::Status::Active),
            ..Default::default()
        },
        None,
        9,
    ));
    let listed = listed.unwrap().entries;
    assert_eq!(listed.len(), 2);
    for (overlap, listed) in [0, 60].into_iter().zip(&listed) {
        let made = pollster::block_on(registry.tokens().unwrap().rotate(
            &TokenId::new("stored", &listed.record.id),
            Duration::from_secs(overlap),
            IssueOptions::new(),
        ))
        .unwrap()
        .unwrap();
        assert!(matches!(made, Creation::Created(_)), "{overlap}: {made:?}");
    }
}

#[test]
fn a_token_requested_with_a_token_is_for_its_actor() {
    let (_folder, store) = store();
    let registry = registry(store, ring(), |_| {});
    at(0);
    for handler in BOTH {
        let parent = verify(&registry, &create(&registry, handler, lasting(50)).unwrap()).unwrap();
        let child = |actor: &str, seconds: u32| {
            let mut request = lasting(seconds).parent(&parent);
            request.actor_id = actor.to_owned();
            request
        };
        assert!(create(&registry, handler, child("bob", 1)).unwrap_err().contains("its own actor only"));
        assert!(create(&registry, handler, child("ann", 51)).unwrap_err().contains("expires in 50 seconds"));
        let token = create(&registry, handler, child("ann", 0)).unwrap();
        assert_eq!(
            verify(&registry, &token).unwrap().expires_at,
            Some(time(NOW.seconds + 50)),
            "no later than its parent"
        );
    }
}

#[test]
fn an_edit_applies_at_once_and_only_to_handlers_that_read_records() {
    let (_folder, store) = store();
    let registry = registry(store, ring(), |_| {});
    at(0);
    let make = |handler: &str| {
        let request =
            lasting(100).restrictions(restrictions(&[("view-table", None, None), ("own", Some("one"), None)]));
        let token = create(&registry, handler, request).unwrap();
        let id = verify(&registry, &token).unwrap().token_id.unwrap();
        (token, id)
    };
    let edit = |handler: &str, id: &str, amendment: TokenUpdate| match pollster::block_on(
        registry.tokens().unwrap().edit(&TokenId::new(handler, id), amendment),
    )
    .unwrap()
    {
        UpdateOutcome::Done(record) => Ok(record),
        UpdateOutcome::Denied(denied) => Err(denied.message),
        UpdateOutcome::Unknown => Err("unknown".to_owned()),
    };
    let sooner = |seconds: u64| TokenUpdate { expires_at: Some(time(NOW.seconds + seconds)), ..TokenUpdate::default() };
    let (token, id) = make("stored");
    let narrow = restrictions(&[("own", Some("one"), Some("t"))]);
    edit("stored", &id, TokenUpdate { restrictions: Some(narrow.clone()), ..TokenUpdate::default() }).unwrap();
    assert_eq!(verify(&registry, &token).unwrap().restrictions, Some(narrow));
    edit("stored", &id, TokenUpdate { description: Some(Some("note".into())), ..sooner(20) }).unwrap();
    assert_eq!(verify(&registry, &token).unwrap().expires_at, Some(time(NOW.seconds + 20)));
    assert!(edit("stored", &id, sooner(21)).unwrap_err().contains("later than the token's expiry"));
    at(10);
    assert!(edit("stored", &id, sooner(9)).unwrap_err().contains("in the past"));
    edit("stored", &id, sooner(10)).unwrap();
    at(11);
    assert_eq!(verify(&registry, &token).unwrap_err(), "Token has expired");
    assert_eq!(edit("stored", &id, sooner(10)).unwrap_err(), "the token has expired");
    assert_eq!(edit("stored", "nobody", sooner(10)).unwrap_err(), "unknown");
    let (_, id) = make("signed");
    assert!(edit("signed", &id, sooner(20)).unwrap_err().contains("carry their own"));
    let note = TokenUpdate { description: Some(Some("note".into())), ..TokenUpdate::default() };
    assert_eq!(edit("signed", &id, note).unwrap().description.as_deref(), Some("note"));
}

//! Whatever is requested with a token, and however it is changed, the result never allows more than
//! the token or its parent.

use super::{NOW, create, registry, restrictions, ring, store};
use crate::support::{TestClock, time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::token::TokenId;
use keyward_runtime::{
    Acceptance, CreateRequest, Creation, IssueOptions, Parent, Permission, Registry, Restrictions, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

const ACTIONS: [&str; 6] = ["view-table", "vt", "execute-sql", "view-database", "view-query", "own"];
const DATABASES: [&str; 2] = ["one", "two"];
const RESOURCES: [&str; 3] = ["t", "T", "u"];

type Entry = (&'static str, Option<&'static str>, Option<&'static str>);

/// The terms of a request or an edit.
#[derive(Debug, Clone)]
struct Wish {
    restrictions: Option<Vec<Entry>>,
    seconds: Option<u32>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let entry = (
        prop::sample::select(&ACTIONS[..]),
        prop::option::of((
            prop::sample::select(&DATABASES[..]),
            prop::option::of(prop::sample::select(&RESOURCES[..])),
        )),
    );
    let entry = entry.prop_map(|(action, on)| match on {
        None => (action, None, None),
        Some((database, resource)) => (action, Some(database), resource),
    });
    let restrictions = prop::option::of(prop::collection::vec(entry, 0..5));
    (restrictions, prop::option::of(1..6_u32)).prop_map(|(restrictions, seconds)| Wish { restrictions, seconds })
}

impl Wish {
    fn restrictions(&self) -> Option<Restrictions> {
        self.restrictions.as_deref().map(restrictions)
    }

    fn request(&self, parent: Option<&Acceptance>) -> CreateRequest {
        let mut request = CreateRequest::new("ann");
        request.expires_after = self.seconds.and_then(NonZeroU32::new);
        request.restrictions = self.restrictions();
        request.parent = parent.map(Parent::of);
        request
    }
}

/// Returns all possible permissions.
fn permissions() -> impl Iterator<Item = Permission> {
    let on = |action: &'static str| {
        let databases = DATABASES.map(|database| Permission::new(action).on_database(database));
        let resources = DATABASES.into_iter().flat_map(move |database| {
            RESOURCES.map(|resource| Permission::new(action).on_resource(database, resource))
        });
        std::iter::once(Permission::new(action)).chain(databases).chain(resources)
    };
    // The short name of an action is not an action itself.
    ACTIONS.into_iter().filter(|action| *action != "vt").flat_map(on)
}

/// The permissions of a token, and its expiry.
struct Rights {
    allowed: BTreeSet<usize>,
    end: u64,
}

impl Rights {
    fn of(registry: &Registry, restrictions: Option<&Restrictions>, end: Option<u64>) -> Self {
        let allowed = permissions().enumerate().filter(|(_, permission)| registry.allows(restrictions, permission));
        Self { allowed: allowed.map(|(place, _)| place).collect(), end: end.unwrap_or(u64::MAX) }
    }

    fn are_within(&self, other: &Self) -> bool {
        self.allowed.is_subset(&other.allowed) && self.end <= other.end
    }
}

fn accepted(registry: &Registry, token: &str) -> Acceptance {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => acceptance,
        other => panic!("{other:?}"),
    }
}

fn rights(registry: &Registry, acceptance: &Acceptance) -> Rights {
    Rights::of(registry, acceptance.restrictions.as_ref(), acceptance.expires_at.map(|time| time.seconds))
}

#[test]
fn no_child_and_no_change_allows_more() {
    let (_folder, store) = store();
    let registry = registry(store, ring(), |_| {});
    let seconds = Cell::new(NOW.seconds);
    let (made, refused) = (Cell::new(0), Cell::new(0));
    let strategy = (prop::sample::select(&["stored", "signed"][..]), wish(), wish(), wish(), 0..3_u32);
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::deterministic_rng(config.rng_algorithm));
    let result = runner.run(&strategy, |(handler, first, second, change, overlap)| {
        // Each in its own second, because signed tokens of one second may be identical.
        seconds.set(seconds.get() + 10);
        TestClock.set(Some(UnixTime { seconds: seconds.get(), nanoseconds: 0 }));
        let mut parent = accepted(&registry, &create(&registry, handler, first.request(None)).unwrap());
        // A child, and a child of the child.
        for wish in [&second, &change] {
            let of_parent = rights(&registry, &parent);
            let wanted = Rights::of(
                &registry,
                wish.restrictions().or_else(|| parent.restrictions.clone()).as_ref(),
                wish.seconds
                    .map(|wanted| seconds.get() + u64::from(wanted))
                    .or_else(|| parent.expires_at.map(|time| time.seconds)),
            );
            match create(&registry, handler, wish.request(Some(&parent))) {
                Ok(token) => {
                    made.set(made.get() + 1);
                    let child = accepted(&registry, &token);
                    let of_child = rights(&registry, &child);
                    prop_assert!(of_child.are_within(&of_parent), "{:?} of {:?}", child, parent);
                    prop_assert!(of_child.are_within(&wanted), "{:?}: {:?}", wish, child);
                    parent = child;
                }
                Err(message) => {
                    refused.set(refused.get() + 1);
                    // A refusal has a reason: the request names a permission that the parent lacks,
                    // or expires later.
                    let names_more = wish.restrictions.as_ref().is_some_and(|entries| {
                        parent.restrictions.as_ref().is_some_and(|known| {
                            let known: Vec<_> = known.iter().collect();
                            entries.iter().any(|entry| !known.contains(entry))
                        })
                    });
                    prop_assert!(names_more || wanted.end > of_parent.end, "{:?} of {:?}: {}", wish, parent, message);
                }
            }
        }
        if handler == "stored" {
            change_and_replace(&registry, &parent, &change, overlap, seconds.get())?;
        }
        Ok(())
    });
    result.unwrap();
    assert!(made.get() > 100 && refused.get() > 100, "{made:?} created, {refused:?} refused");
}

/// Checks that an edited token allows the same or less, at once, and so does its replacement.
fn change_and_replace(
    registry: &Registry,
    token: &Acceptance,
    change: &Wish,
    overlap: u32,
    now: u64,
) -> Result<(), TestCaseError> {
    let id = token.token_id.as_deref().unwrap();
    // The last use is recorded once a minute, which may be at any moment of this test.
    let without_use =
        |record: keyward_runtime::store::Record| keyward_runtime::store::Record { last_used_at: None, ..record };
    let record = || {
        without_use(pollster::block_on(registry.tokens().unwrap().find(&TokenId::new("stored", id))).unwrap().unwrap())
    };
    let rights = |record: &keyward_runtime::store::Record| {
        Rights::of(registry, record.restrictions.as_ref(), record.expires_at.map(|time| time.seconds))
    };
    let before = record();
    let expires_at = change.seconds.map(|seconds| now + u64::from(seconds));
    let amendment =
        TokenUpdate { description: None, expires_at: expires_at.map(time), restrictions: change.restrictions() };
    match pollster::block_on(registry.tokens().unwrap().edit(&TokenId::new("stored", id), amendment)).unwrap() {
        UpdateOutcome::Done(after) => {
            let after = without_use(after);
            prop_assert_eq!(&after, &record());
            prop_assert!(rights(&after).are_within(&rights(&before)), "{:?} of {:?}", after, before);
            if let Some(wanted) = expires_at {
                prop_assert_eq!(after.expires_at, Some(time(wanted)));
            }
        }
        UpdateOutcome::Denied(_) => prop_assert_eq!(&before, &record()),
        UpdateOutcome::Unknown => prop_assert!(false, "it is there"),
    }
    let before = record();
    let made = pollster::block_on(registry.tokens().unwrap().rotate(
        &TokenId::new("stored", id),
        Duration::from_secs(overlap.into()),
        IssueOptions::new(),
    ))
    .unwrap()
    .unwrap();
    let Creation::Created(created) = made else { panic!("{made:?}") };
    let new = accepted(registry, &created.token);
    prop_assert!(self::rights(registry, &new).are_within(&rights(&before)), "{:?} of {:?}", new, before);
    prop_assert_eq!(new.restrictions, before.restrictions);
    prop_assert_eq!(new.expires_at, before.expires_at);
    let old = record();
    prop_assert_eq!(old.ended.is_some(), overlap == 0);
    prop_assert!(overlap == 0 || old.expires_at.unwrap() <= time(now + u64::from(overlap)));
    Ok(())
}

//! Times of tokens, records and revocations in whole seconds, whatever the clock and the caller's
//! requests show.

use super::{NOW, create, registry, ring};
use crate::support::{TestClock, time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::store::{
    Cursor, Entry, Filter, ListEntry, NodeDirectory, Record, Revocation, RevocationLog, TokenStore,
};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Acceptance, CreateRequest, IssueOptions, Registry, Verdict};
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Returns the last moment of a second.
fn late(seconds: u64) -> UnixTime {
    UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 999_999_999 }
}

fn list(registry: &Registry, filter: Filter, after: Option<&Cursor>) -> Vec<Record> {
    let page = block_on(registry.tokens().unwrap().list(filter, after, 9)).unwrap();
    page.entries.into_iter().map(|ListEntry { record, .. }| record).collect()
}

fn accepted(registry: &Registry, token: &str) -> Acceptance {
    match registry.verify_blocking(token).unwrap() {
        Verdict::Accepted(acceptance) => acceptance,
        other => panic!("{other:?}"),
    }
}

/// The store in memory keeps every time as it gets it.
#[test]
fn a_store_gets_whole_seconds() {
    let second = |seconds| time(NOW.seconds + seconds);
    TestClock.set(Some(late(0)));
    let store = Arc::new(MemoryStore::new());
    let registry = registry(store.clone() as Arc<dyn TokenStore>, ring(), |handler| {
        handler.max_idle = Some(Duration::from_secs(600));
    });
    let request = CreateRequest::new("ann").expires_after(NonZeroU32::new(100).unwrap());
    let token = create(&registry, "stored", request).unwrap();
    let acceptance = accepted(&registry, &token);
    assert_eq!((acceptance.issued_at, acceptance.expires_at), (Some(second(0)), Some(second(100))));
    let id = TokenId::new("stored", acceptance.token_id.unwrap());

    let update = TokenUpdate { expires_at: Some(late(50)), ..TokenUpdate::default() };
    let updated = block_on(registry.tokens().unwrap().edit(&id, update)).unwrap();
    let UpdateOutcome::Done(record) = updated else { panic!("{updated:?}") };
    let times = (record.issued_at, record.expires_at, record.last_used_at);
    assert_eq!(times, (second(0), Some(second(50)), Some(second(0))));

    // Neither do the fractions of a filter and of a cursor select more or less.
    let unused = |since| list(&registry, Filter { unused_since: Some(since), ..Filter::default() }, None).len();
    assert_eq!((unused(late(0)), unused(second(1))), (0, 1));
    let cursor = |issued_at| Cursor { issued_at, handler: String::new(), id: String::new() };
    let after = |issued_at| list(&registry, Filter::default(), Some(&cursor(issued_at))).len();
    assert_eq!((after(late(0)), after(second(1))), (0, 1));

    block_on(registry.tokens().unwrap().rotate(&id, Duration::from_millis(20_999), IssueOptions::new())).unwrap();
    let ends: Vec<_> = list(&registry, Filter::default(), None).into_iter().map(|record| record.expires_at).collect();
    assert_eq!(ends.len(), 2);
    assert!(ends.contains(&Some(second(20))) && ends.contains(&Some(second(50))), "{ends:?}");

    let of_ann = Revocation { actor_id: Some("ann".to_owned()), issued_until: Some(late(0)), ..Revocation::default() };
    let revocations = registry.revocations().unwrap();
    assert_eq!(block_on(revocations.revoke(of_ann)).unwrap(), 2);
    block_on(revocations.report_node(&*store, "n")).unwrap();
    let entries = block_on(store.entries(0, 9)).unwrap();
    let until = |(_, entry): (u64, Entry)| match entry {
        Entry::Revoked(revocation) => revocation.issued_until,
        Entry::Capped(at) => Some(at),
    };
    assert_eq!(entries.into_iter().map(until).collect::<Vec<_>>(), [Some(second(0))]);
    for record in list(&registry, Filter::default(), None) {
        assert_eq!(record.ended.unwrap().at, second(0));
    }
    assert_eq!(block_on(store.clock()).unwrap(), Some(second(0)));
    assert_eq!(block_on(store.nodes()).unwrap().first().unwrap().at, second(0));
}

/// The nanoseconds of the clock count for a token's expiry, as in Datasette.
#[test]
fn a_token_expires_within_a_second() {
    for handler in ["stored", "signed"] {
        TestClock.set(Some(late(0)));
        let registry = registry(Arc::new(MemoryStore::new()), ring(), |_| {});
        let request = CreateRequest::new("ann").expires_after(NonZeroU32::new(10).unwrap());
        let token = create(&registry, handler, request).unwrap();
        for (at, valid) in [(late(9), true), (time(NOW.seconds + 10), true), (late(10), false)] {
            TestClock.set(Some(at));
            let verdict = registry.verify_blocking(&token).unwrap();
            assert_eq!(matches!(verdict, Verdict::Accepted(_)), valid, "{handler} at {at:?}");
        }
    }
}

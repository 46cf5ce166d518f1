//! A store of which any one operation fails, before or after it takes effect: issued tokens are
//! valid, tokens to be revoked are not, and nothing else changes.

use super::node::{FOREVER, NOW, create, node, node_with_records, of_actor, of_token, outcome, revoke};
use crate::store::Place;
use crate::support::{TestClock, time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::store::{
    CommitOutcome, Entry, Filter, ListEntry, ListPage, NodeDirectory, Record, RecordStore, Revocation, RevocationLog,
    Revoked, SecretDigest, Status, StoreError, StoreFuture, StoredRecord, TicketStore, TokenIndex, TokenStore,
    Transaction,
};
use keyward_runtime::token::{TokenDigest, TokenId};
use keyward_runtime::{CreateRequest, Creation, Error, IssueOptions, Registry, Restrictions};
use keyward_store::Store;
use keyward_tests::daemon::wait_for;
use pollster::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The store, with the number of operations left until one fails.
struct Failing {
    store: Store,
    left: AtomicUsize,
    /// Set if the operation takes effect before it fails.
    behind: bool,
}

impl Failing {
    fn pass<'a, T: Send + 'a>(&self, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match (left, self.behind) {
            (Ok(1), true) => Box::pin(async {
                work.await?;
                Err(StoreError::new("the test wants it so"))
            }),
            (Ok(1), false) => Box::pin(async { Err(StoreError::new("the test wants it so")) }),
            _ => work,
        }
    }
}

impl RecordStore for Failing {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        self.pass(self.store.find(handler, id))
    }
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        self.pass(self.store.find_digest(handler, digest))
    }
    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>> {
        self.pass(self.store.find_issued(handler, token))
    }
    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64> {
        self.pass(self.store.next_serial(handler))
    }
    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        self.pass(self.store.commit(handler, changes))
    }
    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        self.store.record_use(handler, id, at);
    }
}

impl RevocationLog for Failing {
    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        self.pass(self.store.count(revocation, at))
    }
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        self.pass(self.store.revoke(revocation, at))
    }
    /// Not counted, because the timing of reads is unpredictable.
    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        self.store.entries(after, max)
    }
    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        self.store.clock()
    }
    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()> {
        self.store.note_clock(at)
    }
}

impl TokenIndex for Failing {
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a keyward_runtime::store::Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        self.pass(self.store.list(filter, after, max, at))
    }
}

impl NodeDirectory for Failing {}

impl TicketStore for Failing {}

/// Creates a token, unless the store fails: signed ones have records, too.
fn try_create(node: &Registry, handler: &str, actor: &str) -> Option<String> {
    match node.create_blocking(CreateRequest::new(actor).handler(handler)) {
        Ok(Creation::Created(created)) => Some(created.token),
        Err(error) if error.code() == "store" => None,
        other => panic!("{other:?}"),
    }
}

fn try_revoke(node: &Registry, revocation: Revocation) -> Result<u64, Error> {
    block_on(node.revocations().unwrap().revoke(revocation))
}

/// Builds a node with records, and returns its store.
fn node_that_fails(place: &Place, left: usize, behind: bool) -> (Arc<Failing>, Registry) {
    let failing = Arc::new(Failing { store: place.open(), left: AtomicUsize::new(left), behind });
    let node = node_with_records(&(failing.clone() as Arc<dyn TokenStore>));
    (failing, node)
}

/// Runs the scenario, and returns whether the store failed.
fn failed(place: &Place, nth: usize, behind: bool) -> bool {
    TestClock.set(Some(NOW));
    let failing = Arc::new(Failing { store: place.open(), left: AtomicUsize::new(nth), behind });
    let node = node(&(failing.clone() as Arc<dyn TokenStore>), FOREVER);
    // Different actors each time, because no token is issued in the second of a revocation.
    let [a, b] = ["a", "b"].map(|actor| format!("{actor}-{nth}"));
    let signed = [&a, &b].map(|actor| try_create(&node, "signed", actor));
    let stored = [&a, &b].map(|actor| try_create(&node, "stored", actor));
    let is_good = |token: &str| {
        let outcome = outcome(&node, token);
        assert!(["accepted", "store"].contains(&outcome.as_str()), "{nth}, {behind}: {outcome}");
    };
    stored.iter().chain(&signed).flatten().for_each(|token| is_good(token));
    // The first one is revoked by its id, those of the second by their actor.
    if let Some(token) = &stored[0] {
        let (handler, token_id) = (Some("stored".to_owned()), Some(token["kwt_test_".len()..][..22].to_owned()));
        let revoked = try_revoke(&node, Revocation { handler, token_id, ..Revocation::default() });
        let wanted = ["revoked", if revoked.is_ok() { "store" } else { "revoked" }];
        assert!(wanted.contains(&outcome(&node, token).as_str()), "{nth}, {behind}");
    }
    let revoked = try_revoke(&node, of_actor(&b));
    for token in stored[1].iter().chain(&signed[1]) {
        let wanted = ["revoked", if revoked.is_ok() { "store" } else { "revoked" }];
        assert!(wanted.contains(&outcome(&node, token).as_str()), "{nth}, {behind}");
    }
    signed[0].iter().for_each(|token| is_good(token));
    let came_to_fail = failing.left.swap(0, Ordering::SeqCst) == 0;
    // Unconfirmed revocations are eventually confirmed. Each token then has its required outcome,
    // also on a node that only knows the store.
    wait_for("all revocations to be confirmed", || !node.revocations().unwrap().list().has_unwritten());
    let other = self::node(&(Arc::new(place.open()) as Arc<dyn TokenStore>), FOREVER);
    let dead = stored.iter().flatten().chain(&signed[1]);
    for (token, wanted) in dead.map(|token| (token, "revoked")).chain(signed[0].iter().map(|token| (token, "accepted")))
    {
        for node in [&node, &other] {
            assert_eq!(outcome(node, token), wanted, "{nth}, {behind}");
        }
    }
    revoke(&node, of_actor(&a));
    came_to_fail
}

/// Runs the scenario for an edited token and a rotated one.
fn edit_failed(place: &Place, nth: usize, behind: bool) -> bool {
    TestClock.set(Some(NOW));
    let (failing, here) = node_that_fails(place, nth, behind);
    let there = node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>));
    let actor = format!("rotated-{nth}");
    let [edited, rotated] = ["edited", &actor].map(|actor| create(&there, "stored", actor));
    let [edited_id, rotated_id] = [&edited, &rotated].map(|token| &token["kwt_test_".len()..][..22]);
    let record = || block_on(there.tokens().unwrap().find(&TokenId::new("stored", edited_id))).unwrap().unwrap();
    let before = record();
    let amendment = TokenUpdate {
        description: Some(Some("after".to_owned())),
        expires_at: Some(time(NOW.seconds + 60)),
        restrictions: Some(Restrictions::new().allow_all("x")),
    };
    let TokenUpdate { description, expires_at, restrictions } = amendment.clone();
    let after = Record { description: description.flatten(), expires_at, restrictions, ..before.clone() };
    // The edit is applied completely or not at all, and completely if it was confirmed.
    match block_on(here.tokens().unwrap().edit(&TokenId::new("stored", edited_id), amendment)) {
        Ok(UpdateOutcome::Done(said)) => assert!(said == after && record() == after, "{nth}, {behind}: {:?}", record()),
        Err(error) if error.code() == "store" => {
            assert!(record() == before || behind && record() == after, "{nth}, {behind}: {:?}", record());
        }
        other => panic!("{nth}, {behind}: {other:?}"),
    }

    let says = block_on(here.tokens().unwrap().rotate(
        &TokenId::new("stored", rotated_id),
        Duration::ZERO,
        IssueOptions::new(),
    ));
    // Exactly one is valid, whatever was returned: the old one, or a new one.
    let filter = Filter { actor_id: Some(actor), status: Some(Status::Active), ..Filter::default() };
    let good = block_on(there.tokens().unwrap().list(filter, None, 10)).unwrap().entries;
    let [ListEntry { record: good, .. }] = &good[..] else { panic!("{nth}, {behind}: {good:?}") };
    match says {
        Ok(Some(Creation::Created(created))) => {
            assert_eq!([&rotated, &created.token].map(|token| outcome(&there, token)), ["revoked", "accepted"]);
            assert_eq!(created.token_id.as_ref(), Some(&good.id));
        }
        Err(error) if error.code() == "store" => assert!(good.id == rotated_id || behind, "{nth}"),
        other => panic!("{nth}, {behind}: {other:?}"),
    }
    failing.left.swap(0, Ordering::SeqCst) == 0
}

#[test]
fn nothing_is_lost_whichever_operation_fails() {
    for (failed, min) in [(failed as fn(&Place, usize, bool) -> bool, 8), (edit_failed, 4)] {
        for behind in [false, true] {
            for place in Place::both() {
                let mut nth = 1;
                while failed(&place, nth, behind) {
                    nth += 1;
                }
                assert!(nth > min, "only {nth} operations");
            }
        }
    }
}

/// A token whose revocation is pending, which only this process knows, is not rotated into a valid
/// one.
#[test]
fn a_token_with_a_pending_revocation_is_not_replaced() {
    for place in Place::both() {
        TestClock.set(Some(NOW));
        let (failing, node) = node_that_fails(&place, 0, false);
        let token = create(&node, "stored", "ann");
        let revocation = of_token(&node, &token);
        let id = revocation.token_id.clone().unwrap();
        failing.left.store(1, Ordering::SeqCst);
        assert_eq!(try_revoke(&node, revocation).unwrap_err().code(), "store");
        assert_eq!(outcome(&node, &token), "revoked");
        match block_on(node.tokens().unwrap().rotate(&TokenId::new("stored", &id), Duration::ZERO, IssueOptions::new()))
            .unwrap()
        {
            Some(Creation::Denied(denied)) => assert_eq!(denied.message, "the token has been revoked"),
            other => panic!("{other:?}"),
        }
    }
}

/// Until a revocation is confirmed, no token is issued that it could cover. A token issued after
/// the leeway is valid.
#[test]
fn a_token_issued_after_a_pending_revocation_is_valid() {
    let at = |seconds| TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
    for place in Place::both() {
        at(0);
        let (failing, node) = node_that_fails(&place, 0, false);
        let old = create(&node, "stored", "alice");
        failing.left.store(1, Ordering::SeqCst);
        assert_eq!(try_revoke(&node, of_actor("alice")).unwrap_err().code(), "store");
        at(61);
        let new = ["stored", "signed"].map(|handler| create(&node, handler, "alice"));
        wait_for("the revocation to be stored", || !node.revocations().unwrap().list().has_unwritten());
        assert_eq!(outcome(&node, &old), "revoked");
        for token in new {
            assert_eq!(outcome(&node, &token), "accepted");
        }
        // After the confirmation, an issued token has a record that postdates the revocation.
        at(62);
        assert_eq!(outcome(&node, &create(&node, "signed", "alice")), "accepted");
    }
}

/// A revocation that the store confirms late covers earlier tokens of a node with a fast clock, but
/// none issued after the leeway.
#[test]
fn a_late_revocation_covers_earlier_tokens_of_a_fast_clock() {
    let at = |seconds| TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
    for place in Place::both() {
        let fast = node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>));
        let failing = Arc::new(Failing { store: place.open(), left: AtomicUsize::new(0), behind: false });
        let node = node_with_records(&(failing.clone() as Arc<dyn TokenStore>));
        at(30);
        let tokens = ["stored", "signed"].map(|handler| create(&fast, handler, "alice"));
        at(61);
        let later = create(&fast, "signed", "alice");
        at(0);
        failing.left.store(1, Ordering::SeqCst);
        block_on(node.revocations().unwrap().revoke(of_actor("alice"))).unwrap_err();
        for token in &tokens {
            assert_eq!(outcome(&node, token), "revoked", "at once on the revoking node");
        }
        wait_for("the confirmation", || !node.revocations().unwrap().list().has_unwritten());
        at(62);
        for token in &tokens {
            assert_eq!(outcome(&node, token), "revoked");
            wait_for("the other node to read the revocation", || outcome(&fast, token) == "revoked");
        }
        assert_eq!(outcome(&node, &later), "accepted");
    }
}

//! A store of which one operation fails, whichever it is, before or behind its work: what was issued is good, what was to be
//! revoked is not, and nothing else has changed.

use super::node::{FOREVER, NOW, create, node, node_with_records, of_actor, of_token, outcome, revoke};
use crate::store::Place;
use crate::support::TestClock;
use keyward_runtime::{
    Amendment, Changes, Committed, CreateRequest, Creation, Edited, Entry, Error, Filter, KeyUse, Listed, NodeSeen,
    Pending, Record, Registry, Restrictions, Revocation, Revoked, SecretDigest, Status, StoreError, Stored, Tally,
    TokenDigest, TokenStore, UnixTime,
};
use keyward_store::Store;
use keyward_tests::daemon::wait_for;
use pollster::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The store, and how many operations are left until one fails.
struct Failing {
    store: Store,
    left: AtomicUsize,
    /// Whether it does its work first.
    behind: bool,
}

impl Failing {
    fn pass<'a, T: Send + 'a>(&self, work: Pending<'a, T>) -> Pending<'a, T> {
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

impl TokenStore for Failing {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> Pending<'a, Option<Stored>> {
        self.pass(self.store.find(handler, id))
    }
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> Pending<'a, Option<Stored>> {
        self.pass(self.store.find_digest(handler, digest))
    }
    fn find_issued<'a>(&'a self, handler: Option<&'a str>, token: &'a TokenDigest) -> Pending<'a, Option<Listed>> {
        self.pass(self.store.find_issued(handler, token))
    }
    fn next_serial<'a>(&'a self, handler: &'a str) -> Pending<'a, u64> {
        self.pass(self.store.next_serial(handler))
    }
    fn commit<'a>(&'a self, handler: &'a str, changes: Changes) -> Pending<'a, Committed> {
        self.pass(self.store.commit(handler, changes))
    }
    fn used(&self, handler: &str, id: &str, at: u64) {
        self.store.used(handler, id, at);
    }
    fn count<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, u64> {
        self.pass(self.store.count(revocation, at))
    }
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, Revoked> {
        self.pass(self.store.revoke(revocation, at))
    }
    /// Nobody knows when it is read: it does not count.
    fn revocations<'a>(&'a self, after: u64, most: u32) -> Pending<'a, Vec<(u64, Entry)>> {
        self.store.revocations(after, most)
    }
    fn clock(&self) -> Pending<'_, Option<u64>> {
        self.store.clock()
    }
    fn note_clock(&self, at: u64) -> Pending<'_, ()> {
        self.store.note_clock(at)
    }
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a keyward_runtime::Place>,
        most: u32,
        at: u64,
    ) -> Pending<'a, Vec<Listed>> {
        self.pass(self.store.list(filter, after, most, at))
    }
    fn tally<'a>(&'a self, idle: &'a [(String, u64)], at: u64) -> Pending<'a, Vec<Tally>> {
        self.pass(self.store.tally(idle, at))
    }
    fn key_uses<'a>(&'a self, at: u64) -> Pending<'a, Vec<KeyUse>> {
        self.pass(self.store.key_uses(at))
    }
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: u64) -> Pending<'a, ()> {
        self.store.note_node(node, last, at)
    }
    fn nodes<'a>(&'a self) -> Pending<'a, Vec<NodeSeen>> {
        self.pass(self.store.nodes())
    }
}

/// A token, unless the store failed: signed ones have records too.
fn try_create(node: &Registry, handler: &str, actor: &str) -> Option<String> {
    match node.create_blocking(Some(handler), CreateRequest::new(actor)) {
        Ok(Creation::Created(created)) => Some(created.token),
        Err(error) if error.code() == "store" => None,
        other => panic!("{other:?}"),
    }
}

fn try_revoke(node: &Registry, revocation: Revocation) -> Result<u64, Error> {
    block_on(node.revoke(revocation))
}

/// A node with records, and its store.
fn node_that_fails(place: &Place, left: usize, behind: bool) -> (Arc<Failing>, Registry) {
    let failing = Arc::new(Failing { store: place.open(), left: AtomicUsize::new(left), behind });
    let node = node_with_records(&(failing.clone() as Arc<dyn TokenStore>));
    (failing, node)
}

/// Whether the store came to fail.
fn failed(place: &Place, nth: usize, behind: bool) -> bool {
    TestClock.set(Some(NOW));
    let failing = Arc::new(Failing { store: place.open(), left: AtomicUsize::new(nth), behind });
    let node = node(&(failing.clone() as Arc<dyn TokenStore>), FOREVER);
    // Others each time: what is made in the second of a revocation is not given away.
    let [a, b] = ["a", "b"].map(|actor| format!("{actor}-{nth}"));
    let signed = [&a, &b].map(|actor| try_create(&node, "signed", actor));
    let stored = [&a, &b].map(|actor| try_create(&node, "stored", actor));
    let is_good = |token: &str| {
        let outcome = outcome(&node, token);
        assert!(["accepted", "store"].contains(&outcome.as_str()), "{nth}, {behind}: {outcome}");
    };
    stored.iter().chain(&signed).flatten().for_each(|token| is_good(token));
    // Of the first one by its id, of the second all by the actor.
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
    // What was not confirmed is in the end. Each token is what it must be, for a node that knows the store alone as well.
    wait_for("everything to be confirmed", || !node.has_unconfirmed_revocations());
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

/// The same of a token that is edited, and of one in whose place another is put.
fn edit_failed(place: &Place, nth: usize, behind: bool) -> bool {
    TestClock.set(Some(NOW));
    let (failing, here) = node_that_fails(place, nth, behind);
    let there = node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>));
    let actor = format!("rotated-{nth}");
    let [edited, rotated] = ["edited", &actor].map(|actor| create(&there, "stored", actor));
    let [edited_id, rotated_id] = [&edited, &rotated].map(|token| &token["kwt_test_".len()..][..22]);
    let record = || block_on(there.find("stored", edited_id)).unwrap().unwrap();
    let before = record();
    let amendment = Amendment {
        description: Some(Some("after".to_owned())),
        expires_at: Some(NOW.seconds + 60),
        restrictions: Some(Restrictions::new().allow_all("x")),
    };
    let Amendment { description, expires_at, restrictions } = amendment.clone();
    let after = Record { description: description.flatten(), expires_at, restrictions, ..before.clone() };
    // All of it, or nothing; and all of it where that was said.
    match block_on(here.edit("stored", edited_id, amendment)) {
        Ok(Edited::Done(said)) => assert!(said == after && record() == after, "{nth}, {behind}: {:?}", record()),
        Err(error) if error.code() == "store" => {
            assert!(record() == before || behind && record() == after, "{nth}, {behind}: {:?}", record());
        }
        other => panic!("{nth}, {behind}: {other:?}"),
    }

    let says = block_on(here.rotate("stored", rotated_id, 0, None));
    // One is good, whatever was said: the old one, or a new one.
    let filter = Filter { actor_id: Some(actor), status: Some(Status::Active), ..Filter::default() };
    let good = block_on(there.list(filter, None, 10)).unwrap();
    let [Listed { record: good, .. }] = &good[..] else { panic!("{nth}, {behind}: {good:?}") };
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
fn whichever_operation_fails_nothing_is_lost() {
    for (failed, least) in [(failed as fn(&Place, usize, bool) -> bool, 8), (edit_failed, 4)] {
        for behind in [false, true] {
            for place in Place::both() {
                let mut nth = 1;
                while failed(&place, nth, behind) {
                    nth += 1;
                }
                assert!(nth > least, "only {nth} operations");
            }
        }
    }
}

/// What this process refuses already, and the store does not know to be revoked yet, is not exchanged for something good.
#[test]
fn nothing_takes_the_place_of_what_is_not_confirmed_to_be_revoked() {
    for place in Place::both() {
        TestClock.set(Some(NOW));
        let (failing, node) = node_that_fails(&place, 0, false);
        let token = create(&node, "stored", "ann");
        let revocation = of_token(&node, &token);
        let id = revocation.token_id.clone().unwrap();
        failing.left.store(1, Ordering::SeqCst);
        assert_eq!(try_revoke(&node, revocation).unwrap_err().code(), "store");
        assert_eq!(outcome(&node, &token), "revoked");
        match block_on(node.rotate("stored", &id, 0, None)).unwrap() {
            Some(Creation::Denied(denied)) => assert_eq!(denied.message, "it has been revoked"),
            other => panic!("{other:?}"),
        }
    }
}

/// Until it is confirmed, nothing is issued that it could cover. What is issued behind the leeway is valid.
#[test]
fn what_is_issued_behind_a_revocation_that_was_not_confirmed_is_valid() {
    let at = |seconds| TestClock.set(Some(UnixTime { seconds: NOW.seconds + seconds, nanoseconds: 0 }));
    for place in Place::both() {
        at(0);
        let (failing, node) = node_that_fails(&place, 0, false);
        let old = create(&node, "stored", "alice");
        failing.left.store(1, Ordering::SeqCst);
        assert_eq!(try_revoke(&node, of_actor("alice")).unwrap_err().code(), "store");
        at(61);
        let new = ["stored", "signed"].map(|handler| create(&node, handler, "alice"));
        wait_for("it to be written", || !node.has_unconfirmed_revocations());
        assert_eq!(outcome(&node, &old), "revoked");
        for token in new {
            assert_eq!(outcome(&node, &token), "accepted");
        }
        // Once it is confirmed, what is issued has a record that postdates it.
        at(62);
        assert_eq!(outcome(&node, &create(&node, "signed", "alice")), "accepted");
    }
}

/// Revocations that the store confirms late cover tokens that a node with a fast clock had issued before, and none that are
/// issued behind the leeway.
#[test]
fn a_revocation_that_is_written_late_covers_what_a_fast_clock_had_made() {
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
        block_on(node.revoke(of_actor("alice"))).unwrap_err();
        for token in &tokens {
            assert_eq!(outcome(&node, token), "revoked", "at once where it was asked for");
        }
        wait_for("it to be confirmed", || !node.has_unconfirmed_revocations());
        at(62);
        for token in &tokens {
            assert_eq!(outcome(&node, token), "revoked");
            wait_for("the other node to read it", || outcome(&fast, token) == "revoked");
        }
        assert_eq!(outcome(&node, &later), "accepted");
    }
}

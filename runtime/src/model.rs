//! What is kept and what is revoked, under every interleaving: the real lists and locks, on a store
//! and with handlers that are as small as can be.
//!
//! Two threads are run in every order that there is; more, in many orders drawn at random. In a
//! unit test of this crate the locks of `sync` are shuttle's, which tries the orders.

use crate::revocation_list::{Revocations, Ruling, Subject};
use crate::store::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, NodeStatus, Revocation, Revoked, SecretDigest,
    StatusCount, StoreError, StoreFuture, StoredRecord, TokenStore, Transaction,
};
use crate::sync::{Arc, Mutex};
use crate::token::TokenDigest;
use crate::verdict_cache::VerdictCache;
use shuttle::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SCHEDULES: usize = 100_000;
const HANDLER: &str = "signed";
const ID: &str = "t";
const TOKEN: TokenDigest = TokenDigest::new([7; 32]);
const SECOND: u64 = 100;
const LEEWAY: u64 = 60;

fn subject(id: &str) -> Subject<'_> {
    Subject {
        handler: HANDLER,
        token_id: Some(id),
        token: None,
        actor_id: None,
        issued_at: Some(SECOND),
        leeway: LEEWAY,
    }
}

/// A store of a list of revocations, and of records that have ended or not.
#[derive(Default)]
struct Double {
    kept: Mutex<Kept>,
    /// Whether the next revocation is not confirmed.
    fails: AtomicBool,
}

#[derive(Default)]
struct Kept {
    revocations: Vec<Revocation>,
    /// By number, true once ended. All are of one actor, and of the same second.
    records: Vec<bool>,
}

impl Double {
    fn insert(&self) -> usize {
        let records = &mut self.kept.lock().unwrap().records;
        records.push(false);
        records.len() - 1
    }

    fn is_live(&self, record: usize) -> bool {
        !self.kept.lock().unwrap().records[record]
    }
}

impl TokenStore for Double {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async { Ok(None) })
    }

    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async { Ok(None) })
    }

    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> StoreFuture<'a, Option<ListEntry>> {
        Box::pin(async { Ok(None) })
    }

    fn next_serial<'a>(&'a self, _: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async { Ok(1) })
    }

    fn commit<'a>(&'a self, _: &'a str, _: Transaction) -> StoreFuture<'a, CommitOutcome> {
        Box::pin(async { Ok(CommitOutcome::Done) })
    }

    fn record_use(&self, _: &str, _: &str, _: u64) {}

    fn count<'a>(&'a self, _: &'a Revocation, _: u64) -> StoreFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, _: u64) -> StoreFuture<'a, Revoked> {
        Box::pin(async {
            if self.fails.swap(false, Ordering::SeqCst) {
                return Err(StoreError::new("not now"));
            }
            let mut kept = self.kept.lock().unwrap();
            kept.revocations.push(revocation.clone());
            if revocation.token_id.is_none() {
                kept.records.fill(true);
            }
            Ok(Revoked { ended: 0, number: u64::try_from(kept.revocations.len()).unwrap() })
        })
    }

    fn revocations<'a>(&'a self, after: u64, _: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Box::pin(async move {
            let all = self.kept.lock().unwrap().revocations.clone();
            let entries = (1..).zip(all.into_iter().map(Entry::Revoked));
            Ok(entries.filter(|(number, _)| *number > after).collect())
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    fn note_clock(&self, _: u64) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Cursor>, _: u32, _: u64) -> StoreFuture<'a, Vec<ListEntry>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn tally<'a>(&'a self, _: &'a [(String, u64)], _: u64) -> StoreFuture<'a, Vec<StatusCount>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn key_uses<'a>(&'a self, _: u64) -> StoreFuture<'a, Vec<KeyUsage>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: u64) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn nodes<'a>(&'a self) -> StoreFuture<'a, Vec<NodeStatus>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// One process: what it knows of the list, and the handler that it has at present.
struct Node {
    revocations: Arc<Revocations>,
    handler: Mutex<Arc<Handler>>,
}

/// A handler that accepts the token as long as its key is there, and what it has said.
struct Handler {
    has_key: bool,
    answers: VerdictCache<()>,
}

/// How a verification goes about it.
#[derive(Clone, Copy)]
enum Way {
    /// As `Registry::verify` does: the list has the last word.
    ListLast,
    /// What must be caught: an answer that is kept counts as it is.
    KeptIsEnough,
}

impl Node {
    fn new(store: &Arc<Double>) -> Arc<Self> {
        let revocations = Revocations::new(store.clone(), Duration::from_secs(3600));
        pollster::block_on(revocations.catch_up()).unwrap();
        let this = Self { revocations, handler: Mutex::new(Handler::new(true)) };
        Arc::new(this)
    }

    /// Whether the token is good.
    fn verify(&self, way: Way) -> bool {
        let handler = self.handler.lock().unwrap().clone();
        let kept = handler.answers.get(&TOKEN, SECOND).is_some();
        if !kept {
            if !handler.has_key {
                return false;
            }
            handler.answers.keep(TOKEN, SECOND, 1, Arc::new(()));
        }
        if kept && matches!(way, Way::KeptIsEnough) {
            return true;
        }
        self.revocations.rule(subject(ID)).unwrap() == Ruling::Clear
    }

    /// Judges a token with this record as `Registry::verify` does.
    fn verify_record(&self, store: &Double, record: usize) -> bool {
        match self.revocations.rule(subject(&record.to_string())).unwrap() {
            Ruling::Clear => true,
            Ruling::Covered => store.is_live(record),
            Ruling::Revoked => false,
        }
    }

    fn revoke_all(&self) -> Result<u64, StoreError> {
        let (handler, issued_until) = (Some(HANDLER.to_owned()), Some(SECOND));
        let revocation = Revocation { handler, issued_until, ..Revocation::default() };
        pollster::block_on(self.revocations.revoke(revocation, SECOND, LEEWAY))
    }

    fn revoke(&self) -> Result<u64, StoreError> {
        let (handler, token_id) = (Some(HANDLER.to_owned()), Some(ID.to_owned()));
        let revocation = Revocation { handler, token_id, ..Revocation::default() };
        pollster::block_on(self.revocations.revoke(revocation, SECOND, LEEWAY))
    }

    fn reload(&self, has_key: bool) {
        *self.handler.lock().unwrap() = Handler::new(has_key);
    }
}

impl Handler {
    fn new(has_key: bool) -> Arc<Self> {
        Arc::new(Self { has_key, answers: VerdictCache::new(1 << 10) })
    }
}

/// Runs every order that there is.
fn in_every_order(work: impl Fn() + Send + Sync + 'static) {
    shuttle::check_dfs(work, None);
}

fn in_many_orders(work: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(work, SCHEDULES);
}

/// Some verifications beside a revocation on the same node. One that begins after the answer must
/// say no.
fn revoked_here(verifiers: usize, way: Way, confirmed: bool) {
    let store = Arc::new(Double::default());
    let node = Node::new(&store);
    store.fails.store(!confirmed, Ordering::SeqCst);
    let answered = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..verifiers)
        .map(|_| {
            let (node, answered) = (node.clone(), answered.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let begins_after = answered.load(Ordering::SeqCst);
                    let good = node.verify(way);
                    assert!(!(begins_after && good), "a yes that began after the answer");
                }
            })
        })
        .collect();
    assert_eq!(node.revoke().is_ok(), confirmed);
    answered.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(matches!(way, Way::KeptIsEnough) || !node.verify(way), "revoked");
}

#[test]
fn no_yes_that_begins_after_the_answer() {
    in_every_order(|| revoked_here(1, Way::ListLast, true));
    in_many_orders(|| revoked_here(3, Way::ListLast, true));
}

/// What the store did not confirm is refused all the same. Another thread writes it down later.
#[test]
fn no_yes_that_begins_after_an_answer_that_is_no_confirmation() {
    in_many_orders(|| revoked_here(1, Way::ListLast, false));
}

/// The model can fail: an answer that is kept and not looked up again outlives the revocation in
/// some order.
#[test]
fn an_answer_that_is_not_looked_up_again_is_found_out() {
    let found = catch_unwind(AssertUnwindSafe(|| in_every_order(|| revoked_here(1, Way::KeptIsEnough, true))));
    assert!(found.is_err());
}

/// Another node says no from the moment at which it has read on.
fn revoked_elsewhere() {
    let store = Arc::new(Double::default());
    let (here, there) = (Node::new(&store), Node::new(&store));
    let has_read = Arc::new(AtomicBool::new(false));
    let follower = {
        let (there, has_read, here) = (there.clone(), has_read.clone(), here);
        thread::spawn(move || {
            here.revoke().unwrap();
            pollster::block_on(there.revocations.catch_up()).unwrap();
            has_read.store(true, Ordering::SeqCst);
        })
    };
    let begins_after = has_read.load(Ordering::SeqCst);
    let good = there.verify(Way::ListLast);
    assert!(!(begins_after && good), "a yes that began after the list was read");
    follower.join().unwrap();
    assert!(!there.verify(Way::ListLast), "revoked");
}

#[test]
fn another_node_says_no_once_it_has_read_on() {
    in_every_order(revoked_elsewhere);
}

/// Three nodes, two of which revoke and follow at once: nothing is skipped.
#[test]
fn lists_that_are_read_and_written_at_once_lose_nothing() {
    in_many_orders(|| {
        let store = Arc::new(Double::default());
        let nodes = [(); 3].map(|()| Node::new(&store));
        let threads: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(number, node)| {
                let node = node.clone();
                thread::spawn(move || {
                    if number < 2 {
                        let handler = Some(HANDLER.to_owned());
                        let revocation =
                            Revocation { handler, token_id: Some(number.to_string()), ..Revocation::default() };
                        pollster::block_on(node.revocations.revoke(revocation, SECOND, LEEWAY)).unwrap();
                    }
                    pollster::block_on(node.revocations.catch_up()).unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for node in &nodes {
            pollster::block_on(node.revocations.catch_up()).unwrap();
            for id in ["0", "1"] {
                assert_eq!(node.revocations.rule(subject(id)), Ok(Ruling::Revoked), "{id}");
            }
        }
    });
}

/// Tokens are issued while all of their handler's are revoked, all in one second: those with a
/// record from before are dead behind the answer, and those that are issued behind it are valid, on
/// every node.
fn issued_beside_a_cut_off(confirmed: bool) {
    let store = Arc::new(Double::default());
    let nodes = [(); 2].map(|()| Node::new(&store));
    let before = store.insert();
    store.fails.store(!confirmed, Ordering::SeqCst);
    let answered = Arc::new(AtomicBool::new(false));
    let issuing = {
        let (node, store, answered) = (nodes[1].clone(), store.clone(), answered.clone());
        thread::spawn(move || {
            let begins_after = answered.load(Ordering::SeqCst);
            let record = store.insert();
            // An unconfirmed revocation is written at any time, and ends the records it finds.
            if begins_after && confirmed {
                assert!(node.verify_record(&store, record), "issued behind the answer");
            }
        })
    };
    assert_eq!(nodes[0].revoke_all().is_ok(), confirmed);
    assert!(!nodes[0].verify_record(&store, before), "at once where it was asked for");
    answered.store(true, Ordering::SeqCst);
    issuing.join().unwrap();
    if confirmed {
        pollster::block_on(nodes[1].revocations.catch_up()).unwrap();
        let after = store.insert();
        for node in &nodes {
            assert!(!node.verify_record(&store, before) && node.verify_record(&store, after));
        }
    }
}

#[test]
fn what_is_issued_behind_a_cut_off_is_valid_and_what_was_before_is_not() {
    for confirmed in [true, false] {
        shuttle::check_random(move || issued_beside_a_cut_off(confirmed), SCHEDULES / 10);
    }
}

/// A configuration that is put in place takes nothing over from the one before it.
#[test]
fn a_key_that_is_gone_is_gone_with_all_that_was_said_by_it() {
    in_every_order(|| {
        let node = Node::new(&Arc::new(Double::default()));
        let replaced = Arc::new(AtomicBool::new(false));
        let reloading = {
            let (node, replaced) = (node.clone(), replaced.clone());
            thread::spawn(move || {
                node.reload(false);
                replaced.store(true, Ordering::SeqCst);
            })
        };
        for _ in 0..2 {
            let begins_after = replaced.load(Ordering::SeqCst);
            assert!(!(node.verify(Way::ListLast) && begins_after));
        }
        reloading.join().unwrap();
        assert!(!node.verify(Way::ListLast));
    });
}

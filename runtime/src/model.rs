//! A model of the verdict cache and the revocation list under every interleaving: the real lists
//! and locks, with a minimal store and minimal handlers.
//!
//! Two threads run in every possible order; more threads, in many random orders. In unit tests of
//! this crate the locks of `sync` are shuttle's, which controls the schedule.

use crate::clock::UnixTime;
use crate::error::ErrorKind;
use crate::revocation_list::{Revocations, Ruling, Subject};
use crate::store::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, ListPage, NodeDirectory, NodeStatus, RecordStore,
    Revocation, RevocationLog, Revoked, SecretDigest, StatusCount, StoreError, StoreFuture, StoredRecord, TicketStore,
    TokenIndex, Transaction,
};
use crate::sync::{Arc, Mutex};
use crate::token::TokenDigest;
use crate::verdict_cache::{Moment, VerdictCache};
use shuttle::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SCHEDULES: usize = 100_000;
const HANDLER: &str = "signed";
const ID: &str = "t";
const TOKEN: TokenDigest = TokenDigest::new([7; 32]);
const SECOND: u64 = 100;
const NOW: UnixTime = UnixTime::from_seconds(SECOND);
const MOMENT: Moment = Moment { second: SECOND, generation: 0 };
const LEEWAY: u64 = 60;

fn subject(id: &str) -> Subject<'_> {
    Subject { handler: HANDLER, token_id: Some(id), token: None, actor_id: None, issued_at: Some(NOW), leeway: LEEWAY }
}

/// A store of a revocation list, and of records that have ended or not.
#[derive(Default)]
struct Double {
    kept: Mutex<Kept>,
    /// `true` if the next revocation is not confirmed.
    fails: AtomicBool,
}

#[derive(Default)]
struct Kept {
    revocations: Vec<Revocation>,
    /// Records by number, `true` once ended. All are of one actor and of the same second.
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

impl RecordStore for Double {
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

    fn record_use(&self, _: &str, _: &str, _: UnixTime) {}
}

impl RevocationLog for Double {
    fn count<'a>(&'a self, _: &'a Revocation, _: UnixTime) -> StoreFuture<'a, u64> {
        Box::pin(async { Ok(0) })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, _: UnixTime) -> StoreFuture<'a, Revoked> {
        Box::pin(async {
            if self.fails.swap(false, Ordering::SeqCst) {
                return Err(StoreError::new("not now"));
            }
            let mut kept = self.kept.lock().unwrap();
            kept.revocations.push(revocation.clone());
            if revocation.token_id.is_none() {
                kept.records.fill(true);
            }
            let number = u64::try_from(kept.revocations.len()).unwrap();
            Ok(Revoked { ended: 0, number, descendants: Vec::new() })
        })
    }

    fn entries<'a>(&'a self, after: u64, _: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Box::pin(async move {
            let all = self.kept.lock().unwrap().revocations.clone();
            let entries = (1..).zip(all.into_iter().map(Entry::Revoked));
            Ok(entries.filter(|(number, _)| *number > after).collect())
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        Box::pin(async { Ok(None) })
    }

    fn note_clock(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl TokenIndex for Double {
    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Cursor>, _: u32, _: UnixTime) -> StoreFuture<'a, ListPage> {
        Box::pin(async { Ok(ListPage::default()) })
    }

    fn tally<'a>(&'a self, _: &'a [(String, UnixTime)], _: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn key_uses(&self, _: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl NodeDirectory for Double {
    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: UnixTime) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl TicketStore for Double {}

/// A process with its revocation list and its current handler.
struct Node {
    revocations: Arc<Revocations>,
    handler: Mutex<Arc<Handler>>,
}

/// A handler that accepts the token as long as it has its key, and its verdict cache.
struct Handler {
    has_key: bool,
    answers: VerdictCache<()>,
}

/// A way to verify a token.
#[derive(Clone, Copy)]
enum Way {
    /// The way of `Registry::verify`: the revocation list is checked last.
    ListLast,
    /// A defect that the model must detect: a cached verdict is used without the list.
    KeptIsEnough,
}

impl Node {
    fn new(store: &Arc<Double>) -> Arc<Self> {
        let revocations = Revocations::new(store.clone(), Duration::from_secs(3600));
        pollster::block_on(revocations.catch_up()).unwrap();
        let this = Self { revocations, handler: Mutex::new(Handler::new(true)) };
        Arc::new(this)
    }

    /// Returns whether the token is valid.
    fn verify(&self, way: Way) -> bool {
        let handler = self.handler.lock().unwrap().clone();
        let kept = handler.answers.get(&TOKEN, MOMENT).is_some();
        if !kept {
            if !handler.has_key {
                return false;
            }
            handler.answers.keep(TOKEN, MOMENT, 1, || Arc::new(()));
        }
        if kept && matches!(way, Way::KeptIsEnough) {
            return true;
        }
        self.revocations.rule(subject(ID)).unwrap() == Ruling::Clear
    }

    /// Returns whether a token with this record is valid, as `Registry::verify` does.
    fn verify_record(&self, store: &Double, record: usize) -> bool {
        match self.revocations.rule(subject(&record.to_string())).unwrap() {
            Ruling::Clear => true,
            Ruling::Covered => store.is_live(record),
            Ruling::Revoked => false,
        }
    }

    fn revoke_all(&self) -> Result<u64, ErrorKind> {
        let (handler, issued_until) = (Some(HANDLER.to_owned()), Some(NOW));
        let revocation = Revocation { handler, issued_until, ..Revocation::default() };
        pollster::block_on(self.revocations.revoke(revocation, NOW, LEEWAY))
    }

    fn revoke(&self) -> Result<u64, ErrorKind> {
        let (handler, token_id) = (Some(HANDLER.to_owned()), Some(ID.to_owned()));
        let revocation = Revocation { handler, token_id, ..Revocation::default() };
        pollster::block_on(self.revocations.revoke(revocation, NOW, LEEWAY))
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

/// Runs every possible order.
fn in_every_order(work: impl Fn() + Send + Sync + 'static) {
    shuttle::check_dfs(work, None);
}

fn in_many_orders(work: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(work, SCHEDULES);
}

/// Runs verifications concurrently with a revocation on the same node. A verification that starts
/// after the revocation has returned must reject.
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
                    assert!(!(begins_after && good), "accepted after the revocation returned");
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
fn a_verification_after_the_revocation_rejects() {
    in_every_order(|| revoked_here(1, Way::ListLast, true));
    in_many_orders(|| revoked_here(3, Way::ListLast, true));
}

/// An unconfirmed revocation applies too. Another thread writes it later.
#[test]
fn a_verification_after_an_unconfirmed_revocation_rejects() {
    in_many_orders(|| revoked_here(1, Way::ListLast, false));
}

/// The model can fail: a cached verdict without a check of the list outlives the revocation in some
/// order.
#[test]
fn a_cached_verdict_without_the_list_is_detected() {
    let found = catch_unwind(AssertUnwindSafe(|| in_every_order(|| revoked_here(1, Way::KeptIsEnough, true))));
    assert!(found.is_err());
}

/// Another node rejects the token as soon as it has read the list.
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
    assert!(!(begins_after && good), "accepted after the list was read");
    follower.join().unwrap();
    assert!(!there.verify(Way::ListLast), "revoked");
}

#[test]
fn another_node_rejects_once_it_has_read_the_list() {
    in_every_order(revoked_elsewhere);
}

/// Three nodes, two of which revoke and read at once: no entry is skipped.
#[test]
fn concurrent_reads_and_writes_lose_no_entry() {
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
                        pollster::block_on(node.revocations.revoke(revocation, NOW, LEEWAY)).unwrap();
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

/// Issues tokens while all tokens of their handler are revoked, in one second: those with an
/// earlier record are invalid after the revocation has returned, and those that are issued after it
/// are valid, on every node.
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
            // An unconfirmed revocation is written at any time, and ends the records that exist
            // then.
            if begins_after && confirmed {
                assert!(node.verify_record(&store, record), "issued after the revocation returned");
            }
        })
    };
    assert_eq!(nodes[0].revoke_all().is_ok(), confirmed);
    assert!(!nodes[0].verify_record(&store, before), "immediately on the node that revoked it");
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
fn tokens_issued_after_a_cutoff_are_valid_and_earlier_ones_are_not() {
    for confirmed in [true, false] {
        shuttle::check_random(move || issued_beside_a_cut_off(confirmed), SCHEDULES / 10);
    }
}

/// A reload adopts nothing from the previous configuration.
#[test]
fn a_removed_key_is_gone_with_its_cached_verdicts() {
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

//! A test double of the store, in memory, that fails or waits on request. No handler here keeps
//! records of its own tokens; those that revocations count and revoke are given.

use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, ListPage, NodeDirectory, NodeStatus, RecordStore,
    Revocation, RevocationLog, Revoked, SecretDigest, StatusCount, StoreError, StoreFuture, StoredRecord, TokenIndex,
    Transaction,
};
use keyward_runtime::token::TokenDigest;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The test double.
pub(crate) struct Double {
    records: Mutex<Vec<Kept>>,
    revocations: Mutex<Vec<Revocation>>,
    fails: AtomicBool,
    silent: AtomicBool,
    waits: watch::Sender<bool>,
}

/// A record: its handler, actor and issue time.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) handler: &'static str,
    pub(crate) id: &'static str,
    pub(crate) actor: &'static str,
    pub(crate) issued_at: u64,
}

impl Kept {
    fn matches(&self, revocation: &Revocation) -> bool {
        let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: _ } = revocation;
        // Records here have no digest.
        (token_id.is_some() || token_digest.is_none())
            && handler.as_ref().is_none_or(|handler| handler == self.handler)
            && token_id.as_ref().is_none_or(|id| id == self.id)
            && actor_id.as_ref().is_none_or(|actor| actor == self.actor)
            && issued_until.is_none_or(|until| self.issued_at <= until)
    }
}

impl Double {
    /// Creates a store with these records.
    pub(crate) fn with(records: &[Kept]) -> Self {
        let (waits, _) = watch::channel(false);
        Self {
            records: Mutex::new(records.to_vec()),
            revocations: Mutex::default(),
            fails: false.into(),
            silent: false.into(),
            waits,
        }
    }

    /// Sets whether revocations fail to be confirmed from now on.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Sets whether the list is unreadable from now on.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// Sets whether revocations and lists wait from now on.
    pub(crate) fn hold(&self, waits: bool) {
        self.waits.send_replace(waits);
    }

    /// Returns the number of waiting revocations and lists.
    pub(crate) fn held(&self) -> usize {
        self.waits.receiver_count()
    }

    /// Returns the stored revocations.
    pub(crate) fn revocations(&self) -> Vec<Revocation> {
        self.revocations.lock().unwrap().clone()
    }

    async fn answer(&self) -> Result<(), StoreError> {
        let mut waits = self.waits.subscribe();
        waits.wait_for(|waits| !waits).await.map_err(|_| StoreError::new("the test is over"))?;
        if self.fails.load(Ordering::SeqCst) { Err(StoreError::new("the test wants it so")) } else { Ok(()) }
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
        Box::pin(async { Err(StoreError::new("no handler may ask")) })
    }

    /// Accepts the records that the host keeps of created tokens.
    fn commit<'a>(&'a self, _: &'a str, _: Transaction) -> StoreFuture<'a, CommitOutcome> {
        Box::pin(async { Ok(CommitOutcome::Done) })
    }

    fn record_use(&self, _: &str, _: &str, _: u64) {}
}

impl RevocationLog for Double {
    fn count<'a>(&'a self, revocation: &'a Revocation, _: u64) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.answer().await?;
            let count = self.records.lock().unwrap().iter().filter(|kept| kept.matches(revocation)).count();
            Ok(u64::try_from(count).unwrap())
        })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> StoreFuture<'a, Revoked> {
        Box::pin(async move {
            let ended = self.count(revocation, at).await?;
            self.records.lock().unwrap().retain(|kept| !kept.matches(revocation));
            let mut revocations = self.revocations.lock().unwrap();
            revocations.push(revocation.clone());
            let number = u64::try_from(revocations.len()).unwrap();
            Ok(Revoked { ended, number, descendants: Vec::new() })
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    fn note_clock(&self, _: u64) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Box::pin(async move {
            if self.silent.load(Ordering::SeqCst) {
                return Err(StoreError::new("the test wants it so"));
            }
            let all = self.revocations.lock().unwrap();
            let behind = (1..).zip(all.iter().cloned().map(Entry::Revoked)).skip(usize::try_from(after).unwrap());
            Ok(behind.take(usize::try_from(max).unwrap()).collect())
        })
    }
}

impl TokenIndex for Double {
    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Cursor>, _: u32, _: u64) -> StoreFuture<'a, ListPage> {
        Box::pin(async {
            self.answer().await?;
            Ok(ListPage::default())
        })
    }

    fn tally<'a>(&'a self, _: &'a [(String, u64)], _: u64) -> StoreFuture<'a, Vec<StatusCount>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn key_uses(&self, _: u64) -> StoreFuture<'_, Vec<KeyUsage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl NodeDirectory for Double {
    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: u64) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Returns the records of the cases: of a handler that receives all kinds of tokens, and of one
/// that receives none.
pub(crate) fn records(now: UnixTime) -> [Kept; 4] {
    let kept = |handler, id, actor, age| Kept { handler, id, actor, issued_at: now.seconds - age };
    [
        kept("partner", "p-1", "hostile:alice", 10),
        kept("partner", "p-2", "hostile:alice", 0),
        kept("partner", "p-3", "hostile:bob", 0),
        kept("bots", "b-1", "bot", 0),
    ]
}

//! A test double of the store, in memory, that fails or waits on request. No handler here keeps
//! records of its own tokens; those that revocations count and revoke are given.

use crate::support::time;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::store::{
    CommitOutcome, Cursor, Entry, Filter, ListEntry, ListPage, NewRecord, NodeDirectory, Record, RecordStore,
    Revocation, RevocationLog, Revoked, SecretDigest, StoreError, StoreFuture, StoredRecord, TicketStore, TokenIndex,
    Transaction,
};
use keyward_runtime::token::TokenDigest;
use pollster::FutureExt;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The test double.
pub(crate) struct Double {
    inner: MemoryStore,
    fails: AtomicBool,
    silent: AtomicBool,
    waits: watch::Sender<bool>,
}

impl Double {
    /// Creates a store with these records, each with its handler.
    pub(crate) fn with(records: &[(&str, Record)]) -> Self {
        let inner = MemoryStore::new();
        for (handler, record) in records {
            let stored = StoredRecord { record: record.clone(), digest: None, token_digest: None };
            let (replace, max, max_per_actor, max_per_client, idle_before) = (false, u64::MAX, None, None, None);
            let insert = Some(NewRecord { stored, replace, max, max_per_actor, max_per_client, idle_before });
            let inserted = inner.commit(handler, Transaction { insert, ..Transaction::default() });
            assert_eq!(inserted.block_on().unwrap(), CommitOutcome::Done);
        }
        let (waits, _) = watch::channel(false);
        Self { inner, fails: false.into(), silent: false.into(), waits }
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
        let revocation = |(_, entry)| match entry {
            Entry::Revoked(revocation) => Some(revocation),
            Entry::Capped(_) => None,
        };
        self.inner.entries(0, u32::MAX).block_on().unwrap().into_iter().filter_map(revocation).collect()
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
}

impl RevocationLog for Double {
    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.answer().await?;
            self.inner.count(revocation, at).await
        })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        Box::pin(async move {
            self.answer().await?;
            self.inner.revoke(revocation, at).await
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        Box::pin(async { Ok(None) })
    }

    fn note_clock(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        if self.silent.load(Ordering::SeqCst) {
            return Box::pin(async { Err(StoreError::new("the test wants it so")) });
        }
        self.inner.entries(after, max)
    }
}

impl TokenIndex for Double {
    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Cursor>, _: u32, _: UnixTime) -> StoreFuture<'a, ListPage> {
        Box::pin(async {
            self.answer().await?;
            Ok(ListPage::default())
        })
    }
}

impl NodeDirectory for Double {}

impl TicketStore for Double {}

/// Returns the records of the cases: of a handler that receives all kinds of tokens, and of one
/// that receives none.
pub(crate) fn records(now: UnixTime) -> [(&'static str, Record); 4] {
    let kept = |handler, id, actor, age| (handler, Record::new(id, actor, time(now.seconds - age)));
    [
        kept("partner", "p-1", "hostile:alice", 10),
        kept("partner", "p-2", "hostile:alice", 0),
        kept("partner", "p-3", "hostile:bob", 0),
        kept("bots", "b-1", "bot", 0),
    ]
}

//! A store that writes uses at once.

use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, ListPage, NodeDirectory, RecordStore, Revocation,
    RevocationLog, Revoked, SecretDigest, StatusCount, StoreFuture, StoredRecord, TicketStore, TokenIndex, Transaction,
};
use keyward_runtime::token::TokenDigest;
use keyward_store::Store;
use keyward_tests::postgres::block_on;
use std::sync::Arc;

/// A store that writes uses at once. The real delay of a second would be days here.
pub(super) struct Prompt(pub(super) Arc<Store>);

impl RecordStore for Prompt {
    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        block_on(self.0.record_uses(vec![(handler.to_owned(), id.to_owned(), at)])).unwrap();
    }
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        self.0.find(handler, id)
    }
    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        self.0.find_digest(handler, digest)
    }
    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>> {
        self.0.find_issued(handler, token)
    }
    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64> {
        self.0.next_serial(handler)
    }
    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        self.0.commit(handler, changes)
    }
}

impl RevocationLog for Prompt {
    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        self.0.count(revocation, at)
    }
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        self.0.revoke(revocation, at)
    }
    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        self.0.entries(after, max)
    }
    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        self.0.clock()
    }
    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()> {
        self.0.note_clock(at)
    }
}

impl TokenIndex for Prompt {
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        self.0.list(filter, after, max, at)
    }
    fn tally<'a>(&'a self, idle: &'a [(String, UnixTime)], at: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        self.0.tally(idle, at)
    }
    fn key_uses(&self, at: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        self.0.key_uses(at)
    }
}

impl NodeDirectory for Prompt {}

impl TicketStore for Prompt {}

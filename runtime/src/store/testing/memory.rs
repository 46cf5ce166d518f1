//! A store in memory.

use super::super::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, ListPage, NewRecord, NodeDirectory, NodeStatus, Record,
    RecordStore, RecordUpdate, Revocation, RevocationLog, Revoked, SecretDigest, Status, StatusCount, StoreError,
    StoreFuture, StoredRecord, Termination, TerminationReason, Ticket, TicketKind, TicketStore, TokenIndex,
    Transaction,
};
use super::listing;
use super::tickets::Tickets;
use crate::clock::UnixTime;
use crate::token::{TokenDigest, TokenId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The age in seconds from which a node is removed.
const NODE_AGE: u64 = 30 * 86_400;

/// A complete [`TokenStore`](crate::store::TokenStore) in memory, for tests.
///
/// Its content is lost with the process, and each transaction copies all of it. Uses are recorded
/// at once and to the second.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Clone, Default)]
struct State {
    records: BTreeMap<TokenId, StoredRecord>,
    /// The last serial number of each handler.
    serials: BTreeMap<String, u64>,
    /// The revocations. The number of each is its index plus one.
    log: Vec<Revocation>,
    clock: Option<UnixTime>,
    /// The last number that each node has read, and the time of the note.
    nodes: BTreeMap<String, (u64, UnixTime)>,
    tickets: Tickets,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl RecordStore for MemoryStore {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async move { Ok(self.lock().records.get(&token(handler, id)).cloned()) })
    }

    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async move { Ok(self.lock().of_secret(handler, digest).cloned()) })
    }

    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>> {
        Box::pin(async move {
            let state = self.lock();
            let found = state.records.iter().filter(|(name, stored)| {
                stored.token_digest == Some(*token) && handler.is_none_or(|handler| handler == name.handler)
            });
            // If a handler was renamed, there may be two: a record that has not ended comes first.
            let found = found.min_by_key(|(name, stored)| (stored.record.ended.is_some(), *name));
            Ok(found.map(|(name, stored)| entry(name, stored)))
        })
    }

    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let mut state = self.lock();
            let serial = state.serials.entry(handler.to_owned()).or_default();
            *serial = serial.saturating_add(1);
            Ok(*serial)
        })
    }

    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        Box::pin(async move {
            let mut state = self.lock();
            let mut changed = state.clone();
            Ok(match changed.commit(handler, changes) {
                Ok(()) => {
                    *state = changed;
                    CommitOutcome::Done
                }
                Err(refusal) => refusal,
            })
        })
    }

    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        if let Some(stored) = self.lock().records.get_mut(&token(handler, id)) {
            stored.record.last_used_at = stored.record.last_used_at.max(Some(at));
        }
    }
}

impl RevocationLog for MemoryStore {
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        Box::pin(async move {
            check(revocation)?;
            Ok(self.lock().revoke(revocation, at))
        })
    }

    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Box::pin(async move {
            let state = self.lock();
            let entries = (1..).zip(state.log.iter().cloned().map(Entry::Revoked));
            Ok(entries.filter(|(number, _)| *number > after).take(to_usize(max)).collect())
        })
    }

    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            check(revocation)?;
            let state = self.lock();
            let (matching, descendants) = state.covered(revocation, at);
            let covered = matching.union(&descendants).filter_map(|token| state.records.get(token));
            Ok(size(covered.filter(|stored| stored.record.status(at, None) == Status::Active)))
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        Box::pin(async move { Ok(self.lock().clock) })
    }

    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut state = self.lock();
            state.clock = state.clock.max(Some(at));
            Ok(())
        })
    }
}

impl TokenIndex for MemoryStore {
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        Box::pin(async move { Ok(listing::page(&self.lock().entries(), filter, after, to_usize(max), at)) })
    }

    fn tally<'a>(&'a self, idle: &'a [(String, UnixTime)], at: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        Box::pin(async move { Ok(listing::tally(&self.lock().entries(), idle, at)) })
    }

    fn key_uses(&self, at: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        Box::pin(async move { Ok(listing::key_uses(&self.lock().entries(), at)) })
    }
}

impl NodeDirectory for MemoryStore {
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: UnixTime) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut state = self.lock();
            state.nodes.retain(|_, (_, noted)| *noted >= at.earlier(NODE_AGE));
            state.nodes.insert(node.to_owned(), (last, at));
            Ok(())
        })
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        Box::pin(async move {
            let state = self.lock();
            let entries = size(state.log.iter());
            let status = |(node, (last, at)): (&String, &(u64, UnixTime))| NodeStatus {
                node: node.clone(),
                last: *last,
                behind: entries.saturating_sub(*last),
                at: *at,
            };
            Ok(state.nodes.iter().map(status).collect())
        })
    }
}

impl TicketStore for MemoryStore {
    fn add_ticket<'a>(&'a self, ticket: &'a Ticket) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.lock().tickets.add(ticket)) })
    }

    fn find_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        Box::pin(async move { Ok(self.lock().tickets.find(kind, digest, at).cloned()) })
    }

    fn take_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        Box::pin(async move { Ok(self.lock().tickets.take(kind, digest, at)) })
    }

    fn purge_tickets(&self, before: UnixTime, max: u32) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.lock().tickets.purge(before, max)) })
    }
}

impl State {
    /// Applies a transaction. After a refusal, the state is to be dropped.
    fn commit(&mut self, handler: &str, changes: Transaction) -> Result<(), CommitOutcome> {
        let Transaction { at, insert, end, edit } = changes;
        // A replacement has the parent of the token that it replaces, which is checked itself.
        let parent = insert.as_ref().filter(|_| edit.is_none()).and_then(|insert| insert.stored.record.parent.as_ref());
        if parent.is_some_and(|parent| self.has_ended(parent)) {
            return Err(CommitOutcome::ParentEnded);
        }
        for id in end {
            let ended = token(handler, &id);
            if !self.end(&ended, at, TerminationReason::Revoked) {
                return Err(CommitOutcome::Ended);
            }
            self.end_descendants(BTreeSet::from([ended]), at);
        }
        // Ended records make room for new ones.
        let replaced = edit.as_ref().map(|edit| token(handler, &edit.id));
        if let Some(edit) = edit {
            self.edit(handler, edit, at)?;
        }
        if let Some(insert) = insert {
            let inserted = token(handler, &insert.stored.record.id);
            self.insert(handler, insert, at)?;
            for child in self.records.values_mut().filter(|child| replaced.is_some() && child.record.parent == replaced)
            {
                child.record.parent = Some(inserted.clone());
            }
        }
        Ok(())
    }

    fn edit(&mut self, handler: &str, edit: RecordUpdate, at: UnixTime) -> Result<(), CommitOutcome> {
        let RecordUpdate { id, before, after, replaced } = edit;
        let edited = token(handler, &id);
        let found = self.records.get_mut(&edited).filter(|stored| stored.record.ended.is_none());
        let Record { description, expires_at, restrictions, .. } = match found {
            None => return Err(CommitOutcome::Ended),
            Some(stored) if stored.record.terms() != before => return Err(CommitOutcome::Changed),
            Some(stored) => &mut stored.record,
        };
        (*description, *expires_at, *restrictions) = (after.description, after.expires_at, after.restrictions);
        if replaced {
            self.end(&edited, at, TerminationReason::Replaced);
        }
        Ok(())
    }

    fn insert(&mut self, handler: &str, insert: NewRecord, at: UnixTime) -> Result<(), CommitOutcome> {
        let NewRecord { stored, replace, max, max_per_actor, max_per_client, idle_before } = insert;
        let Record { id, actor_id, client, .. } = &stored.record;
        let inserted = token(handler, id);
        if replace {
            // Expired records are included: a clock that was wrong must not make them valid again.
            let is_other = |name: &TokenId, record: &Record| {
                name.handler == handler && record.actor_id == *actor_id && *name != inserted
            };
            let others = self.named(|name, stored| is_other(name, &stored.record) && stored.record.ended.is_none());
            for other in &others {
                self.end(other, at, TerminationReason::Replaced);
            }
            self.end_descendants(others, at);
        }
        let is_same_token = |name: &TokenId, other: &StoredRecord| {
            name.handler == handler && other.token_digest.is_some() && other.token_digest == stored.token_digest
        };
        let has_same_secret = stored.digest.as_ref().is_some_and(|digest| self.of_secret(handler, digest).is_some());
        if self.records.contains_key(&inserted) || has_same_secret || !self.named(is_same_token).is_empty() {
            return Err(CommitOutcome::Duplicate);
        }
        let valid = |idle_before, matches: &dyn Fn(&TokenId, &Record) -> bool| {
            let matches = |(name, stored): &(&TokenId, &StoredRecord)| {
                stored.record.status(at, idle_before) == Status::Active && matches(name, &stored.record)
            };
            size(self.records.iter().filter(matches))
        };
        if valid(idle_before, &|name, _| name.handler == handler) >= max {
            return Err(CommitOutcome::Full);
        }
        let of_actor = |name: &TokenId, record: &Record| name.handler == handler && record.actor_id == *actor_id;
        if max_per_actor.is_some_and(|max| valid(idle_before, &of_actor) >= max) {
            return Err(CommitOutcome::FullForActor);
        }
        let of_client = |_: &TokenId, record: &Record| record.client == *client;
        if client.is_some() && max_per_client.is_some_and(|max| valid(None, &of_client) >= max) {
            return Err(CommitOutcome::FullForClient);
        }
        self.records.insert(inserted, stored);
        Ok(())
    }

    /// Ends a record and appends its revocation. Returns whether there was one that had not ended.
    fn end(&mut self, token: &TokenId, at: UnixTime, why: TerminationReason) -> bool {
        let live = self.records.get_mut(token).filter(|stored| stored.record.ended.is_none());
        let Some(stored) = live else { return false };
        stored.record.ended = Some(Termination { at, why });
        self.log.push(token.clone().into());
        true
    }

    /// Ends the descendants of tokens. Returns those that had not ended.
    fn end_descendants(&mut self, tokens: BTreeSet<TokenId>, at: UnixTime) -> Vec<TokenId> {
        let mut descendants: Vec<_> = self.descendants(tokens).into_iter().collect();
        descendants.retain(|token| self.end(token, at, TerminationReason::Revoked));
        descendants
    }

    /// Returns the descendants of tokens, ended or not.
    fn descendants(&self, mut parents: BTreeSet<TokenId>) -> BTreeSet<TokenId> {
        let mut descendants = BTreeSet::new();
        loop {
            let is_child = |stored: &StoredRecord| stored.record.parent.as_ref().is_some_and(|it| parents.contains(it));
            let children = self.named(|name, stored| is_child(stored) && !descendants.contains(name));
            if children.is_empty() {
                return descendants;
            }
            descendants.extend(children.iter().cloned());
            parents = children;
        }
    }

    /// Returns whether a token was revoked or replaced.
    fn has_ended(&self, token: &TokenId) -> bool {
        let TokenId { handler, id } = token;
        let is_named = |revocation: &Revocation| {
            revocation.handler.as_ref() == Some(handler) && revocation.token_id.as_ref() == Some(id)
        };
        self.records.get(token).is_some_and(|stored| stored.record.ended.is_some()) || self.log.iter().any(is_named)
    }

    fn revoke(&mut self, revocation: &Revocation, at: UnixTime) -> Revoked {
        let (matching, mut descendants) = self.covered(revocation, at);
        let is_valid = |token: &TokenId| {
            self.records.get(token).is_some_and(|stored| stored.record.status(at, None) == Status::Active)
        };
        let ended = size(matching.union(&descendants).filter(|token| is_valid(token)));
        self.log.push(Revocation { keep_children: false, ..revocation.clone() });
        let number = size(self.log.iter());
        for token in &matching {
            let live = self.records.get_mut(token).filter(|stored| stored.record.ended.is_none());
            let Some(StoredRecord { record, .. }) = live else { continue };
            // The entry of the revocation does not cover tokens of a clock that was ahead.
            if revocation.issued_until.is_some_and(|until| record.issued_at > until) {
                self.end(token, at, TerminationReason::Revoked);
            } else {
                record.ended = Some(Termination { at, why: TerminationReason::Revoked });
            }
        }
        descendants.retain(|token| self.end(token, at, TerminationReason::Revoked));
        Revoked { ended, number, descendants: descendants.into_iter().collect() }
    }

    /// Returns the tokens whose records match a revocation, and the descendants that it covers too,
    /// ended or not.
    fn covered(&self, revocation: &Revocation, at: UnixTime) -> (BTreeSet<TokenId>, BTreeSet<TokenId>) {
        let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children } = revocation;
        // A revocation of everything issued up to now covers all that exists.
        let issued_until = issued_until.filter(|until| *until < at);
        let matching = self.named(|name, StoredRecord { record, digest: _, token_digest: digest }| {
            let is_named = token_id.as_ref() == Some(&name.id) || token_digest.is_some() && token_digest == digest;
            handler.as_ref().is_none_or(|handler| *handler == name.handler)
                && (is_named || token_id.is_none() && token_digest.is_none())
                && actor_id.as_ref().is_none_or(|actor_id| *actor_id == record.actor_id)
                && issued_until.is_none_or(|until| record.issued_at <= until)
        });
        if *keep_children || token_id.is_none() && token_digest.is_none() {
            return (matching, BTreeSet::new());
        }
        let mut parents = matching.clone();
        // A token that was issued elsewhere has no record, but its children have.
        if let (Some(handler), Some(id), None, None) = (handler, token_id, actor_id, issued_until) {
            parents.insert(token(handler, id));
        }
        let descendants = self.descendants(parents);
        (matching, descendants)
    }

    /// Returns the names of the records that match.
    fn named(&self, matches: impl Fn(&TokenId, &StoredRecord) -> bool) -> BTreeSet<TokenId> {
        let matching = self.records.iter().filter(|(name, stored)| matches(name, stored));
        matching.map(|(name, _)| name.clone()).collect()
    }

    fn of_secret(&self, handler: &str, digest: &SecretDigest) -> Option<&StoredRecord> {
        let is_same = |other: &SecretDigest| other.bytes() == digest.bytes();
        let found = self
            .records
            .iter()
            .find(|(name, stored)| name.handler == handler && stored.digest.as_ref().is_some_and(is_same));
        found.map(|(_, stored)| stored)
    }

    fn entries(&self) -> Vec<ListEntry> {
        self.records.iter().map(|(name, stored)| entry(name, stored)).collect()
    }
}

fn token(handler: &str, id: &str) -> TokenId {
    TokenId { handler: handler.to_owned(), id: id.to_owned() }
}

fn entry(name: &TokenId, stored: &StoredRecord) -> ListEntry {
    ListEntry { handler: name.handler.clone(), record: stored.record.clone() }
}

fn check(revocation: &Revocation) -> Result<(), StoreError> {
    match revocation {
        Revocation { handler: None, token_id: Some(_), .. } => {
            Err(StoreError::new("revoking a token by its id requires its handler"))
        }
        _ => Ok(()),
    }
}

fn size<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn to_usize(max: u32) -> usize {
    usize::try_from(max).unwrap_or(usize::MAX)
}

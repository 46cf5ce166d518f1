//! A store in memory with a fault.

use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::store::{
    CommitOutcome, Cursor, Entry, Filter, KeyUsage, ListEntry, ListPage, NewRecord, NodeDirectory, NodeStatus,
    RecordStore, RecordUpdate, Revocation, RevocationLog, Revoked, SecretDigest, StatusCount, StoreError, StoreFuture,
    StoredRecord, Ticket, TicketKind, TicketStore, TokenIndex, Transaction,
};
use keyward_runtime::token::TokenDigest;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// A store in memory, and the changes of what goes in and out. By default, there are none.
pub(super) struct Mutant {
    pub(super) inner: MemoryStore,
    pub(super) fails: bool,
    pub(super) handler: fn(&str) -> String,
    pub(super) id: fn(&str) -> String,
    pub(super) found: fn(&mut StoredRecord),
    pub(super) issued_handler: fn(Option<&str>) -> Option<&str>,
    pub(super) serial_handler: fn(&str) -> &str,
    pub(super) serial: fn(u64) -> u64,
    pub(super) insert: fn(&mut NewRecord),
    pub(super) insert_at: fn(UnixTime) -> UnixTime,
    pub(super) edit: fn(&mut RecordUpdate),
    pub(super) outcome: fn(CommitOutcome) -> CommitOutcome,
    pub(super) is_atomic: bool,
    pub(super) compares_terms: bool,
    pub(super) locks_maxima: bool,
    pub(super) revocation: fn(&mut Revocation),
    pub(super) counted: fn(Revocation) -> Revocation,
    pub(super) revoked: fn(&mut Revoked),
    pub(super) entries: fn(&mut Vec<(u64, Entry)>),
    pub(super) after: fn(u64) -> u64,
    pub(super) max: fn(u32) -> u32,
    pub(super) keeps_newest: bool,
    pub(super) last_clock: Mutex<Option<UnixTime>>,
    pub(super) filter: fn(&mut Filter),
    pub(super) list_after: fn(Cursor) -> Cursor,
    pub(super) list_at: fn(UnixTime) -> UnixTime,
    pub(super) page: fn(&mut ListPage),
    pub(super) counts: fn(&mut Vec<StatusCount>),
    pub(super) node: fn(&mut NodeStatus),
    pub(super) node_at: fn(UnixTime) -> UnixTime,
    pub(super) ticket: fn(&mut Ticket),
    pub(super) ticket_kind: fn(TicketKind) -> TicketKind,
    pub(super) ticket_at: fn(UnixTime) -> UnixTime,
    pub(super) adds_once: bool,
    pub(super) removes_taken: bool,
    pub(super) locks_tickets: bool,
    pub(super) purged_before: fn(UnixTime) -> UnixTime,
    pub(super) purged_max: fn(u32) -> u32,
    pub(super) purged: fn(u64) -> u64,
}

impl Default for Mutant {
    fn default() -> Self {
        Self {
            inner: MemoryStore::new(),
            fails: false,
            handler: str::to_owned,
            id: str::to_owned,
            found: |_| {},
            issued_handler: |handler| handler,
            serial_handler: |handler| handler,
            serial: |serial| serial,
            insert: |_| {},
            insert_at: |at| at,
            edit: |_| {},
            outcome: |outcome| outcome,
            is_atomic: true,
            compares_terms: true,
            locks_maxima: true,
            revocation: |_| {},
            counted: |revocation| revocation,
            revoked: |_| {},
            entries: |_| {},
            after: |after| after,
            max: |max| max,
            keeps_newest: true,
            last_clock: Mutex::default(),
            filter: |_| {},
            list_after: |after| after,
            list_at: |at| at,
            page: |_| {},
            counts: |_| {},
            node: |_| {},
            node_at: |at| at,
            ticket: |_| {},
            ticket_kind: |kind| kind,
            ticket_at: |at| at,
            adds_once: true,
            removes_taken: true,
            locks_tickets: true,
            purged_before: |before| before,
            purged_max: |max| max,
            purged: |purged| purged,
        }
    }
}

impl Mutant {
    /// Runs an operation, unless all of them fail.
    fn run<'a, T>(&'a self, work: impl Future<Output = Result<T, StoreError>> + Send + 'a) -> StoreFuture<'a, T> {
        match self.fails {
            true => Box::pin(async { Err(StoreError::new("the store is a mutant")) }),
            false => Box::pin(work),
        }
    }

    /// Checks the maxima before the transaction that inserts the record, which is a race.
    async fn is_full(
        &self,
        handler: &str,
        new: &mut NewRecord,
        at: UnixTime,
    ) -> Result<Option<CommitOutcome>, StoreError> {
        let NewRecord { stored, max, max_per_actor, max_per_client, .. } = new;
        let valid = |handlers: Option<Vec<String>>, actor_id: Option<String>, client: Option<String>| Filter {
            handlers,
            actor_id,
            client: client.map(keyward_runtime::store::CreatedBy::Client),
            status: Some(keyward_runtime::store::Status::Active),
            ..Filter::default()
        };
        let own = Some(vec![handler.to_owned()]);
        let mut full = None;
        for (filter, max, refusal) in [
            (valid(own.clone(), None, None), *max, CommitOutcome::Full),
            (
                valid(own, Some(stored.record.actor_id.clone()), None),
                max_per_actor.unwrap_or(u64::MAX),
                CommitOutcome::FullForActor,
            ),
            (
                valid(None, None, stored.record.client.clone()),
                max_per_client.unwrap_or(u64::MAX),
                CommitOutcome::FullForClient,
            ),
        ] {
            let count = self.inner.list(&filter, None, u32::MAX, at).await?.entries.len();
            if full.is_none() && u64::try_from(count).unwrap() >= max {
                full = Some(refusal);
            }
        }
        (*max, *max_per_actor, *max_per_client) = (u64::MAX, None, None);
        // Long enough for the other threads to count.
        thread::sleep(Duration::from_millis(20));
        Ok(full)
    }
}

impl RecordStore for Mutant {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        self.run(async move {
            let mut found = self.inner.find(&(self.handler)(handler), &(self.id)(id)).await?;
            found.iter_mut().for_each(self.found);
            Ok(found)
        })
    }

    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        self.run(async move { self.inner.find_digest(&(self.handler)(handler), digest).await })
    }

    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>> {
        self.run(self.inner.find_issued((self.issued_handler)(handler), token))
    }

    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64> {
        self.run(async move { Ok((self.serial)(self.inner.next_serial((self.serial_handler)(handler)).await?)) })
    }

    fn commit<'a>(&'a self, handler: &'a str, mut changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        self.run(async move {
            let handler = &(self.handler)(handler);
            if let Some(new) = &mut changes.insert {
                (self.insert)(new);
                changes.at = (self.insert_at)(changes.at);
                if !self.locks_maxima
                    && let Some(full) = self.is_full(handler, new, changes.at).await?
                {
                    return Ok(full);
                }
            }
            if let Some(edit) = &mut changes.edit {
                (self.edit)(edit);
                if !self.compares_terms
                    && let Some(found) = self.inner.find(handler, &edit.id).await?
                {
                    edit.before = found.record.terms();
                }
            }
            if !self.is_atomic {
                let Transaction { at, insert, end, edit } = changes;
                for first in [
                    Transaction { at, end, ..Transaction::default() },
                    Transaction { at, edit, ..Transaction::default() },
                ] {
                    let outcome = self.inner.commit(handler, first).await?;
                    if outcome != CommitOutcome::Done {
                        return Ok(outcome);
                    }
                }
                changes = Transaction { at, insert, ..Transaction::default() };
            }
            Ok((self.outcome)(self.inner.commit(handler, changes).await?))
        })
    }

    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        self.inner.record_use(handler, id, at);
    }
}

impl RevocationLog for Mutant {
    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        self.run(async move {
            let mut revocation = revocation.clone();
            (self.revocation)(&mut revocation);
            let mut revoked = self.inner.revoke(&revocation, at).await?;
            (self.revoked)(&mut revoked);
            Ok(revoked)
        })
    }

    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        self.run(async move {
            let mut entries = self.inner.entries((self.after)(after), (self.max)(max)).await?;
            (self.entries)(&mut entries);
            Ok(entries)
        })
    }

    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        self.run(async move {
            let mut revocation = (self.counted)(revocation.clone());
            (self.revocation)(&mut revocation);
            self.inner.count(&revocation, at).await
        })
    }

    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        self.run(async move {
            let newest = self.inner.clock().await?;
            Ok(if self.keeps_newest { newest } else { *self.last_clock.lock().unwrap() })
        })
    }

    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()> {
        *self.last_clock.lock().unwrap() = Some(at);
        self.run(self.inner.note_clock(at))
    }
}

impl TokenIndex for Mutant {
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        self.run(async move {
            let mut filter = filter.clone();
            (self.filter)(&mut filter);
            let after = after.cloned().map(self.list_after);
            let mut page = self.inner.list(&filter, after.as_ref(), max, (self.list_at)(at)).await?;
            (self.page)(&mut page);
            Ok(page)
        })
    }

    fn tally<'a>(&'a self, idle: &'a [(String, UnixTime)], at: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        self.run(async move {
            let mut filter = Filter { idle: idle.to_vec(), ..Filter::default() };
            (self.filter)(&mut filter);
            let mut counts = self.inner.tally(&filter.idle, at).await?;
            (self.counts)(&mut counts);
            Ok(counts)
        })
    }

    fn key_uses(&self, at: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        self.run(self.inner.key_uses((self.list_at)(at)))
    }
}

impl NodeDirectory for Mutant {
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: UnixTime) -> StoreFuture<'a, ()> {
        self.run(self.inner.note_node(node, last, (self.node_at)(at)))
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        self.run(async move {
            let mut nodes = self.inner.nodes().await?;
            nodes.iter_mut().for_each(self.node);
            Ok(nodes)
        })
    }
}

impl TicketStore for Mutant {
    fn add_ticket<'a>(&'a self, ticket: &'a Ticket) -> StoreFuture<'a, bool> {
        self.run(async move {
            let mut ticket = ticket.clone();
            (self.ticket)(&mut ticket);
            let Ticket { kind, digest, .. } = &ticket;
            let is_new = self.inner.find_ticket(*kind, digest, UnixTime::default()).await?.is_none();
            if !self.locks_tickets && is_new {
                // Long enough for the other threads to look.
                thread::sleep(Duration::from_millis(20));
            }
            if !self.adds_once || !self.locks_tickets && is_new {
                self.inner.take_ticket(*kind, digest, UnixTime::default()).await?;
            }
            self.inner.add_ticket(&ticket).await
        })
    }

    fn find_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        self.run(self.inner.find_ticket((self.ticket_kind)(kind), digest, (self.ticket_at)(at)))
    }

    fn take_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        self.run(async move {
            let (kind, at) = ((self.ticket_kind)(kind), (self.ticket_at)(at));
            if self.locks_tickets && self.removes_taken {
                return self.inner.take_ticket(kind, digest, at).await;
            }
            let found = self.inner.find_ticket(kind, digest, at).await?;
            if self.removes_taken {
                thread::sleep(Duration::from_millis(20));
                self.inner.take_ticket(kind, digest, at).await?;
            }
            Ok(found)
        })
    }

    fn purge_tickets(&self, before: UnixTime, max: u32) -> StoreFuture<'_, u64> {
        self.run(async move {
            let purged = self.inner.purge_tickets((self.purged_before)(before), (self.purged_max)(max)).await?;
            Ok((self.purged)(purged))
        })
    }
}

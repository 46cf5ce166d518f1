//! The store: keeps the records of tokens, the revocation list and tickets in SQLite or PostgreSQL,
//! as a [`TokenStore`](keyward_runtime::store::TokenStore).
//!
//! ```no_run
//! use keyward_store::{Location, Store};
//!
//! # fn main() -> Result<(), keyward_store::OpenError> {
//! // A file, created if missing, or `postgres://…` if several nodes share a database.
//! let location: Location = "/var/lib/keyward/tokens.db".parse()?;
//! let store = Store::open(location)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * A committed change is durable when the call returns: SQLite syncs its journal
//!   (`synchronous=FULL`), and a server with `fsync` off is refused.
//! * Each call completes within its deadline. A store that is unreachable, locked or full returns a
//!   [`StoreError`], immediately if the failure is known, and is used again within a second of its
//!   recovery.
//! * No error and no `Debug` output contains a digest, a secret or a password.
//! * Several processes may open the same store.
//!
//! The content of a SQLite file is not secret, but not public either: the file is created with
//! access for its owner only (0600). Connections to PostgreSQL are not encrypted: run the server on
//! the same machine, or behind a tunnel.

mod clock;
mod connect;
mod database;
mod import;
mod last_used;
mod listing;
mod location;
mod nodes;
mod notify;
mod pool;
mod queries;
mod record_row;
mod records;
mod revocations;
mod tickets;
mod upkeep;

use connect::{Database, Role};
use database::DbError;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CommitOutcome, Entry, Filter, KeyUsage, ListEntry, ListPage, NodeDirectory, NodeStatus, RecordStore, Revocation,
    RevocationLog, Revoked, SecretDigest, StatusCount, StoreError, StoreFuture, StoredRecord, Ticket, TicketKind,
    TicketStore, TokenIndex, Transaction,
};
use keyward_runtime::token::TokenDigest;
use last_used::{Uses, WRITE_EVERY};
use location::Place;
use notify::News;
use pool::Pool;
use sqlx::postgres::PgConnectOptions;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use clock::Capped;
pub use import::{ImportOptions, ImportProgress, Imported};
pub use location::Location;
pub use notify::CHANNEL;
pub use queries::{NamedQuery, QueryLimits, QueryThreads};
pub use upkeep::Checked;

/// The deadline of a lookup.
const READING: Duration = Duration::from_secs(2);

/// The deadline of counting all records, which may be millions.
const COUNTING: Duration = Duration::from_secs(30);

/// The deadline of a change.
const WRITING: Duration = Duration::from_secs(5);

/// The deadline of a revocation: an actor or a handler may have millions of records.
const REVOKING: Duration = Duration::from_secs(60);

/// The deadline of an import.
const IMPORTING: Duration = Duration::from_secs(600);

/// The deadline of a backup or a check.
const COPYING: Duration = Duration::from_secs(3_600);

/// The deadline of closing a store.
const CLOSING: Duration = Duration::from_secs(2);

/// Maximum number of connections for lookups.
const READERS: usize = 4;

/// Maximum number of connections for lists and counts.
const LISTERS: usize = 4;

/// Maximum number of records that are compared with a filter for one page, so that a page that few
/// records match takes no longer.
const SCAN: u32 = 10_000;

/// Maximum number of connections for changes. SQLite has one writer at a time.
const WRITERS: usize = 4;

/// An open store. Its calls run on two threads of its own, so that any executor can await them.
pub struct Store {
    reads: Arc<Pool>,
    /// The connections of calls that read many records. Lookups do not wait for them.
    lists: Arc<Pool>,
    writes: Arc<Pool>,
    uses: Arc<Uses>,
    /// Set if the use of tokens is recorded.
    notes_uses: bool,
    news: Arc<News>,
    listening: Once,
    /// Present until the store is dropped.
    runtime: Option<Runtime>,
}

/// A store cannot be opened: a message that names the store, the reason and the remedy, without a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

impl Store {
    /// Opens a store, creates it if it does not exist, and migrates its tables. Blocks.
    ///
    /// # Errors
    /// Returns an error if the store cannot be reached or created, if its tables belong to a newer
    /// version or another program, or if it would not be durable.
    pub fn open(location: Location) -> Result<Self, OpenError> {
        let threads = |error: std::io::Error| OpenError::new(format!("cannot start the threads of the store: {error}"));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("keyward-store")
            .enable_all()
            .build()
            .map_err(threads)?;
        // On a separate thread: the caller's may belong to an executor, which must not block.
        let opened = thread::scope(|scope| {
            let opening = thread::Builder::new().name("keyward-store".to_owned());
            let opening = opening.spawn_scoped(scope, || runtime.block_on(Database::open(location)))?;
            opening.join().map_err(|_| std::io::Error::other("internal error: the opening thread panicked"))
        });
        let (database, connection) = match opened.map_err(threads) {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) | Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let writers = if database.is_sqlite() { 1 } else { WRITERS };
        let database = Arc::new(database);
        let reads = Pool::new(database.clone(), Role::Reads, READERS);
        let lists = Pool::new(database.clone(), Role::Reads, LISTERS);
        let writes = Pool::new(database, Role::Writes, writers);
        writes.add(connection);
        let uses = Arc::new(Uses::default());
        runtime.spawn(write_uses(writes.clone(), uses.clone()));
        runtime.spawn(upkeep::checkpoint_now_and_then(writes.clone()));
        let (news, listening) = (Arc::default(), Once::new());
        Ok(Self { reads, lists, writes, uses, notes_uses: true, news, listening, runtime: Some(runtime) })
    }

    /// Disables the recording of token uses, for programs that verify tokens which no client has
    /// presented, or at other times than now.
    #[must_use]
    pub fn without_uses(mut self) -> Self {
        self.notes_uses = false;
        self
    }

    /// Imports the tokens of datasette-auth-tokens, from the SQLite database of Datasette, as
    /// records of a handler: all of them or none. The other database is only read.
    ///
    /// # Errors
    /// Returns an error if one of the databases cannot be used, if a row is not valid or its token
    /// could not be verified, or if a record already exists.
    pub fn import(&self, handler: &str, file: PathBuf, options: ImportOptions) -> StoreFuture<'_, Imported> {
        let (pool, handler) = (self.writes.clone(), handler.to_owned());
        self.run("importing", IMPORTING, async move { import::import(pool, handler, &file, &options).await })
    }

    /// Records when records were last used, given as handler, id and time. A time never moves
    /// backwards.
    ///
    /// # Errors
    /// Returns an error if the times may not have been written.
    pub fn record_uses(&self, used: Vec<(String, String, UnixTime)>) -> StoreFuture<'_, ()> {
        self.run("recording the last use", WRITING, records::record_uses(self.writes.clone(), used))
    }

    /// Copies a SQLite store to a new file, complete and durable, while it is in use. Only the
    /// owner can read the copy (0600).
    ///
    /// # Errors
    /// Returns an error if the file already exists, or if the copy cannot be completed; then it is
    /// removed.
    pub fn back_up(&self, to: PathBuf) -> StoreFuture<'_, ()> {
        self.run("copying", COPYING, upkeep::back_up(self.writes.clone(), to))
    }

    /// Checks the whole store: the integrity of the database, and its content.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub fn check(&self) -> StoreFuture<'_, Checked> {
        self.run("checking", COPYING, upkeep::check(self.lists.clone()))
    }

    /// Caps at `at` all times that are in the future because the clock of a node was ahead: cutoffs
    /// of revocations, and the newest time that the store has seen. The operator vouches that `at`
    /// is the current time.
    ///
    /// # Errors
    /// Returns an error if the store did not confirm the change; retrying is safe.
    pub fn cap(&self, at: UnixTime) -> StoreFuture<'_, Capped> {
        self.run("capping times", WRITING, clock::cap(self.writes.clone(), at))
    }

    /// Closes the store in an orderly way: writes recorded uses, and moves SQLite's journal into
    /// the file, unless another process uses it. Takes a few seconds at most; committed changes are
    /// durable without it.
    ///
    /// # Errors
    /// Returns an error if the journal could not be moved into the file; then a copy of the file
    /// needs the journal as well.
    pub fn close(&self) -> StoreFuture<'_, ()> {
        let (writes, uses) = (self.writes.clone(), self.uses.clone());
        let closing = async move {
            let used = uses.take();
            if !used.is_empty() {
                records::record_uses(writes.clone(), used).await?;
            }
            upkeep::empty_journal(writes).await
        };
        self.run("closing", CLOSING, closing)
    }

    /// Returns the location of the store.
    #[must_use]
    pub fn location(&self) -> &Location {
        self.reads.database().location()
    }

    /// Runs `work` on the store's own threads. It runs to its end even if the returned future is
    /// dropped.
    fn run<'a, T: Send + 'static>(
        &'a self,
        what: &'static str,
        within: Duration,
        work: impl Future<Output = Result<T, DbError>> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let failed = |why: &dyn fmt::Display| StoreError::new(format!("{}: {what}: {why}", self.location()));
            let runtime = self.runtime.as_ref().ok_or_else(|| failed(&"the store is closed"))?;
            let done = runtime.spawn(async move { timeout(within, work).await }).await;
            match done {
                Ok(Ok(done)) => done.map_err(|trouble| failed(&trouble)),
                Ok(Err(_)) => Err(failed(&format_args!("no response within {} seconds", within.as_secs()))),
                Err(error) if error.is_panic() => Err(failed(&"internal error: the call panicked")),
                Err(_) => Err(failed(&"the store is closed")),
            }
        })
    }
}

/// Writes recorded uses periodically, for as long as the store is open. Failed writes are retried.
async fn write_uses(pool: Arc<Pool>, uses: Arc<Uses>) {
    let mut ticks = interval(WRITE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let used = uses.take();
        if !used.is_empty()
            && !matches!(timeout(WRITING, records::record_uses(pool.clone(), used.clone())).await, Ok(Ok(())))
        {
            uses.again(used);
        }
    }
}

impl RecordStore for Store {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        let work = records::find(self.reads.clone(), handler.to_owned(), id.to_owned());
        self.run("looking up a record", READING, work)
    }

    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        let work = records::find_digest(self.reads.clone(), handler.to_owned(), digest.clone());
        self.run("looking up a secret", READING, work)
    }

    fn find_issued<'a>(
        &'a self,
        handler: Option<&'a str>,
        token: &'a TokenDigest,
    ) -> StoreFuture<'a, Option<ListEntry>> {
        let work = records::find_issued(self.reads.clone(), handler.map(str::to_owned), *token);
        self.run("looking up an issued token", READING, work)
    }

    fn next_serial<'a>(&'a self, handler: &'a str) -> StoreFuture<'a, u64> {
        let work = records::next_serial(self.writes.clone(), handler.to_owned());
        self.run("allocating a serial number", WRITING, work)
    }

    fn commit<'a>(&'a self, handler: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        let work = records::commit(self.writes.clone(), handler.to_owned(), changes);
        self.run("changing records", WRITING, work)
    }

    fn record_use(&self, handler: &str, id: &str, at: UnixTime) {
        if self.notes_uses {
            self.uses.note(handler, id, at);
        }
    }
}

impl RevocationLog for Store {
    fn count<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, u64> {
        let work = revocations::count(self.lists.clone(), revocation.clone(), at);
        self.run("counting the records that a revocation would cover", READING, work)
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: UnixTime) -> StoreFuture<'a, Revoked> {
        let work = revocations::revoke(self.writes.clone(), revocation.clone(), at);
        self.run("revoking", REVOKING, work)
    }

    fn entries<'a>(&'a self, after: u64, max: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        let work = revocations::list(self.reads.clone(), after, max);
        self.run("reading revocations", READING, work)
    }

    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        self.run("reading the clock", READING, clock::newest(self.reads.clone()))
    }

    fn note_clock(&self, at: UnixTime) -> StoreFuture<'_, ()> {
        self.run("recording the time", WRITING, clock::note(self.writes.clone(), at))
    }

    fn wait_for_change(&self, max: Duration) -> bool {
        // Listening needs a connection, so it starts with the first waiter.
        self.listening.call_once(|| {
            if let (Some(runtime), Place::Postgres(options)) = (&self.runtime, &self.location().0) {
                runtime.spawn(notify::listen(PgConnectOptions::clone(options), self.news.clone()));
            }
        });
        self.news.wait(max)
    }
}

impl TokenIndex for Store {
    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a keyward_runtime::store::Cursor>,
        max: u32,
        at: UnixTime,
    ) -> StoreFuture<'a, ListPage> {
        let work = listing::list(self.lists.clone(), filter.clone(), after.cloned(), max, at, SCAN);
        self.run("listing records", READING, work)
    }

    fn tally<'a>(&'a self, idle: &'a [(String, UnixTime)], at: UnixTime) -> StoreFuture<'a, Vec<StatusCount>> {
        let work = listing::tally(self.lists.clone(), idle.to_vec(), at);
        self.run("counting records", COUNTING, work)
    }

    fn key_uses(&self, at: UnixTime) -> StoreFuture<'_, Vec<KeyUsage>> {
        self.run("counting records by key", COUNTING, listing::key_uses(self.lists.clone(), at))
    }
}

impl NodeDirectory for Store {
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: UnixTime) -> StoreFuture<'a, ()> {
        self.run("recording a node", WRITING, nodes::note(self.writes.clone(), node.to_owned(), last, at))
    }

    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        self.run("listing nodes", READING, nodes::list(self.lists.clone()))
    }
}

impl TicketStore for Store {
    fn add_ticket<'a>(&'a self, ticket: &'a Ticket) -> StoreFuture<'a, bool> {
        self.run("adding a ticket", WRITING, tickets::add(self.writes.clone(), ticket.clone()))
    }

    fn find_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        self.run("looking up a ticket", READING, tickets::find(self.reads.clone(), kind, digest.clone(), at))
    }

    fn take_ticket<'a>(
        &'a self,
        kind: TicketKind,
        digest: &'a SecretDigest,
        at: UnixTime,
    ) -> StoreFuture<'a, Option<Ticket>> {
        self.run("taking a ticket", WRITING, tickets::take(self.writes.clone(), kind, digest.clone(), at))
    }

    fn purge_tickets(&self, before: UnixTime, max: u32) -> StoreFuture<'_, u64> {
        self.run("removing expired tickets", WRITING, tickets::purge(self.writes.clone(), before, max))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Without blocking: the caller's thread may belong to an executor. Committed changes are
        // already durable.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("location", self.location()).finish_non_exhaustive()
    }
}

impl OpenError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn of(location: &Location, why: &str) -> Self {
        Self(format!("{location} cannot be opened: {why}"))
    }
}

/// Converts a time to whole seconds, in the type that both databases store.
fn time_to_i64(time: UnixTime) -> Result<i64, DbError> {
    to_i64(time.seconds)
}

/// Converts a stored time.
fn to_time(kept: i64) -> Result<UnixTime, DbError> {
    to_u64(kept).map(UnixTime::from_seconds)
}

/// Converts a number to the type that both databases store.
fn to_i64(number: u64) -> Result<i64, DbError> {
    i64::try_from(number).map_err(|_| DbError::new("a time or a number is too large to store"))
}

/// Converts a stored number.
fn to_u64(kept: i64) -> Result<u64, DbError> {
    u64::try_from(kept).map_err(|_| DbError::new("a time or a number in the database is negative"))
}

/// Returns `true` if both databases can store `text`. PostgreSQL cannot store NUL, so SQLite is not
/// given one either.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

fn reject_nul<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), DbError> {
    match texts.into_iter().all(is_storable) {
        true => Ok(()),
        false => Err(DbError::new("text that contains a NUL cannot be stored")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

    /// Returns whether the future is still waiting once it has been polled.
    fn waits<T>(future: &mut StoreFuture<'_, T>) -> bool {
        pollster::block_on(poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())))
    }

    #[test]
    fn lookups_do_not_wait_for_lists_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Location::sqlite(folder.path().join("tokens.db"))).unwrap();
        let runtime = store.runtime.as_ref().unwrap();
        let held: Vec<_> = (0..LISTERS).map(|_| runtime.block_on(store.lists.lease()).ok().unwrap()).collect();
        let (filter, all) = (Filter::default(), Revocation::default());
        let mut list = store.list(&filter, None, 9, NOW);
        let mut tally = store.tally(&[], NOW);
        let mut count = store.count(&all, NOW);
        assert!(waits(&mut list) && waits(&mut tally) && waits(&mut count));
        for _ in 0..100 {
            assert!(pollster::block_on(store.find("h", "a")).unwrap().is_none());
            assert!(pollster::block_on(store.entries(0, 9)).unwrap().is_empty());
        }
        assert!(waits(&mut list) && waits(&mut tally) && waits(&mut count));
        drop(held);
        pollster::block_on(list).unwrap();
        pollster::block_on(tally).unwrap();
        pollster::block_on(count).unwrap();
    }
}

//! Keeps the records of tokens and their revocations: a [`TokenStore`] in SQLite or PostgreSQL.
//!
//! ```no_run
//! use keyward_store::{Location, Store};
//!
//! # fn main() -> Result<(), keyward_store::OpenError> {
//! // A file, made if it is not there, or `postgres://…` where several nodes share one truth.
//! let location: Location = "/var/lib/keyward/tokens.db".parse()?;
//! let store = Store::open(location)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What can be counted on
//!
//! * What was committed is durable when the answer comes: SQLite syncs its journal (`synchronous=FULL`), and a server with
//!   `fsync` off is refused.
//! * Each call is answered within its deadline. A store that is away, locked or full answers [`StoreError`], at once where
//!   that is known, and is used again within a second of its being back.
//! * A digest, a secret or a password is in no error and in no `Debug`.
//! * Several processes may have one store open.
//!
//! What a file of SQLite's holds is not secret, but not everybody's business either: it is made for its owner alone (0600). A
//! connection to PostgreSQL is not encrypted: the server belongs on the same machine, or behind a tunnel.

mod clock;
mod connect;
mod database;
mod import;
mod listing;
mod location;
mod news;
mod nodes;
mod pool;
mod queries;
mod records;
mod revocations;
mod rows;
mod upkeep;
mod uses;

use connect::{Database, Role};
use database::Trouble;
use keyward_runtime::{
    Changes, Committed, Entry, Filter, KeyUse, Listed, NodeSeen, Pending, Revocation, Revoked, SecretDigest,
    StoreError, Stored, Tally, TokenDigest, TokenStore,
};
use location::Place;
use news::News;
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
use uses::{Uses, WRITE_EVERY};

pub use clock::Capped;
pub use import::Imported;
pub use location::Location;
pub use news::CHANNEL;
pub use queries::{NamedQuery, QueryLimits, QueryThreads};
pub use upkeep::Checked;

/// For how long something is looked up.
const READING: Duration = Duration::from_secs(2);

/// For how long all records are counted, of which there may be millions.
const COUNTING: Duration = Duration::from_secs(30);

/// For how long something is changed.
const WRITING: Duration = Duration::from_secs(5);

/// For how long something is revoked: an actor or a handler may have millions of records.
const REVOKING: Duration = Duration::from_secs(60);

/// For how long tokens are imported.
const IMPORTING: Duration = Duration::from_secs(600);

/// The deadline of a backup or a check.
const COPYING: Duration = Duration::from_secs(3_600);

/// The deadline of closing a store.
const CLOSING: Duration = Duration::from_secs(2);

/// Connections that look something up.
const READERS: usize = 4;

/// Connections that change something. SQLite has one writer at a time.
const WRITERS: usize = 4;

/// An open store. Its calls run on two threads of its own, so that they can be waited for on any executor.
pub struct Store {
    reads: Arc<Pool>,
    writes: Arc<Pool>,
    uses: Arc<Uses>,
    /// Whether to note when tokens are used.
    notes_uses: bool,
    news: Arc<News>,
    listening: Once,
    /// There until the end.
    runtime: Option<Runtime>,
}

/// A store cannot be opened. One sentence that says which one, why, and what to do, without a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

impl Store {
    /// Opens a store, makes it if it is not there, and brings its tables up to date. Waits.
    ///
    /// # Errors
    /// It cannot be reached or made, its tables are a newer version's or another program's, or it would not be durable.
    pub fn open(location: Location) -> Result<Self, OpenError> {
        let threads = |error: std::io::Error| OpenError::new(format!("no threads for the store: {error}"));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("keyward-store")
            .enable_all()
            .build()
            .map_err(threads)?;
        // On a thread of its own, because the caller's may be an executor's, which must not wait.
        let opened = thread::scope(|scope| {
            let opening = thread::Builder::new().name("keyward-store".to_owned());
            let opening = opening.spawn_scoped(scope, || runtime.block_on(Database::open(location)))?;
            opening.join().map_err(|_| std::io::Error::other("the one that opens it panicked"))
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
        let writes = Pool::new(database, Role::Writes, writers);
        writes.add(connection);
        let uses = Arc::new(Uses::default());
        runtime.spawn(write_uses(writes.clone(), uses.clone()));
        runtime.spawn(upkeep::checkpoint_now_and_then(writes.clone()));
        let (news, listening) = (Arc::default(), Once::new());
        Ok(Self { reads, writes, uses, notes_uses: true, news, listening, runtime: Some(runtime) })
    }

    /// Notes no use of a token: for a program that asks about tokens which nobody has used, and at times that have not come.
    #[must_use]
    pub fn without_uses(mut self) -> Self {
        self.notes_uses = false;
        self
    }

    /// Takes over the tokens of datasette-auth-tokens, from the SQLite database in which Datasette has them, as records of a
    /// handler: all of them or none. `at` is the time, in unix seconds. The other database is only read.
    ///
    /// # Errors
    /// One of the databases cannot be used, a row cannot be understood, or a record is there already.
    pub fn import(&self, handler: &str, file: PathBuf, at: u64) -> Pending<'_, Imported> {
        let (pool, handler) = (self.writes.clone(), handler.to_owned());
        self.run("importing", IMPORTING, async move { import::import(pool, handler, &file, at).await })
    }

    /// Writes down when records were last used, given as handler, id and unix seconds. A time never goes back.
    ///
    /// # Errors
    /// It may not have been written.
    pub fn touch(&self, used: Vec<(String, String, u64)>) -> Pending<'_, ()> {
        self.run("noting the last use", WRITING, records::touch(self.writes.clone(), used))
    }

    /// Copies a store that is a file of SQLite's to a new file, whole and durable, while it is used. Only its owner can read
    /// the copy (0600).
    ///
    /// # Errors
    /// There is a file already, or the copy cannot be made; then nothing is left of it.
    pub fn back_up(&self, to: PathBuf) -> Pending<'_, ()> {
        self.run("copying", COPYING, upkeep::back_up(self.writes.clone(), to))
    }

    /// Looks at the store as a whole: whether the database is intact, and what it holds.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn check(&self) -> Pending<'_, Checked> {
        self.run("checking", COPYING, upkeep::check(self.reads.clone()))
    }

    /// Caps at `at` what lies in the future because some clock was ahead: cut-offs of revocations, and the newest time that
    /// the store has seen. It is the operator's word that `at` is now.
    ///
    /// # Errors
    /// The store did not confirm it; to ask again does no harm.
    pub fn cap(&self, at: u64) -> Pending<'_, Capped> {
        self.run("capping times", WRITING, clock::cap(self.writes.clone(), at))
    }

    /// Ends its work in order: what was noted is written, and SQLite's journal is in the file and empty, as far as no other
    /// process is in the way. It takes a few seconds at most; what was committed is durable without it.
    ///
    /// # Errors
    /// The journal could not be written into the file: it has to be copied with it.
    pub fn close(&self) -> Pending<'_, ()> {
        let (writes, uses) = (self.writes.clone(), self.uses.clone());
        let closing = async move {
            let used = uses.take();
            if !used.is_empty() {
                records::touch(writes.clone(), used).await?;
            }
            upkeep::empty_journal(writes).await
        };
        self.run("closing", CLOSING, closing)
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        self.reads.database().location()
    }

    /// Runs something on the store's own threads. It runs to its end even if nobody waits for it any more.
    fn run<'a, T: Send + 'static>(
        &'a self,
        what: &'static str,
        within: Duration,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            let failed = |why: &dyn fmt::Display| StoreError::new(format!("{}: {what}: {why}", self.location()));
            let runtime = self.runtime.as_ref().ok_or_else(|| failed(&"the store is closed"))?;
            let done = runtime.spawn(async move { timeout(within, work).await }).await;
            match done {
                Ok(Ok(done)) => done.map_err(|trouble| failed(&trouble)),
                Ok(Err(_)) => Err(failed(&format_args!("no answer within {} seconds", within.as_secs()))),
                Err(error) if error.is_panic() => Err(failed(&"a bug: the call panicked")),
                Err(_) => Err(failed(&"the store is closed")),
            }
        })
    }
}

/// Writes what was noted, for as long as the store is open. What cannot be written is tried again.
async fn write_uses(pool: Arc<Pool>, uses: Arc<Uses>) {
    let mut ticks = interval(WRITE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let used = uses.take();
        if !used.is_empty() && !matches!(timeout(WRITING, records::touch(pool.clone(), used.clone())).await, Ok(Ok(())))
        {
            uses.again(used);
        }
    }
}

impl TokenStore for Store {
    fn find<'a>(&'a self, handler: &'a str, id: &'a str) -> Pending<'a, Option<Stored>> {
        let work = records::find(self.reads.clone(), handler.to_owned(), id.to_owned());
        self.run("looking up a record", READING, work)
    }

    fn find_digest<'a>(&'a self, handler: &'a str, digest: &'a SecretDigest) -> Pending<'a, Option<Stored>> {
        let work = records::find_digest(self.reads.clone(), handler.to_owned(), digest.clone());
        self.run("looking up a secret", READING, work)
    }

    fn find_issued<'a>(&'a self, handler: Option<&'a str>, token: &'a TokenDigest) -> Pending<'a, Option<Listed>> {
        let work = records::find_issued(self.reads.clone(), handler.map(str::to_owned), *token);
        self.run("looking up an issued token", READING, work)
    }

    fn next_serial<'a>(&'a self, handler: &'a str) -> Pending<'a, u64> {
        let work = records::next_serial(self.writes.clone(), handler.to_owned());
        self.run("taking a number", WRITING, work)
    }

    fn commit<'a>(&'a self, handler: &'a str, changes: Changes) -> Pending<'a, Committed> {
        let work = records::commit(self.writes.clone(), handler.to_owned(), changes);
        self.run("changing records", WRITING, work)
    }

    fn used(&self, handler: &str, id: &str, at: u64) {
        if self.notes_uses {
            self.uses.note(handler, id, at);
        }
    }

    fn count<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, u64> {
        let work = revocations::count(self.reads.clone(), revocation.clone(), at);
        self.run("counting what a revocation would end", READING, work)
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, Revoked> {
        let work = revocations::revoke(self.writes.clone(), revocation.clone(), at);
        self.run("revoking", REVOKING, work)
    }

    fn revocations<'a>(&'a self, after: u64, most: u32) -> Pending<'a, Vec<(u64, Entry)>> {
        let work = revocations::list(self.reads.clone(), after, most);
        self.run("reading revocations", READING, work)
    }

    fn clock(&self) -> Pending<'_, Option<u64>> {
        self.run("reading the newest time", READING, clock::newest(self.reads.clone()))
    }

    fn note_clock(&self, at: u64) -> Pending<'_, ()> {
        self.run("noting the time", WRITING, clock::note(self.writes.clone(), at))
    }

    fn list<'a>(
        &'a self,
        filter: &'a Filter,
        after: Option<&'a keyward_runtime::Place>,
        most: u32,
        at: u64,
    ) -> Pending<'a, Vec<Listed>> {
        let work = listing::list(self.reads.clone(), filter.clone(), after.cloned(), most, at);
        self.run("listing records", READING, work)
    }

    fn tally<'a>(&'a self, idle: &'a [(String, u64)], at: u64) -> Pending<'a, Vec<Tally>> {
        let work = listing::tally(self.reads.clone(), idle.to_vec(), at);
        self.run("counting records", COUNTING, work)
    }

    fn key_uses<'a>(&'a self, at: u64) -> Pending<'a, Vec<KeyUse>> {
        self.run("counting what keys have signed", COUNTING, listing::key_uses(self.reads.clone(), at))
    }

    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: u64) -> Pending<'a, ()> {
        self.run("noting a node", WRITING, nodes::note(self.writes.clone(), node.to_owned(), last, at))
    }

    fn nodes<'a>(&'a self) -> Pending<'a, Vec<NodeSeen>> {
        self.run("listing nodes", READING, nodes::list(self.reads.clone()))
    }

    fn wait_for_news(&self, most: Duration) -> bool {
        // Only who waits needs a connection for it.
        self.listening.call_once(|| {
            if let (Some(runtime), Place::Postgres(options)) = (&self.runtime, &self.location().0) {
                runtime.spawn(news::listen(PgConnectOptions::clone(options), self.news.clone()));
            }
        });
        self.news.wait(most)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Without waiting: the caller's thread may be an executor's. What was committed is durable already.
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

/// Seconds, as both databases keep them.
fn seconds(time: u64) -> Result<i64, Trouble> {
    i64::try_from(time).map_err(|_| Trouble::new("a time or a number is too great to be kept"))
}

/// What a database has kept as a number.
fn number(kept: i64) -> Result<u64, Trouble> {
    u64::try_from(kept).map_err(|_| Trouble::new("a time or a number in the database is negative"))
}

/// PostgreSQL keeps no text with a NUL; so that both are alike, SQLite is not given one either.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

fn storable<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), Trouble> {
    match texts.into_iter().all(is_storable) {
        true => Ok(()),
        false => Err(Trouble::new("text with a NUL in it cannot be kept")),
    }
}

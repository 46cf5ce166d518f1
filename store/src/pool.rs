//! A connection pool. After an error, a connection is closed together with all idle ones, which
//! probably have the same problem.

use crate::connect::{Database, Role};
use crate::database::{Connection, DbError};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The idle time after which a connection is tested before use.
const TRUSTED: Duration = Duration::from_secs(1);

/// The connections for one purpose.
pub(crate) struct Pool {
    database: Arc<Database>,
    role: Role,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// A connection in use. Dropping it closes it and rolls back an open transaction.
pub(crate) struct PooledConnection {
    connection: Connection,
    trust: PoolGuard,
}

/// A guard that clears the pool unless the connection was returned by [`PooledConnection::done`].
struct PoolGuard {
    pool: Arc<Pool>,
    kept: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(database: Arc<Database>, role: Role, max: usize) -> Arc<Self> {
        Arc::new(Self { database, role, permits: Arc::new(Semaphore::new(max)), idle: Mutex::default() })
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Adds a connection that was opened elsewhere.
    pub(crate) fn add(&self, connection: Connection) {
        self.idle().push((connection, Instant::now()));
    }

    /// Returns a connection that works, or worked a moment ago.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<PooledConnection, DbError> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| DbError::new("the store is closed"))?;
        self.database.check_file()?;
        let idle = self.idle().pop();
        let idle = match idle {
            Some((mut connection, since)) if since.elapsed() >= TRUSTED => match connection.ping().await {
                Ok(()) => Some(connection),
                Err(_) => {
                    self.idle().clear();
                    None
                }
            },
            Some((connection, _)) => Some(connection),
            None => None,
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.database.connect(self.role).await?,
        };
        let trust = PoolGuard { pool: self.clone(), kept: false, _permit: permit };
        Ok(PooledConnection { connection, trust })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PooledConnection {
    pub(crate) fn is_sqlite(&self) -> bool {
        self.trust.pool.database.is_sqlite()
    }

    /// Begins a write transaction. Each of its statements sees everything committed before it.
    pub(crate) async fn begin(&mut self) -> Result<(), DbError> {
        let begin = match self.is_sqlite() {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        self.run(begin).await
    }

    /// Acquires a lock until the end of the transaction. In SQLite, a write transaction is always
    /// exclusive.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<(), DbError> {
        if self.is_sqlite() {
            return Ok(());
        }
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('keyward ' || $1, 0))";
        self.rows(lock, vec![name.into()]).await.map(drop)
    }

    /// Makes the transaction durable.
    pub(crate) async fn commit(mut self) -> Result<(), DbError> {
        self.run("COMMIT").await?;
        // A commit to a file that was moved away in the meantime is lost.
        self.trust.pool.database.check_file()?;
        self.done();
        Ok(())
    }

    /// Rolls back the transaction.
    pub(crate) async fn roll_back(mut self) {
        // If this fails, the connection is closed, which has the same effect.
        if self.run("ROLLBACK").await.is_ok() {
            self.done();
        }
    }

    /// Returns the connection to the pool after successful use.
    pub(crate) fn done(self) {
        let Self { connection, mut trust } = self;
        trust.kept = true;
        trust.pool.add(connection);
    }
}

impl Drop for PoolGuard {
    fn drop(&mut self) {
        if !self.kept {
            self.pool.idle().clear();
        }
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

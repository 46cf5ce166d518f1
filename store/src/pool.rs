//! Connections that are used again. One that did not do as it was told is closed, and with it those that wait: they
//! probably lead to where it led.

use crate::connect::{Database, Role};
use crate::database::{Connection, Trouble};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection that was not used for so long is tried before it is.
const TRUSTED: Duration = Duration::from_secs(1);

/// The connections for one purpose.
pub(crate) struct Pool {
    database: Arc<Database>,
    role: Role,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// A connection, for as long as it is used. Dropped, it is closed, and an open transaction undone.
pub(crate) struct Lease {
    connection: Connection,
    trust: Trust,
}

/// Whether a lease has come to a good end.
struct Trust {
    pool: Arc<Pool>,
    kept: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(crate) fn new(database: Arc<Database>, role: Role, most: usize) -> Arc<Self> {
        Arc::new(Self { database, role, permits: Arc::new(Semaphore::new(most)), idle: Mutex::default() })
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Takes a connection that was made elsewhere.
    pub(crate) fn add(&self, connection: Connection) {
        self.idle().push((connection, Instant::now()));
    }

    /// A connection that works, or did a moment ago.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, Trouble> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Trouble::new("the store is closed"))?;
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
        let trust = Trust { pool: self.clone(), kept: false, _permit: permit };
        Ok(Lease { connection, trust })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub(crate) fn is_sqlite(&self) -> bool {
        self.trust.pool.database.is_sqlite()
    }

    /// Begins a transaction that writes. Each of its statements sees what was committed before the statement.
    pub(crate) async fn begin(&mut self) -> Result<(), Trouble> {
        let begin = match self.is_sqlite() {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        self.run(begin).await
    }

    /// Waits until nobody else has this lock, and has it to the end of the transaction. In SQLite a transaction that
    /// writes is alone anyway.
    pub(crate) async fn lock(&mut self, name: &str) -> Result<(), Trouble> {
        if self.is_sqlite() {
            return Ok(());
        }
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('keyward ' || $1, 0))";
        self.rows(lock, vec![name.into()]).await.map(drop)
    }

    /// Makes the transaction durable.
    pub(crate) async fn commit(mut self) -> Result<(), Trouble> {
        self.run("COMMIT").await?;
        // In a file that was taken away meanwhile, nobody finds it again.
        self.trust.pool.database.check_file()?;
        self.done();
        Ok(())
    }

    /// Undoes the transaction.
    pub(crate) async fn roll_back(mut self) {
        // Where this fails, the connection is closed, which does the same.
        if self.run("ROLLBACK").await.is_ok() {
            self.done();
        }
    }

    /// Leaves the connection for others: it did as it was told.
    pub(crate) fn done(self) {
        let Self { connection, mut trust } = self;
        trust.kept = true;
        trust.pool.add(connection);
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        if !self.kept {
            self.pool.idle().clear();
        }
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

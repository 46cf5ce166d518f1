//! Queries that operators configure for their own databases, SQLite or PostgreSQL, which are only
//! read.

mod answer;
mod connection_pool;
mod error;
mod text;

use crate::OpenError;
use crate::location::Location;
use connection_pool::ConnectionPool;
use error::QueryError;
use keyward_runtime::query::{Query, QueryValue, Rows};
use keyward_runtime::store::{StoreError, StoreFuture};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use text::Text;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// The deadline of checking a query when it is opened.
const OPENING: Duration = Duration::from_secs(10);

/// A query on the operator's own database, for [`keyward_runtime::HandlerConfig::queries`].
///
/// # Syntax
///
/// A query is one `SELECT` (or `WITH … SELECT`, or `VALUES`). A statement that does anything but
/// read is refused when the query is opened, and a function that writes fails when it is called.
/// Parameters are written `:name` in both databases.
///
/// In SQLite, a parameter has the type that the handler passes, and is compared by SQLite's rules:
/// a text that contains a number equals it in a numeric column. In PostgreSQL, every parameter is
/// text, so cast the parameter or the value that it is compared with, as in `WHERE id::text = :id`;
/// columns of the result must be text, integers, floating-point numbers or `bytea`.
///
/// # Guarantees
///
/// * The database is opened read-only, with all further write protection that it offers.
/// * A query completes or fails within its deadline, even if the database computes forever.
/// * Exceeding the maximum number of rows, or 256 KiB of data, is an error.
/// * No error contains a parameter or a value from the database.
pub struct NamedQuery {
    threads: QueryThreads,
    links: Arc<ConnectionPool>,
    /// The names of the parameters, in the order of their numbers.
    parameters: Vec<String>,
    columns: Vec<String>,
    sql: SqlStr,
    rows: u32,
}

/// The limits of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Maximum duration, from the moment of the call.
    pub deadline: Duration,
    /// Maximum number of rows.
    pub rows: u32,
}

/// The threads on which queries run, so that any executor can await them.
#[derive(Clone)]
pub struct QueryThreads(Arc<Threads>);

/// The runtime, present until the threads are dropped.
struct Threads(Option<Runtime>);

impl QueryThreads {
    /// Starts one thread, which serves any number of queries.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn new() -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("keyward-queries").enable_all().build();
        let runtime = runtime.map_err(|error| OpenError::new(format!("cannot start the query thread: {error}")))?;
        Ok(Self(Arc::new(Threads(Some(runtime)))))
    }
}

impl NamedQuery {
    /// Checks a query against its database without running it. Blocks.
    ///
    /// # Errors
    /// Returns an error if the database is unreachable or the query is not valid; the message names
    /// the reason and the remedy.
    pub fn open(threads: &QueryThreads, location: Location, sql: &str, limits: QueryLimits) -> Result<Self, OpenError> {
        let links = Arc::new(ConnectionPool::new(location, limits.deadline)?);
        let Text { sql, parameters } = Text::parse(sql, links.dialect()).map_err(OpenError::new)?;
        let refused = |why: &dyn fmt::Display| OpenError::new(format!("{links}: {why}"));
        let runtime = threads.0.0.as_ref().ok_or_else(|| refused(&"the query thread has stopped"))?;
        let checking = async { timeout(OPENING, links.check(&sql, parameters.len())).await };
        // On a separate thread: the caller's may belong to an executor, which must not block.
        let checked = thread::scope(|scope| scope.spawn(|| runtime.block_on(checking)).join());
        let columns = match checked {
            Ok(Ok(Ok(columns))) => columns,
            Ok(Ok(Err(why))) => return Err(refused(&why)),
            Ok(Err(_)) => return Err(refused(&"it does not respond")),
            Err(_) => return Err(refused(&"internal error: the check panicked")),
        };
        let sql = AssertSqlSafe(text::within(&sql, u64::from(limits.rows).saturating_add(1))).into_sql_str();
        let (threads, rows) = (threads.clone(), limits.rows);
        Ok(Self { threads, links, parameters, columns, sql, rows })
    }

    async fn ask(
        links: Arc<ConnectionPool>,
        sql: SqlStr,
        values: Vec<QueryValue>,
        max: u32,
    ) -> Result<Option<Rows>, QueryError> {
        let found = links.ask(&sql, values).await?;
        if found.len() > usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(QueryError::new(format!("the result has more than {max} rows (`rows`)")));
        }
        answer::rows(&found)
    }
}

impl Query for NamedQuery {
    fn parameters(&self) -> &[String] {
        &self.parameters
    }

    fn run(&self, values: Vec<QueryValue>) -> StoreFuture<'_, Rows> {
        let (links, sql, max) = (self.links.clone(), self.sql.clone(), self.rows);
        Box::pin(async move {
            let failed = |why: &dyn fmt::Display| StoreError::new(format!("{}: {why}", self.links));
            let runtime = self.threads.0.0.as_ref().ok_or_else(|| failed(&"the query thread has stopped"))?;
            let deadline = self.links.deadline();
            let asked = runtime.spawn(async move { timeout(deadline, Self::ask(links, sql, values, max)).await }).await;
            match asked {
                Ok(Ok(Ok(Some(rows)))) => Ok(rows),
                Ok(Ok(Ok(None))) => Ok(Rows { columns: self.columns.clone(), rows: Vec::new() }),
                Ok(Ok(Err(QueryError::Late)) | Err(_)) => {
                    Err(failed(&format_args!("no response within {} ms (`deadline_ms`)", deadline.as_millis())))
                }
                Ok(Ok(Err(why))) => Err(failed(&why)),
                Err(error) if error.is_panic() => Err(failed(&"internal error: the call panicked")),
                Err(_) => Err(failed(&"the query thread has stopped")),
            }
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Without blocking: the caller's thread may belong to an executor.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for NamedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedQuery").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl fmt::Debug for QueryThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryThreads")
    }
}

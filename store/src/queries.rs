//! Queries that an operator has written, in a database of their own: SQLite or PostgreSQL, which is only read.

mod answer;
mod link;
mod text;

use crate::OpenError;
use crate::location::Location;
use keyward_runtime::{Pending, Query, QueryValue, Rows, StoreError};
use link::{Links, Trouble};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use text::Text;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// For how long a query is looked at before it is taken.
const OPENING: Duration = Duration::from_secs(10);

/// A query over a database of the operator's, as [`keyward_runtime::HandlerConfig::queries`] takes it.
///
/// # How it is written
///
/// It is one `SELECT` (or `WITH … SELECT`, or `VALUES`), which is checked when it is opened: a statement that does anything but
/// read is refused there, and a function that writes when it is called. Parameters are written `:name`, in either database.
///
/// In SQLite a parameter is what the handler gives, and is compared as SQLite compares: a text that is a number equals it in a
/// column of numbers. In PostgreSQL every parameter is text, so it is cast, or what it is compared with is, as in
/// `WHERE id::text = :id`; and the columns of its answer are text, whole numbers, floating-point numbers or `bytea`.
///
/// # What can be counted on
///
/// * The database is opened to be read, with every other means that it has against being written to.
/// * It answers within its deadline or says that it does not, also when the database computes without end.
/// * More rows than it may have are an error, and so is an answer of more than 256 KiB.
/// * No error has a value in it that was given or found.
pub struct NamedQuery {
    threads: QueryThreads,
    links: Arc<Links>,
    /// The names of its parameters, in the order of their numbers.
    parameters: Vec<String>,
    columns: Vec<String>,
    sql: SqlStr,
    rows: u32,
}

/// What a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// How long it may take, from the moment when it is asked.
    pub deadline: Duration,
    /// How many rows it may answer.
    pub rows: u32,
}

/// Where queries run, so that they can be waited for on any executor.
#[derive(Clone)]
pub struct QueryThreads(Arc<Threads>);

/// There until the end.
struct Threads(Option<Runtime>);

impl QueryThreads {
    /// Starts one, for as many queries as there are.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new() -> Result<Self, OpenError> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("keyward-queries").enable_all().build();
        let runtime = runtime.map_err(|error| OpenError::new(format!("no thread for queries: {error}")))?;
        Ok(Self(Arc::new(Threads(Some(runtime)))))
    }
}

impl NamedQuery {
    /// Looks at a query, and whether its database has what it names. Waits. Nothing of it is run.
    ///
    /// # Errors
    /// The database cannot be had, or the query cannot be used; the sentence says why, and what to do.
    pub fn open(threads: &QueryThreads, location: Location, sql: &str, limits: QueryLimits) -> Result<Self, OpenError> {
        let links = Arc::new(Links::new(location, limits.deadline)?);
        let Text { sql, parameters } = Text::parse(sql, links.dialect()).map_err(OpenError::new)?;
        let refused = |why: &dyn fmt::Display| OpenError::new(format!("{links}: {why}"));
        let runtime = threads.0.0.as_ref().ok_or_else(|| refused(&"its thread has ended"))?;
        let checking = async { timeout(OPENING, links.check(&sql, parameters.len())).await };
        // On a thread of its own, because the caller's may be an executor's, which must not wait.
        let checked = thread::scope(|scope| scope.spawn(|| runtime.block_on(checking)).join());
        let columns = match checked {
            Ok(Ok(Ok(columns))) => columns,
            Ok(Ok(Err(why))) => return Err(refused(&why)),
            Ok(Err(_)) => return Err(refused(&"it does not answer")),
            Err(_) => return Err(refused(&"a bug: the one that asks it panicked")),
        };
        let sql = AssertSqlSafe(text::within(&sql, u64::from(limits.rows).saturating_add(1))).into_sql_str();
        let (threads, rows) = (threads.clone(), limits.rows);
        Ok(Self { threads, links, parameters, columns, sql, rows })
    }

    async fn ask(links: Arc<Links>, sql: SqlStr, values: Vec<QueryValue>, most: u32) -> Result<Option<Rows>, Trouble> {
        let found = links.ask(&sql, values).await?;
        if found.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(Trouble::new(format!("it has more rows than the {most} that it may have (`rows`)")));
        }
        answer::rows(&found)
    }
}

impl Query for NamedQuery {
    fn parameters(&self) -> &[String] {
        &self.parameters
    }

    fn run(&self, values: Vec<QueryValue>) -> Pending<'_, Rows> {
        let (links, sql, most) = (self.links.clone(), self.sql.clone(), self.rows);
        Box::pin(async move {
            let failed = |why: &dyn fmt::Display| StoreError::new(format!("{}: {why}", self.links));
            let runtime = self.threads.0.0.as_ref().ok_or_else(|| failed(&"its thread has ended"))?;
            let deadline = self.links.deadline();
            let asked =
                runtime.spawn(async move { timeout(deadline, Self::ask(links, sql, values, most)).await }).await;
            match asked {
                Ok(Ok(Ok(Some(rows)))) => Ok(rows),
                Ok(Ok(Ok(None))) => Ok(Rows { columns: self.columns.clone(), rows: Vec::new() }),
                Ok(Ok(Err(Trouble::Late)) | Err(_)) => {
                    Err(failed(&format_args!("no answer within {} ms (`deadline_ms`)", deadline.as_millis())))
                }
                Ok(Ok(Err(why))) => Err(failed(&why)),
                Err(error) if error.is_panic() => Err(failed(&"a bug: the call panicked")),
                Err(_) => Err(failed(&"its thread has ended")),
            }
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Without waiting: the caller's thread may be an executor's.
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

//! Connections to the database of a query. They are reused; a connection is closed after an error.

use super::answer::QueryRows;
use super::error::QueryError;
use super::text::{Dialect, within};
use crate::OpenError;
use crate::location::{Location, Place};
use keyward_runtime::query::QueryValue;
use sqlx::postgres::{PgConnectOptions, PgTypeInfo};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::types::Type;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Executor, PgConnection, SqlSafeStr, SqlStr, SqliteConnection,
    Statement, TypeInfo as _,
};
use std::os::unix::fs::MetadataExt;
use std::path::{self, Path};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, io};
use tokio::sync::Semaphore;

/// Maximum number of concurrent calls to one database. Further calls wait, at most until their
/// deadline.
const LINKS: usize = 4;

/// Number of SQLite's steps between two checks of the deadline: some ten microseconds.
const STEPS: i32 = 1_000;

/// The deadline of the database for checking a query.
const CHECKING: Duration = Duration::from_secs(5);

/// The connections to one database, for one query.
pub(super) struct ConnectionPool {
    location: Location,
    /// The location for display, as configured: without a password or a user.
    shown: String,
    deadline: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<QueryConnection>>,
}

enum QueryConnection {
    Sqlite(SqliteLink),
    Postgres(PgConnection),
}

struct SqliteLink {
    connection: SqliteConnection,
    /// The deadline of the current call.
    until: Arc<Mutex<Instant>>,
    /// The identity of the open file, to detect its replacement.
    file: (u64, u64),
}

macro_rules! ask {
    ($connection:expr, $sql:expr, $values:expr, $persistent:expr, |$query:ident, $value:ident| $bind:expr) => {{
        let mut $query = sqlx::query($sql).persistent($persistent);
        for $value in $values {
            $query = $bind;
        }
        $query.fetch_all($connection).await
    }};
}

impl ConnectionPool {
    pub(super) fn new(mut location: Location, deadline: Duration) -> Result<Self, OpenError> {
        // The database belongs to the operator, so it is not called a store.
        let shown = location.to_string().replacen(" store ", " database ", 1);
        if let Place::Sqlite(path) = &location.0 {
            // A change of the working directory would change the meaning of a relative path, and
            // SQLite would interpret a `file:` prefix.
            let absolute = path::absolute(path).map_err(|error| OpenError::new(error.to_string()))?;
            location = Location::sqlite(absolute);
        }
        Ok(Self { location, shown, deadline, permits: Semaphore::new(LINKS), idle: Mutex::default() })
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.location.0 {
            Place::Sqlite(_) => Dialect::Sqlite,
            Place::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Checks a query and returns the names of its columns. Messages of the database contain no
    /// values, because none are bound.
    pub(super) async fn check(&self, sql: &str, parameters: usize) -> Result<Vec<String>, String> {
        let plain = || AssertSqlSafe(sql.to_owned()).into_sql_str();
        let reading = || AssertSqlSafe(within(sql, 1)).into_sql_str();
        let said = |error: sqlx::Error| crate::database::DbError::from(error).to_string();
        let writes = |error| {
            format!("the query is not read-only, or cannot be used as a subquery: write one SELECT ({})", said(error))
        };
        let columns: Vec<String> = match &self.location.0 {
            Place::Sqlite(path) => {
                let SqliteLink { mut connection, .. } =
                    connect_sqlite(path, CHECKING).await.map_err(|why| why.to_string())?;
                let statement = connection.prepare(plain()).await.map_err(said)?;
                connection.prepare(reading()).await.map_err(writes)?;
                statement.columns().iter().map(|column| column.name().to_owned()).collect()
            }
            Place::Postgres(options) => {
                let mut connection = connect_postgres(options, CHECKING).await.map_err(|why| why.to_string())?;
                let text = <String as Type<sqlx::Postgres>>::type_info();
                let text: Vec<PgTypeInfo> = std::iter::repeat_n(text, parameters).collect();
                let statement = connection.prepare_with(plain(), &text).await.map_err(|error| {
                    format!(
                        "{} (parameters are text: cast the parameter, or the value that it is compared with)",
                        said(error)
                    )
                })?;
                connection.prepare_with(reading(), &text).await.map_err(writes)?;
                for column in statement.columns() {
                    super::answer::is_known(column.type_info().name(), column.name())?;
                }
                statement.columns().iter().map(|column| column.name().to_owned()).collect()
            }
        };
        let twice =
            columns.iter().enumerate().find(|(at, column)| columns.iter().take(*at).any(|other| other == *column));
        match twice {
            None => Ok(columns),
            Some((_, column)) => Err(format!("two columns of the query are named `{column}`: rename one with AS")),
        }
    }

    /// Runs a query and returns its rows.
    pub(super) async fn ask(&self, sql: &SqlStr, values: Vec<QueryValue>) -> Result<QueryRows, QueryError> {
        let until = Instant::now() + self.deadline;
        let _permit = self.permits.acquire().await.map_err(|_| QueryError::new("the connection pool is closed"))?;
        let idle = self.take_idle();
        let had_one = idle.is_some();
        match self.ask_once(idle, sql, values.clone(), until).await {
            // The server may have restarted since the connection was last used.
            Err(QueryError::Gone(_)) if had_one => {
                self.idle().clear();
                self.ask_once(None, sql, values, until).await
            }
            asked => asked,
        }
    }

    async fn ask_once(
        &self,
        link: Option<QueryConnection>,
        sql: &SqlStr,
        values: Vec<QueryValue>,
        until: Instant,
    ) -> Result<QueryRows, QueryError> {
        let mut link = match (link, &self.location.0) {
            (Some(link), _) => link,
            (None, Place::Sqlite(path)) => QueryConnection::Sqlite(connect_sqlite(path, self.deadline).await?),
            (None, Place::Postgres(options)) => {
                QueryConnection::Postgres(connect_postgres(options, self.deadline).await?)
            }
        };
        let found = link.ask(sql.clone(), values, until).await.map_err(|error| QueryError::of(&error))?;
        self.idle().push(link);
        Ok(found)
    }

    fn take_idle(&self) -> Option<QueryConnection> {
        let mut idle = self.idle();
        if let Place::Sqlite(path) = &self.location.0 {
            // Another file may be in its place; that one must be queried.
            let now = file_id(path).ok();
            idle.retain(|link| matches!(link, QueryConnection::Sqlite(link) if Some(link.file) == now));
        }
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<QueryConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueryConnection {
    async fn ask(&mut self, sql: SqlStr, values: Vec<QueryValue>, until: Instant) -> Result<QueryRows, sqlx::Error> {
        match self {
            Self::Sqlite(link) => {
                *link.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
                // Prepared for each call: the tables may have changed, and a cached statement would
                // not notice.
                let rows = ask!(&mut link.connection, sql, values, false, |query, value| match value {
                    QueryValue::Null => query.bind(None::<i64>),
                    QueryValue::Integer(integer) => query.bind(integer),
                    QueryValue::Real(real) => query.bind(real),
                    QueryValue::Text(text) => query.bind(text),
                    QueryValue::Blob(bytes) => query.bind(bytes),
                });
                rows.map(QueryRows::Sqlite)
            }
            Self::Postgres(connection) => {
                let rows = ask!(connection, sql, values, true, |query, value| query.bind(as_text(value)));
                rows.map(QueryRows::Postgres)
            }
        }
    }
}

/// Returns the text form of a value in PostgreSQL.
fn as_text(value: QueryValue) -> Option<String> {
    match value {
        QueryValue::Null => None,
        QueryValue::Integer(integer) => Some(integer.to_string()),
        QueryValue::Real(real) => Some(real.to_string()),
        QueryValue::Text(text) => Some(text),
        QueryValue::Blob(bytes) => Some(bytes.iter().fold("\\x".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))),
    }
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    // Opening and closing the file here would release the locks that SQLite holds on it in this
    // process.
    let metadata = fs::metadata(path)?;
    match metadata.is_dir() {
        true => Err(io::Error::other("it is a directory, not a file")),
        false => Ok((metadata.dev(), metadata.ino())),
    }
}

async fn connect_sqlite(path: &Path, within: Duration) -> Result<SqliteLink, QueryError> {
    let file = file_id(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => QueryError::new("the file does not exist: create it, or correct `sqlite`"),
        _ => QueryError::Other(format!("the file cannot be reached: {error}")),
    })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .pragma("query_only", "ON")
        // Below the deadline, so that the error names the cause.
        .busy_timeout(within.mul_f64(0.75))
        .thread_name(|_| "keyward-queries".to_owned())
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| QueryError::of(&error))?;
    let until = Arc::new(Mutex::new(Instant::now() + within));
    let clock = until.clone();
    let mut handle = connection.lock_handle().await.map_err(|error| QueryError::of(&error))?;
    // Only this interrupts a query that merely computes.
    handle.set_progress_handler(STEPS, move || Instant::now() < *clock.lock().unwrap_or_else(PoisonError::into_inner));
    drop(handle);
    Ok(SqliteLink { connection, until, file })
}

async fn connect_postgres(options: &PgConnectOptions, within: Duration) -> Result<PgConnection, QueryError> {
    // A standby is sufficient: it can be read.
    let settings = [
        ("default_transaction_read_only", "on".to_owned()),
        ("statement_timeout", format!("{}ms", within.as_millis().max(1))),
    ];
    options.clone().options(settings).connect().await.map_err(|error| QueryError::of(&error))
}

impl fmt::Display for ConnectionPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

//! Connections to the database of a query. They are used again; one that did not do as it was told is closed.

use super::text::{Dialect, within};
use crate::OpenError;
use crate::location::{Location, Place};
use keyward_runtime::QueryValue;
use sqlx::postgres::{PgConnectOptions, PgRow, PgTypeInfo};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
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

/// Questions to one database at the same time. More wait, for as long as their deadline.
const LINKS: usize = 4;

/// How many steps SQLite takes between two looks at the clock: some ten microseconds.
const STEPS: i32 = 1_000;

/// For how long a query is looked at before it is taken, by the database.
const CHECKING: Duration = Duration::from_secs(5);

/// The connections to one database, for one query.
pub(super) struct Links {
    location: Location,
    /// The same as it was written, for people: without a password or a user.
    shown: String,
    deadline: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<Link>>,
}

enum Link {
    Sqlite(SqliteLink),
    Postgres(PgConnection),
}

struct SqliteLink {
    connection: SqliteConnection,
    /// When what it does is to end.
    until: Arc<Mutex<Instant>>,
    /// Which file it has open, so that another one in its place is noticed.
    file: (u64, u64),
}

/// Rows as the database gave them.
pub(super) enum Found {
    Sqlite(Vec<SqliteRow>),
    Postgres(Vec<PgRow>),
}

/// Why there is no answer.
pub(super) enum Trouble {
    /// The time is up.
    Late,
    /// The connection is gone or of no more use; another one may do.
    Gone(String),
    Other(String),
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

impl Links {
    pub(super) fn new(mut location: Location, deadline: Duration) -> Result<Self, OpenError> {
        // It may have been made by anybody, so it is no store.
        let shown = location.to_string().replacen(" store ", " database ", 1);
        if let Place::Sqlite(path) = &location.0 {
            // Relative paths mean something else after a change of the folder, and `file:` something else to SQLite.
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

    /// Looks at a query, and names its columns. What the database says of it has no values in it, as none are given.
    pub(super) async fn check(&self, sql: &str, parameters: usize) -> Result<Vec<String>, String> {
        let plain = || AssertSqlSafe(sql.to_owned()).into_sql_str();
        let reading = || AssertSqlSafe(within(sql, 1)).into_sql_str();
        let said = |error: sqlx::Error| crate::database::Trouble::from(error).to_string();
        let writes = |error| {
            format!(
                "the query does more than read, or cannot be part of another one: write one SELECT ({})",
                said(error)
            )
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
                    format!("{} (a parameter is text: cast it, or what it is compared with)", said(error))
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
            Some((_, column)) => {
                Err(format!("two columns of the query are named `{column}`: name one otherwise, with AS"))
            }
        }
    }

    /// The rows of a query.
    pub(super) async fn ask(&self, sql: &SqlStr, values: Vec<QueryValue>) -> Result<Found, Trouble> {
        let until = Instant::now() + self.deadline;
        let _permit = self.permits.acquire().await.map_err(|_| Trouble::new("it is closed"))?;
        let idle = self.take_idle();
        let had_one = idle.is_some();
        match self.ask_once(idle, sql, values.clone(), until).await {
            // The server may have been started anew since it was last asked.
            Err(Trouble::Gone(_)) if had_one => {
                self.idle().clear();
                self.ask_once(None, sql, values, until).await
            }
            asked => asked,
        }
    }

    async fn ask_once(
        &self,
        link: Option<Link>,
        sql: &SqlStr,
        values: Vec<QueryValue>,
        until: Instant,
    ) -> Result<Found, Trouble> {
        let mut link = match (link, &self.location.0) {
            (Some(link), _) => link,
            (None, Place::Sqlite(path)) => Link::Sqlite(connect_sqlite(path, self.deadline).await?),
            (None, Place::Postgres(options)) => Link::Postgres(connect_postgres(options, self.deadline).await?),
        };
        let found = link.ask(sql.clone(), values, until).await.map_err(|error| Trouble::of(&error))?;
        self.idle().push(link);
        Ok(found)
    }

    fn take_idle(&self) -> Option<Link> {
        let mut idle = self.idle();
        if let Place::Sqlite(path) = &self.location.0 {
            // Another file may have been put in its place: that is the one to be asked.
            let now = file_id(path).ok();
            idle.retain(|link| matches!(link, Link::Sqlite(link) if Some(link.file) == now));
        }
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    async fn ask(&mut self, sql: SqlStr, values: Vec<QueryValue>, until: Instant) -> Result<Found, sqlx::Error> {
        match self {
            Self::Sqlite(link) => {
                *link.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
                // Prepared each time: the tables may be other ones than before, and what was prepared would not know.
                let rows = ask!(&mut link.connection, sql, values, false, |query, value| match value {
                    QueryValue::Null => query.bind(None::<i64>),
                    QueryValue::Integer(integer) => query.bind(integer),
                    QueryValue::Real(real) => query.bind(real),
                    QueryValue::Text(text) => query.bind(text),
                    QueryValue::Blob(bytes) => query.bind(bytes),
                });
                rows.map(Found::Sqlite)
            }
            Self::Postgres(connection) => {
                let rows = ask!(connection, sql, values, true, |query, value| query.bind(as_text(value)));
                rows.map(Found::Postgres)
            }
        }
    }
}

/// How PostgreSQL writes a value.
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
    // Never opened here: closing it would take away the locks that SQLite has on it in this process.
    let metadata = fs::metadata(path)?;
    match metadata.is_dir() {
        true => Err(io::Error::other("it is no file")),
        false => Ok((metadata.dev(), metadata.ino())),
    }
}

async fn connect_sqlite(path: &Path, within: Duration) -> Result<SqliteLink, Trouble> {
    let file = file_id(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::new("there is no such file: put it there, or correct `sqlite`"),
        _ => Trouble::Other(format!("the file cannot be reached: {error}")),
    })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .pragma("query_only", "ON")
        // Below the deadline, so that the answer says what was in the way.
        .busy_timeout(within.mul_f64(0.75))
        .thread_name(|_| "keyward-queries".to_owned())
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| Trouble::of(&error))?;
    let until = Arc::new(Mutex::new(Instant::now() + within));
    let clock = until.clone();
    let mut handle = connection.lock_handle().await.map_err(|error| Trouble::of(&error))?;
    // Nothing else ends a query that only computes.
    handle.set_progress_handler(STEPS, move || Instant::now() < *clock.lock().unwrap_or_else(PoisonError::into_inner));
    drop(handle);
    Ok(SqliteLink { connection, until, file })
}

async fn connect_postgres(options: &PgConnectOptions, within: Duration) -> Result<PgConnection, Trouble> {
    // A standby will do, as it can be read.
    let settings = [
        ("default_transaction_read_only", "on".to_owned()),
        ("statement_timeout", format!("{}ms", within.as_millis().max(1))),
    ];
    options.clone().options(settings).connect().await.map_err(|error| Trouble::of(&error))
}

impl Found {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sqlite(rows) => rows.len(),
            Self::Postgres(rows) => rows.len(),
        }
    }
}

impl Trouble {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// What went wrong, without what may repeat a value that was given or found.
    fn of(error: &sqlx::Error) -> Self {
        let error = match error {
            sqlx::Error::Database(error) => error,
            sqlx::Error::Io(error) => return Self::Gone(error.to_string()),
            sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                return Self::Gone("the connection was lost".to_owned());
            }
            sqlx::Error::Tls(error) => return Self::Other(error.to_string()),
            _ => return Self::new("it answered what could not be read"),
        };
        let code = error.code().unwrap_or_default();
        let text = error.message().to_owned();
        if let Ok(number) = code.parse::<u32>()
            && code.len() != 5
        {
            // SQLite: the low byte is the kind.
            return match number & 0xff {
                9 => Self::Late,
                1 if !text.starts_with("no such ") => Self::Other("the query failed (SQLITE_ERROR)".to_owned()),
                _ => Self::Other(text),
            };
        }
        match code.get(..2).unwrap_or_default() {
            _ if code == "57014" => Self::Late,
            // The server is going down or up; or the tables are other ones than when the query was prepared.
            "57" => Self::Gone(text),
            "0A" | "26" => Self::Gone(format!("the query failed (SQLSTATE {code})")),
            // Connections, rights, what is there, room, and what only reads.
            "08" | "25" | "28" | "3D" | "42" | "53" | "55" | "58" => Self::Other(text),
            _ => Self::Other(format!("the query failed (SQLSTATE {code})")),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("no answer in time"),
            Self::Gone(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// Where the database is.
impl fmt::Display for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

//! One connection to either database: the same SQL text, the same values, the same rows.

use sqlx::decode::Decode;
use sqlx::types::Type;
use sqlx::{
    Connection as _, PgConnection, Postgres, Row as _, SqlSafeStr, Sqlite, SqliteConnection,
    postgres::{PgQueryResult, PgRow},
    sqlite::{SqliteQueryResult, SqliteRow},
};
use std::fmt;

/// A connection. One that is dropped takes an open transaction along.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What stands for `$1` and so on.
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Why there is no answer. It shows the database's own words, and no value that it was given.
pub(crate) enum Trouble {
    Sql(sqlx::Error),
    Other(String),
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Integer(integer) => query.bind(integer),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

impl Connection {
    /// The rows that a statement answers.
    pub(crate) async fn rows(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<Vec<Row>, Trouble> {
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = bound!(sql, values).fetch_all(connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                let rows = bound!(sql, values).fetch_all(connection).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The only row that a statement answers.
    pub(crate) async fn row(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<Row, Trouble> {
        self.rows(sql, values).await?.pop().ok_or(Trouble::Sql(sqlx::Error::RowNotFound))
    }

    /// How many rows a statement has changed.
    pub(crate) async fn change(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<u64, Trouble> {
        Ok(match self {
            Self::Sqlite(connection) => {
                SqliteQueryResult::rows_affected(&bound!(sql, values).execute(connection).await?)
            }
            Self::Postgres(connection) => PgQueryResult::rows_affected(&bound!(sql, values).execute(connection).await?),
        })
    }

    /// Runs a statement that has no values and no answer.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Trouble> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    /// Whether the database still answers.
    pub(crate) async fn ping(&mut self) -> Result<(), Trouble> {
        match self {
            Self::Sqlite(connection) => connection.ping().await?,
            Self::Postgres(connection) => connection.ping().await?,
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn get<'row, T>(&'row self, column: usize) -> Result<T, Trouble>
    where
        T: Decode<'row, Sqlite> + Type<Sqlite> + Decode<'row, Postgres> + Type<Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<Option<i64>> for Value {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl Trouble {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Whether SQLite has it that another connection is in the way. The low byte of its codes is their kind.
    pub(crate) fn is_locked(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            // Without its details, in which PostgreSQL repeats values.
            Self::Sql(sqlx::Error::Database(error)) => f.write_str(error.message()),
            Self::Sql(sqlx::Error::Io(error)) => error.fmt(f),
            Self::Sql(sqlx::Error::Tls(error)) => error.fmt(f),
            Self::Sql(sqlx::Error::WorkerCrashed) => f.write_str("the thread of the connection has ended"),
            // What else there is may repeat what it could not read.
            Self::Sql(_) => f.write_str("the database answered what could not be read"),
        }
    }
}

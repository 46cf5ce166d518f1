//! Connections to either database: the same SQL text, values and rows.

use sqlx::decode::Decode;
use sqlx::types::Type;
use sqlx::{
    Connection as _, PgConnection, Postgres, Row as _, SqlSafeStr, Sqlite, SqliteConnection,
    postgres::{PgQueryResult, PgRow},
    sqlite::{SqliteQueryResult, SqliteRow},
};
use std::fmt;

/// A connection. Dropping it rolls back an open transaction.
pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A value for a placeholder such as `$1`.
pub(crate) enum Value {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// A row of a result.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// An error of the database. Its message contains the database's own text, and none of the bound
/// values.
pub(crate) enum DbError {
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
    /// Runs a statement and returns its rows.
    pub(crate) async fn rows(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<Vec<Row>, DbError> {
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

    /// Runs a statement and returns its only row.
    pub(crate) async fn row(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<Row, DbError> {
        self.rows(sql, values).await?.pop().ok_or(DbError::Sql(sqlx::Error::RowNotFound))
    }

    /// Runs a statement and returns the number of affected rows.
    pub(crate) async fn change(&mut self, sql: impl SqlSafeStr, values: Vec<Value>) -> Result<u64, DbError> {
        Ok(match self {
            Self::Sqlite(connection) => {
                SqliteQueryResult::rows_affected(&bound!(sql, values).execute(connection).await?)
            }
            Self::Postgres(connection) => PgQueryResult::rows_affected(&bound!(sql, values).execute(connection).await?),
        })
    }

    /// Runs a statement without values or rows.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), DbError> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
            Self::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    /// Checks that the database responds.
    pub(crate) async fn ping(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(connection) => connection.ping().await?,
            Self::Postgres(connection) => connection.ping().await?,
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn get<'row, T>(&'row self, column: usize) -> Result<T, DbError>
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

impl DbError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// Returns `true` if SQLite reports a lock of another connection.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.sqlite_code(), Some(5 | 6))
    }

    /// Returns the primary code of an error of SQLite: the low byte of its code.
    pub(crate) fn sqlite_code(&self) -> Option<u32> {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return None };
        error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff)
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(text) => f.write_str(text),
            // Without the details, in which PostgreSQL repeats values.
            Self::Sql(sqlx::Error::Database(error)) => f.write_str(error.message()),
            Self::Sql(sqlx::Error::Io(error)) => error.fmt(f),
            Self::Sql(sqlx::Error::Tls(error)) => error.fmt(f),
            Self::Sql(sqlx::Error::WorkerCrashed) => f.write_str("the thread of the connection has stopped"),
            // Other errors may repeat the data that could not be parsed.
            Self::Sql(_) => f.write_str("the database returned an unexpected response"),
        }
    }
}

//! Query results, converted for a handler.

use super::error::QueryError;
use keyward_runtime::query::{QueryValue, Rows};
use sqlx::postgres::{PgRow, PgValueRef};
use sqlx::sqlite::SqliteRow;
use sqlx::{Column as _, Decode, Postgres, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

/// Maximum size of all rows, in bytes.
const MOST: usize = 256 << 10;

/// Rows as returned by the database.
pub(super) enum QueryRows {
    Sqlite(Vec<SqliteRow>),
    Postgres(Vec<PgRow>),
}

impl QueryRows {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sqlite(rows) => rows.len(),
            Self::Postgres(rows) => rows.len(),
        }
    }
}

/// Converts the rows and their column names. Returns `None` if there are no rows.
pub(super) fn rows(found: &QueryRows) -> Result<Option<Rows>, QueryError> {
    let mut size = 0;
    let mut add = |value: &QueryValue| {
        size += 16
            + match value {
                QueryValue::Text(text) => text.len(),
                QueryValue::Blob(bytes) => bytes.len(),
                _ => 0,
            };
        match size {
            ..=MOST => Ok(()),
            _ => Err(QueryError::new(format!("the result has more than {MOST} bytes: select fewer columns"))),
        }
    };
    let (columns, rows): (Vec<String>, Vec<Vec<QueryValue>>) = match found {
        QueryRows::Sqlite(rows) => (
            rows.first().map(names).unwrap_or_default(),
            rows.iter().map(|row| sqlite_row(row, &mut add)).collect::<Result<_, _>>()?,
        ),
        QueryRows::Postgres(rows) => (
            rows.first().map(names).unwrap_or_default(),
            rows.iter().map(|row| postgres_row(row, &mut add)).collect::<Result<_, _>>()?,
        ),
    };
    Ok((!rows.is_empty()).then_some(Rows { columns, rows }))
}

fn names<R: sqlx::Row>(row: &R) -> Vec<String> {
    row.columns().iter().map(|column| column.name().to_owned()).collect()
}

type Add<'a> = dyn FnMut(&QueryValue) -> Result<(), QueryError> + 'a;

fn sqlite_row(row: &SqliteRow, add: &mut Add<'_>) -> Result<Vec<QueryValue>, QueryError> {
    let values = (0..row.len()).map(|at| {
        let value = sqlite_value(row, at)?;
        add(&value).map(|()| value)
    });
    values.collect()
}

fn postgres_row(row: &PgRow, add: &mut Add<'_>) -> Result<Vec<QueryValue>, QueryError> {
    let values = row.columns().iter().enumerate().map(|(at, column)| {
        let value = postgres_value(row.try_get_raw(at).map_err(|_| unreadable())?, column.name())?;
        add(&value).map(|()| value)
    });
    values.collect()
}

/// Reads a value by its actual type, whatever the declared type of the column is.
fn sqlite_value(row: &SqliteRow, at: usize) -> Result<QueryValue, QueryError> {
    fn get<'r, T: Decode<'r, Sqlite>>(row: &'r SqliteRow, at: usize) -> Result<T, QueryError> {
        let value = row.try_get_raw(at).map_err(|_| unreadable())?;
        T::decode(value).map_err(|_| unreadable())
    }
    let value = row.try_get_raw(at).map_err(|_| unreadable())?;
    if value.is_null() {
        return Ok(QueryValue::Null);
    }
    match value.type_info().name() {
        "INTEGER" => get(row, at).map(QueryValue::Integer),
        "REAL" => get(row, at).map(QueryValue::Real),
        // SQLite stores arbitrary bytes as text.
        "TEXT" => get(row, at).map(QueryValue::Text).or_else(|_| get(row, at).map(QueryValue::Blob)),
        "BLOB" => get(row, at).map(QueryValue::Blob),
        _ => Err(unreadable()),
    }
}

fn postgres_value(value: PgValueRef<'_>, column: &str) -> Result<QueryValue, QueryError> {
    fn get<'r, T: Decode<'r, Postgres>>(value: PgValueRef<'r>) -> Result<T, QueryError> {
        T::decode(value).map_err(|_| unreadable())
    }
    if value.is_null() {
        return Ok(QueryValue::Null);
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "INT2" => get::<i16>(value).map(|integer| QueryValue::Integer(integer.into())),
        "INT4" => get::<i32>(value).map(|integer| QueryValue::Integer(integer.into())),
        "INT8" => get(value).map(QueryValue::Integer),
        "FLOAT4" => get::<f32>(value).map(|real| QueryValue::Real(real.into())),
        "FLOAT8" => get(value).map(QueryValue::Real),
        "BYTEA" => get(value).map(QueryValue::Blob),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => get(value).map(QueryValue::Text),
        other => is_known(other, column).map_err(QueryError::Other).and_then(|()| Err(unreadable())),
    }
}

/// Returns an error unless the PostgreSQL type is one of those above.
pub(super) fn is_known(kind: &str, column: &str) -> Result<(), String> {
    const KNOWN: [&str; 11] =
        ["INT2", "INT4", "INT8", "FLOAT4", "FLOAT8", "BYTEA", "TEXT", "VARCHAR", "CHAR", "NAME", "UNKNOWN"];
    match KNOWN.contains(&kind) {
        true => Ok(()),
        false => Err(format!(
            "the column `{column}` has the type {kind}: cast it, as in `{column}::text`, to text, bigint, double precision or bytea"
        )),
    }
}

fn unreadable() -> QueryError {
    QueryError::new("the database returned an unexpected response")
}

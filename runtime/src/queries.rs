//! What is behind the import `queries`: what an operator has asked for in a database of their own.
//! Where that is, is for whoever embeds the runtime; the crate `keyward-store` asks SQLite or
//! PostgreSQL.

use crate::store::StoreFuture;

/// A query that an operator has written. It must only read, and bound by itself how long it takes
/// and how much it answers: if it does not keep to that, it answers an error.
pub trait Query: Send + Sync + 'static {
    /// The names of its parameters.
    fn parameters(&self) -> &[String];

    /// Its rows, for the values of its parameters, in the order of their names. No text among these
    /// has a NUL in it.
    fn run(&self, values: Vec<QueryValue>) -> StoreFuture<'_, Rows>;
}

/// What stands in a row, and what a parameter may be.
#[derive(Clone, PartialEq)]
#[expect(missing_debug_implementations, reason = "it may be a secret")]
pub enum QueryValue {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// What a query answers.
#[derive(Clone, PartialEq, Default)]
#[expect(missing_debug_implementations, reason = "it may hold secrets")]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Vec<QueryValue>>,
}

//! Queries behind the import `queries`, which an operator has written for their own databases. The
//! embedder implements [`Query`]; the crate `keyward-store` does so for SQLite and PostgreSQL.

use crate::store::StoreFuture;

/// A read-only query that an operator has written.
///
/// Implementations must bound their duration and the size of their result, and return an error
/// beyond these bounds.
pub trait Query: Send + Sync + 'static {
    /// Returns the names of the parameters.
    fn parameters(&self) -> &[String];

    /// Runs the query with `values`, the values of its parameters in the order of
    /// [`parameters`](Self::parameters). No text among them contains a NUL.
    fn run(&self, values: Vec<QueryValue>) -> StoreFuture<'_, Rows>;
}

/// A value in a row of [`Rows`], or of a parameter.
#[derive(Clone, PartialEq)]
#[expect(missing_debug_implementations, reason = "it may be a secret")]
#[expect(clippy::exhaustive_enums, reason = "these are the types of the contract")]
pub enum QueryValue {
    /// The value NULL.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The result of a [`Query`].
#[derive(Clone, PartialEq, Default)]
#[expect(missing_debug_implementations, reason = "it may hold secrets")]
#[expect(clippy::exhaustive_structs, reason = "queries construct it")]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with one value per column.
    pub rows: Vec<Vec<QueryValue>>,
}

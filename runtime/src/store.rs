//! Persistent state about tokens: the records behind the import `store`, and the revocations of
//! tokens of every handler.
//!
//! A store is split by purpose. A handler's grant needs a [`RecordStore`], a process that applies
//! revocations a [`RevocationLog`]; operators list tokens through a [`TokenIndex`] and nodes
//! through a [`NodeDirectory`]. A [`TokenStore`] is all of them. The embedder provides it; the
//! crate `keyward-store` keeps it in SQLite or PostgreSQL.
//!
//! The types that a store constructs ([`Revoked`], [`ListPage`], [`StatusCount`], [`KeyUsage`],
//! [`NodeStatus`], [`StoredRecord`]) and those that it must evaluate in full ([`Transaction`],
//! [`Filter`], [`Revocation`], [`Entry`]) are exhaustive on purpose: a store that ignores a new
//! member must not compile.

mod index;
mod nodes;
mod record;
mod revocation;

use crate::sanitize::escape_untrusted;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

pub use index::{CreatedBy, Cursor, Filter, KeyUsage, ListPage, StatusCount, TokenIndex};
pub use nodes::{NodeDirectory, NodeStatus};
pub use record::{
    CommitOutcome, ListEntry, NewRecord, Record, RecordStore, RecordUpdate, SecretDigest, Status, StoredRecord,
    Termination, TerminationReason, TokenTerms, Transaction,
};
pub use revocation::{Entry, Revocation, RevocationLog, Revoked};

/// A complete store of token records and revocations. Implemented for every type that implements
/// its four parts.
pub trait TokenStore: RecordStore + RevocationLog + TokenIndex + NodeDirectory {}

impl<T: RecordStore + RevocationLog + TokenIndex + NodeDirectory> TokenStore for T {}

/// A future of a store. It must not need an executor of its caller: it is polled on any thread.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A failure of a store or a [`Query`](crate::query::Query). The requested change may or may not
/// have been applied.
#[derive(Debug, Clone)]
pub struct StoreError {
    text: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// Creates an error from a short description for the operator, without a secret, a digest or
    /// the text of a token. A database's message is escaped and truncated here.
    pub fn new(what: impl AsRef<str>) -> Self {
        Self { text: escape_untrusted(what.as_ref(), 1_000), source: None }
    }

    /// Names the query that failed.
    pub(crate) fn in_query(self, label: &str) -> Self {
        Self { text: format!("the query `{label}`: {}", self.text), ..self }
    }

    /// Adds the cause, which [`source`](std::error::Error::source) returns. Unlike the description,
    /// it is neither escaped nor written to a log here.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

/// Compares the descriptions.
impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoreError {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// Returns the failure of an operation that a store does not have.
fn unsupported<'a, T: Send + 'a>(operation: &str) -> StoreFuture<'a, T> {
    Box::pin(ready(Err(StoreError::new(format!("{operation} is not supported by this store")))))
}

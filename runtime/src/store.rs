//! Persistent state about tokens: the records behind the import `store`, the revocations of tokens
//! of every handler, and the tickets with which the owners of tokens sign in.
//!
//! A store is split by purpose. A handler's grant needs a [`RecordStore`], a process that applies
//! revocations a [`RevocationLog`]; operators list tokens through a [`TokenIndex`] and nodes
//! through a [`NodeDirectory`]; pages for the owners of tokens need a [`TicketStore`]. A
//! [`TokenStore`] is all of them. The embedder provides it; the crate `keyward-store` keeps it in
//! SQLite or PostgreSQL. With the cargo feature `testing`, the module `testing` has a store in
//! memory, and the checks of a store for the tests of its author.
//!
//! Times are in whole seconds: those that a store is given have no nanoseconds, and neither have
//! those that it returns.
//!
//! All types here are exhaustive on purpose: a store that ignores a new member must not compile.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "a store that ignores a new member must not compile"
)]

pub(crate) mod error;
mod index;
mod nodes;
mod record;
mod revocation;
#[cfg(feature = "testing")]
pub mod testing;
mod tickets;

use std::future::{Future, ready};
use std::pin::Pin;

pub use error::StoreError;
pub use index::{CreatedBy, Cursor, Filter, KeyUsage, ListPage, StatusCount, TokenIndex};
pub use nodes::{NodeDirectory, NodeStatus};
pub use record::{
    CommitOutcome, ListEntry, NewRecord, Record, RecordStore, RecordUpdate, SecretDigest, Status, StoredRecord,
    Termination, TerminationReason, TokenTerms, Transaction,
};
pub use revocation::{Entry, Revocation, RevocationLog, Revoked};
pub use tickets::{Ticket, TicketKind, TicketStore};

/// A complete store of token records, revocations and tickets. Implemented for every type that
/// implements its five parts.
pub trait TokenStore: RecordStore + RevocationLog + TokenIndex + NodeDirectory + TicketStore {}

impl<T: RecordStore + RevocationLog + TokenIndex + NodeDirectory + TicketStore> TokenStore for T {}

/// A future of a store. It must not need an executor of its caller: it is polled on any thread.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Returns the failure of an operation that a store does not have.
fn unsupported<'a, T: Send + 'a>(operation: &str) -> StoreFuture<'a, T> {
    Box::pin(ready(Err(StoreError::new(format!("{operation} is not supported by this store")))))
}

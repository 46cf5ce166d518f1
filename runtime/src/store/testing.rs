//! Tools for tests of embedders, behind the cargo feature `testing`: a store in memory, and the
//! checks of a store.

mod conformance;
mod listing;
mod memory;

pub use conformance::{Violation, check_record_store, check_token_store};
pub use memory::MemoryStore;

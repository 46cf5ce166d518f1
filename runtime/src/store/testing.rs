//! Tools for tests of embedders, behind the cargo feature `testing`: a store in memory, and the
//! conformance kit, which checks a store.
//!
//! [`MemoryStore`] takes the place of a database in tests of a program that uses a store. A store
//! of your own is tested with the kit, whose cases are those that the stores of Keyward pass:
//!
//! ```
//! use keyward_runtime::store::TokenStore;
//! use keyward_runtime::store::testing::{MemoryStore, check_token_store};
//! use std::sync::Arc;
//!
//! // Opens an empty store for each case; here, one that conforms.
//! let open = || Arc::new(MemoryStore::default()) as Arc<dyn TokenStore>;
//! assert_eq!(check_token_store(open), []);
//! ```
//!
//! A store of records only is tested with [`check_record_store`].

mod conformance;
mod listing;
mod memory;
mod tickets;

pub use conformance::{Violation, check_record_store, check_token_store};
pub use memory::MemoryStore;

//! A store in memory.

mod listing;
mod memory;

pub use memory::MemoryStore;

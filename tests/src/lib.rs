//! Helpers shared by the integration tests and the benches.

pub mod bombs;
pub mod checksum;
pub mod cli;
pub mod daemon;
pub mod hostile;
pub mod http;
pub mod page;
pub mod peers;
pub mod postgres;

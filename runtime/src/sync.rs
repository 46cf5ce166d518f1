//! The locks of what the model checker runs: there it puts its own in their place (`tests/all/model.rs`).

pub(crate) use std::sync::{Arc, Mutex, PoisonError};

//! Locks and threads of the code that `model.rs` runs in every interleaving.

#[cfg(not(test))]
pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    thread,
};

// Shuttle's replacements of the standard library's types, which let it choose the schedule.
#[cfg(test)]
pub(crate) use shuttle::{
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    thread,
};
#[cfg(test)]
pub(crate) use std::sync::PoisonError;

//! The locks and threads of what `model.rs` runs in every order.

#[cfg(not(test))]
pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    thread,
};

// They stand for those of the standard library where shuttle decides who comes next.
#[cfg(test)]
pub(crate) use shuttle::{
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
    thread,
};
#[cfg(test)]
pub(crate) use std::sync::PoisonError;

//! What HTTP costs over the registry: `cargo xtask bench --http`.

mod cost;
mod idle;
mod neighbours;
mod reload;
mod server;
mod wrk;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use reload::reloads;
pub(crate) use server::{bare, keyward};

/// What can be measured.
pub(crate) const ALL: &crate::Measurements =
    &[("cost", cost::run), ("neighbours", neighbours::run), ("idle", idle::run), ("reloads", || reloads(100))];

/// Says so when it is dropped: threads that look at it end then, also where a measurement fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

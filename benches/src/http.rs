//! Cost of HTTP over the registry: `cargo xtask bench --http`.

mod cost;
mod idle;
mod neighbours;
mod reload;
mod server;
mod wrk;

use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use reload::reloads;
pub(crate) use server::{bare, keyward};

/// The measurements, by name.
pub(crate) const ALL: &crate::Measurements =
    &[("cost", cost::run), ("neighbours", neighbours::run), ("idle", idle::run), ("reloads", || reloads(100))];

/// Sets the flag on drop, which stops the threads that watch it even if a measurement fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

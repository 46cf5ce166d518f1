//! How often a handler was called, and how often it asked for records.

use std::sync::atomic::{AtomicU64, Ordering};

/// What has been counted of one handler since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls of its component: one for each token to make, and one for each to judge whose answer was not kept.
    pub calls: u64,
    /// Tokens that were good by an answer of the same second, without a call.
    pub kept: u64,
    /// Questions to the store, and queries.
    pub lookups: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) kept: Counter,
    pub(crate) lookups: Counter,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let Self { calls, kept, lookups } = self;
        Counts { calls: calls.read(), kept: kept.read(), lookups: lookups.read() }
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

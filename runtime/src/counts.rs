//! Counters of a handler's calls, cache hits and lookups.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of one handler since it was loaded, see
/// [`HandlerInfo`](crate::registry::HandlerInfo::counts).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Number of calls of its component: one for each token to issue, and one for each token to
    /// verify whose verdict was not cached.
    pub calls: u64,
    /// Number of tokens accepted from the verdict cache, without a call.
    pub cache_hits: u64,
    /// Number of store lookups and queries.
    pub lookups: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) lookups: Counter,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let Self { calls, cache_hits, lookups } = self;
        Counts { calls: calls.read(), cache_hits: cache_hits.read(), lookups: lookups.read() }
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

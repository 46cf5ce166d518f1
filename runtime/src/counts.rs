//! Counters of a handler's calls, cache hits and lookups, and the interfaces that it has called.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

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
    /// Number of log lines and messages from which the host removed the token of the call: the
    /// handler leaks tokens.
    pub redactions: u64,
    /// Number of log lines that were dropped, because a call wrote more than its limit.
    pub dropped_lines: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) lookups: Counter,
    pub(crate) redactions: Counter,
    pub(crate) dropped_lines: Counter,
    pub(crate) called: Called,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let Self { calls, cache_hits, lookups, redactions, dropped_lines, called: _ } = self;
        Counts {
            calls: calls.read(),
            cache_hits: cache_hits.read(),
            lookups: lookups.read(),
            redactions: redactions.read(),
            dropped_lines: dropped_lines.read(),
        }
    }
}

/// An interface that an operator grants.
#[derive(Clone, Copy)]
pub(crate) enum Granted {
    Keys,
    PublicKeys,
    Secrets,
    Store,
    Queries,
    Http,
    Wasi,
}

impl Granted {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Keys, "keys"),
        (Self::PublicKeys, "public-keys"),
        (Self::Secrets, "secrets"),
        (Self::Store, "store"),
        (Self::Queries, "queries"),
        (Self::Http, "http"),
        (Self::Wasi, "wasi"),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The granted interfaces that a handler has called.
#[derive(Default)]
pub(crate) struct Called(AtomicU8);

impl Called {
    pub(crate) fn note(&self, interface: Granted) {
        // Nearly always only a read.
        if self.0.load(Ordering::Relaxed) & interface.bit() == 0 {
            self.0.fetch_or(interface.bit(), Ordering::Relaxed);
        }
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let bits = self.0.load(Ordering::Relaxed);
        Granted::ALL.iter().filter(|(interface, _)| bits & interface.bit() != 0).map(|(_, name)| *name).collect()
    }
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

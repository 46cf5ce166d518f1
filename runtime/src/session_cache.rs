//! A cache of the verdicts of a session handler, for the lifetimes that the operator grants.
//!
//! An entry is never used for longer than its lifetime, which use does not extend. A revocation
//! ends it at once: the caller compares the version of the revocation list.

use crate::clock::UnixTime;
use crate::session::{SessionGrant, SessionKey};
use crate::verdict::Verdict;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Maximum time in seconds for which a verdict without a user is cached: one who signs in with the
/// same cookie does not wait longer.
const MAX_NEGATIVE_TTL: u64 = 5;

/// The part of the cache for verdicts without a user, as a divisor: requests with invented cookies
/// do not displace users.
const NEGATIVE_PART: usize = 8;

/// Estimated number of entries, from which the cache chooses its number of shards.
const ENTRIES: usize = 1_000;

/// The cached verdicts of one handler in its current configuration.
pub(crate) struct SessionCache {
    ttl: u64,
    stale: u64,
    users: Cache<SessionKey, Arc<CachedSession>, Bytes>,
    others: Cache<SessionKey, Arc<CachedSession>, Bytes>,
}

/// A verdict of a session handler.
pub(crate) struct CachedSession {
    pub(crate) verdict: Verdict,
    /// The version of the revocation list before the call; `None` without a list.
    pub(crate) version: Option<u64>,
    /// The time before the call.
    asked_at: UnixTime,
    /// The second of the last call that failed to renew it.
    failed_in: AtomicU64,
    bytes: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<SessionKey, Arc<CachedSession>> for Bytes {
    fn weight(&self, _: &SessionKey, session: &Arc<CachedSession>) -> u64 {
        session.bytes
    }
}

impl CachedSession {
    /// `bytes` is its size in memory.
    pub(crate) fn new(verdict: Verdict, asked_at: UnixTime, version: Option<u64>, bytes: usize) -> Self {
        Self {
            verdict,
            version,
            asked_at,
            failed_in: AtomicU64::new(0),
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether it is at most `ttl` seconds old. One from the future has no age: a clock was
    /// set back.
    fn is_within(&self, ttl: u64, now: UnixTime) -> bool {
        now.seconds.checked_sub(self.asked_at.seconds).is_some_and(|age| age < ttl)
    }

    /// Notes that a call in this second failed to renew it.
    pub(crate) fn failed(&self, now: UnixTime) {
        self.failed_in.store(now.seconds, Ordering::Relaxed);
    }

    /// Returns whether a call in this second has failed to renew it.
    pub(crate) fn has_failed(&self, now: UnixTime) -> bool {
        self.failed_in.load(Ordering::Relaxed) == now.seconds
    }
}

impl SessionCache {
    /// Creates a cache of at most `bytes` bytes. `None` if the grant allows none.
    pub(crate) fn new(grant: &SessionGrant, bytes: usize) -> Option<Self> {
        let seconds = |time: Duration| time.as_secs();
        if seconds(grant.ttl) == 0 || bytes == 0 {
            return None;
        }
        let cache = |bytes: usize| Cache::with_weighter(ENTRIES, u64::try_from(bytes).unwrap_or(u64::MAX), Bytes);
        let others = bytes / NEGATIVE_PART;
        Some(Self {
            ttl: seconds(grant.ttl),
            stale: seconds(grant.stale),
            users: cache(bytes - others),
            others: cache(others),
        })
    }

    /// Returns the verdict for a request, if it is younger than its lifetime.
    pub(crate) fn fresh(&self, key: &SessionKey, now: UnixTime) -> Option<Arc<CachedSession>> {
        let user = self.users.get(key).filter(|session| session.is_within(self.ttl, now));
        user.or_else(|| self.others.get(key).filter(|other| other.is_within(self.ttl.min(MAX_NEGATIVE_TTL), now)))
    }

    /// Returns the last verdict with a user, if it may replace one that is not available.
    pub(crate) fn stale(&self, key: &SessionKey, now: UnixTime) -> Option<Arc<CachedSession>> {
        if self.stale == 0 {
            return None;
        }
        self.users.get(key).filter(|session| session.is_within(self.ttl.saturating_add(self.stale), now))
    }

    /// Caches the verdict of a call, which replaces an earlier one.
    pub(crate) fn keep(&self, key: SessionKey, session: CachedSession) {
        let session = Arc::new(session);
        let (kept, other) = match session.verdict {
            Verdict::Accepted(_) => (&self.users, &self.others),
            Verdict::NotMine | Verdict::Rejected(_) => (&self.others, &self.users),
        };
        // First, so that a user who has signed out is not found in between.
        other.remove(&key);

        kept.insert(key, session);
    }
}

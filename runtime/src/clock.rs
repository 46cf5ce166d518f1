//! Sources of the current time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The same as [`UnixTime::MAX_SECONDS`].
pub(crate) const MAX_SECONDS: u64 = UnixTime::MAX_SECONDS;

/// A point in time: the time since [`UNIX_EPOCH`], 1970-01-01T00:00:00Z, which is the default.
///
/// A clock returns nanoseconds. The times of tokens, records and revocations are whole seconds. A
/// time is neither a number nor a duration:
///
/// ```compile_fail
/// use keyward_runtime::store::Record;
/// let record = Record::new("id", "root", 1_767_225_600);
/// ```
///
/// ```
/// use keyward_runtime::clock::UnixTime;
/// use keyward_runtime::store::Record;
/// let record = Record::new("id", "root", UnixTime::from_seconds(1_767_225_600));
/// assert_eq!(record.issued_at.seconds, 1_767_225_600);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "seconds and nanoseconds are the whole of a time")]
pub struct UnixTime {
    /// Number of whole seconds.
    pub seconds: u64,
    /// Nanoseconds within the second, less than 1,000,000,000.
    pub nanoseconds: u32,
}

impl UnixTime {
    /// The last second of the year 9999, the largest time that RFC 3339 can represent.
    pub const MAX_SECONDS: u64 = 253_402_300_799;

    /// Creates the time at this number of whole seconds.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// Returns the time without its nanoseconds.
    pub const fn whole(self) -> Self {
        Self::from_seconds(self.seconds)
    }

    /// Returns the time this number of seconds later, at the latest in the last second.
    pub const fn later(self, seconds: u64) -> Self {
        Self { seconds: self.seconds.saturating_add(seconds), ..self }
    }

    /// Returns the time this number of seconds earlier, at the earliest in the first second.
    pub(crate) const fn earlier(self, seconds: u64) -> Self {
        Self { seconds: self.seconds.saturating_sub(seconds), ..self }
    }

    /// Returns the number of seconds since an earlier time, without regard to nanoseconds; 0 if
    /// that time is later.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.seconds.saturating_sub(earlier.seconds)
    }

    /// Returns whether an expiry has passed. It has not passed at exactly its second, as in
    /// Datasette (`now - t > d`).
    pub(crate) fn is_past(self, end: Self) -> bool {
        self > end.whole()
    }
}

/// A source of the current time. A closure or a fixed [`UnixTime`] is a clock, for tests and
/// `--at`.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    ///
    /// `None` if the time is unknown (a system clock before 1970): then every verification fails.
    fn now(&self) -> Option<UnixTime>;

    /// Returns whether the time was chosen, such as by `--at`, instead of read from the machine. A
    /// chosen time is not compared with other clocks.
    fn is_chosen(&self) -> bool {
        false
    }
}

impl<F: Fn() -> Option<UnixTime> + Send + Sync> Clock for F {
    fn now(&self) -> Option<UnixTime> {
        self()
    }
}

/// A clock that always returns the same time.
impl Clock for UnixTime {
    fn now(&self) -> Option<UnixTime> {
        Some(*self)
    }

    fn is_chosen(&self) -> bool {
        true
    }
}

/// A clock that never goes backwards: if the wrapped clock does, it keeps returning the latest
/// time.
///
/// For the life of the process, an expired token stays expired, and no token is issued with an
/// earlier time than a previous one. If the wrapped clock was wrong and far ahead, a restart resets
/// the time.
#[derive(Debug, Default)]
pub struct MonotonicClock<C> {
    clock: C,
    /// The latest time returned, in nanoseconds since 1970.
    latest: AtomicU64,
}

impl<C: Clock> MonotonicClock<C> {
    /// Wraps `clock`.
    pub fn new(clock: C) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }
}

impl<C: Clock> Clock for MonotonicClock<C> {
    fn now(&self) -> Option<UnixTime> {
        let UnixTime { seconds, nanoseconds } = self.clock.now()?;
        // A `u64` holds nanoseconds until the year 2554.
        let told = seconds.saturating_mul(NANOSECONDS).saturating_add(nanoseconds.into());
        let latest = self.latest.fetch_max(told, Ordering::SeqCst).max(told);
        let nanoseconds = u32::try_from(latest % NANOSECONDS).ok()?;
        Some(UnixTime { seconds: latest / NANOSECONDS, nanoseconds })
    }

    fn is_chosen(&self) -> bool {
        self.clock.is_chosen()
    }
}

/// Number of nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// The operating system's clock, [`SystemTime::now`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Mutex;

    #[test]
    fn a_clock_that_goes_back_keeps_its_latest_time() {
        let told = Mutex::new(Cell::new(None));
        let clock = MonotonicClock::new(|| told.lock().unwrap().get());
        let at = |seconds, nanoseconds| Some(UnixTime { seconds, nanoseconds });
        for (time, wanted) in [
            (None, None),
            (at(100, 5), at(100, 5)),
            (at(100, 4), at(100, 5)),
            (at(100, 6), at(100, 6)),
            (at(0, 0), at(100, 6)),
            (at(99, 999_999_999), at(100, 6)),
            (None, None),
            (at(101, 0), at(101, 0)),
            (at(32_000_000_000, 0), at(18_446_744_073, 709_551_615)),
        ] {
            told.lock().unwrap().set(time);
            assert_eq!(clock.now(), wanted, "{time:?}");
        }
    }
}

//! Where the time comes from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, the last that RFC 3339 can write.
pub(crate) const MAX_SECONDS: u64 = 253_402_300_799;

/// A time since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime {
    /// Whole seconds.
    pub seconds: u64,
    /// Nanoseconds of the next one, fewer than 1,000,000,000.
    pub nanoseconds: u32,
}

impl UnixTime {
    /// Whether the moment `seconds`, the last good second of something, has passed. At exactly that second it has not:
    /// so it is with Datasette, `now - t > d`.
    pub(crate) fn is_past(self, seconds: u64) -> bool {
        self > Self { seconds, nanoseconds: 0 }
    }
}

/// A source of time. Tests and `--at` give their own; a closure is one.
pub trait Clock: Send + Sync {
    /// Now, or `None` where the time cannot be told (a system clock before 1970): then nothing is verified.
    fn now(&self) -> Option<UnixTime>;

    /// Returns whether it shows a time that was chosen, such as `--at`, and not the machine's: it is then compared with none.
    fn is_chosen(&self) -> bool {
        false
    }
}

impl<F: Fn() -> Option<UnixTime> + Send + Sync> Clock for F {
    fn now(&self) -> Option<UnixTime> {
        self()
    }
}

/// A clock that stands still.
impl Clock for UnixTime {
    fn now(&self) -> Option<UnixTime> {
        Some(*self)
    }

    fn is_chosen(&self) -> bool {
        true
    }
}

/// A clock that never goes back: while the one that it is made of does, it stands still. What has expired stays expired, and no
/// token is made with a time before that of an earlier one, for as long as the process lives. A time that was wrong and far
/// ahead is left by a restart.
#[derive(Debug, Default)]
pub struct MonotonicClock<C> {
    clock: C,
    /// The latest time that was told, in nanoseconds since 1970.
    latest: AtomicU64,
}

impl<C: Clock> MonotonicClock<C> {
    /// Goes with this one.
    pub fn new(clock: C) -> Self {
        Self { clock, latest: AtomicU64::new(0) }
    }
}

impl<C: Clock> Clock for MonotonicClock<C> {
    fn now(&self) -> Option<UnixTime> {
        let UnixTime { seconds, nanoseconds } = self.clock.now()?;
        // It has room until the year 2554.
        let told = seconds.saturating_mul(NANOSECONDS).saturating_add(nanoseconds.into());
        let latest = self.latest.fetch_max(told, Ordering::SeqCst).max(told);
        let nanoseconds = u32::try_from(latest % NANOSECONDS).ok()?;
        Some(UnixTime { seconds: latest / NANOSECONDS, nanoseconds })
    }

    fn is_chosen(&self) -> bool {
        self.clock.is_chosen()
    }
}

/// In a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
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
    fn a_clock_that_goes_back_stands_still() {
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

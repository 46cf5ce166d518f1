//! Where the time comes from.

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
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }
}

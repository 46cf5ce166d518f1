//! The highest use of each limit by the calls of one handler, in the last minutes.

use crate::limits::{LimitKind, Limits};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Length of a window in seconds. Between one and two windows are shown.
const WINDOW: u64 = 300;

/// The highest use of a limit in the last five to ten minutes, see
/// [`HandlerInfo::peaks`](crate::registry::HandlerInfo::peaks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitPeak {
    /// The limit.
    pub limit: LimitKind,
    /// The highest use by one call, in the unit of the limit, or nanoseconds for times.
    pub used: u64,
    /// The maximum, in the same unit.
    pub of: u64,
}

/// The limits whose use is known at the end of each call.
const LIMITS: [LimitKind; 5] =
    [LimitKind::Memory, LimitKind::Table, LimitKind::HostCalls, LimitKind::HostWork, LimitKind::Cpu];

/// The peaks of one handler.
pub(crate) struct Peaks {
    /// Number of the window of the current peaks.
    window: AtomicU64,
    limits: [Peak; LIMITS.len()],
}

struct Peak {
    of: u64,
    now: AtomicU64,
    before: AtomicU64,
}

impl Peak {
    fn new(of: u64) -> Self {
        Self { of, now: AtomicU64::new(0), before: AtomicU64::new(0) }
    }

    fn note(&self, used: u64) {
        // Nearly always only a read.
        if used > self.now.load(Ordering::Relaxed) {
            self.now.fetch_max(used, Ordering::Relaxed);
        }
    }
}

impl Peaks {
    pub(crate) fn new(limits: &Limits) -> Self {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let of = [
            count(limits.memory_bytes),
            count(limits.table_elements),
            limits.host_calls.into(),
            count(limits.host_work_bytes),
            nanos(limits.cpu),
        ];
        Self { window: AtomicU64::new(0), limits: of.map(Peak::new) }
    }

    /// Notes the use of memory, table elements, host calls and host work by a call at `seconds`.
    pub(crate) fn note(&self, seconds: u64, used: [u64; 4]) {
        self.turn(seconds);
        self.limits.iter().zip(used).for_each(|(peak, used)| peak.note(used));
    }

    /// Notes the CPU time of a call.
    pub(crate) fn note_cpu(&self, used: Duration) {
        let [.., cpu] = &self.limits;
        cpu.note(nanos(used));
    }

    /// Returns the peaks at `seconds`.
    pub(crate) fn read(&self, seconds: u64) -> Vec<LimitPeak> {
        self.turn(seconds);
        let peak = |(limit, peak): (LimitKind, &Peak)| {
            let used = peak.now.load(Ordering::Relaxed).max(peak.before.load(Ordering::Relaxed));
            LimitPeak { limit, used: used.min(peak.of), of: peak.of }
        };
        LIMITS.into_iter().zip(&self.limits).map(peak).collect()
    }

    /// Begins a new window if one is due. A clock that runs backwards begins none.
    fn turn(&self, seconds: u64) {
        let (window, current) = (seconds / WINDOW, self.window.load(Ordering::Relaxed));
        let is_due = window > current;
        if !is_due || self.window.compare_exchange(current, window, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        for peak in &self.limits {
            let last = peak.now.swap(0, Ordering::Relaxed);
            // After a pause, the current peaks are too old as well.
            peak.before.store(if window == current.saturating_add(1) { last } else { 0 }, Ordering::Relaxed);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(peaks: &Peaks, seconds: u64) -> [u64; 5] {
        let peaks: Vec<_> = peaks.read(seconds).iter().map(|peak| peak.used).collect();
        peaks.try_into().unwrap()
    }

    #[test]
    fn peaks_last_for_five_to_ten_minutes() {
        let limits = Limits { host_calls: 100, ..Limits::default() };
        let peaks = Peaks::new(&limits);
        peaks.note(3_000, [10, 20, 30, 40]);
        peaks.note(3_001, [5, 25, 3, 4]);
        peaks.note_cpu(Duration::from_nanos(50));
        assert_eq!(used(&peaks, 3_299), [10, 25, 30, 40, 50]);
        peaks.note(3_300, [1, 1, 31, 1]);
        assert_eq!(used(&peaks, 3_599), [10, 25, 31, 40, 50], "the last window counts");
        assert_eq!(used(&peaks, 3_600), [1, 1, 31, 1, 0]);
        assert_eq!(used(&peaks, 3_600 + 600), [0; 5], "after a pause, nothing is left");
        // A clock that runs backwards changes nothing.
        peaks.note(0, [7; 4]);
        assert_eq!(used(&peaks, 4_200), [7, 7, 7, 7, 0]);
        peaks.note(4_200, [0, 0, 1_000, 0]);
        assert_eq!(
            peaks.read(4_200).get(2).map(|peak| (peak.used, peak.of)),
            Some((100, 100)),
            "never above the limit"
        );
    }
}

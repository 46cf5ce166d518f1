//! The recent conduct of one handler's calls: their costs and outcomes, which decide where the next
//! call starts.

use crate::engine::TICK;
use crate::error::ErrorKind;
use crate::lane::CpuUsage;
use crate::limits::LimitKind;
use crate::peaks::Peaks;
use crate::slice::SLICE;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// CPU time that a call may cost before it adds to its handler's debt: several times the cost of a
/// well-behaved handler.
pub(crate) const ALLOWANCE: Duration = Duration::from_micros(200);

/// Minimum cost that is charged for a call that outlasts its [`SLICE`].
pub(crate) const OUTLASTED: Duration = TICK.saturating_add(SLICE);

/// The debt above which a handler's calls start on the steady lane. One slow call may be the
/// machine's fault; two slow calls exceed this.
const MAX_DEBT: Duration = Duration::from_millis(2);

/// Maximum debt of a handler. About fifty quick calls work it off.
const MOST_OWED: Duration = Duration::from_millis(6);

/// Time for which a handler's calls start on the spare lane after one had to be stopped, unless a
/// call finishes by itself.
const STOPPED_FOR: Duration = Duration::from_secs(10);

/// Number of calls that are measured from their first instruction, after one that finished late
/// without a tick, or cost more than its [`ALLOWANCE`]. Measuring costs as much as a twentieth of a
/// call. A handler that is slow once in seventeen calls stays within its allowance on average.
const MEASURED_CALLS: u32 = 16;

/// The conduct of one handler's calls, which decides where the next call starts.
pub(crate) struct Conduct {
    pub(crate) cpu: Arc<CpuUsage>,
    peaks: Arc<Peaks>,
    /// The cost of recent calls above their allowances, less the unused allowances of cheaper
    /// calls, in nanoseconds.
    debt: AtomicU64,
    /// Number of the next calls that are measured.
    measured: AtomicU32,
    /// The end of the time in which calls start on the spare lane.
    stopped_until: Mutex<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// On the caller's thread. If `is_measured`, the CPU time is measured from the first
    /// instruction.
    Inline {
        is_measured: bool,
    },
    Steady,
    Spare,
}

impl Conduct {
    pub(crate) fn new(now: Instant, peaks: Arc<Peaks>) -> Self {
        let (debt, measured) = (AtomicU64::new(0), AtomicU32::new(0));
        Self { cpu: Arc::new(CpuUsage::new(now)), peaks, debt, measured, stopped_until: Mutex::new(now) }
    }

    pub(crate) fn start(&self, now: Instant) -> Start {
        if now < *self.stopped_until() {
            return Start::Spare;
        }
        if self.debt.load(Ordering::Relaxed) > nanos(MAX_DEBT) {
            return Start::Steady;
        }
        // Without measured calls, this only reads the atomic.
        let next = |calls: u32| calls.checked_sub(1);
        let is_measured = self.measured.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        Start::Inline { is_measured }
    }

    /// Notes a call that outlasted its [`SLICE`], even if its caller drops it before it finishes.
    pub(crate) fn note_slow(&self, cost: Duration) {
        self.note_cost(cost.max(OUTLASTED));
    }

    /// Notes a direct call that outlasted its [`SLICE`] and runs again. The next calls start on the
    /// steady lane, so that they run once.
    pub(crate) fn note_overrun(&self, cost: Duration) {
        self.note_cost(cost.max(MAX_DEBT.saturating_add(OUTLASTED)));
    }

    /// Notes the cost of a call.
    pub(crate) fn note_cost(&self, cost: Duration) {
        self.peaks.note_cpu(cost);
        if cost > ALLOWANCE {
            self.measure_next();
        }
        // Without debt, a cheap call only reads the atomic.
        if cost > ALLOWANCE || self.debt.load(Ordering::Relaxed) > 0 {
            let debt = |debt: u64| {
                let sum = debt.saturating_add(nanos(cost)).saturating_sub(nanos(ALLOWANCE));
                Some(sum.min(nanos(MOST_OWED)))
            };
            let _ = self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, debt);
        }
    }

    /// Measures the next calls. Called after one that finished late without having been measured:
    /// its thread may have been preempted.
    pub(crate) fn measure_next(&self) {
        self.measured.store(MEASURED_CALLS, Ordering::Relaxed);
    }

    /// Notes the result of a slow call that used `used` CPU time.
    pub(crate) fn note_end<T>(&self, result: &Result<T, ErrorKind>, used: Duration, now: Instant) {
        let mut until = self.stopped_until();
        match stopped_by(result) {
            None => *until = now,
            // The machine or the spare lane may have kept the call waiting.
            Some(LimitKind::Wall) if used <= SLICE || now < *until => {}
            Some(_) => *until = now + STOPPED_FOR,
        }
    }

    fn stopped_until(&self) -> MutexGuard<'_, Instant> {
        self.stopped_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the limit that stopped a call, if the call would otherwise have continued to run.
pub(crate) fn stopped_by<T>(result: &Result<T, ErrorKind>) -> Option<LimitKind> {
    match result {
        Err(ErrorKind::Limit(hit)) => {
            Some(hit.limit).filter(|limit| matches!(limit, LimitKind::Cpu | LimitKind::Wall | LimitKind::HostWork))
        }
        _ => None,
    }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LimitExceeded;
    use crate::limits::Limits;

    fn conduct() -> Conduct {
        Conduct::new(Instant::now(), Arc::new(Peaks::new(&Limits::default())))
    }

    fn stopped() -> ErrorKind {
        ErrorKind::Limit(LimitExceeded { limit: LimitKind::Cpu, used: 1, of: 1 })
    }

    #[test]
    fn a_handler_recovers_with_time() {
        let (start, conduct) = (Instant::now(), conduct());
        conduct.note_end::<()>(&Err(stopped()), Duration::from_millis(50), start);
        for (seconds, wanted) in [(0, Start::Spare), (9, Start::Spare), (11, Start::Inline { is_measured: false })] {
            assert_eq!(conduct.start(start + Duration::from_secs(seconds)), wanted, "after {seconds} s");
        }
        conduct.note_end(&Ok(()), Duration::ZERO, start);
        conduct.note_slow(Duration::ZERO);
        assert_eq!(conduct.start(start), Start::Inline { is_measured: true });
        conduct.note_slow(Duration::ZERO);
        let quick = ALLOWANCE / 2;
        for _ in 0..(2 * (OUTLASTED - ALLOWANCE) - MAX_DEBT).as_nanos().div_ceil(quick.as_nanos()) {
            assert_eq!(conduct.start(start), Start::Steady);
            conduct.note_cost(quick);
        }
        assert_eq!(conduct.start(start), Start::Inline { is_measured: true });
    }

    #[test]
    fn some_calls_after_a_late_one_are_measured() {
        let (conduct, now) = (conduct(), Instant::now());
        let measured = || (0..100).take_while(|_| conduct.start(now) == Start::Inline { is_measured: true }).count();
        assert_eq!(measured(), 0);
        conduct.measure_next();
        assert_eq!(measured(), 16);
        conduct.note_cost(ALLOWANCE);
        assert_eq!(measured(), 0, "it stayed within its allowance");
        conduct.note_cost(2 * ALLOWANCE);
        assert_eq!(measured(), 16);
    }
}

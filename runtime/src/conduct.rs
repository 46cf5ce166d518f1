//! The conduct of one handler's calls: what they cost, and how they ended. It decides where the next one begins.

use crate::engine::TICK;
use crate::error::{Fault, LimitName};
use crate::lane::CpuUsage;
use crate::slice::SLICE;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// CPU time that a call may cost before it adds to its handler's debt: several times what a good handler needs.
pub(crate) const ALLOWANCE: Duration = Duration::from_micros(200);

/// The cost of a call that outlasts its slice, at least.
pub(crate) const OUTLASTED: Duration = TICK.saturating_add(SLICE);

/// The debt with which a handler begins its calls on the steady lane. One slow call may be the machine's doing; two of
/// them are more than this.
const MAX_DEBT: Duration = Duration::from_millis(2);

/// The most that a handler can owe. Quick calls work it off within the half of a hundred.
const MOST_OWED: Duration = Duration::from_millis(6);

/// How long a handler begins its calls on the spare lane after one that had to be stopped, unless one ends by itself.
const STOPPED_FOR: Duration = Duration::from_secs(10);

/// How long the calls of a handler are measured from their first instruction after one that ended late without a tick.
const MEASURED_FOR: Duration = Duration::from_secs(10);

/// The conduct of one handler's calls, which decides where its next one begins.
pub(crate) struct Conduct {
    pub(crate) cpu: Arc<CpuUsage>,
    /// What calls lately cost beyond their allowances, less what cheaper ones left of theirs; in nanoseconds.
    debt: AtomicU64,
    until: Mutex<Until>,
}

/// Each of them is in the past where it does not apply.
struct Until {
    stopped: Instant,
    measured: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// On the caller's thread; `is_measured` from its first instruction.
    Inline {
        is_measured: bool,
    },
    Steady,
    Spare,
}

impl Conduct {
    pub(crate) fn new(now: Instant) -> Self {
        let until = Until { stopped: now, measured: now };
        Self { cpu: Arc::new(CpuUsage::new(now)), debt: AtomicU64::new(0), until: Mutex::new(until) }
    }

    pub(crate) fn start(&self, now: Instant) -> Start {
        let until = self.until();
        match () {
            () if now < until.stopped => Start::Spare,
            () if self.debt.load(Ordering::Relaxed) > nanos(MAX_DEBT) => Start::Steady,
            () => Start::Inline { is_measured: now < until.measured },
        }
    }

    /// Notes a call that outlasted its slice, whatever comes of it: a client that leaves does not make it a quick one.
    pub(crate) fn note_slow(&self, cost: Duration) {
        self.note_cost(cost.max(OUTLASTED));
    }

    /// Notes what a call cost.
    pub(crate) fn note_cost(&self, cost: Duration) {
        // Handlers without debt only read.
        if cost > ALLOWANCE || self.debt.load(Ordering::Relaxed) > 0 {
            let debt = |debt: u64| {
                let sum = debt.saturating_add(nanos(cost)).saturating_sub(nanos(ALLOWANCE));
                Some(sum.min(nanos(MOST_OWED)))
            };
            let _ = self.debt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, debt);
        }
    }

    /// Notes a call that ended late without having been looked at. Its thread may have been kept waiting; the next calls
    /// will tell.
    pub(crate) fn note_unmeasured(&self, now: Instant) {
        self.until().measured = now + MEASURED_FOR;
    }

    /// Notes how a slow call ended, after this much CPU time.
    pub(crate) fn note_end<T>(&self, result: &Result<T, Fault>, used: Duration, now: Instant) {
        let mut until = self.until();
        match stopped_by(result) {
            None => until.stopped = now,
            // The machine may have kept it waiting, as the spare lane does.
            Some(LimitName::Wall) if used <= SLICE || now < until.stopped => {}
            Some(_) => until.stopped = now + STOPPED_FOR,
        }
    }

    fn until(&self) -> MutexGuard<'_, Until> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the limit that ended a call which would have run on.
pub(crate) fn stopped_by<T>(result: &Result<T, Fault>) -> Option<LimitName> {
    match result {
        Err(Fault::Limit(hit)) => {
            Some(hit.limit).filter(|limit| matches!(limit, LimitName::Cpu | LimitName::Wall | LimitName::HostWork))
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
    use crate::error::LimitHit;

    fn conduct() -> Conduct {
        Conduct::new(Instant::now())
    }

    fn stopped() -> Fault {
        Fault::Limit(LimitHit { limit: LimitName::Cpu, used: 1, of: 1 })
    }

    #[test]
    fn standing_comes_back_with_time() {
        let (start, conduct) = (Instant::now(), conduct());
        conduct.note_end::<()>(&Err(stopped()), Duration::from_millis(50), start);
        conduct.note_unmeasured(start);
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
}

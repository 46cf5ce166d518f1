//! The allowance of notes: the bytes that they may take in a day, since untrusted clients decide
//! how many there are.

use std::time::Duration;

/// The period of the allowance.
const DAY: Duration = Duration::from_secs(86_400);

/// The used part of the allowance, as the time since 1970 at which all of it is available again.
///
/// Half of a day's bytes can be used at once, and the other half becomes available evenly over the
/// day. So no 24 hours take more than a day's bytes, and after a flood there are still samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Allowance(Duration);

impl Allowance {
    /// Takes `bytes` from the allowance of `per_day` bytes. Returns `false`, and takes nothing, if
    /// fewer are available.
    pub(crate) fn take(&mut self, bytes: usize, per_day: u64, now: Duration) -> bool {
        self.limit(now);
        let used = cost(bytes, per_day).and_then(|cost| self.0.checked_add(cost));
        let used = used.filter(|used| *used <= now.saturating_add(DAY));
        self.0 = used.unwrap_or(self.0);
        used.is_some()
    }

    /// Takes `bytes`, or as many as are available. Returns `false` if they are fewer.
    pub(crate) fn charge(&mut self, bytes: usize, per_day: u64, now: Duration) -> bool {
        let is_taken = self.take(bytes, per_day, now);
        if !is_taken {
            self.0 = now.saturating_add(DAY);
        }
        is_taken
    }

    /// Moves the time into the day that follows `now`. After the clock was set back, the allowance
    /// is used up, and becomes available again as usual.
    fn limit(&mut self, now: Duration) {
        self.0 = self.0.clamp(now, now.saturating_add(DAY));
    }

    /// Returns the larger use of this and of `noted`, which is ignored if the clock was set back
    /// since it was noted.
    pub(crate) fn or_noted(self, noted: Option<Self>, now: Duration) -> Self {
        let mut this = self;
        this.limit(now);
        this.max(noted.filter(|noted| noted.0 <= now.saturating_add(DAY)).unwrap_or_default())
    }

    /// Returns the time as it is noted, in microseconds.
    pub(crate) fn micros(self) -> u128 {
        self.0.as_micros()
    }

    /// Returns the allowance that was noted as these microseconds.
    pub(crate) fn of_micros(micros: u64) -> Self {
        Self(Duration::from_micros(micros))
    }
}

/// Returns the time in which `bytes` become available; `None` if they never do.
fn cost(bytes: usize, per_day: u64) -> Option<Duration> {
    let nanos = u128::try_from(bytes).ok()?.checked_mul(DAY.as_nanos())?.checked_div((per_day / 2).into())?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_24_hours_take_more_than_a_days_bytes(
            calls in proptest::collection::vec((0..20_000_u64, 1..500_usize), 1..300),
        ) {
            let (mut allowance, mut now) = (Allowance::default(), Duration::from_secs(1_795_356_000));
            let mut taken: Vec<(Duration, u64)> = Vec::new();
            for (seconds, bytes) in calls {
                now += Duration::from_secs(seconds);
                if allowance.take(bytes, 2_000, now) {
                    taken.push((now, bytes as u64));
                }
                let day = taken.iter().filter(|(at, _)| *at + DAY > now);
                prop_assert!(day.map(|(_, bytes)| bytes).sum::<u64>() <= 2_000);
            }
        }
    }

    #[test]
    fn an_allowance_is_used_by_halves() {
        let mut allowance = Allowance::default();
        let mut now = Duration::from_secs(1_795_356_000);
        for (hours, available) in [(0, 500), (12, 250), (12, 250), (24, 500), (240, 500), (0, 0), (1, 20)] {
            now += Duration::from_secs(hours * 3_600);
            let taken = (0..2_000).filter(|_| allowance.take(1, 1_000, now)).count();
            assert_eq!(taken, available, "after {hours} hours");
        }
        assert!(!Allowance::default().take(1, 0, now));
        assert!(!Allowance::default().take(501, 1_000, now));
        assert!(Allowance::default().take(1_000_000, u64::MAX, now));
        assert!(!Allowance::default().take(1, 1_000, Duration::MAX), "a clock at its end");
    }

    #[test]
    fn a_charge_takes_what_is_left() {
        let now = Duration::from_secs(1_795_356_000);
        let mut allowance = Allowance::default();
        assert!(allowance.charge(400, 1_000, now) && !allowance.charge(400, 1_000, now));
        assert!(!allowance.take(1, 1_000, now));
        assert!(allowance.take(1, 1_000, now + Duration::from_secs(180)));
    }

    /// A clock that jumps makes half of a day's bytes available at most, and blocks nothing for
    /// longer than a day.
    #[test]
    fn a_jump_of_the_clock_is_forgotten_within_a_day() {
        let start = Duration::from_secs(1_795_356_000);
        let far = start + DAY * 3_650;
        let mut allowance = Allowance::default();
        assert!(allowance.take(500, 1_000, start));
        assert!(allowance.take(500, 1_000, far), "as after ten years");
        assert!(!allowance.take(1, 1_000, start) && !allowance.take(1, 1_000, start));
        assert!(allowance.take(250, 1_000, start + DAY / 2));
        // The same beside the file, where the time is not moved.
        let mut noted = Allowance::default();
        assert!(noted.take(500, 1_000, far));
        let mut own = noted.or_noted(Some(noted), start);
        assert!(!own.take(1, 1_000, start));
        own = own.or_noted(Some(noted), start + DAY / 2);
        assert!(own.take(250, 1_000, start + DAY / 2));
        assert_eq!(own.or_noted(None, start + DAY / 2), own);
    }
}

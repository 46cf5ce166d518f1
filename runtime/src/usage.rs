//! Recently used time, with a half-life of five seconds.

use std::time::{Duration, Instant};

const HALF_LIFE: Duration = Duration::from_secs(5);

/// Maximum age of unread additions before they are folded in. The error is negligible up to a tenth
/// of the half-life.
const FOLD: Duration = Duration::from_millis(500);

/// An amount of time that decays.
#[derive(Debug, Clone)]
pub(crate) struct Usage {
    level: Duration,
    at: Instant,
}

impl Usage {
    pub(crate) fn new(now: Instant) -> Self {
        Self { level: Duration::ZERO, at: now }
    }

    /// Adds time that was used up to `now`.
    pub(crate) fn add(&mut self, used: Duration, now: Instant) {
        if now.saturating_duration_since(self.at) > FOLD {
            self.level(now);
        }
        self.level = self.level.saturating_add(used);
    }

    /// Returns the decayed amount at `now`.
    pub(crate) fn level(&mut self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.at);
        if !age.is_zero() {
            let left = (-age.div_duration_f64(HALF_LIFE)).exp2();
            self.level = self.level.mul_f64(left.clamp(0.0, 1.0));
            self.at = now;
        }
        self.level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_halves_with_each_half_life() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        usage.add(Duration::from_secs(8), start);
        assert_eq!(usage.level(start), Duration::from_secs(8));
        assert_eq!(usage.level(start + HALF_LIFE), Duration::from_secs(4));
        usage.add(Duration::from_secs(4), start + HALF_LIFE);
        assert_eq!(usage.level(start + 3 * HALF_LIFE), Duration::from_secs(2));
        assert!(usage.level(start + 100 * HALF_LIFE).is_zero());
    }
}

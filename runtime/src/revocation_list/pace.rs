//! Decides whether a node's clock may move the newest time that the store has seen.

use std::time::Instant;

/// The most by which the clocks of two nodes may be apart, in seconds. A node that lies further
/// behind the store gives no verdict on the end of a token. Machines that keep time at all agree
/// within seconds; a lost time zone or a dead battery is off by more.
pub(crate) const APART: u64 = 300;

/// The most by which a clock may run ahead of the process's monotonic time, in seconds: small
/// corrections are no leap.
const LEAP: u64 = 60;

/// The pace of a node's clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A moment and the clock's time then, which is believed.
    since: Option<(Instant, u64)>,
    /// The store's newest time, as it was when this was last asked.
    seen: Option<Option<u64>>,
    has_complained: bool,
}

impl Pace {
    /// Returns whether the store's newest time is to be moved to `now`.
    ///
    /// A clock that leaps while the process runs moves nothing. One that is far ahead when the
    /// process starts may be right after a long pause: it is believed once no other node has moved
    /// the time between two questions.
    pub(super) fn moves(&mut self, now: u64, newest: Option<u64>, at: Instant) -> bool {
        let (since, then) = *self.since.get_or_insert((at, now));
        let expected = then.saturating_add(at.saturating_duration_since(since).as_secs());
        let stands_still = self.seen.replace(newest) == Some(newest);
        let moves = match newest {
            Some(newest) if now.saturating_add(APART) < newest => {
                let what = "this node's clock lies behind the store's newest time, so it gives no verdict on tokens that end: \
                            set it right; if it is right, run `keyward store accept --clock`";
                self.complain(what, now, Some(newest));
                false
            }
            Some(newest) if now <= newest.saturating_add(APART) => {
                self.since = Some((at, now));
                self.has_complained = false;
                now > newest
            }
            _ if now > expected.saturating_add(LEAP) => {
                self.complain(
                    "this node's clock has leapt ahead: set it right; if it is right now, restart",
                    now,
                    newest,
                );
                false
            }
            None => true,
            Some(_) => {
                self.complain(
                    "this node's clock is far ahead of the store's newest time: check that it is right",
                    now,
                    newest,
                );
                stands_still
            }
        };
        if moves {
            self.seen = Some(Some(now));
        }
        moves
    }

    fn complain(&mut self, what: &str, now: u64, newest: Option<u64>) {
        if !std::mem::replace(&mut self.has_complained, true) {
            tracing::error!(target: "keyward::store", now, newest, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const T: u64 = 1_000_000;
    const YEARS: u64 = 150_000_000;

    /// Heartbeats as seconds of the process, the clock's time, and what the store has seen by
    /// others; whether each moves it.
    fn check(beats: &[(u64, u64, Option<u64>, bool)]) {
        let (start, mut pace) = (Instant::now(), Pace::default());
        for (number, (seconds, now, newest, moves)) in beats.iter().enumerate() {
            assert_eq!(pace.moves(*now, *newest, start + Duration::from_secs(*seconds)), *moves, "{number}");
        }
    }

    #[test]
    fn a_clock_that_keeps_time_moves_it() {
        check(&[(0, T, None, true), (10, T + 10, Some(T), true), (20, T + 20, Some(T + 10), true)]);
        check(&[(0, T, Some(T + 1), false), (10, T + 10, Some(T + 9), true)]);
        check(&[(0, T, Some(T + APART + 1), false), (10, T + 10, Some(T + APART + 11), false)]);
        // The store was away for an hour.
        check(&[(0, T, None, true), (3_600, T + 3_600, Some(T), true)]);
    }

    #[test]
    fn a_clock_that_leaps_while_it_runs_moves_nothing() {
        check(&[
            (0, T, None, true),
            (10, T + YEARS, Some(T), false),
            (20, T + YEARS, Some(T), false),
            (30, T + 30, Some(T), true),
        ]);
        check(&[(0, T, None, true), (10, T + 10, None, true), (20, T + 81, None, false)]);
    }

    #[test]
    fn a_clock_that_is_ahead_at_the_start_is_believed_where_nobody_else_keeps_time() {
        check(&[(0, T + YEARS, Some(T), false), (10, T + YEARS + 10, Some(T), true)]);
        check(&[
            (0, T + YEARS, Some(T), false),
            (10, T + YEARS + 10, Some(T + 10), false),
            (20, T + YEARS + 20, Some(T + 20), false),
        ]);
    }
}

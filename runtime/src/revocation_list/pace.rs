//! The decision whether a node's clock may advance the newest time in the store.

use crate::clock::UnixTime;
use std::time::Instant;

/// Maximum difference between the clocks of two nodes, in seconds. A node that is further behind
/// the store gives no verdict on the expiry of a token. Synchronized machines agree within seconds;
/// a wrong time zone or an empty battery causes larger errors.
pub(crate) const APART: u64 = 300;

/// Maximum number of seconds by which a clock may run ahead of the process's monotonic time: small
/// corrections are not jumps.
const LEAP: u64 = 60;

/// The pace of a node's clock.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A moment and the clock's trusted time then.
    since: Option<(Instant, UnixTime)>,
    /// The store's newest time at the previous check.
    seen: Option<Option<UnixTime>>,
    has_complained: bool,
}

impl Pace {
    /// Returns whether `now` becomes the store's newest time.
    ///
    /// A clock that jumps while the process runs advances nothing. A clock that is far ahead when
    /// the process starts may be correct after a long pause: it is trusted once no other node has
    /// advanced the time between two checks.
    pub(super) fn moves(&mut self, now: UnixTime, newest: Option<UnixTime>, at: Instant) -> bool {
        let (since, then) = *self.since.get_or_insert((at, now));
        let expected = then.later(at.saturating_duration_since(since).as_secs());
        let stands_still = self.seen.replace(newest) == Some(newest);
        let moves = match newest {
            Some(newest) if now.later(APART) < newest => {
                let what = "this node's clock is behind the store's newest time, so it gives no verdict on tokens that expire: \
                            correct it; if it is correct, run `keyward store accept --clock`";
                self.complain(what, now, Some(newest));
                false
            }
            Some(newest) if now <= newest.later(APART) => {
                self.since = Some((at, now));
                self.has_complained = false;
                now > newest
            }
            _ if now > expected.later(LEAP) => {
                self.complain(
                    "this node's clock has jumped ahead: correct it; if it is correct now, restart",
                    now,
                    newest,
                );
                false
            }
            None => true,
            Some(_) => {
                self.complain(
                    "this node's clock is far ahead of the store's newest time: check that it is correct",
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

    fn complain(&mut self, what: &str, now: UnixTime, newest: Option<UnixTime>) {
        if !std::mem::replace(&mut self.has_complained, true) {
            let (now, newest) = (now.seconds, newest.map(|newest| newest.seconds));
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

    /// Checks heartbeats, each with the seconds since the start, the clock's time, the newest time
    /// that the store has from others, and whether it advances it.
    fn check(beats: &[(u64, u64, Option<u64>, bool)]) {
        let (start, mut pace) = (Instant::now(), Pace::default());
        for (number, (seconds, now, newest, moves)) in beats.iter().enumerate() {
            let (now, newest) = (UnixTime::from_seconds(*now), newest.map(UnixTime::from_seconds));
            assert_eq!(pace.moves(now, newest, start + Duration::from_secs(*seconds)), *moves, "{number}");
        }
    }

    #[test]
    fn a_clock_that_keeps_time_advances_it() {
        check(&[(0, T, None, true), (10, T + 10, Some(T), true), (20, T + 20, Some(T + 10), true)]);
        check(&[(0, T, Some(T + 1), false), (10, T + 10, Some(T + 9), true)]);
        check(&[(0, T, Some(T + APART + 1), false), (10, T + 10, Some(T + APART + 11), false)]);
        // The store was unavailable for an hour.
        check(&[(0, T, None, true), (3_600, T + 3_600, Some(T), true)]);
    }

    #[test]
    fn a_clock_that_jumps_while_it_runs_advances_nothing() {
        check(&[
            (0, T, None, true),
            (10, T + YEARS, Some(T), false),
            (20, T + YEARS, Some(T), false),
            (30, T + 30, Some(T), true),
        ]);
        check(&[(0, T, None, true), (10, T + 10, None, true), (20, T + 81, None, false)]);
    }

    #[test]
    fn a_clock_that_is_ahead_at_the_start_is_trusted_if_no_other_node_advances_the_time() {
        check(&[(0, T + YEARS, Some(T), false), (10, T + YEARS + 10, Some(T), true)]);
        check(&[
            (0, T + YEARS, Some(T), false),
            (10, T + YEARS + 10, Some(T + 10), false),
            (20, T + YEARS + 20, Some(T + 20), false),
        ]);
    }
}

//! A breaker for each handler: while its calls on valid tokens fail, it gets one call at a time.
//!
//! A stranger can make a faulty handler fail with tokens of any content. Only failures on tokens
//! that the handler has accepted before count, and on two of them at least, so that neither a
//! stranger nor the owner of one token opens a breaker alone.

use crate::counts::Counter;
use crate::error::{Blame, ErrorKind};
use crate::token::TokenDigest;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Number of accepted tokens that are remembered, one in each place.
const KNOWN: usize = 256;
/// Number of failures, without a success between them, that open a breaker.
const FAILURES: u32 = 5;
/// Maximum time from the first of the [`FAILURES`] to the last.
const WITHIN: Duration = Duration::from_secs(10);
/// Time after which an open breaker becomes half-open.
const OPEN_FOR: Duration = Duration::from_secs(5);
/// Number of successes in a row that close a half-open breaker.
const SUCCESSES: u32 = 3;

/// The state of a handler's breaker, see
/// [`HandlerInfo::breaker`](crate::registry::HandlerInfo::breaker).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// Calls run concurrently.
    Closed,
    /// Calls on valid tokens failed, so one call runs at a time.
    Open,
    /// Still one call at a time; successes close the breaker.
    HalfOpen,
}

impl BreakerState {
    /// Returns the name: `closed`, `open` or `half-open`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The breaker of one handler.
pub(crate) struct Breaker {
    handler: Arc<str>,
    /// Parts of the digests of tokens that were accepted recently.
    known: Box<[AtomicU64]>,
    /// `false` while failures are counted or the breaker is not closed: a success must then be
    /// noted.
    is_calm: AtomicBool,
    is_closed: AtomicBool,
    /// `true` while the only call of a breaker that is not closed runs.
    is_taken: AtomicBool,
    phase: Mutex<Phase>,
    pub(crate) openings: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { failures: u32, first: Option<(Instant, u64)>, are_several: bool },
    Open { until: Instant },
    HalfOpen { successes: u32 },
}

impl Phase {
    const CLOSED: Self = Self::Closed { failures: 0, first: None, are_several: false };
}

impl Breaker {
    pub(crate) fn new(handler: Arc<str>) -> Self {
        Self {
            handler,
            known: (0..KNOWN).map(|_| AtomicU64::new(0)).collect(),
            is_calm: AtomicBool::new(true),
            is_closed: AtomicBool::new(true),
            is_taken: AtomicBool::new(false),
            phase: Mutex::new(Phase::CLOSED),
            openings: Counter::default(),
        }
    }

    /// Admits a call. The permit must live as long as the call.
    ///
    /// # Errors
    /// [`ErrorKind::BreakerOpen`] if the breaker is not closed and another call runs.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Permit, ErrorKind> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Ok(Permit(None));
        }
        if self.is_taken.swap(true, Ordering::Acquire) {
            return Err(ErrorKind::BreakerOpen);
        }
        Ok(Permit(Some(self.clone())))
    }

    /// Notes that a token was accepted.
    pub(crate) fn accepted(&self, digest: &TokenDigest, now: impl FnOnce() -> Instant) {
        let tag = tag(digest);
        if let Some(place) = self.place(tag) {
            place.store(tag, Ordering::Relaxed);
        }
        if self.is_calm.load(Ordering::Relaxed) {
            return;
        }
        let now = now();
        let mut phase = self.phase();
        let next = match *phase {
            Phase::Open { until } if now < until => *phase,
            Phase::Open { .. } => Phase::HalfOpen { successes: 1 },
            Phase::HalfOpen { successes } if successes.saturating_add(1) < SUCCESSES => {
                Phase::HalfOpen { successes: successes.saturating_add(1) }
            }
            Phase::HalfOpen { .. } | Phase::Closed { .. } => Phase::CLOSED,
        };
        self.change(&mut phase, next);
    }

    /// Notes that the verification of a token failed.
    pub(crate) fn failed(&self, digest: &TokenDigest, fault: &ErrorKind, now: impl FnOnce() -> Instant) {
        let tag = tag(digest);
        let is_known = self.place(tag).is_some_and(|place| place.load(Ordering::Relaxed) == tag);
        if !is_known || fault.blame() != Blame::Handler || matches!(fault, ErrorKind::BreakerOpen) {
            return;
        }
        let now = now();
        let mut phase = self.phase();
        let open = Phase::Open { until: now + OPEN_FOR };
        let next = match *phase {
            Phase::Closed { failures, first: Some((at, one)), are_several } if now.duration_since(at) <= WITHIN => {
                let (failures, are_several) = (failures.saturating_add(1), are_several || one != tag);
                let is_over = failures >= FAILURES && are_several;
                if is_over { open } else { Phase::Closed { failures, first: Some((at, one)), are_several } }
            }
            Phase::Closed { .. } => Phase::Closed { failures: 1, first: Some((now, tag)), are_several: false },
            Phase::Open { .. } | Phase::HalfOpen { .. } => open,
        };
        self.change(&mut phase, next);
    }

    /// Returns the state at `now`.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match *self.phase() {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn change(&self, phase: &mut Phase, next: Phase) {
        let is_closed = matches!(next, Phase::Closed { .. });
        match (matches!(*phase, Phase::Closed { .. }), is_closed) {
            (true, false) => {
                self.openings.count();
                tracing::warn!(
                    target: "keyward::handler",
                    handler = &*self.handler,
                    "its calls on valid tokens fail: the breaker is open, and one call runs at a time"
                );
            }
            (false, true) => {
                tracing::info!(target: "keyward::handler", handler = &*self.handler, "the breaker is closed")
            }
            _ => {}
        }
        *phase = next;
        self.is_closed.store(is_closed, Ordering::Relaxed);
        self.is_calm.store(next == Phase::CLOSED, Ordering::Relaxed);
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, tag: u64) -> Option<&AtomicU64> {
        let place = usize::try_from(tag % u64::try_from(KNOWN).ok()?).ok()?;
        self.known.get(place)
    }
}

/// Returns the part of a digest that is remembered, which is never 0.
fn tag(digest: &TokenDigest) -> u64 {
    let part = digest.bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(part).max(1)
}

/// A running call's permit.
pub(crate) struct Permit(Option<Arc<Breaker>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(breaker) = &self.0 {
            breaker.is_taken.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRAP: ErrorKind = ErrorKind::Internal(String::new());

    fn digest(number: u8) -> TokenDigest {
        TokenDigest::of(&format!("token-{number}"))
    }

    struct World {
        breaker: Arc<Breaker>,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { breaker: Arc::new(Breaker::new("h".into())), now: Instant::now() }
        }

        fn wait(&mut self, milliseconds: u64) {
            self.now += Duration::from_millis(milliseconds);
        }

        fn accept(&self, tokens: impl IntoIterator<Item = u8>) {
            tokens.into_iter().for_each(|token| self.breaker.accepted(&digest(token), || self.now));
        }

        fn fail(&self, tokens: impl IntoIterator<Item = u8>) {
            tokens.into_iter().for_each(|token| self.breaker.failed(&digest(token), &TRAP, || self.now));
        }

        fn state(&self) -> BreakerState {
            self.breaker.state(self.now)
        }
    }

    #[test]
    fn failures_on_accepted_tokens_open_it_and_successes_close_it() {
        let mut world = World::new();
        world.accept([1, 2]);
        world.fail([1, 2, 1, 2]);
        assert_eq!(world.state(), BreakerState::Closed);
        world.fail([1]);
        assert_eq!(world.state(), BreakerState::Open);
        world.accept([1, 2, 1, 2]);
        assert_eq!(world.state(), BreakerState::Open, "it stays open for its time");
        world.wait(5_000);
        assert_eq!(world.state(), BreakerState::HalfOpen);
        world.accept([1, 2]);
        world.fail([1]);
        assert_eq!(world.state(), BreakerState::Open);
        world.wait(5_000);
        world.accept([1, 2, 1]);
        assert_eq!(world.state(), BreakerState::Closed);
        world.fail([1, 2, 1, 2]);
        assert_eq!(world.state(), BreakerState::Closed, "it counts from 0 again");
    }

    #[test]
    fn strangers_and_the_owner_of_one_token_do_not_open_it() {
        let world = World::new();
        world.accept([1]);
        world.fail((2..200).cycle().take(10_000));
        world.fail([1; 100]);
        assert_eq!(world.state(), BreakerState::Closed);
    }

    #[test]
    fn failures_of_others_and_old_ones_do_not_count() {
        let mut world = World::new();
        world.accept([1, 2]);
        let busy = ErrorKind::Busy { what: "slots", of: 1, setting: "x" };
        for token in [1, 2].repeat(10) {
            world.breaker.failed(&digest(token), &busy, || world.now);
            world.breaker.failed(&digest(token), &ErrorKind::BreakerOpen, || world.now);
        }
        for _ in 0..10 {
            world.fail([1, 2]);
            world.wait(10_001);
        }
        world.fail([1, 2, 1, 2]);
        world.accept([1]);
        world.fail([1, 2, 1, 2]);
        assert_eq!(world.state(), BreakerState::Closed);
    }

    #[test]
    fn an_open_breaker_admits_one_call_at_a_time() {
        let world = World::new();
        let breaker = &world.breaker;
        let many: Vec<_> = (0..10).map(|_| breaker.admit().unwrap()).collect();
        world.accept([1, 2]);
        world.fail([1, 2, 1, 2, 1]);
        let one = breaker.admit().unwrap();
        // Calls from before it opened take no part.
        drop(many);
        assert!(matches!(breaker.admit(), Err(ErrorKind::BreakerOpen)));
        drop(one);
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Accept(u8),
        Fail(u8),
        Wait(u16),
    }

    proptest! {
        /// Whatever happens, a breaker closes once only valid tokens are verified successfully, and
        /// never opens without failures on two accepted tokens.
        #[test]
        fn it_recovers_and_never_opens_without_a_reason(
            steps in prop::collection::vec(prop_oneof![
                (0..4_u8).prop_map(Step::Accept),
                (0..8_u8).prop_map(Step::Fail),
                (0..8_000_u16).prop_map(Step::Wait),
            ], 0..200)
        ) {
            let mut world = World::new();
            let (mut accepted, mut failed) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            for step in steps {
                match step {
                    Step::Accept(token) => {
                        accepted.insert(token);
                        world.accept([token]);
                    }
                    Step::Fail(token) => {
                        if accepted.contains(&token) {
                            failed.insert(token);
                        }
                        world.fail([token]);
                    }
                    Step::Wait(milliseconds) => world.wait(milliseconds.into()),
                }
                prop_assert!(failed.len() >= 2 || world.state() == BreakerState::Closed);
            }
            world.wait(5_000);
            world.accept([0; 3]);
            prop_assert_eq!(world.state(), BreakerState::Closed);
        }
    }
}

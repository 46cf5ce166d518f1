//! Pending writes: each is settled by the writer thread or by its deadline.

use crate::{AuditError, Recorded, Shared};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

type Outcome = Result<Recorded, AuditError>;

/// A record whose caller waits for it.
pub(crate) struct PendingWrite {
    /// The deadline; `None` if it is too far away to be represented.
    due: Option<Instant>,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    given_up: bool,
    waker: Option<Waker>,
}

impl PendingWrite {
    pub(crate) fn new(due: Option<Instant>) -> Self {
        Self { due, state: Mutex::default(), answered: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles the write, after running `first`. Returns `false` if the deadline has already
    /// settled it.
    pub(crate) fn answer(&self, outcome: Outcome, first: impl FnOnce()) -> bool {
        self.settle(outcome, false, first).is_none()
    }

    /// Settles the write because its deadline has passed. If it was settled before, returns that
    /// outcome, which counts.
    pub(crate) fn give_up(&self, outcome: Outcome, first: impl FnOnce()) -> Option<Outcome> {
        self.settle(outcome, true, first)
    }

    fn settle(&self, outcome: Outcome, give_up: bool, first: impl FnOnce()) -> Option<Outcome> {
        let mut state = self.state();
        if let Some(outcome) = &state.outcome {
            return Some(outcome.clone());
        }
        first();
        state.outcome = Some(outcome);
        state.given_up = give_up;
        let waker = state.waker.take();
        drop(state);
        self.answered.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
        None
    }

    /// Returns `true` if the deadline settled the write.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state().given_up
    }

    /// Waits for the outcome. Returns `None` if the deadline has passed.
    pub(crate) fn wait(&self) -> Option<Outcome> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = &state.outcome {
                return Some(outcome.clone());
            }
            state = match self.due.map(|due| due.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return None,
                Some(left) => self.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.answered.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A record that is being written. It is written even if this future is dropped.
#[must_use = "a record is durable only once this future has returned `Ok`"]
pub struct Recording(pub(crate) Arc<PendingWrite>);

impl Future for Recording {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.state();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => state.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

/// The pending writes whose deadlines must be enforced, earliest first.
#[derive(Default)]
pub(crate) struct Deadlines {
    state: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    tickets: VecDeque<Arc<PendingWrite>>,
    ending: bool,
}

impl Waiting {
    fn forget_answered(&mut self) {
        while self.tickets.front().is_some_and(|ticket| ticket.state().outcome.is_some()) {
            self.tickets.pop_front();
        }
    }
}

impl Deadlines {
    /// Adds a pending write. All have the same timeout, so the last one added is the last one due.
    pub(crate) fn add(&self, ticket: &Arc<PendingWrite>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_answered();
        state.tickets.push_back(ticket.clone());
        if state.tickets.len() == 1 {
            self.more.notify_all();
        }
    }

    /// Lets [`keep`](Self::keep) return once no write is pending.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ending = true;
        self.more.notify_all();
    }

    /// Gives up on pending writes whose deadline has passed, until [`end`](Self::end) was called
    /// and none is left.
    pub(crate) fn keep(&self, shared: &Shared) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            state.forget_answered();
            let Some(next) = state.tickets.front() else {
                if state.ending {
                    return;
                }
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = next.due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => {
                    if let Some(ticket) = state.tickets.pop_front() {
                        drop(state);
                        let _ = shared.give_up(&ticket);
                        state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    }
                }
                Some(left) => state = self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

//! What somebody holds whose record is being written: it is answered, or the deadline passes.

use crate::{AuditError, Recorded, Shared};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

type Outcome = Result<Recorded, AuditError>;

/// One record that somebody waits for.
pub(crate) struct Ticket {
    /// None: so far away that it cannot be told.
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

impl Ticket {
    pub(crate) fn new(due: Option<Instant>) -> Self {
        Self { due, state: Mutex::default(), answered: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers, and does `first` before anybody knows. False: the deadline has passed, and the other answer counts.
    pub(crate) fn answer(&self, outcome: Outcome, first: impl FnOnce()) -> bool {
        self.settle(outcome, false, first).is_none()
    }

    /// The deadline has passed: answers so. Where there is an answer already, that is returned, and counts.
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

    /// Whether the deadline has passed before there was an answer.
    pub(crate) fn is_given_up(&self) -> bool {
        self.state().given_up
    }

    /// Waits for the answer. `None`: the deadline has passed.
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

/// A record on its way to the disk. It is written whether or not it is waited for.
#[must_use = "only what was answered is durable"]
pub struct Recording(pub(crate) Arc<Ticket>);

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

/// Those whose deadlines must be kept for them, the next one first.
#[derive(Default)]
pub(crate) struct Deadlines {
    state: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    tickets: VecDeque<Arc<Ticket>>,
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
    /// All have as long as one another, so the last one to come is the last one due.
    pub(crate) fn add(&self, ticket: &Arc<Ticket>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_answered();
        state.tickets.push_back(ticket.clone());
        if state.tickets.len() == 1 {
            self.more.notify_all();
        }
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ending = true;
        self.more.notify_all();
    }

    /// Gives up for whoever is not answered in time, until the end and until nobody waits.
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

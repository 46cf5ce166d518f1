//! The progress of an embedder that keeps the pending revocations until the next start.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The number of changes to the pending revocations, and how many of them are kept.
#[derive(Default)]
pub(super) struct Kept {
    state: Mutex<State>,
    changed: Condvar,
    /// The number of changes for which the embedder has responded; `None` before the first
    /// response.
    kept: watch::Sender<Option<u64>>,
}

/// The durability of the pending revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Durability {
    /// A restart would lose them.
    #[default]
    Volatile,
    /// They are kept until the next start.
    Durable,
}

#[derive(Default)]
struct State {
    changes: u64,
    /// The result of the last attempt to keep them.
    durability: Durability,
    /// Set while an earlier process may have lost some.
    may_be_lost: bool,
}

impl Kept {
    /// Counts a change.
    pub(super) fn change(&self) {
        let mut state = self.state();
        state.changes = state.changes.saturating_add(1);
        self.changed.notify_all();
    }

    /// Blocks until the number of changes differs from `seen`, or for `max`. Returns the number.
    pub(super) fn wait(&self, seen: u64, max: Duration) -> u64 {
        let waited = self.changed.wait_timeout_while(self.state(), max, |state| state.changes == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.changes
    }

    /// Notes that the embedder has tried to keep the state after this many changes.
    pub(super) fn note(&self, changes: u64, durability: Durability) {
        self.state().durability = durability;
        self.kept.send_replace(Some(changes));
    }

    /// Waits until the embedder has responded to all changes up to now; not at all if there is
    /// none that keeps them.
    pub(super) async fn is_noted(&self) {
        let changes = self.state().changes;
        // An error means that the list is gone.
        let _ = self.kept.subscribe().wait_for(|kept| kept.is_none_or(|kept| kept >= changes)).await;
    }

    pub(super) fn is_durable(&self) -> bool {
        self.state().durability == Durability::Durable
    }

    pub(super) fn may_be_lost(&self) -> bool {
        self.state().may_be_lost
    }

    pub(super) fn set_may_be_lost(&self, may_be_lost: bool) {
        self.state().may_be_lost = may_be_lost;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

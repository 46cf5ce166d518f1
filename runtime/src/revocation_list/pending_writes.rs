//! Revocations that the store has not confirmed: they wait for it, or for what must be done before.

use super::cutoffs::Cutoffs;
use crate::store::Revocation;
use crate::verdict::RevocationHook;
use std::collections::HashMap;
use std::sync::Arc;

/// Revocations that the store has not confirmed. Each change is passed on to the cut-offs by which
/// this process refuses tokens.
#[derive(Default)]
pub(super) struct PendingWrites {
    /// Revocations that the store is asked for until it confirms them.
    waiting: HashMap<Revocation, Late>,
    /// Revocations that a hook must precede, so that the store has not been asked.
    held: HashMap<Revocation, (Late, Arc<dyn RevocationHook>)>,
    /// Set while a thread writes what waits.
    pub(super) is_attended: bool,
}

/// The time at which a revocation was asked for that is written later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    at: u64,
    leeway: u64,
}

impl Late {
    pub(super) fn new(at: u64, leeway: u64) -> Self {
        Self { at, leeway }
    }

    /// The form in which it is written, and the time to write it with. Of all that had been issued
    /// so far, the records up to the leeway end too, since a clock that was ahead may have made
    /// them before. Later records stay.
    pub(super) fn written(self, revocation: &Revocation) -> (Revocation, u64) {
        let Self { at, leeway } = self;
        let issued_until =
            revocation.issued_until.map(|until| if until >= at { until.saturating_add(leeway) } else { until });
        let behind = issued_until.map_or(at, |until| at.max(until.saturating_add(1)));
        (Revocation { issued_until, ..revocation.clone() }, behind)
    }
}

impl PendingWrites {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// Returns when a held revocation was asked for.
    pub(super) fn held(&self, revocation: &Revocation) -> Option<Late> {
        self.held.get(revocation).map(|(late, _)| *late)
    }

    /// Holds a revocation until its hook lets it pass. Returns whether it is new.
    pub(super) fn block(
        &mut self,
        revocation: Revocation,
        late: Late,
        hook: Arc<dyn RevocationHook>,
        cutoffs: &mut Cutoffs,
    ) -> bool {
        cutoffs.apply(revocation.clone());
        let is_new = !self.held.contains_key(&revocation);
        if is_new {
            self.held.insert(revocation, (late, hook));
        }
        is_new
    }

    /// Returns the held revocations with their hooks.
    pub(super) fn all_held(&self) -> Vec<(Revocation, Arc<dyn RevocationHook>)> {
        self.held.iter().map(|(revocation, (_, hook))| (revocation.clone(), hook.clone())).collect()
    }

    /// Lets a held revocation be written.
    pub(super) fn release(&mut self, revocation: &Revocation) {
        if let Some((late, _)) = self.held.remove(revocation) {
            self.waiting.entry(revocation.clone()).or_insert(late);
        }
    }

    /// Adds a revocation to be written.
    pub(super) fn wait(&mut self, revocation: Revocation, late: Late, cutoffs: &mut Cutoffs) {
        cutoffs.apply(revocation.clone());
        self.waiting.entry(revocation).or_insert(late);
    }

    /// Returns a revocation that waits, the form in which it is written, and the time to write it
    /// with.
    pub(super) fn next(&self) -> Option<(Revocation, Revocation, u64)> {
        let (revocation, late) = self.waiting.iter().next()?;
        let (written, behind) = late.written(revocation);
        Some((revocation.clone(), written, behind))
    }

    /// Removes one that is confirmed. Returns whether it was held.
    pub(super) fn remove(&mut self, revocation: &Revocation, cutoffs: &mut Cutoffs) -> bool {
        let has_waited = self.waiting.remove(revocation).is_some();
        let was_held = self.held.remove(revocation).is_some();
        if has_waited || was_held {
            *cutoffs = Cutoffs::default();
            self.waiting.keys().chain(self.held.keys()).for_each(|left| cutoffs.apply(left.clone()));
        }
        was_held
    }

    /// Returns whether nothing waits; the thread that writes then ends.
    pub(super) fn is_done(&mut self) -> bool {
        self.is_attended = !self.is_empty();
        !self.is_attended
    }
}

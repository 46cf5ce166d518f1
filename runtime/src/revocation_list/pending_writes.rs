//! Revocations that the store has not confirmed: they wait for the store, or for a hook that must
//! run first.

use super::cutoffs::Cutoffs;
use crate::store::Revocation;
use crate::verdict::RevocationHook;
use std::collections::HashMap;
use std::sync::Arc;

/// The revocations that the store has not confirmed. Each change updates the [`Cutoffs`] by which
/// this process rejects tokens.
#[derive(Default)]
pub(super) struct PendingWrites {
    /// Revocations that are written to the store until it confirms them.
    waiting: HashMap<Revocation, Late>,
    /// Revocations that have not been written to the store because a hook must succeed first.
    held: HashMap<Revocation, (Late, Arc<dyn RevocationHook>)>,
    /// `true` while a thread writes the waiting revocations.
    pub(super) is_attended: bool,
}

/// The time at which a delayed revocation was requested, and its leeway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    at: u64,
    leeway: u64,
}

impl Late {
    pub(super) fn new(at: u64, leeway: u64) -> Self {
        Self { at, leeway }
    }

    /// Returns the revocation as it is written, and the time to write it with. For a revocation of
    /// everything issued up to the request, records up to the leeway later end too, since a clock
    /// that was ahead may have issued them before it. Later records stay.
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

    /// Returns the request time of a held revocation.
    pub(super) fn held(&self, revocation: &Revocation) -> Option<Late> {
        self.held.get(revocation).map(|(late, _)| *late)
    }

    /// Holds a revocation until its hook succeeds. Returns whether it is new.
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

    /// Allows a held revocation to be written.
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

    /// Returns a waiting revocation, the form in which it is written, and the time to write it
    /// with.
    pub(super) fn next(&self) -> Option<(Revocation, Revocation, u64)> {
        let (revocation, late) = self.waiting.iter().next()?;
        let (written, behind) = late.written(revocation);
        Some((revocation.clone(), written, behind))
    }

    /// Removes a confirmed revocation. Returns whether it was held.
    pub(super) fn remove(&mut self, revocation: &Revocation, cutoffs: &mut Cutoffs) -> bool {
        let has_waited = self.waiting.remove(revocation).is_some();
        let was_held = self.held.remove(revocation).is_some();
        if has_waited || was_held {
            *cutoffs = Cutoffs::default();
            self.waiting.keys().chain(self.held.keys()).for_each(|left| cutoffs.apply(left.clone()));
        }
        was_held
    }

    /// Returns whether nothing is pending; the writing thread then stops.
    pub(super) fn is_done(&mut self) -> bool {
        self.is_attended = !self.is_empty();
        !self.is_attended
    }
}

//! Revocations that the store has not confirmed: they wait for it, or for what must be done before.

use super::cutoffs::Cutoffs;
use crate::store::Revocation;
use std::collections::HashMap;

/// Revocations that the store has not confirmed. Each change is passed on to the cut-offs by which this process refuses tokens.
#[derive(Default)]
pub(super) struct Unwritten {
    /// Revocations that the store is asked for until it confirms them.
    waiting: HashMap<Revocation, Late>,
    /// Revocations that something else must precede, so that the store has not been asked.
    held: HashMap<Revocation, Late>,
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

    /// The form in which it is written, and the time to write it with. Of all that had been issued so far, the records up to
    /// the leeway end too, since a clock that was ahead may have made them before. Later records stay.
    pub(super) fn written(self, revocation: &Revocation) -> (Revocation, u64) {
        let Self { at, leeway } = self;
        let issued_until =
            revocation.issued_until.map(|until| if until >= at { until.saturating_add(leeway) } else { until });
        let behind = issued_until.map_or(at, |until| at.max(until.saturating_add(1)));
        (Revocation { issued_until, ..revocation.clone() }, behind)
    }
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// Returns when a held revocation was asked for.
    pub(super) fn held(&self, revocation: &Revocation) -> Option<Late> {
        self.held.get(revocation).copied()
    }

    /// Returns whether it was not held yet.
    pub(super) fn hold(&mut self, revocation: Revocation, late: Late, cutoffs: &mut Cutoffs) -> bool {
        cutoffs.learn(revocation.clone());
        self.held.insert(revocation, late).is_none()
    }

    /// Returns whether a thread is needed.
    pub(super) fn wait(&mut self, revocation: Revocation, late: Late, cutoffs: &mut Cutoffs) -> bool {
        cutoffs.learn(revocation.clone());
        self.waiting.entry(revocation).or_insert(late);
        !self.is_attended
    }

    /// Returns a revocation that waits, the form in which it is written, and the time to write it with.
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
            self.waiting.keys().chain(self.held.keys()).for_each(|left| cutoffs.learn(left.clone()));
        }
        was_held
    }

    /// Returns whether nothing waits; the thread that writes then ends.
    pub(super) fn is_done(&mut self) -> bool {
        self.is_attended = !self.waiting.is_empty();
        !self.is_attended
    }
}

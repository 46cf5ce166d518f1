//! Revocations that the store has not confirmed: they wait for the store, or for a hook that must
//! run first.

use super::cutoffs::Cutoffs;
use crate::clock::UnixTime;
use crate::hook::RevocationHook;
use crate::store::Revocation;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

/// Maximum size of all pending revocations together, in bytes. Further ones are refused: none is
/// removed to make room for another.
pub(super) const ROOM: usize = 1 << 20;

/// The size that each revocation counts in addition to its texts.
const EACH: usize = 256;

/// A revocation that the store has not confirmed, for an embedder to keep until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an embedder that does not keep a new member must not compile")]
pub struct PendingRevocation {
    /// The [`Revocation`].
    pub revocation: Revocation,
    /// When it was requested.
    pub at: UnixTime,
    /// The time by which the clocks of other nodes may have been ahead, in whole seconds.
    pub leeway: Duration,
    /// The [`note`](RevocationHook::note) of the hook that must succeed first; `None` if there is
    /// none, or it has succeeded.
    pub note: Option<String>,
}

/// The revocations that the store has not confirmed. Each change updates the [`Cutoffs`] by which
/// this process rejects tokens.
#[derive(Default)]
pub(super) struct PendingWrites {
    /// The revocation of each set of tokens that extends the furthest, by itself without its time.
    all: HashMap<Revocation, Pending>,
    /// The size of all of them.
    bytes: usize,
    /// `true` while a thread writes them.
    pub(super) is_attended: bool,
}

struct Pending {
    revocation: Revocation,
    late: Late,
    /// The [`RevocationHook`] that must succeed before it is written to the store.
    hook: Option<Arc<dyn RevocationHook>>,
    bytes: usize,
}

/// The time at which a delayed revocation was requested, and its leeway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Late {
    at: UnixTime,
    leeway: u64,
}

/// The result of adding a pending revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    New,
    /// A pending one covers its tokens.
    Known,
    /// There is no room. Nothing has changed.
    Full,
}

impl Late {
    pub(super) fn new(at: UnixTime, leeway: u64) -> Self {
        Self { at, leeway }
    }

    /// Returns the revocation as it is written, and the time to write it with. For a revocation of
    /// everything issued up to the request, records up to the leeway later end too, since a clock
    /// that was ahead may have issued them before it. Later records stay.
    pub(super) fn written(self, revocation: &Revocation) -> (Revocation, UnixTime) {
        let Self { at, leeway } = self;
        let issued_until = revocation.issued_until.map(|until| if until >= at { until.later(leeway) } else { until });
        let behind = issued_until.map_or(at, |until| at.max(until.later(1)));
        (Revocation { issued_until, ..revocation.clone() }, behind)
    }

    /// Returns the last second of issue that the revocation covers as it is written.
    fn end(self, revocation: &Revocation) -> UnixTime {
        self.written(revocation).0.issued_until.unwrap_or(UnixTime::from_seconds(u64::MAX))
    }
}

/// Returns the set of tokens of a revocation, whenever they were issued.
fn scope(revocation: &Revocation) -> Revocation {
    Revocation { issued_until: None, ..revocation.clone() }
}

fn size(revocation: &Revocation, note: Option<&str>) -> usize {
    let Revocation { handler, token_id, token_digest: _, actor_id, issued_until: _, keep_children: _ } = revocation;
    let texts = [handler.as_deref(), token_id.as_deref(), actor_id.as_deref(), note].into_iter().flatten();
    texts.map(str::len).fold(EACH, usize::saturating_add)
}

impl PendingWrites {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the [`PendingRevocation`]s.
    pub(super) fn all(&self) -> Vec<PendingRevocation> {
        let pending = |Pending { revocation, late: Late { at, leeway }, hook, bytes: _ }: &Pending| PendingRevocation {
            revocation: revocation.clone(),
            at: *at,
            leeway: Duration::from_secs(*leeway),
            note: hook.as_ref().map(|hook| hook.note()),
        };
        self.all.values().map(pending).collect()
    }

    /// Returns the request time of a revocation that waits for its hook.
    pub(super) fn held(&self, revocation: &Revocation) -> Option<Late> {
        self.known(revocation).filter(|pending| pending.hook.is_some()).map(|pending| pending.late)
    }

    fn known(&self, revocation: &Revocation) -> Option<&Pending> {
        self.all.get(&scope(revocation)).filter(|pending| pending.revocation == *revocation)
    }

    /// Adds a [`Revocation`] that is written to the store once its hook has succeeded, or
    /// immediately without a hook, unless the size of all would then exceed `room`.
    pub(super) fn add(
        &mut self,
        revocation: Revocation,
        late: Late,
        hook: Option<Arc<dyn RevocationHook>>,
        room: usize,
        cutoffs: &mut Cutoffs,
    ) -> Added {
        let bytes = size(&revocation, hook.as_ref().map(|hook| hook.note()).as_deref());
        let mut known = self.all.entry(scope(&revocation));
        let mut replaced = 0;
        if let Entry::Occupied(known) = &mut known {
            let known = known.get_mut();
            if late.end(&revocation) <= known.late.end(&known.revocation) {
                if hook.is_none() && known.revocation == revocation {
                    known.hook = None;
                }
                return Added::Known;
            }
            replaced = known.bytes;
        }
        let sum = self.bytes.saturating_sub(replaced).saturating_add(bytes);
        if sum > room {
            return Added::Full;
        }
        self.bytes = sum;
        cutoffs.apply(revocation.clone());
        known.insert_entry(Pending { revocation, late, hook, bytes });
        if replaced == 0 { Added::New } else { Added::Known }
    }

    /// Returns the revocations that wait for their hooks.
    pub(super) fn all_held(&self) -> Vec<(Revocation, Arc<dyn RevocationHook>)> {
        let held = |pending: &Pending| Some((pending.revocation.clone(), pending.hook.clone()?));
        self.all.values().filter_map(held).collect()
    }

    /// Allows a revocation to be written whose hook has succeeded.
    pub(super) fn release(&mut self, revocation: &Revocation) {
        if let Some(pending) = self.all.get_mut(&scope(revocation)).filter(|pending| pending.revocation == *revocation)
        {
            pending.hook = None;
        }
    }

    /// Returns a revocation that may be written, the form in which it is written, and the time to
    /// write it with.
    pub(super) fn next(&self) -> Option<(Revocation, Revocation, UnixTime)> {
        let Pending { revocation, late, .. } = self.all.values().find(|pending| pending.hook.is_none())?;
        let (written, behind) = late.written(revocation);
        Some((revocation.clone(), written, behind))
    }

    /// Removes a confirmed revocation. Returns whether it was pending.
    pub(super) fn remove(&mut self, revocation: &Revocation, cutoffs: &mut Cutoffs) -> bool {
        if self.known(revocation).is_none() {
            return false;
        }
        let removed = self.all.remove(&scope(revocation));
        self.bytes = self.bytes.saturating_sub(removed.map_or(0, |removed| removed.bytes));
        *cutoffs = Cutoffs::default();
        self.all.values().for_each(|left| cutoffs.apply(left.revocation.clone()));
        true
    }

    /// Returns whether nothing is pending; the writing thread then stops.
    pub(super) fn is_done(&mut self) -> bool {
        self.is_attended = !self.is_empty();
        !self.is_attended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::HookFuture;

    struct Never;

    impl RevocationHook for Never {
        fn before_write(&self) -> HookFuture<'_> {
            Box::pin(async { Err("never".to_owned()) })
        }
    }

    fn of_actor(actor: &str, until: u64) -> Revocation {
        let issued_until = Some(UnixTime::from_seconds(until));
        Revocation { actor_id: Some(actor.to_owned()), issued_until, ..Revocation::default() }
    }

    fn hold(pending: &mut PendingWrites, revocation: &Revocation, at: u64) -> Added {
        let late = Late::new(UnixTime::from_seconds(at), 60);
        pending.add(revocation.clone(), late, Some(Arc::new(Never)), ROOM, &mut Cutoffs::default())
    }

    #[test]
    fn pending_revocations_have_one_limit_and_none_is_removed_for_another() {
        let mut pending = PendingWrites::default();
        let first = of_actor("first", 100);
        assert_eq!(hold(&mut pending, &first, 100), Added::New);
        // Two clients request as many revocations as they can, of long and of short names.
        let name = |number: usize| format!("{number}").repeat(if number.is_multiple_of(2) { 10_000 } else { 1 });
        let held = (0..10_000).filter(|number| hold(&mut pending, &of_actor(&name(*number), 100), 100) == Added::New);
        let held: Vec<_> = held.collect();
        let texts: usize = pending.all().iter().map(|pending| size(&pending.revocation, None)).sum();
        assert!(texts == pending.bytes && texts <= ROOM && texts > ROOM - EACH - 10, "{texts}");
        assert_eq!(pending.len(), held.len() + 1);
        assert_eq!(hold(&mut pending, &of_actor("another", 100), 100), Added::Full);
        assert!(pending.held(&first).is_some(), "the first one is still held");
        // What is held may be requested again, now and later.
        for until in [100, 99, 200] {
            assert_eq!(hold(&mut pending, &of_actor("first", until), until), Added::Known);
        }
        assert_eq!((pending.len(), pending.bytes), (held.len() + 1, texts));
        // One of an earlier process had room there.
        let earlier = of_actor("earlier", 100);
        assert_eq!(
            pending.add(earlier, Late::new(UnixTime::from_seconds(100), 60), None, usize::MAX, &mut Cutoffs::default()),
            Added::New
        );
        // Room is free again once revocations are confirmed.
        let mut cutoffs = Cutoffs::default();
        for PendingRevocation { revocation, .. } in pending.all() {
            pending.release(&revocation);
            assert!(pending.remove(&revocation, &mut cutoffs));
        }
        assert!(pending.is_done() && pending.bytes == 0);
        assert_eq!(hold(&mut pending, &of_actor("another", 100), 100), Added::New);
    }

    #[test]
    fn a_later_revocation_of_the_same_tokens_replaces_an_earlier_one() {
        let mut pending = PendingWrites::default();
        let add = |pending: &mut PendingWrites, until, at| hold(pending, &of_actor("a", until), at);
        assert_eq!(add(&mut pending, 100, 100), Added::New);
        // As written it covers the leeway too, up to 160.
        assert_eq!(add(&mut pending, 150, 500), Added::Known);
        assert!(pending.held(&of_actor("a", 100)).is_some());
        assert_eq!(add(&mut pending, 161, 500), Added::Known);
        assert!(pending.held(&of_actor("a", 161)).is_some() && pending.held(&of_actor("a", 100)).is_none());
        let always = Revocation { issued_until: None, ..of_actor("a", 0) };
        assert_eq!(hold(&mut pending, &always, 1), Added::Known);
        assert_eq!(pending.all().len(), 1);
        assert_eq!(pending.all().first().unwrap().revocation, always);
        // The confirmation of one that was replaced does not remove the other.
        assert!(!pending.remove(&of_actor("a", 161), &mut Cutoffs::default()));
        assert_eq!(pending.len(), 1);
    }
}

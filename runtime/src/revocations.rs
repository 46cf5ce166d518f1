//! What has been revoked, as this process knows it. Every good token is looked up here, whoever vouches for it, so that what
//! is signed can be taken back like what is stored.
//!
//! The truth is a list in the [`TokenStore`] that only grows. A thread reads on in it, several times a second; what this
//! process revokes itself it knows at once. Without news for too long nothing is answered from memory.

use crate::error::Fault;
use crate::store::{Revocation, StoreError, TokenStore};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait until the list is looked at again.
const POLL: Duration = Duration::from_millis(200);

/// How much of the list is read at once.
const PAGE: u32 = 1_000;

/// The revocations of a store. Lives as long as the process; registries that replace each other share one.
pub struct Revocations {
    store: Arc<dyn TokenStore>,
    patience: Duration,
    known: RwLock<Known>,
}

impl Revocations {
    /// Reads all that there is, and goes on reading on a thread of its own for as long as the value lives. `patience` is how
    /// long it may hear nothing from the store before nothing is good any more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(store: Arc<dyn TokenStore>, patience: Duration) -> Result<Arc<Self>, StoreError> {
        let this = Arc::new(Self { store, patience, known: RwLock::default() });
        this.read_on()?;
        let weak = Arc::downgrade(&this);
        let thread = thread::Builder::new().name("keyward-revoked".into()).spawn(move || follow(&weak));
        thread.map_err(|error| StoreError::new(format!("the thread that follows it could not be started: {error}")))?;
        Ok(this)
    }

    /// Takes tokens back, durably and before it answers: a verification that begins later says no. `at` is the time, in
    /// unix seconds. Says how many records it ended.
    ///
    /// # Errors
    /// The store did not confirm it. The tokens may be revoked or not; to ask again does no harm.
    pub async fn revoke(&self, revocation: Revocation, at: u64) -> Result<u64, StoreError> {
        let ended = self.store.revoke(&revocation, at).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).learn(revocation);
        Ok(ended)
    }

    /// How many records a revocation would end.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn count(&self, revocation: &Revocation, at: u64) -> Result<u64, StoreError> {
        self.store.count(revocation, at).await
    }

    /// Whether a token that is good otherwise has been revoked.
    pub(crate) fn include(
        &self,
        handler: &str,
        token_id: Option<&str>,
        actor_id: Option<&str>,
        issued_at: Option<u64>,
    ) -> Result<bool, Stale> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.fresh(Instant::now(), self.patience)?;
        Ok(known.revoked(handler, token_id, actor_id, issued_at))
    }

    /// Whether it has heard from the store recently enough.
    pub(crate) fn are_fresh(&self) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.fresh(Instant::now(), self.patience).is_ok()
    }

    /// Reads what is new, to its end.
    fn read_on(&self) -> Result<(), StoreError> {
        loop {
            let asked = Instant::now();
            let after = self.known.read().unwrap_or_else(PoisonError::into_inner).read;
            let page = pollster::block_on(self.store.revocations(after, PAGE))?;
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            for (number, revocation) in page {
                known.read = known.read.max(number);
                known.learn(revocation);
            }
            if is_last {
                // What was written later than this it may not have seen.
                known.heard = Some(asked);
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

fn follow(revocations: &Weak<Revocations>) {
    let mut complained = false;
    loop {
        thread::sleep(POLL);
        let Some(revocations) = revocations.upgrade() else { return };
        match revocations.read_on() {
            Ok(()) if complained => {
                complained = false;
                tracing::info!(target: "keyward::store", "revocations can be read again");
            }
            Ok(()) => {}
            Err(error) if !complained => {
                complained = true;
                tracing::warn!(target: "keyward::store", %error, "revocations cannot be read");
            }
            Err(_) => {}
        }
    }
}

/// Nothing has been heard for longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) seconds: u64,
}

impl From<Stale> for Fault {
    fn from(Stale { seconds }: Stale) -> Self {
        Self::Store(format!("what was revoked in the last {seconds} s is not known"))
    }
}

/// What has been read so far.
#[derive(Default)]
struct Known {
    /// Up to which number.
    read: u64,
    /// When all of it had been read for the last time.
    heard: Option<Instant>,
    /// Of any handler's tokens.
    any: Marks,
    /// Of one handler's.
    handlers: HashMap<String, Marks>,
}

/// Revocations of the same tokens, less what each other says already.
#[derive(Default)]
struct Marks {
    ids: HashMap<String, Until>,
    actors: HashMap<String, Until>,
    all: Option<Until>,
}

/// Up to which second of issue something is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Issued(u64),
    Always,
}

impl Until {
    /// A token that does not say when it was issued may be as old as it gets.
    fn includes(self, issued_at: Option<u64>) -> bool {
        match (self, issued_at) {
            (Self::Issued(until), Some(issued)) => issued <= until,
            _ => true,
        }
    }
}

impl Known {
    fn learn(&mut self, revocation: Revocation) {
        let Revocation { handler, token_id, actor_id, issued_until, forget_after: _ } = revocation;
        let until = issued_until.map_or(Until::Always, Until::Issued);
        let marks = match handler {
            Some(handler) => self.handlers.entry(handler).or_default(),
            None => &mut self.any,
        };
        let mark = match (token_id, actor_id) {
            // With an actor too it would be one of that actor's tokens: the id alone says as much or more.
            (Some(id), _) => marks.ids.entry(id).or_insert(until),
            (None, Some(actor)) => marks.actors.entry(actor).or_insert(until),
            (None, None) => marks.all.get_or_insert(until),
        };
        *mark = until.max(*mark);
    }

    fn revoked(&self, handler: &str, id: Option<&str>, actor: Option<&str>, issued_at: Option<u64>) -> bool {
        [Some(&self.any), self.handlers.get(handler)].into_iter().flatten().any(|marks| {
            let Marks { ids, actors, all } = marks;
            let id = id.and_then(|id| ids.get(id)).copied();
            let actor = actor.and_then(|actor| actors.get(actor)).copied();
            [id, actor, *all].into_iter().flatten().any(|until| until.includes(issued_at))
        })
    }

    fn fresh(&self, now: Instant, patience: Duration) -> Result<(), Stale> {
        let silence = self.heard.map_or(Duration::MAX, |heard| now.saturating_duration_since(heard));
        if silence > patience { Err(Stale { seconds: silence.as_secs() }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revocation() -> impl Strategy<Value = Revocation> {
        let word = || prop::option::of("[ab]");
        (word(), word(), word(), prop::option::of(0..3_u64)).prop_map(|(handler, token_id, actor_id, issued_until)| {
            // One that names a token names its handler, and nothing else.
            let token_id = token_id.filter(|_| handler.is_some() && actor_id.is_none());
            Revocation { handler, token_id, actor_id, issued_until, forget_after: None }
        })
    }

    proptest! {
        /// What is known at once is what each revocation says by itself, in whichever order they were heard of.
        #[test]
        fn a_token_is_revoked_if_it_fits_any_revocation(
            revocations in prop::collection::vec(revocation(), 0..6),
            handler in "[ab]",
            id in prop::option::of("[ab]"),
            actor in prop::option::of("[ab]"),
            issued in prop::option::of(0..3_u64),
        ) {
            let fits = |revocation: &Revocation| {
                let Revocation { handler: h, token_id, actor_id, issued_until, .. } = revocation;
                h.as_ref().is_none_or(|h| *h == handler)
                    && token_id.as_ref().is_none_or(|t| Some(t) == id.as_ref())
                    && actor_id.as_ref().is_none_or(|a| Some(a) == actor.as_ref())
                    && issued_until.is_none_or(|until| issued.is_none_or(|issued| issued <= until))
            };
            let wanted = revocations.iter().any(fits);
            let mut known = Known::default();
            revocations.into_iter().for_each(|revocation| known.learn(revocation));
            prop_assert_eq!(known.revoked(&handler, id.as_deref(), actor.as_deref(), issued), wanted);
        }
    }

    #[test]
    fn silence_is_borne_for_so_long() {
        let start = Instant::now();
        let patience = Duration::from_secs(10);
        let known = Known { heard: Some(start), ..Known::default() };
        assert_eq!(known.fresh(start + patience, patience), Ok(()));
        assert_eq!(known.fresh(start + Duration::from_secs(11), patience), Err(Stale { seconds: 11 }));
        assert!(Known::default().fresh(start, patience).is_err(), "before anything was read");
    }
}

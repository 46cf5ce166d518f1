//! What has been revoked, as this process knows it. Every good token is looked up here, whoever vouches for it, so that what
//! is signed can be taken back like what is stored.
//!
//! The truth is a list in the [`TokenStore`] that only grows. A thread reads on in it, several times a second, and sooner when
//! the store hints at something new; what this process revokes itself it knows at once. Without news for too long nothing is
//! answered from memory. What the store does not confirm is refused here all the same, and written down when that can be done.

use crate::error::Fault;
use crate::store::{Revocation, StoreError, TokenStore};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, thread};
use crate::token::TokenDigest;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

/// How long to wait until the list is looked at again.
const POLL: Duration = Duration::from_millis(200);

/// How much of the list is read at once.
const PAGE: u32 = 1_000;

/// How long to wait at most until what the store did not confirm is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The revocations of a store. Lives as long as the process; registries that replace each other share one.
pub struct Revocations {
    /// Itself, for the threads that must not keep it alive.
    this: Weak<Self>,
    store: Arc<dyn TokenStore>,
    patience: Duration,
    known: RwLock<Known>,
    unwritten: Mutex<Unwritten>,
}

impl Revocations {
    /// Reads all that there is, and goes on reading on a thread of its own for as long as the value lives. `patience` is how
    /// long it may hear nothing from the store before nothing is good any more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(store: Arc<dyn TokenStore>, patience: Duration) -> Result<Arc<Self>, StoreError> {
        let this = Self::new(store, patience);
        pollster::block_on(this.read_on())?;
        let weak = this.this.clone();
        let thread = thread::Builder::new().name("keyward-revoked".into()).spawn(move || follow(&weak));
        thread.map_err(|error| StoreError::new(format!("the thread that follows it could not be started: {error}")))?;
        Ok(this)
    }

    /// Knows nothing yet.
    pub(crate) fn new(store: Arc<dyn TokenStore>, patience: Duration) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            store,
            patience,
            known: RwLock::default(),
            unwritten: Mutex::default(),
        })
    }

    /// Takes tokens back, durably and before it answers: a verification that begins later says no. It does so as well if the
    /// store does not confirm it; then it is tried again until it does. `at` is the time, in unix seconds. Says how many records
    /// it ended.
    pub(crate) async fn revoke(&self, revocation: Revocation, at: u64) -> Result<u64, StoreError> {
        let ended = self.store.revoke(&revocation, at).await;
        self.write_known().learn(revocation.clone());
        if let Err(error) = &ended {
            tracing::warn!(target: "keyward::store", %error, "a revocation was not confirmed: this process refuses its tokens, and tries again while it runs");
            self.write_later(revocation.clone(), at);
        }
        if self.unwritten().held.remove(&revocation) && ended.is_ok() {
            tracing::info!(target: "keyward::store", "a revocation that could not be made at once is made");
        }
        if revocation.token_id.is_none() && revocation.token_digest.is_none() && ended.is_ok() {
            // The store may have taken single tokens back besides, of a clock that is fast. Where it cannot say so now, the thread
            // reads it later.
            let _ = self.read_on().await;
        }
        ended
    }

    /// Refuses tokens here, until they are revoked. Says whether it had not been told so already.
    pub(crate) fn hold(&self, revocation: Revocation) -> bool {
        let is_new = self.unwritten().held.insert(revocation.clone());
        if is_new {
            tracing::warn!(target: "keyward::store", "a revocation cannot be made yet: this process refuses its tokens while it runs");
            self.write_known().learn(revocation);
        }
        is_new
    }

    /// How many records a revocation would end.
    pub(crate) async fn count(&self, revocation: &Revocation, at: u64) -> Result<u64, StoreError> {
        self.store.count(revocation, at).await
    }

    /// Whether the store has yet to confirm something that is refused here.
    pub(crate) fn has_unwritten(&self) -> bool {
        let Unwritten { waiting, held, is_attended: _ } = &*self.unwritten();
        !(waiting.is_empty() && held.is_empty())
    }

    /// Whether a token that is good otherwise has been revoked.
    pub(crate) fn include(
        &self,
        handler: &str,
        token_id: Option<&str>,
        token: Option<&TokenDigest>,
        actor_id: Option<&str>,
        issued_at: Option<u64>,
    ) -> Result<bool, Unsure> {
        let known = self.read_known();
        known.sure(Instant::now(), self.patience)?;
        Ok(known.revoked(handler, token_id, token, actor_id, issued_at))
    }

    /// The number of the last one that was read.
    pub(crate) fn last(&self) -> u64 {
        self.read_known().last.as_ref().map_or(0, |(number, _)| *number)
    }

    /// Whether it has heard from the store recently enough.
    pub(crate) fn are_fresh(&self) -> bool {
        self.read_known().sure(Instant::now(), self.patience).is_ok()
    }

    /// Reads what is new, to its end.
    pub(crate) async fn read_on(&self) -> Result<(), StoreError> {
        loop {
            let asked = Instant::now();
            let last = self.read_known().last.clone();
            // The last one that was read is read again: if it is another one now, so may be all before it.
            let after = last.as_ref().map_or(0, |(number, _)| number.saturating_sub(1));
            let page = self.store.revocations(after, PAGE).await?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            let mut page = page.into_iter();
            let mut known = self.write_known();
            if last.is_some() && page.next() != last {
                known.has_forgotten = true;
                return Err(StoreError::new(FORGOTTEN));
            }
            for (number, revocation) in page {
                known.last = Some((number, revocation.clone()));
                known.learn(revocation);
            }
            if is_last {
                // What was written later than this it may not have seen.
                known.heard = Some(asked);
                return Ok(());
            }
        }
    }

    /// Has it written down by a thread of its own: the one that reads must not wait for that.
    fn write_later(&self, revocation: Revocation, at: u64) {
        let mut unwritten = self.unwritten();
        unwritten.waiting.entry(revocation).or_insert(at);
        if !unwritten.is_attended {
            let weak = self.this.clone();
            let thread = thread::Builder::new().name("keyward-revoking".into());
            // Where there is no thread to be had, there may be for the next one.
            unwritten.is_attended = thread.spawn(move || write_down(&weak)).is_ok();
        }
    }

    /// Tries to write down what waits.
    fn write(&self) -> Result<(), StoreError> {
        loop {
            let next = self.unwritten().waiting.iter().next().map(|(revocation, at)| (revocation.clone(), *at));
            let Some((revocation, at)) = next else { return Ok(()) };
            // It is not about what is there now: others have been made since it was asked for.
            let behind = revocation.issued_until.map_or(at, |until| at.max(until.saturating_add(1)));
            pollster::block_on(self.store.revoke(&revocation, behind))?;
            tracing::info!(target: "keyward::store", "a revocation that was not confirmed is written down");
            self.unwritten().waiting.remove(&revocation);
        }
    }

    fn read_known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_known(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, Unwritten> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
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
        let Some(store) = revocations.upgrade().map(|revocations| revocations.store.clone()) else { return };
        store.wait_for_news(POLL);
        drop(store);
        let Some(revocations) = revocations.upgrade() else { return };
        let read = pollster::block_on(revocations.read_on());
        if revocations.read_known().has_forgotten {
            tracing::error!(target: "keyward::store", "{FORGOTTEN}");
            return;
        }
        match read {
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

/// Writes down what waits, until nothing does.
fn write_down(revocations: &Weak<Revocations>) {
    let mut pause = POLL;
    loop {
        thread::sleep(pause);
        let Some(revocations) = revocations.upgrade() else { return };
        if revocations.write().is_err() {
            pause = pause.saturating_mul(2).min(RETRY);
            continue;
        }
        let mut unwritten = revocations.unwritten();
        if unwritten.waiting.is_empty() {
            unwritten.is_attended = false;
            return;
        }
    }
}

/// What the store has not confirmed.
#[derive(Default)]
struct Unwritten {
    /// Each with the time at which it was asked for.
    waiting: HashMap<Revocation, u64>,
    /// What it has not been asked for: something else must be done first.
    held: HashSet<Revocation>,
    /// Whether a thread is at it.
    is_attended: bool,
}

const FORGOTTEN: &str = "revocations that were read from the store are not in it any more: it was restored from an old copy, so that \
     nothing is known to be good. Put the newest copy back, or revoke again what was revoked since; then restart";

/// Why it is not known what was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsure {
    /// Nothing has been heard for longer than it may be.
    Silence { seconds: u64 },
    /// The store does not have any more what it had. It is not asked again: it may have others under the same numbers soon.
    Forgotten,
}

impl From<Unsure> for Fault {
    fn from(unsure: Unsure) -> Self {
        match unsure {
            Unsure::Silence { seconds } => {
                Self::Store(format!("what was revoked in the last {seconds} s is not known"))
            }
            Unsure::Forgotten => Self::Store(FORGOTTEN.to_owned()),
        }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Known {
    /// The last one, with its number.
    last: Option<(u64, Revocation)>,
    /// Whether that one has gone from the list.
    has_forgotten: bool,
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
    /// Digests of tokens, and of ids that look like one and are therefore not kept as text.
    digests: HashMap<TokenDigest, Until>,
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
        let Revocation { handler, token_id, token_digest, actor_id, issued_until } = revocation;
        let until = issued_until.map_or(Until::Always, Until::Issued);
        let marks = match handler {
            Some(handler) => self.handlers.entry(handler).or_default(),
            None => &mut self.any,
        };
        let raise = |mark: &mut Until| *mark = until.max(*mark);
        if let Some(digest) = token_digest {
            raise(marks.digests.entry(digest).or_insert(until));
        }
        match (token_id, actor_id) {
            // With an actor too it would be one of that actor's tokens: the id alone says as much or more.
            (Some(id), _) => raise(marks.ids.entry(id).or_insert(until)),
            (None, _) if token_digest.is_some() => {}
            (None, Some(actor)) => raise(marks.actors.entry(actor).or_insert(until)),
            (None, None) => raise(marks.all.get_or_insert(until)),
        }
    }

    fn revoked(
        &self,
        handler: &str,
        id: Option<&str>,
        token: Option<&TokenDigest>,
        actor: Option<&str>,
        issued_at: Option<u64>,
    ) -> bool {
        [Some(&self.any), self.handlers.get(handler)].into_iter().flatten().any(|marks| {
            let Marks { ids, digests, actors, all } = marks;
            let by_digest = |digest: &TokenDigest| digests.get(digest).copied();
            let of_id = id.filter(|_| !digests.is_empty()).map(TokenDigest::of);
            let marks = [
                id.and_then(|id| ids.get(id)).copied(),
                token.and_then(by_digest),
                of_id.as_ref().and_then(by_digest),
                actor.and_then(|actor| actors.get(actor)).copied(),
                *all,
            ];
            marks.into_iter().flatten().any(|until| until.includes(issued_at))
        })
    }

    /// Whether it is all that there is, or was a moment ago.
    fn sure(&self, now: Instant, patience: Duration) -> Result<(), Unsure> {
        if self.has_forgotten {
            return Err(Unsure::Forgotten);
        }
        let silence = self.heard.map_or(Duration::MAX, |heard| now.saturating_duration_since(heard));
        if silence > patience { Err(Unsure::Silence { seconds: silence.as_secs() }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revocation() -> impl Strategy<Value = Revocation> {
        let word = || prop::option::of("[ab]");
        let digest = prop::option::of(0..2_u8);
        (word(), word(), digest, word(), prop::option::of(0..3_u64)).prop_map(
            |(handler, token_id, digest, actor_id, issued_until)| {
                // One that names a token names its handler, and nothing else.
                let token_id = token_id.filter(|_| handler.is_some() && actor_id.is_none());
                let token_digest = digest.filter(|_| actor_id.is_none()).map(|byte| TokenDigest::new([byte; 32]));
                Revocation { handler, token_id, token_digest, actor_id, issued_until }
            },
        )
    }

    proptest! {
        /// What is known at once is what each revocation says by itself, in whichever order they were heard of.
        #[test]
        fn a_token_is_revoked_if_it_fits_any_revocation(
            revocations in prop::collection::vec(revocation(), 0..6),
            handler in "[ab]",
            id in prop::option::of("[ab]"),
            digest in prop::option::of(0..2_u8),
            actor in prop::option::of("[ab]"),
            issued in prop::option::of(0..3_u64),
        ) {
            let fits = |revocation: &Revocation, digest: Option<TokenDigest>| {
                let Revocation { handler: h, token_id, token_digest, actor_id, issued_until } = revocation;
                let is_of_any = token_id.is_none() && token_digest.is_none();
                let is_named = token_id.is_some() && *token_id == id;
                let is_presented = token_digest.is_some() && *token_digest == digest;
                h.as_ref().is_none_or(|h| *h == handler)
                    && (is_of_any || is_named || is_presented)
                    && actor_id.as_ref().is_none_or(|a| Some(a) == actor.as_ref())
                    && issued_until.is_none_or(|until| issued.is_none_or(|issued| issued <= until))
            };
            let digest = digest.map(|byte| TokenDigest::new([byte; 32]));
            let fits = |revocation: &Revocation| fits(revocation, digest);
            let wanted = revocations.iter().any(fits);
            let mut known = Known::default();
            revocations.into_iter().for_each(|revocation| known.learn(revocation));
            prop_assert_eq!(known.revoked(&handler, id.as_deref(), digest.as_ref(), actor.as_deref(), issued), wanted);
        }
    }

    #[test]
    fn an_id_is_revoked_by_its_digest_too() {
        let handler = Some("h".to_owned());
        let revocation =
            Revocation { handler, token_digest: Some(TokenDigest::of("kwt_like-a-token")), ..Revocation::default() };
        let mut known = Known::default();
        known.learn(revocation);
        let presented = TokenDigest::of("kwt_like-a-token");
        assert!(known.revoked("h", Some("kwt_like-a-token"), None, None, None));
        assert!(known.revoked("h", Some("another"), Some(&presented), None, None));
        assert!(!known.revoked("h", Some("another"), None, None, None));
        assert!(!known.revoked("g", Some("kwt_like-a-token"), Some(&presented), None, None));
    }

    #[test]
    fn silence_is_borne_for_so_long() {
        let start = Instant::now();
        let patience = Duration::from_secs(10);
        let known = Known { heard: Some(start), ..Known::default() };
        assert_eq!(known.sure(start + patience, patience), Ok(()));
        assert_eq!(known.sure(start + Duration::from_secs(11), patience), Err(Unsure::Silence { seconds: 11 }));
        assert!(Known::default().sure(start, patience).is_err(), "before anything was read");
    }
}

//! The revocation list, as this process has read it. Every token that a handler accepts is finally
//! checked here, so that signed tokens can be revoked like stored ones.
//!
//! The source of truth is an append-only list in the [`RevocationLog`]. A thread polls it several
//! times a second, and immediately when the store signals a change; revocations of this process
//! apply at once. After too long without contact, no verdict is given from memory. Revocations that
//! the store does not confirm apply here regardless, and are retried; an embedder keeps them until
//! the next start.

mod cutoffs;
mod kept;
mod pace;
mod pending_writes;
mod snapshot;

use crate::clock::UnixTime;
use crate::error::ErrorKind;
use crate::hook::RevocationHook;
use crate::store::{Entry, Revocation, RevocationLog, Revoked, StoreError};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, thread};
use crate::token::TokenId;
use kept::{Durability, Kept};
use pace::Pace;
use pending_writes::{Added, Late, PendingWrites, ROOM};
use snapshot::{Lag, Snapshot, Staleness};
use std::fmt;
use std::sync::Mutex as StdMutex;
use std::time::{Duration, Instant};

pub(crate) use cutoffs::{Ruling, Subject};
pub(crate) use pace::APART;
pub use pending_writes::PendingRevocation;

/// Interval between two polls of the list.
const POLL: Duration = Duration::from_millis(200);

/// Maximum number of entries read at once.
const PAGE: u32 = 1_000;

/// Maximum interval between two retries of an unconfirmed revocation.
const RETRY: Duration = Duration::from_secs(2);

/// The revocation list of a [`RevocationLog`]. Lives as long as the process; successive registries
/// share it.
pub struct Revocations {
    /// A weak reference to itself, for the threads, which must not keep it alive.
    this: Weak<Self>,
    store: Arc<dyn RevocationLog>,
    patience: Duration,
    known: RwLock<Snapshot>,
    /// Always locked before `known` if both are.
    unwritten: Mutex<PendingWrites>,
    /// A lock of the standard library, because the model has no clock.
    pace: StdMutex<Pace>,
    kept: Kept,
}

/// The state of the pending revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PendingStatus {
    /// Number of revocations that the store has not confirmed.
    pub count: usize,
    /// `true` if a restart would lose some of them.
    pub is_volatile: bool,
    /// `true` if an earlier process may have lost revocations, and no operator has accepted it.
    pub may_be_lost: bool,
}

impl Revocations {
    /// Reads the whole list, and polls it on a thread until the value is dropped. After `patience`
    /// without contact with the store, no token is valid any more.
    ///
    /// # Errors
    /// The store cannot be read, or the thread cannot be started.
    pub fn open(store: Arc<dyn RevocationLog>, patience: Duration) -> Result<Arc<Self>, StoreError> {
        let this = Self::new(store, patience);
        pollster::block_on(this.catch_up())?;
        let weak = this.this.clone();
        let thread = thread::Builder::new().name("keyward-revoked".into()).spawn(move || poll_loop(&weak));
        thread.map_err(|error| StoreError::new(format!("the revocation thread could not be started: {error}")))?;
        Ok(this)
    }

    /// Creates a list that is never read, so that no token is valid: to check whether a registry
    /// can be built.
    pub fn unread(store: Arc<dyn RevocationLog>) -> Arc<Self> {
        Self::new(store, Duration::ZERO)
    }

    /// Creates an empty list, which has not been read yet.
    pub(crate) fn new(store: Arc<dyn RevocationLog>, patience: Duration) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            store,
            patience,
            known: RwLock::default(),
            unwritten: Mutex::default(),
            pace: StdMutex::default(),
            kept: Kept::default(),
        })
    }

    /// Revokes tokens durably, and for every verification that starts after this returns. Returns
    /// the number of records that were ended.
    ///
    /// The same holds in this process if the store does not confirm the revocation, which is then
    /// retried until it does. `at` is the current time, `leeway` the number of seconds by which the
    /// clocks of other nodes may be ahead.
    ///
    /// # Errors
    /// The store did not confirm the revocation. [`ErrorKind::TooManyPending`]: nor is it retried.
    pub(crate) async fn revoke(&self, revocation: Revocation, at: UnixTime, leeway: u64) -> Result<u64, ErrorKind> {
        let held = self.unwritten().held(&revocation);
        let written = held.map_or_else(|| revocation.clone(), |late| late.written(&revocation).0);
        match self.store.revoke(&written, at).await {
            Ok(Revoked { ended, number, descendants }) => {
                self.confirm(&revocation, written, number, descendants);
                if revocation.token_id.is_none() && revocation.token_digest.is_none() {
                    // The store may also have revoked single tokens with a later issue time. If
                    // they cannot be read now, the polling thread reads them later.
                    let _ = self.catch_up().await;
                }
                // Best effort: the next heartbeat also advances the newest time.
                let _ = self.keep_clock(at).await;
                Ok(ended)
            }
            Err(error) => {
                tracing::warn!(target: "keyward::store", %error, "the store did not confirm a revocation");
                self.write_later(revocation, held.unwrap_or_else(|| Late::new(at, leeway)), None, ROOM)?;
                Err(error.into())
            }
        }
    }

    /// Rejects tokens in this process, and revokes them once `hook` succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::TooManyPending`]: nothing has changed.
    pub(crate) fn block(
        &self,
        revocation: Revocation,
        at: UnixTime,
        leeway: u64,
        hook: Arc<dyn RevocationHook>,
    ) -> Result<(), ErrorKind> {
        self.write_later(revocation, Late::new(at, leeway), Some(hook), ROOM)
    }

    /// Resumes a revocation that an earlier process has left: rejects its tokens, and revokes them
    /// once `hook` succeeds. It had room there, so it is never refused here.
    pub fn resume(&self, pending: PendingRevocation, hook: Option<Arc<dyn RevocationHook>>) {
        let PendingRevocation { revocation, at, leeway, note: _ } = pending;
        let revocation = Revocation { issued_until: revocation.issued_until.map(UnixTime::whole), ..revocation };
        // Cannot fail without a limit.
        let _ = self.write_later(revocation, Late::new(at.whole(), leeway.as_secs()), hook, usize::MAX);
    }

    /// Blocks until the pending revocations have changed since the number `seen`, or for `max`.
    /// Returns the pending ones, and the number of changes up to now; `None` if there is no change.
    /// For an embedder that keeps them until the next start, and calls
    /// [`note_kept`](Self::note_kept) then.
    pub fn pending_since(&self, seen: u64, max: Duration) -> Option<(u64, Vec<PendingRevocation>)> {
        let changes = self.kept.wait(seen, max);
        (changes != seen).then(|| (changes, self.unwritten().all()))
    }

    /// Notes that the pending revocations after this number of changes are kept durably.
    pub fn note_kept(&self, changes: u64) {
        self.kept.note(changes, Durability::Durable);
    }

    /// Notes that the pending revocations after this number of changes could not be kept.
    pub fn note_not_kept(&self, changes: u64) {
        self.kept.note(changes, Durability::Volatile);
    }

    /// Waits until an embedder has kept the pending revocations, or failed to; not at all if none
    /// does. The caller bounds the time.
    pub async fn are_kept(&self) {
        self.kept.is_noted().await;
    }

    /// Notes that an earlier process may have lost revocations.
    pub fn note_possible_loss(&self) {
        self.kept.set_may_be_lost(true);
    }

    /// Notes that no earlier process has lost revocations, or that an operator has accepted it.
    pub fn clear_possible_loss(&self) {
        self.kept.set_may_be_lost(false);
    }

    /// Returns the [`PendingStatus`] of the pending revocations.
    pub fn pending(&self) -> PendingStatus {
        let count = self.unwritten().len();
        let is_volatile = count > 0 && !self.kept.is_durable();
        PendingStatus { count, is_volatile, may_be_lost: self.kept.may_be_lost() }
    }

    /// Returns the number of records that a [`Revocation`] would end.
    pub(crate) async fn count(&self, revocation: &Revocation, at: UnixTime) -> Result<u64, StoreError> {
        self.store.count(revocation, at).await
    }

    /// Returns whether there are revocations that the store has not confirmed.
    pub fn has_unwritten(&self) -> bool {
        !self.unwritten().is_empty()
    }

    /// Returns the [`Ruling`] on a token that is otherwise valid. An unconfirmed revocation covers
    /// a token regardless of its record.
    ///
    /// # Errors
    /// Returns a [`Staleness`] if the list is not fresh enough.
    pub(crate) fn rule(&self, subject: Subject<'_>) -> Result<Ruling, Staleness> {
        let known = self.read_known();
        known.check_fresh(Instant::now(), self.patience)?;
        Ok(known.rule(subject))
    }

    /// Returns whether one of these subjects is revoked, by a revocation that this process has
    /// learned of since the list had the [version](Self::version).
    ///
    /// # Errors
    /// As for [`rule`](Self::rule).
    pub(crate) fn has_revoked_since(
        &self,
        version: Option<u64>,
        subjects: [Subject<'_>; 2],
    ) -> Result<bool, Staleness> {
        let known = self.read_known();
        known.check_fresh(Instant::now(), self.patience)?;
        let is_revoked = |subject| known.rule(subject) != Ruling::Clear;
        Ok(Some(known.version) != version && subjects.into_iter().any(is_revoked))
    }

    /// Returns whether a token that is issued at `now` would be valid. A token that a confirmed
    /// cutoff covers is valid if a record of it is kept, except in the second of the revocation, in
    /// which a signed token may be identical to a revoked one.
    ///
    /// # Errors
    /// Returns a [`Staleness`] if the list is not fresh enough.
    pub(crate) fn may_issue(&self, subject: Subject<'_>, now: UnixTime, keeps_record: bool) -> Result<bool, Staleness> {
        let known = self.read_known();
        known.check_fresh(Instant::now(), self.patience)?;
        Ok(match known.rule(subject) {
            Ruling::Clear => true,
            Ruling::Covered => keeps_record && !known.confirmed.cut_off_now(subject, now),
            Ruling::Revoked => false,
        })
    }

    /// Returns the number of the last entry that this process has read or written.
    pub(crate) fn last(&self) -> u64 {
        self.end().map_or(0, |(number, _)| number)
    }

    /// Returns the number and a digest of the last known entry, for an audit log to note; `None`
    /// while the list is not trusted.
    pub fn end(&self) -> Option<(u64, u64)> {
        let Snapshot { last, own, has_forgotten, lag, .. } = &*self.read_known();
        if *has_forgotten || lag.is_some() {
            return None;
        }
        let latest = last.iter().chain(own).max_by_key(|(number, _)| *number);
        latest.map(|(number, entry)| (*number, entry.digest()))
    }

    /// Compares the list with the number and digest of its last entry, as an audit log has noted
    /// them. Returns whether the list has that entry. If not, no token is valid until a later
    /// comparison succeeds.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store cannot be read.
    pub async fn compare(&self, noted: Option<(u64, u64)>) -> Result<bool, StoreError> {
        let lag = match noted {
            None | Some((0, _)) => None,
            Some((number, digest)) => {
                let found = self.store.entries(number.saturating_sub(1), 1).await?;
                let is_there = found.first().is_some_and(|(found, entry)| *found == number && entry.digest() == digest);
                (!is_there).then_some(number)
            }
        };
        let mut known = self.write_known();
        known.lag = lag.map(|noted| Lag { noted, last: known.last.as_ref().map_or(0, |(number, _)| *number) });
        Ok(known.lag.is_none())
    }

    /// Returns whether the last [`compare`](Self::compare) found that the list lacks the noted
    /// entry.
    pub fn is_lagging(&self) -> bool {
        self.read_known().lag.is_some()
    }

    /// Returns why no verdicts can be given now, for the operator; `None` if they can.
    pub fn trouble(&self) -> Option<String> {
        self.read_known().check_fresh(Instant::now(), self.patience).err().map(|unsure| unsure.to_string())
    }

    /// Returns a number that changes with every revocation that this process learns of.
    pub(crate) fn version(&self) -> u64 {
        self.read_known().version
    }

    /// Returns the newest time in the store, if this node's clock is too far behind it to judge
    /// expiry.
    pub(crate) fn is_behind(&self, now: UnixTime) -> Option<UnixTime> {
        self.read_known().newest.filter(|newest| now.later(APART) < *newest)
    }

    /// Advances the newest time in the store to `now`, unless the clock has jumped.
    pub(crate) async fn keep_clock(&self, now: UnixTime) -> Result<(), StoreError> {
        let newest = self.store.clock().await?;
        let moves = self.pace.lock().unwrap_or_else(PoisonError::into_inner).moves(now, newest, Instant::now());
        if moves { self.store.note_clock(now).await } else { Ok(()) }
    }

    /// Reads the new entries of the list, to its end.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store cannot be read, or has lost entries that were read
    /// before.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let newest = self.store.clock().await?;
        loop {
            let asked = Instant::now();
            // The result must include every entry that this process has already written.
            let (last, own) = {
                let known = self.read_known();
                (known.last.clone(), known.own.clone())
            };
            let last_number = last.as_ref().map_or(0, |(number, _)| *number);
            let mut awaited = own.filter(|(number, _)| *number > last_number);
            // The last entry is read again: if it differs, all before it may differ too.
            let page = self.store.entries(last_number.saturating_sub(1), PAGE).await?;
            let is_last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            let mut page = page.into_iter();
            let mut known = self.write_known();
            if last.is_some() && page.next() != last {
                return known.forget();
            }
            for (number, entry) in page {
                if let Some(own) = awaited.take_if(|(awaited, _)| *awaited <= number)
                    && (own.0, &own.1) != (number, &entry)
                {
                    return known.forget();
                }
                // Another reader may already have added it. A cap must not apply to later entries.
                if known.last.as_ref().is_none_or(|(last, _)| *last < number) {
                    known.confirmed.add(entry.clone());
                    let is_known = known.unread.remove(&number);
                    known.version += u64::from(!is_known);
                    known.last = Some((number, entry));
                }
            }
            if is_last {
                if awaited.is_some() {
                    return known.forget();
                }
                // The pages may lack entries that were written after this instant.
                (known.heard, known.newest) = (Some(asked), newest);
                return Ok(());
            }
        }
    }

    /// Notes that a revocation is in the store, as `written` and under this number, with those of
    /// its descendants.
    fn confirm(&self, revocation: &Revocation, written: Revocation, number: u64, descendants: Vec<TokenId>) {
        let was_held = {
            let mut unwritten = self.unwritten();
            let mut known = self.write_known();
            let written = Revocation { keep_children: false, ..written };
            known.confirmed.apply(written.clone());
            known.version += 1;
            // The poll may have read it already.
            if known.last.as_ref().is_none_or(|(last, _)| *last < number) {
                known.unread.insert(number);
            }
            for token in descendants {
                known.confirmed.apply(token.into());
            }
            if known.own.as_ref().is_none_or(|(own, _)| *own < number) {
                known.own = Some((number, Entry::Revoked(written)));
            }
            unwritten.remove(revocation, &mut known.unconfirmed)
        };
        if was_held {
            self.kept.change();
            tracing::info!(target: "keyward::store", "a revocation that was pending has been written");
        }
    }

    /// Leaves the write to another thread: the polling thread must not wait for it.
    fn write_later(
        &self,
        revocation: Revocation,
        late: Late,
        hook: Option<Arc<dyn RevocationHook>>,
        room: usize,
    ) -> Result<(), ErrorKind> {
        let mut unwritten = self.unwritten();
        let added = {
            let mut known = self.write_known();
            known.version += 1;
            unwritten.add(revocation, late, hook, room, &mut known.unconfirmed)
        };
        match added {
            Added::Full => return Err(ErrorKind::TooManyPending),
            Added::New => {
                tracing::warn!(target: "keyward::store", "a revocation cannot be written yet: this process rejects its tokens, and retries while it runs");
            }
            Added::Known => {}
        }
        self.kept.change();
        self.attend(&mut unwritten);
        Ok(())
    }

    /// Starts the thread that writes pending revocations, unless it is running.
    fn attend(&self, unwritten: &mut PendingWrites) {
        if !unwritten.is_attended {
            let weak = self.this.clone();
            let thread = thread::Builder::new().name("keyward-revoking".into());
            // If no thread can be started now, the next revocation retries.
            unwritten.is_attended = thread.spawn(move || write_down(&weak)).is_ok();
        }
    }

    /// Tries to write all pending revocations. Returns whether some are left.
    fn write(&self) -> bool {
        let mut is_left = false;
        // Not in the loop's head, which would hold the lock for the whole loop.
        let held = self.unwritten().all_held();
        for (revocation, hook) in held {
            match pollster::block_on(hook.before_write()) {
                Ok(()) => {
                    self.unwritten().release(&revocation);
                    self.kept.change();
                }
                Err(_) => is_left = true,
            }
        }
        loop {
            let next = self.unwritten().next();
            let Some((revocation, written, behind)) = next else { return is_left };
            let Ok(Revoked { number, descendants, .. }) = pollster::block_on(self.store.revoke(&written, behind))
            else {
                return true;
            };
            self.confirm(&revocation, written, number, descendants);
        }
    }

    fn read_known(&self) -> RwLockReadGuard<'_, Snapshot> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_known(&self) -> RwLockWriteGuard<'_, Snapshot> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten(&self) -> MutexGuard<'_, PendingWrites> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").finish_non_exhaustive()
    }
}

fn poll_loop(revocations: &Weak<Revocations>) {
    let mut complained = false;
    loop {
        let Some(store) = revocations.upgrade().map(|revocations| revocations.store.clone()) else { return };
        store.wait_for_change(POLL);
        drop(store);
        let Some(revocations) = revocations.upgrade() else { return };
        let read = pollster::block_on(revocations.catch_up());
        if revocations.read_known().has_forgotten {
            tracing::error!(target: "keyward::store", "{}", Staleness::Forgotten);
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

/// Writes pending revocations until none are left.
fn write_down(revocations: &Weak<Revocations>) {
    let mut pause = POLL;
    loop {
        thread::sleep(pause);
        let Some(revocations) = revocations.upgrade() else { return };
        if revocations.write() {
            pause = pause.saturating_mul(2).min(RETRY);
            continue;
        }
        if revocations.unwritten().is_done() {
            return;
        }
    }
}

//! What has been revoked, as this process knows it. Every token that a handler accepts is looked up
//! here last, so that signed tokens can be revoked like stored ones.
//!
//! The truth is a list in the [`TokenStore`] that only grows. A thread reads on in it, several
//! times a second, and sooner when the store hints at something new; what this process revokes
//! itself it knows at once. Without news for too long nothing is answered from memory. What the
//! store does not confirm is refused here regardless, and written when that can be done.

mod cutoffs;
mod pace;
mod pending_writes;

use crate::error::ErrorKind;
use crate::store::{Entry, Revocation, Revoked, StoreError, TokenStore};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, thread};
use crate::verdict::RevocationHook;
use cutoffs::Cutoffs;
use pace::Pace;
use pending_writes::{Late, PendingWrites};
use std::fmt;
use std::sync::Mutex as StdMutex;
use std::time::{Duration, Instant};

pub(crate) use cutoffs::{Ruling, Subject};
pub(crate) use pace::APART;

/// How long to wait until the list is looked at again.
const POLL: Duration = Duration::from_millis(200);

/// How much of the list is read at once.
const PAGE: u32 = 1_000;

/// How long to wait at most until what the store did not confirm is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// The revocations of a store. Lives as long as the process; registries that replace each other
/// share one.
pub struct Revocations {
    /// Itself, for the threads that must not keep it alive.
    this: Weak<Self>,
    store: Arc<dyn TokenStore>,
    patience: Duration,
    known: RwLock<Snapshot>,
    /// Locked before `known` where both are.
    unwritten: Mutex<PendingWrites>,
    /// Not among the locks of the model, which has no clock.
    pace: StdMutex<Pace>,
}

impl Revocations {
    /// Reads all that there is, and goes on reading on a thread of its own for as long as the value
    /// lives. `patience` is how long it may hear nothing from the store before nothing is good any
    /// more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(store: Arc<dyn TokenStore>, patience: Duration) -> Result<Arc<Self>, StoreError> {
        let this = Self::new(store, patience);
        pollster::block_on(this.catch_up())?;
        let weak = this.this.clone();
        let thread = thread::Builder::new().name("keyward-revoked".into()).spawn(move || poll_loop(&weak));
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
            pace: StdMutex::default(),
        })
    }

    /// Revokes tokens, durably and before it answers: a verification that begins later says no. It
    /// does so as well if the store does not confirm it; then it is tried again until it does. `at`
    /// is the time, in unix seconds, and `leeway` how far ahead the clocks of other nodes may be.
    /// Returns how many records it ended.
    pub(crate) async fn revoke(&self, revocation: Revocation, at: u64, leeway: u64) -> Result<u64, StoreError> {
        let held = self.unwritten().held(&revocation);
        let written = held.map_or_else(|| revocation.clone(), |late| late.written(&revocation).0);
        match self.store.revoke(&written, at).await {
            Ok(Revoked { ended, number }) => {
                self.confirm(&revocation, written, number);
                if revocation.token_id.is_none() && revocation.token_digest.is_none() {
                    // The store may have revoked single tokens besides, of a clock that is ahead.
                    // Where it cannot say so now, the thread reads it later.
                    let _ = self.catch_up().await;
                }
                // The mark of the clock is a help for others; the next heartbeat moves it too.
                let _ = self.keep_clock(at).await;
                Ok(ended)
            }
            Err(error) => {
                tracing::warn!(target: "keyward::store", %error, "a revocation was not confirmed: this process refuses its tokens, and tries again while it runs");
                self.write_later(revocation, held.unwrap_or_else(|| Late::new(at, leeway)));
                Err(error)
            }
        }
    }

    /// Refuses tokens here until they are revoked, as soon as the hook lets it.
    pub(crate) fn block(&self, revocation: Revocation, at: u64, leeway: u64, hook: Arc<dyn RevocationHook>) {
        let mut unwritten = self.unwritten();
        if unwritten.block(revocation, Late::new(at, leeway), hook, &mut self.write_known().unconfirmed) {
            tracing::warn!(target: "keyward::store", "a revocation cannot be made yet: this process refuses its tokens while it runs");
        }
        self.attend(&mut unwritten);
    }

    /// How many records a revocation would end.
    pub(crate) async fn count(&self, revocation: &Revocation, at: u64) -> Result<u64, StoreError> {
        self.store.count(revocation, at).await
    }

    /// Returns whether the store has yet to confirm something that is refused here.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.unwritten().is_empty()
    }

    /// Rules on a token that is valid otherwise. What the store has not confirmed covers a token
    /// whatever its record says.
    pub(crate) fn rule(&self, subject: Subject<'_>) -> Result<Ruling, Staleness> {
        let known = self.read_known();
        known.check_fresh(Instant::now(), self.patience)?;
        Ok(known.rule(subject))
    }

    /// Returns whether a token that is issued at `now` would be valid. Behind a revocation it is if
    /// a record of it is kept, but not in the second of the revocation, in which a signed token may
    /// be the very one that was revoked.
    pub(crate) fn may_issue(&self, subject: Subject<'_>, now: u64, keeps_record: bool) -> Result<bool, Staleness> {
        let known = self.read_known();
        known.check_fresh(Instant::now(), self.patience)?;
        Ok(match known.rule(subject) {
            Ruling::Clear => true,
            Ruling::Covered => keeps_record && !known.confirmed.cut_off_now(subject, now),
            Ruling::Revoked => false,
        })
    }

    /// Returns the number of the last entry that was read or written by this process.
    pub(crate) fn last(&self) -> u64 {
        self.end().map_or(0, |(number, _)| number)
    }

    /// Returns the number of the last entry that is known and a digest of it, for an audit to note;
    /// nothing while the list is not believed.
    pub fn end(&self) -> Option<(u64, u64)> {
        let Snapshot { last, own, has_forgotten, lag, .. } = &*self.read_known();
        if *has_forgotten || lag.is_some() {
            return None;
        }
        let latest = last.iter().chain(own).max_by_key(|(number, _)| *number);
        latest.map(|(number, entry)| (*number, entry.digest()))
    }

    /// Compares the list with its end as an audit has noted it: its number and digest. If the list
    /// lacks that entry, nothing is known to be valid until it is compared with an end that it has.
    /// Returns whether it has it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn compare(&self, noted: Option<(u64, u64)>) -> Result<bool, StoreError> {
        let lag = match noted {
            None | Some((0, _)) => None,
            Some((number, digest)) => {
                let found = self.store.revocations(number.saturating_sub(1), 1).await?;
                let is_there = found.first().is_some_and(|(found, entry)| *found == number && entry.digest() == digest);
                (!is_there).then_some(number)
            }
        };
        let mut known = self.write_known();
        known.lag = lag.map(|noted| Lag { noted, last: known.last.as_ref().map_or(0, |(number, _)| *number) });
        Ok(known.lag.is_none())
    }

    /// Returns whether the list lacked what it was last compared with.
    pub fn is_lagging(&self) -> bool {
        self.read_known().lag.is_some()
    }

    /// Returns why no token is known to be valid at present, for the operator.
    pub fn trouble(&self) -> Option<String> {
        self.read_known().check_fresh(Instant::now(), self.patience).err().map(|unsure| unsure.to_string())
    }

    /// Returns the newest time that the store has seen, if this clock lies too far behind it to say
    /// what has ended.
    pub(crate) fn is_behind(&self, now: u64) -> Option<u64> {
        self.read_known().newest.filter(|newest| now.saturating_add(APART) < *newest)
    }

    /// Moves the newest time that the store has seen on to `now`, if the clock has not leapt.
    pub(crate) async fn keep_clock(&self, now: u64) -> Result<(), StoreError> {
        let newest = self.store.clock().await?;
        let moves = self.pace.lock().unwrap_or_else(PoisonError::into_inner).moves(now, newest, Instant::now());
        if moves { self.store.note_clock(now).await } else { Ok(()) }
    }

    /// Reads what is new in the list, to its end.
    ///
    /// # Errors
    /// The store cannot be read, or has lost what was read before.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let newest = self.store.clock().await?;
        loop {
            let asked = Instant::now();
            // Entries that this process wrote before it asks must be in the answer.
            let (last, own) = {
                let known = self.read_known();
                (known.last.clone(), known.own.clone())
            };
            let last_number = last.as_ref().map_or(0, |(number, _)| *number);
            let mut awaited = own.filter(|(number, _)| *number > last_number);
            // The last one that was read is read again: if it is another one now, so may be all
            // before it.
            let page = self.store.revocations(last_number.saturating_sub(1), PAGE).await?;
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
                // Another reader may have added it already. A cap must not be applied to later
                // entries.
                if known.last.as_ref().is_none_or(|(last, _)| *last < number) {
                    known.confirmed.add(entry.clone());
                    known.last = Some((number, entry));
                }
            }
            if is_last {
                if awaited.is_some() {
                    return known.forget();
                }
                // What was written later than this it may not have seen.
                (known.heard, known.newest) = (Some(asked), newest);
                return Ok(());
            }
        }
    }

    /// Notes that a revocation is in the store, in the form in which it was written, under this
    /// number.
    fn confirm(&self, revocation: &Revocation, written: Revocation, number: u64) {
        let was_held = {
            let mut unwritten = self.unwritten();
            let mut known = self.write_known();
            known.confirmed.apply(written.clone());
            if known.own.as_ref().is_none_or(|(own, _)| *own < number) {
                known.own = Some((number, Entry::Revoked(written)));
            }
            unwritten.remove(revocation, &mut known.unconfirmed)
        };
        if was_held {
            tracing::info!(target: "keyward::store", "a revocation that could not be made at once is made");
        }
    }

    /// Has it written by another thread: the one that reads must not wait for that.
    fn write_later(&self, revocation: Revocation, late: Late) {
        let mut unwritten = self.unwritten();
        unwritten.wait(revocation, late, &mut self.write_known().unconfirmed);
        self.attend(&mut unwritten);
    }

    /// Starts the thread that writes what waits, unless it runs.
    fn attend(&self, unwritten: &mut PendingWrites) {
        if !unwritten.is_attended {
            let weak = self.this.clone();
            let thread = thread::Builder::new().name("keyward-revoking".into());
            // If no thread can be started now, the next revocation tries again.
            unwritten.is_attended = thread.spawn(move || write_down(&weak)).is_ok();
        }
    }

    /// Tries to write all that waits. Returns whether something still does.
    fn write(&self) -> bool {
        let mut is_left = false;
        // Not in the loop's head, where the lock would be held for all of it.
        let held = self.unwritten().all_held();
        for (revocation, hook) in held {
            match pollster::block_on(hook.before_write()) {
                Ok(()) => self.unwritten().release(&revocation),
                Err(_) => is_left = true,
            }
        }
        loop {
            let next = self.unwritten().next();
            let Some((revocation, written, behind)) = next else { return is_left };
            let Ok(Revoked { number, .. }) = pollster::block_on(self.store.revoke(&written, behind)) else {
                return true;
            };
            tracing::info!(target: "keyward::store", "a revocation that was not confirmed is written");
            self.confirm(&revocation, written, number);
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

/// Writes what waits, until nothing does.
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

/// The reason why revoked tokens cannot be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staleness {
    /// Nothing has been heard for longer than it may be.
    Silence { seconds: u64 },
    /// The store does not have any more what it had. It is not asked again: it may have others
    /// under the same numbers soon.
    Forgotten,
    /// The audit knows of revocations that the store lacks.
    Lagging(Lag),
}

/// The end of the list as an audit has noted it, and as the store had it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    noted: u64,
    last: u64,
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence { seconds } => write!(f, "what was revoked in the last {seconds} s is not known"),
            Self::Forgotten => f.write_str(
                "revocations that were read from the store are no longer in it: it was restored from an older copy, so no token \
                 is known to be valid. Put the newest copy back, or revoke again what was revoked since; then restart, and with \
                 an audit run `keyward store accept`",
            ),
            Self::Lagging(Lag { noted, last }) => write!(
                f,
                "the audit has noted revocation {noted}, which the store lacks (its last one was {last}): the store is an older \
                 copy, so no token is known to be valid. Put the newest copy back, or revoke again what was revoked since and \
                 run `keyward store accept`"
            ),
        }
    }
}

impl From<Staleness> for ErrorKind {
    fn from(unsure: Staleness) -> Self {
        Self::Store(unsure.to_string())
    }
}

/// The list as far as it has been read.
#[derive(Default)]
struct Snapshot {
    /// The last entry that was read, with its number.
    last: Option<(u64, Entry)>,
    /// The last one that this process has written.
    own: Option<(u64, Entry)>,
    /// Set once one of these is missing from the list.
    has_forgotten: bool,
    /// Set while the list lacks the entry that an audit has noted.
    lag: Option<Lag>,
    /// When all of it had been read for the last time.
    heard: Option<Instant>,
    /// The newest time that the store has seen.
    newest: Option<u64>,
    confirmed: Cutoffs,
    unconfirmed: Cutoffs,
}

impl Snapshot {
    fn rule(&self, subject: Subject<'_>) -> Ruling {
        match self.unconfirmed.rule(subject) {
            Ruling::Clear => self.confirmed.rule(subject),
            Ruling::Covered | Ruling::Revoked => Ruling::Revoked,
        }
    }

    /// Whether it is all that there is, or was a moment ago.
    fn check_fresh(&self, now: Instant, patience: Duration) -> Result<(), Staleness> {
        if self.has_forgotten {
            return Err(Staleness::Forgotten);
        }
        if let Some(lag) = self.lag {
            return Err(Staleness::Lagging(lag));
        }
        let silence = self.heard.map_or(Duration::MAX, |heard| now.saturating_duration_since(heard));
        if silence > patience { Err(Staleness::Silence { seconds: silence.as_secs() }) } else { Ok(()) }
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        self.has_forgotten = true;
        Err(StoreError::new(Staleness::Forgotten.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_borne_for_so_long() {
        let start = Instant::now();
        let patience = Duration::from_secs(10);
        let known = Snapshot { heard: Some(start), ..Snapshot::default() };
        assert_eq!(known.check_fresh(start + patience, patience), Ok(()));
        assert_eq!(
            known.check_fresh(start + Duration::from_secs(11), patience),
            Err(Staleness::Silence { seconds: 11 })
        );
        assert!(Snapshot::default().check_fresh(start, patience).is_err(), "before anything was read");
    }
}

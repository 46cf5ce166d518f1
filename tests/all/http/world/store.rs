//! A store in memory: a double of the seam, that fails or waits when a test says so. No handler here keeps records of its own
//! tokens; those that revocations count and end are given.

use keyward_runtime::{
    Changes, Committed, Entry, Filter, KeyUse, Listed, NodeSeen, Pending, Place, Revocation, Revoked, SecretDigest,
    StoreError, Stored, Tally, TokenDigest, TokenStore, UnixTime,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The store.
pub(crate) struct Double {
    records: Mutex<Vec<Kept>>,
    revocations: Mutex<Vec<Revocation>>,
    fails: AtomicBool,
    silent: AtomicBool,
    waits: watch::Sender<bool>,
}

/// A record: whose token it is, and since when.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) handler: &'static str,
    pub(crate) id: &'static str,
    pub(crate) actor: &'static str,
    pub(crate) issued_at: u64,
}

impl Kept {
    fn fits(&self, revocation: &Revocation) -> bool {
        let Revocation { handler, token_id, token_digest, actor_id, issued_until } = revocation;
        // No record here has a digest.
        (token_id.is_some() || token_digest.is_none())
            && handler.as_ref().is_none_or(|handler| handler == self.handler)
            && token_id.as_ref().is_none_or(|id| id == self.id)
            && actor_id.as_ref().is_none_or(|actor| actor == self.actor)
            && issued_until.is_none_or(|until| self.issued_at <= until)
    }
}

impl Double {
    /// With these records.
    pub(crate) fn with(records: &[Kept]) -> Self {
        let (waits, _) = watch::channel(false);
        Self {
            records: Mutex::new(records.to_vec()),
            revocations: Mutex::default(),
            fails: false.into(),
            silent: false.into(),
            waits,
        }
    }

    /// From now on it confirms no revocation, or does again.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// From now on the list cannot be read, or can again.
    pub(crate) fn silence(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// From now on revocations wait, until they need not any more.
    pub(crate) fn hold(&self, waits: bool) {
        self.waits.send_replace(waits);
    }

    /// How many revocations wait.
    pub(crate) fn held(&self) -> usize {
        self.waits.receiver_count()
    }

    /// What was written down.
    pub(crate) fn revocations(&self) -> Vec<Revocation> {
        self.revocations.lock().unwrap().clone()
    }

    async fn answer(&self) -> Result<(), StoreError> {
        let mut waits = self.waits.subscribe();
        waits.wait_for(|waits| !waits).await.map_err(|_| StoreError::new("the test is over"))?;
        if self.fails.load(Ordering::SeqCst) { Err(StoreError::new("the test wants it so")) } else { Ok(()) }
    }
}

impl TokenStore for Double {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, Option<Stored>> {
        Box::pin(async { Ok(None) })
    }

    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> Pending<'a, Option<Stored>> {
        Box::pin(async { Ok(None) })
    }

    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> Pending<'a, Option<Listed>> {
        Box::pin(async { Ok(None) })
    }

    fn next_serial<'a>(&'a self, _: &'a str) -> Pending<'a, u64> {
        Box::pin(async { Err(StoreError::new("no handler may ask")) })
    }

    /// What the host writes down of tokens that are made.
    fn commit<'a>(&'a self, _: &'a str, _: Changes) -> Pending<'a, Committed> {
        Box::pin(async { Ok(Committed::Done) })
    }

    fn used(&self, _: &str, _: &str, _: u64) {}

    fn count<'a>(&'a self, revocation: &'a Revocation, _: u64) -> Pending<'a, u64> {
        Box::pin(async move {
            self.answer().await?;
            let count = self.records.lock().unwrap().iter().filter(|kept| kept.fits(revocation)).count();
            Ok(u64::try_from(count).unwrap())
        })
    }

    fn revoke<'a>(&'a self, revocation: &'a Revocation, at: u64) -> Pending<'a, Revoked> {
        Box::pin(async move {
            let ended = self.count(revocation, at).await?;
            self.records.lock().unwrap().retain(|kept| !kept.fits(revocation));
            let mut revocations = self.revocations.lock().unwrap();
            revocations.push(revocation.clone());
            Ok(Revoked { ended, number: u64::try_from(revocations.len()).unwrap() })
        })
    }

    fn clock(&self) -> Pending<'_, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    fn note_clock(&self, _: u64) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn revocations<'a>(&'a self, after: u64, most: u32) -> Pending<'a, Vec<(u64, Entry)>> {
        Box::pin(async move {
            if self.silent.load(Ordering::SeqCst) {
                return Err(StoreError::new("the test wants it so"));
            }
            let all = self.revocations.lock().unwrap();
            let behind = (1..).zip(all.iter().cloned().map(Entry::Revoked)).skip(usize::try_from(after).unwrap());
            Ok(behind.take(usize::try_from(most).unwrap()).collect())
        })
    }

    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Place>, _: u32, _: u64) -> Pending<'a, Vec<Listed>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn tally<'a>(&'a self, _: &'a [(String, u64)], _: u64) -> Pending<'a, Vec<Tally>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn key_uses<'a>(&'a self, _: u64) -> Pending<'a, Vec<KeyUse>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: u64) -> Pending<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn nodes<'a>(&'a self) -> Pending<'a, Vec<NodeSeen>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The records of the cases: of a handler that is asked about tokens of all kinds, and of one that is not.
pub(crate) fn records(now: UnixTime) -> [Kept; 4] {
    let kept = |handler, id, actor, age| Kept { handler, id, actor, issued_at: now.seconds - age };
    [
        kept("partner", "p-1", "hostile:alice", 10),
        kept("partner", "p-2", "hostile:alice", 0),
        kept("partner", "p-3", "hostile:bob", 0),
        kept("bots", "b-1", "bot", 0),
    ]
}

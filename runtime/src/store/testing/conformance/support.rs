//! Values and comparisons that the cases share.

use crate::clock::UnixTime;
use crate::store::{
    CommitOutcome, Entry, NewRecord, Record, RecordStore, RecordUpdate, Revocation, Revoked, SecretDigest, StoreError,
    StoreFuture, StoredRecord, TokenStore, TokenTerms, Transaction,
};
use crate::token::{TokenDigest, TokenId};
use std::fmt;
use std::sync::Barrier;
use std::thread;

/// The first difference of a case.
pub(super) struct Failure(pub(super) String);

pub(super) type Outcome<T = ()> = Result<T, Failure>;

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

pub(super) const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

/// Number of threads of a concurrent case.
pub(super) const THREADS: u64 = 8;

/// Fails unless the condition holds.
pub(super) fn ensure(condition: bool, what: impl fmt::Display) -> Outcome {
    if condition { Ok(()) } else { Err(Failure(what.to_string())) }
}

/// Fails unless the values are equal.
pub(super) fn equal<T: PartialEq + fmt::Debug>(found: T, wanted: T, what: impl fmt::Display) -> Outcome {
    let is_equal = found == wanted;
    ensure(is_equal, format_args!("{what}: found {found:?}, expected {wanted:?}"))
}

/// Waits for an operation that must succeed.
pub(super) fn wait<T>(pending: StoreFuture<'_, T>) -> Outcome<T> {
    Ok(pollster::block_on(pending)?)
}

/// Commits a transaction that must have this outcome.
pub(super) fn commit(
    store: &dyn RecordStore,
    handler: &str,
    changes: Transaction,
    wanted: CommitOutcome,
    what: impl fmt::Display,
) -> Outcome {
    equal(wait(store.commit(handler, changes))?, wanted, what)
}

/// Commits a transaction that must succeed.
pub(super) fn done(store: &dyn RecordStore, handler: &str, changes: Transaction) -> Outcome {
    commit(store, handler, changes, CommitOutcome::Done, "outcome of a valid transaction")
}

/// Returns the record with an id.
pub(super) fn find(store: &dyn RecordStore, handler: &str, id: &str) -> Outcome<Option<Record>> {
    Ok(wait(store.find(handler, id))?.map(|stored| stored.record))
}

/// Returns the record with an id, which must exist.
pub(super) fn found(store: &dyn RecordStore, handler: &str, id: &str) -> Outcome<Record> {
    find(store, handler, id)?.ok_or_else(|| Failure(format!("the record `{handler}/{id}` is missing")))
}

/// Returns the names of the given records that exist and have not ended, separated by spaces.
pub(super) fn live(store: &dyn RecordStore, names: &[(&str, &str)]) -> Outcome<String> {
    let mut live = Vec::new();
    for (handler, id) in names {
        if find(store, handler, id)?.is_some_and(|record| record.ended.is_none()) {
            live.push(format!("{handler}/{id}"));
        }
    }
    Ok(live.join(" "))
}

/// Returns the whole log, without the numbers.
pub(super) fn log(store: &dyn TokenStore) -> Outcome<Vec<Entry>> {
    Ok(wait(store.entries(0, 10_000))?.into_iter().map(|(_, entry)| entry).collect())
}

/// Returns the tokens that the log revokes by their ids alone, sorted and separated by spaces.
pub(super) fn revoked_ids(store: &dyn TokenStore) -> Outcome<String> {
    let token = |entry| match entry {
        Entry::Revoked(Revocation { handler: Some(handler), token_id: Some(id), .. }) => {
            Some(format!("{handler}/{id}"))
        }
        _ => None,
    };
    let mut tokens: Vec<_> = log(store)?.into_iter().filter_map(token).collect();
    tokens.sort();
    Ok(tokens.join(" "))
}

/// Counts what a revocation would end, and revokes: both have to agree.
pub(super) fn revoke(store: &dyn TokenStore, revocation: &Revocation, ended: u64) -> Outcome<Revoked> {
    let before = log(store)?;
    equal(wait(store.count(revocation, NOW))?, ended, format_args!("count of {revocation:?}"))?;
    equal(log(store)?, before, "the log after counting")?;
    let revoked = wait(store.revoke(revocation, NOW))?;
    equal(revoked.ended, ended, format_args!("number of records ended by {revocation:?}"))?;
    // The entry has the returned number, and does not say what was kept.
    let entry = wait(store.entries(revoked.number.saturating_sub(1), 1))?;
    let wanted = Entry::Revoked(Revocation { keep_children: false, ..revocation.clone() });
    equal(entry, vec![(revoked.number, wanted)], format_args!("entry of {revocation:?}"))?;
    equal(wait(store.count(revocation, NOW))?, 0, format_args!("count of {revocation:?} after it was applied"))?;
    Ok(revoked)
}

pub(super) fn record(id: &str, actor_id: &str) -> Record {
    Record::new(id, actor_id, NOW)
}

pub(super) fn child(id: &str, handler: &str, parent: &str) -> Record {
    Record { parent: Some(token(handler, parent)), ..record(id, "alice") }
}

pub(super) fn token(handler: &str, id: &str) -> TokenId {
    TokenId { handler: handler.to_owned(), id: id.to_owned() }
}

pub(super) fn secret(byte: u8) -> SecretDigest {
    SecretDigest::new([byte; 32])
}

pub(super) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Returns a record with digests to insert, without maxima.
pub(super) fn stored(record: Record, digest: Option<SecretDigest>, token_digest: Option<TokenDigest>) -> NewRecord {
    NewRecord {
        stored: StoredRecord { record, digest, token_digest },
        replace: false,
        max: u64::MAX,
        max_per_actor: None,
        max_per_client: None,
        idle_before: None,
    }
}

/// Returns a record to insert, without maxima.
pub(super) fn new(record: Record) -> NewRecord {
    stored(record, None, None)
}

/// Returns a transaction that inserts the record of an issued token, without maxima.
pub(super) fn issued(record: Record, text: &str) -> Transaction {
    add(stored(record, None, Some(TokenDigest::of(text))))
}

pub(super) fn add(insert: NewRecord) -> Transaction {
    Transaction { at: NOW, insert: Some(insert), ..Transaction::default() }
}

/// Returns a transaction that inserts a record, without maxima.
pub(super) fn insert(record: Record) -> Transaction {
    add(new(record))
}

/// Returns a transaction that replaces the actor's other records.
pub(super) fn replace(record: Record) -> Transaction {
    add(NewRecord { replace: true, ..new(record) })
}

pub(super) fn end(ids: &[&str]) -> Transaction {
    Transaction { at: NOW, end: ids.iter().map(|&id| id.to_owned()).collect(), ..Transaction::default() }
}

pub(super) fn edit(id: &str, before: &TokenTerms, after: &TokenTerms, replaced: bool) -> Transaction {
    let edit = RecordUpdate { id: id.to_owned(), before: before.clone(), after: after.clone(), replaced };
    Transaction { at: NOW.later(5), edit: Some(edit), ..Transaction::default() }
}

/// Returns a transaction that replaces one record by another.
pub(super) fn rotate(id: &str, terms: &TokenTerms, by: NewRecord) -> Transaction {
    Transaction { insert: Some(by), ..edit(id, terms, terms, true) }
}

/// Runs `work` on several threads at once.
pub(super) fn race<T: Send>(work: impl Fn(u64) -> Outcome<T> + Sync) -> Outcome<Vec<T>> {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap_or(1));
    thread::scope(|scope| {
        let start = |number| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(number)
            })
        };
        let started: Vec<_> = (0..THREADS).map(start).collect();
        let panicked = |_| Failure("the store panicked".to_owned());
        started.into_iter().map(|thread| thread.join().map_err(panicked).flatten()).collect()
    })
}

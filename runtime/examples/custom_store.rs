//! Keeps the records of the handler `stored` in a store of the embedder's own.

use keyward_runtime::store::{
    CommitOutcome, ListEntry, RecordStore, SecretDigest, StoreError, StoreFuture, StoredRecord, Termination,
    TerminationReason, Transaction,
};
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Runtime, Verdict};
use std::error::Error;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The records of one handler. A real store writes them to its database.
#[derive(Default)]
struct Records(Mutex<Vec<StoredRecord>>);

impl Records {
    fn all(&self) -> MutexGuard<'_, Vec<StoredRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self, is_it: impl Fn(&StoredRecord) -> bool) -> StoreFuture<'_, Option<StoredRecord>> {
        Box::pin(ready(Ok(self.all().iter().find(|stored| is_it(stored)).cloned())))
    }
}

impl RecordStore for Records {
    fn find<'a>(&'a self, _: &'a str, id: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        self.first(|stored| stored.record.id == id)
    }

    fn find_digest<'a>(&'a self, _: &'a str, digest: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        self.first(|stored| stored.digest.as_ref().map(SecretDigest::bytes) == Some(digest.bytes()))
    }

    fn find_issued<'a>(&'a self, _: Option<&'a str>, token: &'a TokenDigest) -> StoreFuture<'a, Option<ListEntry>> {
        let found = self.all().iter().find(|stored| stored.token_digest.as_ref() == Some(token)).cloned();
        Box::pin(ready(Ok(found.map(|found| ListEntry { handler: "stored".to_owned(), record: found.record }))))
    }

    fn next_serial<'a>(&'a self, _: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(ready(Ok(self.all().len() as u64 + 1)))
    }

    fn commit<'a>(&'a self, _: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        let Transaction { at, insert, end, edit } = changes;
        if edit.is_some() || insert.as_ref().is_some_and(|new| new.replace || new.stored.record.parent.is_some()) {
            return Box::pin(ready(Err(StoreError::new("this store only inserts and ends records"))));
        }
        let mut records = self.all();
        let is_active = |stored: &StoredRecord| stored.record.ended.is_none();
        if !end.iter().all(|id| records.iter().any(|stored| stored.record.id == *id && is_active(stored))) {
            return Box::pin(ready(Ok(CommitOutcome::Ended)));
        }
        if let Some(new) = insert {
            if records.iter().any(|stored| stored.record.id == new.stored.record.id) {
                return Box::pin(ready(Ok(CommitOutcome::Duplicate)));
            }
            if records.iter().filter(|stored| is_active(stored)).count() as u64 >= new.max {
                return Box::pin(ready(Ok(CommitOutcome::Full)));
            }
            records.push(new.stored);
        }
        for stored in records.iter_mut().filter(|stored| end.contains(&stored.record.id)) {
            stored.record.ended = Some(Termination { at, why: TerminationReason::Revoked });
        }
        Box::pin(ready(Ok(CommitOutcome::Done)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let records = Arc::new(Records::default());
    let stored = HandlerConfig::new("stored", keyward_handlers::STORED, Actors::Any)
        .with_checksum()
        .prefix("kwt_demo_")
        .setting("prefix", "\"kwt_demo_\"")
        .store(records.clone(), 1_000);
    let registry = Registry::builder(&Runtime::new()?).handler(stored).build()?;
    let created = match registry.create_blocking(CreateRequest::new("ann").description("for the importer"))? {
        Creation::Created(created) => created,
        Creation::Denied(denied) => return Err(denied.message.into()),
    };
    let Verdict::Accepted(accepted) = registry.verify_blocking(&created.token)? else { return Err("valid".into()) };
    println!("valid: {:?}, token {:?}", accepted.unrestricted_actor(), accepted.token_id);

    // Ends the record, as a web page of the service would do it.
    for stored in records.all().iter_mut() {
        stored.record.ended = Some(Termination { at: stored.record.issued_at, why: TerminationReason::Revoked });
    }
    match registry.verify_blocking(&created.token)? {
        Verdict::Rejected(rejection) => println!("{}: {}", rejection.reason, rejection.message),
        other => return Err(format!("still valid: {other:?}").into()),
    }
    Ok(())
}

//! Keeps the records of issued tokens in a store of the program's own: a list in memory.

use keyward_runtime::store::CommitOutcome::{Done, Duplicate, Full};
use keyward_runtime::store::*;
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Runtime, Verdict};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        self.first(|stored| stored.digest.as_ref().is_some_and(|own| own.bytes() == digest.bytes()))
    }
    fn find_issued<'a>(&'a self, _: Option<&'a str>, token: &'a TokenDigest) -> StoreFuture<'a, Option<ListEntry>> {
        let found = self.first(|stored| stored.token_digest.as_ref() == Some(token));
        Box::pin(async { Ok(found.await?.map(|found| ListEntry { handler: "stored".into(), record: found.record })) })
    }
    fn next_serial<'a>(&'a self, _: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(ready(Ok(self.all().len() as u64 + 1)))
    }
    fn commit<'a>(&'a self, _: &'a str, changes: Transaction) -> StoreFuture<'a, CommitOutcome> {
        let mut records = self.all();
        Box::pin(ready(match changes.insert {
            Some(new) if records.iter().any(|old| old.record.id == new.stored.record.id) => Ok(Duplicate),
            Some(new) if records.len() as u64 >= new.max => Ok(Full),
            Some(new) if changes.end.is_empty() => {
                records.push(new.stored);
                Ok(Done)
            }
            _ => Err(StoreError::new("this store only inserts records")),
        }))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let records = Arc::new(Records::default());
    let stored = HandlerConfig::new("stored", keyward_handlers::STORED, Actors::Any);
    let stored = stored.prefix("kwt_demo_").setting("prefix", "\"kwt_demo_\"").store(records.clone(), 1_000);
    let registry = Registry::builder(&Runtime::new()?).handler(stored).build()?;
    let request = CreateRequest::new("ann");
    let Creation::Created(created) = registry.create_blocking(request)? else { return Err("403".into()) };
    let Verdict::Accepted(accepted) = registry.verify_blocking(&created.token)? else { return Err("401".into()) };
    println!("{} with {} record", accepted.unrestricted_actor().ok_or("403")?.json(), records.all().len());
    Ok(())
}

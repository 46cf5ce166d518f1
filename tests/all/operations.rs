//! The steps of audited operations: where one fails, nothing after it happens, and the audit log
//! says so.

use crate::managed::{FOREVER, NOW, registry, ring};
use crate::support::{RUNTIME, TestClock, unhurried};
use keyward_audit::{Audit, Disk, Settings, Storage, lines};
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{Revocation, TokenStore};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Actors, CreateRequest, Created, Creation, Error, HandlerConfig, Registry, Verdict};
use keyward_service::{Named, Operations, Origin};
use keyward_store::{Location, Store};
use keyward_tests::daemon::wait_for;
use keyward_tests::hostile;
use pollster::block_on;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// A disk that is full while the flag is set.
struct FullDisk(Arc<AtomicBool>);

impl Storage for FullDisk {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Disk.write(file, bytes, at)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// A registry with a store and an audit log, each of which can be made to fail.
struct World {
    folder: TempDir,
    registry: Registry,
    audit: Arc<Audit>,
    is_disk_full: Arc<AtomicBool>,
}

impl World {
    /// Loads the built-in handlers that keep records.
    fn new() -> Self {
        Self::with(|store| registry(store, ring(), |_| {}))
    }

    /// Loads a hostile component as the handler `h`.
    fn hostile(case: &str) -> Self {
        Self::with(|store| {
            let mut config = HandlerConfig::new("h", hostile::case(case).bytes, Actors::Any);
            config.prefixes = vec!["ho_".into()];
            unhurried(&mut config.limits);
            let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
            Registry::builder(&RUNTIME).records(store, revocations).handler(config).build().unwrap()
        })
    }

    fn with(load: impl FnOnce(Arc<dyn TokenStore>) -> Registry) -> Self {
        TestClock.set(Some(NOW));
        let folder = tempfile::tempdir().unwrap();
        let registry = load(Arc::new(Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap()));
        let is_disk_full = Arc::new(AtomicBool::new(false));
        let settings =
            Settings { deadline: Duration::from_secs(60), ..Settings::new(folder.path().join("audit.jsonl")) };
        let disk = FullDisk(is_disk_full.clone());
        let audit = Audit::open_on(settings, || Duration::from_secs(NOW.seconds), Box::new(disk)).unwrap();
        Self { folder, registry, audit: Arc::new(audit), is_disk_full }
    }

    fn operations(&self) -> Operations<'_> {
        Operations::new(&self.registry, Some(&self.audit), Origin { request: Some("r-1"), client: Some("app") })
    }

    fn issue(&self, handler: &str) -> Result<Creation, Error> {
        block_on(self.operations().issue(CreateRequest::new("alice").handler(handler)))
    }

    fn issued(&self) -> Created {
        match self.issue("stored").unwrap() {
            Creation::Created(created) => created,
            Creation::Denied(denied) => panic!("{}", denied.message),
        }
    }

    fn edit(&self, id: &str, update: TokenUpdate) -> Result<UpdateOutcome, Error> {
        block_on(self.operations().edit(&TokenId::new("stored", id), Some("alice"), update))
    }

    fn is_valid(&self, token: &str) -> bool {
        matches!(self.registry.verify_blocking(token), Ok(Verdict::Accepted(_)))
    }

    /// Lets every write to the database fail.
    fn break_store(&self) {
        let file = self.folder.path().join("keyward.db");
        let mut database: SqliteConnection = block_on(SqliteConnectOptions::new().filename(file).connect()).unwrap();
        block_on(database.execute(
            "CREATE TRIGGER no_insert BEFORE INSERT ON tokens BEGIN SELECT RAISE(ABORT, 'broken'); END;
             CREATE TRIGGER no_update BEFORE UPDATE ON tokens BEGIN SELECT RAISE(ABORT, 'broken'); END;
             CREATE TRIGGER no_revocation BEFORE INSERT ON revocations BEGIN SELECT RAISE(ABORT, 'broken'); END;",
        ))
        .unwrap();
        block_on(database.close()).unwrap();
    }

    fn fill_disk(&self, is_full: bool) {
        self.is_disk_full.store(is_full, Ordering::SeqCst);
    }

    /// Returns the audit records: event, the event that it refers to, outcome and reason.
    fn records(&self) -> Vec<String> {
        assert!(self.audit.flush());
        let records: Vec<_> =
            lines(&self.folder.path().join("audit.jsonl")).unwrap().map(|line| line.unwrap().1).collect();
        let event = |number: u64| records.iter().find(|record| record.seq == number).unwrap().event.clone();
        records
            .iter()
            .map(|record| {
                assert_eq!((record.request.as_deref(), record.client.as_deref()), (Some("r-1"), Some("app")));
                let parts = [
                    Some(record.event.clone()),
                    record.refers_to.map(event),
                    record.outcome.clone(),
                    record.reason.clone(),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }
}

#[test]
fn a_child_is_recorded_with_its_parent() {
    let world = World::new();
    let parent = world.issued();
    let Ok(Verdict::Accepted(acceptance)) = world.registry.verify_blocking(&parent.token) else { panic!() };
    let request = CreateRequest::new("alice").parent(&acceptance);
    let child = block_on(world.operations().issue(request.handler("signed"))).unwrap();
    assert!(matches!(child, Creation::Created(_)));
    assert!(world.audit.flush());
    let parents: Vec<_> = lines(&world.folder.path().join("audit.jsonl"))
        .unwrap()
        .map(|line| line.unwrap().1)
        .map(|record| (record.event, record.parent))
        .collect();
    let name = format!("stored/{}", parent.token_id.unwrap());
    assert_eq!(parents, [("create".to_owned(), None), ("create".to_owned(), Some(name))]);
}

fn described(note: &str) -> TokenUpdate {
    TokenUpdate { description: Some(Some(note.to_owned())), ..TokenUpdate::default() }
}

fn revocation_of(id: &str) -> Revocation {
    Revocation { handler: Some("stored".to_owned()), token_id: Some(id.to_owned()), ..Revocation::default() }
}

fn code<T>(result: &Result<T, Error>) -> &str {
    result.as_ref().err().map_or("none", Error::code)
}

#[test]
fn every_operation_that_succeeds_is_recorded_once() {
    let world = World::new();
    let first = world.issued();
    let id = first.token_id.as_deref().unwrap();
    assert!(matches!(world.edit(id, described("laptop")), Ok(UpdateOutcome::Done(_))));
    let rotated =
        block_on(world.operations().rotate(&TokenId::new("stored", id), Some("alice"), Duration::from_secs(0)))
            .unwrap();
    let Some(Creation::Created(second)) = rotated else { panic!() };
    assert!(!world.is_valid(&first.token) && world.is_valid(&second.token));
    let id = second.token_id.as_deref().unwrap();
    let named = Named { token_id: Some(id), ..Named::default() };
    assert_eq!(block_on(world.operations().revoke(revocation_of(id), named)).unwrap(), 1);
    assert!(!world.is_valid(&second.token));
    assert_eq!(world.records(), ["create", "edit", "rotate", "revoke"]);
}

/// Step 1. An operation that the policy denies leaves a note, and a record only where the denial
/// depends on the token's record.
#[test]
fn an_operation_that_the_policy_denies_does_not_happen() {
    let world = World::with(|store| registry(store, ring(), |handler| handler.actors = Actors::Matching(vec![])));
    assert!(matches!(world.issue("stored"), Ok(Creation::Denied(_))));
    assert!(matches!(world.edit("9", described("laptop")), Ok(UpdateOutcome::Unknown)));
    assert!(matches!(
        block_on(world.operations().rotate(&TokenId::new("stored", "9"), None, Duration::from_secs(0))),
        Ok(None)
    ));
    assert_eq!(
        world.records(),
        ["create denied not-permitted", "edit", "failed edit denied unknown", "rotate denied unknown"]
    );
}

/// Steps 2 and 3.
#[test]
fn a_handler_that_fails_leaves_a_note_and_no_token() {
    for case in ["answer-internal-create", "issued-not-accepted"] {
        let world = World::hostile(case);
        let issued = world.issue("h");
        assert!(issued.is_err(), "{case}: {issued:?}");
        assert_eq!(world.records(), [format!("create failed {}", code(&issued))], "{case}");
    }
}

/// Step 4.
#[test]
fn an_operation_that_cannot_be_recorded_does_not_happen() {
    let world = World::new();
    let created = world.issued();
    let id = created.token_id.as_deref().unwrap();
    world.fill_disk(true);
    assert_eq!(code(&world.issue("stored")), "audit-unavailable");
    assert_eq!(code(&world.edit(id, described("laptop"))), "audit-unavailable");
    assert_eq!(
        code(&block_on(world.operations().rotate(&TokenId::new("stored", id), None, Duration::from_secs(0)))),
        "audit-unavailable"
    );
    let revoke = |operations: Operations<'_>| block_on(operations.revoke(revocation_of(id), Named::default()));
    assert_eq!(code(&revoke(world.operations())), "audit-unavailable");
    assert!(world.is_valid(&created.token));
    // A process that keeps running refuses the token, and revokes it once that can be recorded.
    assert_eq!(code(&revoke(world.operations().with_retries())), "audit-unavailable");
    assert!(!world.is_valid(&created.token));
    world.fill_disk(false);
    wait_for("the revocation to be recorded", || world.records().last().is_some_and(|record| record == "revoke"));
    let failed = |event: &str| format!("{event} failed audit-unavailable");
    let records = world.records();
    assert_eq!(records[0], "create");
    for event in ["create", "edit", "rotate", "revoke"] {
        assert!(records.contains(&failed(event)), "{event}: {records:?}");
    }
}

/// Step 5.
#[test]
fn an_operation_that_cannot_be_stored_is_recorded_as_failed() {
    let world = World::new();
    let created = world.issued();
    let id = created.token_id.as_deref().unwrap();
    world.break_store();
    let errors = [
        code(&world.issue("stored")).to_owned(),
        code(&world.edit(id, described("laptop"))).to_owned(),
        code(&block_on(world.operations().rotate(&TokenId::new("stored", id), None, Duration::from_secs(0))))
            .to_owned(),
    ];
    assert!(world.is_valid(&created.token));
    let revoked = block_on(world.operations().revoke(revocation_of(id), Named::default()));
    assert!(!world.is_valid(&created.token), "a revocation fails closed");
    let mut expected = vec!["create".to_owned()];
    for (event, error) in ["create", "edit", "rotate", "revoke"]
        .into_iter()
        .zip(errors.iter().map(String::as_str).chain([code(&revoked)]))
    {
        expected.extend([event.to_owned(), format!("failed {event} failed {error}")]);
    }
    assert_eq!(world.records(), expected);
}

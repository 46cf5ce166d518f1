//! The store: one suite, run against SQLite and PostgreSQL.

use crate::support::time;
use keyward_runtime::Restrictions;
use keyward_runtime::store::{
    CommitOutcome, Entry, NewRecord, Record, RecordStore, Revocation, RevocationLog, SecretDigest, StoreError,
    StoreFuture, StoredRecord, Termination, TerminationReason, Transaction,
};
use keyward_runtime::token::{TokenDigest, TokenId};
use keyward_store::{CHANNEL, Location, Store};
use keyward_tests::daemon::wait_for;
use keyward_tests::http::DEADLINE;
use keyward_tests::postgres::{block_on, cluster, connect};
use pollster::FutureExt;
use sqlx::postgres::PgListener;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod absent;
mod clock;
mod conformance;
mod edited;
mod listed;
mod refused;
mod revoked;
mod tickets;
mod upgraded;

const NOW: u64 = 1_767_225_600;

/// A database of one test.
pub(crate) struct Place {
    pub(crate) location: String,
    folder: Option<TempDir>,
}

impl Place {
    fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("tokens.db");
        Self { location: file.to_str().unwrap().to_owned(), folder: Some(folder) }
    }

    fn postgres() -> Option<Self> {
        cluster().map(|cluster| Self { location: cluster.database().0, folder: None })
    }

    pub(crate) fn both() -> impl Iterator<Item = Self> {
        [Self::sqlite()].into_iter().chain(Self::postgres())
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.folder.is_some()
    }

    fn file(&self) -> PathBuf {
        PathBuf::from(&self.location)
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.location.parse().unwrap()).unwrap()
    }

    /// Returns the error from opening the store.
    fn refusal(&self) -> String {
        Store::open(self.location.parse().unwrap()).unwrap_err().to_string()
    }

    /// Changes the database without the store.
    pub(crate) fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_sqlite() {
            let mut connection = self.connect_sqlite();
            block_on(connection.execute(sql)).unwrap();
            block_on(connection.close()).unwrap();
        } else {
            block_on(connect(&self.location).execute(sql)).unwrap();
        }
    }

    fn connect_sqlite(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        block_on(options.disable_statement_logging().connect()).unwrap()
    }
}

fn record(id: &str, actor: &str) -> Record {
    Record::new(id, actor, time(NOW))
}

fn digest(byte: u8) -> SecretDigest {
    SecretDigest::new([byte; 32])
}

/// Returns a transaction that inserts a record, without limits.
fn insert(record: Record, digest: Option<SecretDigest>) -> Transaction {
    let stored = StoredRecord { record, digest, token_digest: None };
    let insert = NewRecord {
        stored,
        replace: false,
        max: u64::MAX,
        max_per_actor: None,
        max_per_client: None,
        idle_before: None,
    };
    Transaction { at: time(NOW), insert: Some(insert), ..Transaction::default() }
}

fn replace(record: Record) -> Transaction {
    let mut changes = insert(record, None);
    changes.insert.as_mut().unwrap().replace = true;
    changes
}

fn end(ids: &[&str]) -> Transaction {
    Transaction { at: time(NOW), end: ids.iter().map(|&id| id.to_owned()).collect(), ..Transaction::default() }
}

fn revocation(handler: &str, actor: &str) -> Revocation {
    Revocation { handler: Some(handler.to_owned()), actor_id: Some(actor.to_owned()), ..Revocation::default() }
}

fn wait<T>(pending: StoreFuture<'_, T>) -> T {
    pending.block_on().unwrap()
}

fn commit(store: &Store, handler: &str, changes: Transaction) -> CommitOutcome {
    wait(store.commit(handler, changes))
}

fn find(store: &Store, handler: &str, id: &str) -> Option<Record> {
    wait(store.find(handler, id)).map(|stored| stored.record)
}

/// Returns the revocations in the list.
fn told(store: &Store) -> Vec<Revocation> {
    let revocation = |(_, entry)| match entry {
        Entry::Revoked(revocation) => revocation,
        Entry::Capped(at) => panic!("capped at {at:?}"),
    };
    wait(store.entries(0, 100)).into_iter().map(revocation).collect()
}

fn is_live(store: &Store, handler: &str, id: &str) -> bool {
    find(store, handler, id).unwrap().ended.is_none()
}

/// Returns the error of an operation that must fail within a time limit.
fn failure<T>(pending: StoreFuture<'_, T>, within: Duration) -> StoreError {
    let began = Instant::now();
    let Err(error) = pending.block_on() else { panic!("the operation succeeded") };
    assert!(began.elapsed() < within, "{error}: after {:?}", began.elapsed());
    error
}

#[test]
fn records_round_trip() {
    let restrictions = Restrictions::new().allow_all("vi").allow_database("d\"", "x").allow_resource("d", "\0t", "y");
    let full = Record {
        description: Some("for the \u{1f980}".to_owned()),
        restrictions: Some(restrictions),
        expires_at: Some(time(u64::try_from(i64::MAX).unwrap())),
        last_used_at: Some(time(0)),
        ended: Some(Termination { at: time(NOW), why: TerminationReason::Replaced }),
        client: Some("c\"".to_owned()),
        key: Some("main/k".to_owned()),
        parent: Some(TokenId { handler: "other".to_owned(), id: "of it".to_owned() }),
        ..record("full", "alice")
    };
    let long = "\u{1f980}'\"\\%_;--\n".repeat(5_000);
    let odd = ["", "'", "\"; DROP TABLE tokens; --", "\u{1f980}e\u{301}\u{202e}", "$1 ? :x @y %s \\", " \t\r\n", &long];
    for place in Place::both() {
        let store = place.open();
        let mut records =
            vec![full.clone(), Record { restrictions: Some(Restrictions::new()), ..record("none", "bob") }];
        for (number, text) in odd.iter().enumerate() {
            let id = if text.len() < 100 { (*text).to_owned() } else { number.to_string() };
            records.push(Record { description: Some((*text).to_owned()), ..record(&id, text) });
        }
        for (byte, record) in (0..).zip(&records) {
            assert_eq!(commit(&store, "h", insert(record.clone(), Some(digest(byte)))), CommitOutcome::Done);
        }
        drop(store);
        // After reopening, each record is found by its id and its digest.
        let store = place.open();
        for (byte, record) in (0..).zip(&records) {
            let stored = wait(store.find("h", &record.id)).unwrap();
            assert_eq!(stored.record, *record);
            assert_eq!(*stored.digest.unwrap().bytes(), [byte; 32]);
            let stored = wait(store.find_digest("h", &digest(byte))).unwrap();
            assert_eq!(stored.record, *record);
        }
        assert!(find(&store, "h", "FULL").is_none() && find(&store, "h", "full ").is_none());
        assert!(wait(store.find_digest("h", &digest(99))).is_none());
    }
}

#[test]
fn an_invalid_record_is_an_error_and_is_not_stored() {
    for place in Place::both() {
        let store = place.open();
        let late = u64::MAX;
        for bad in [
            record("a\0b", "alice"),
            record("id", "al\0ice"),
            Record { description: Some("\0".to_owned()), ..record("id", "alice") },
            Record { issued_at: time(late), ..record("id", "alice") },
            Record { expires_at: Some(time(late)), ..record("id", "alice") },
            Record { last_used_at: Some(time(late)), ..record("id", "alice") },
            Record {
                ended: Some(Termination { at: time(late), why: TerminationReason::Revoked }),
                ..record("id", "alice")
            },
        ] {
            store.commit("h", insert(bad, None)).block_on().unwrap_err();
        }
        assert!(find(&store, "h", "id").is_none() && find(&store, "h", "a\0b").is_none());
        assert!(find(&store, "\0", "id").is_none() && wait(store.find_digest("\0", &digest(1))).is_none());
        assert_eq!(wait(store.find_issued(Some("a\0b"), &TokenDigest::of("token"))), None);
        assert_eq!(commit(&store, "h", end(&["a\0b"])), CommitOutcome::Ended);
        store.next_serial("\0").block_on().unwrap_err();
        store.revoke(&revocation("h", "\0"), time(NOW)).block_on().unwrap_err();
        store.revoke(&revocation("h", "alice"), time(late)).block_on().unwrap_err();
        let of_any = Revocation { token_id: Some("id".to_owned()), ..Revocation::default() };
        store.revoke(&of_any, time(NOW)).block_on().unwrap_err();
        store.count(&of_any, time(NOW)).block_on().unwrap_err();
        assert_eq!(wait(store.entries(0, 10)), []);
    }
}

#[test]
fn handlers_are_isolated() {
    for place in Place::both() {
        let store = place.open();
        for handler in ["one", "two", "One", ""] {
            // The same id and secret, separately for each handler.
            let mut replacing = replace(record("id", "alice"));
            replacing.insert.as_mut().unwrap().stored.digest = Some(digest(1));
            replacing.insert.as_mut().unwrap().max = 1;
            assert_eq!(commit(&store, handler, replacing), CommitOutcome::Done);
            assert_eq!(wait(store.next_serial(handler)), 1);
        }
        assert_eq!(commit(&store, "one", end(&["id"])), CommitOutcome::Done);
        assert!(!is_live(&store, "one", "id") && is_live(&store, "two", "id") && is_live(&store, "One", "id"));
        assert_eq!(wait(store.revoke(&revocation("two", "alice"), time(NOW))).ended, 1);
        assert!(is_live(&store, "One", "id") && is_live(&store, "", "id"));
    }
}

#[test]
fn a_serial_number_is_given_out_once() {
    for place in Place::both() {
        let store = place.open();
        let numbers = race(16, |_| (0..5).map(|_| wait(store.next_serial("h"))).collect::<Vec<_>>());
        let numbers: BTreeSet<_> = numbers.into_iter().flatten().collect();
        assert!(numbers.into_iter().eq(1..=80));
        drop(store);
        assert_eq!(wait(place.open().next_serial("h")), 81);
    }
}

#[test]
fn a_transaction_is_atomic() {
    for place in Place::both() {
        let store = place.open();
        for (byte, id) in (1..).zip(["a", "b", "c"]) {
            commit(&store, "h", insert(record(id, "alice"), Some(digest(byte))));
        }
        // Revoked twice, in separate transactions and in one.
        assert_eq!(commit(&store, "h", end(&["a"])), CommitOutcome::Done);
        assert_eq!(commit(&store, "h", end(&["a"])), CommitOutcome::Ended);
        assert_eq!(commit(&store, "h", end(&["b", "a"])), CommitOutcome::Ended);
        assert_eq!(commit(&store, "h", end(&["b", "nobody"])), CommitOutcome::Ended);
        let with = |record, ids: &[&str]| Transaction { end: end(ids).end, ..insert(record, None) };
        assert_eq!(commit(&store, "h", with(record("d", "bob"), &["b", "a"])), CommitOutcome::Ended);
        assert!(is_live(&store, "h", "b") && find(&store, "h", "d").is_none());
        // No space left under the limit.
        let mut full = with(record("d", "bob"), &["b"]);
        full.insert.as_mut().unwrap().max = 1;
        assert_eq!(commit(&store, "h", full), CommitOutcome::Full);
        assert!(is_live(&store, "h", "b") && find(&store, "h", "d").is_none());
        // An id or a secret that is already used, even by a revoked record.
        let and_end = |taken| Transaction { end: vec!["b".to_owned()], ..taken };
        assert_eq!(commit(&store, "h", and_end(insert(record("a", "bob"), None))), CommitOutcome::Duplicate);
        store.commit("h", and_end(insert(record("e", "bob"), Some(digest(1))))).block_on().unwrap_err();
        assert!(is_live(&store, "h", "b") && find(&store, "h", "e").is_none());
        assert_eq!(wait(store.entries(0, 10)).len(), 1, "the revocation of `a`");
        // The valid transaction succeeds.
        assert_eq!(commit(&store, "h", with(record("d", "bob"), &["b", "c"])), CommitOutcome::Done);
        assert_eq!(
            find(&store, "h", "b").unwrap().ended,
            Some(Termination { at: time(NOW), why: TerminationReason::Revoked })
        );
        assert!(is_live(&store, "h", "d"));
        let told: Vec<_> = told(&store);
        let token = |id: &str| Revocation {
            handler: Some("h".to_owned()),
            token_id: Some(id.to_owned()),
            ..Revocation::default()
        };
        assert_eq!(told, [token("a"), token("b"), token("c")]);
    }
}

#[test]
fn concurrent_replacements_leave_one_record() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        commit(&here, "h", insert(record("bobs", "bob"), None));
        race(16, |thread| {
            let store = if thread % 2 == 0 { &here } else { &there };
            for number in 0..4 {
                let made = Record { expires_at: Some(time(NOW + 9)), ..record(&format!("{thread}.{number}"), "alice") };
                assert_eq!(commit(store, "h", replace(made)), CommitOutcome::Done);
            }
        });
        let all = (0..16).flat_map(|thread| (0..4).map(move |number| format!("{thread}.{number}")));
        let (live, ended): (Vec<_>, Vec<_>) = all.partition(|id| is_live(&here, "h", id));
        assert_eq!(live.len(), 1);
        assert!(is_live(&here, "h", "bobs"));
        let why = find(&here, "h", &ended[0]).unwrap().ended.unwrap().why;
        assert_eq!(why, TerminationReason::Replaced);
        // Each replaced record is listed once.
        let told: Vec<_> = told(&there)
            .into_iter()
            .map(|Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: _ }| {
                let rest = (token_digest, actor_id, issued_until);
                assert_eq!((handler.as_deref(), rest), (Some("h"), (None, None, None)));
                token_id.unwrap()
            })
            .collect();
        assert_eq!(told.len(), ended.len());
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), ended.into_iter().collect());
    }
}

#[test]
fn concurrent_inserts_do_not_exceed_the_maximum() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        // Not counted: expired, revoked, or of another handler.
        commit(&here, "h", insert(Record { expires_at: Some(time(NOW - 1)), ..record("old", "alice") }, None));
        commit(&here, "h", insert(record("ended", "alice"), None));
        commit(&here, "h", end(&["ended"]));
        commit(&here, "other", insert(record("other", "alice"), None));
        // Counted for one more second.
        commit(&here, "h", insert(Record { expires_at: Some(time(NOW)), ..record("last", "alice") }, None));
        let made = race(16, |thread| {
            let mut changes = insert(record(&thread.to_string(), "alice"), None);
            changes.insert.as_mut().unwrap().max = 6;
            commit(if thread % 2 == 0 { &here } else { &there }, "h", changes)
        });
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::Done).count(), 5);
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::Full).count(), 11);
    }
}

#[test]
fn the_last_use_never_decreases() {
    for place in Place::both() {
        let store = place.open();
        for id in ["a", "b", "c"] {
            commit(&store, "h", insert(record(id, "alice"), None));
        }
        let used = |uses: &[(&str, u64)]| -> Vec<_> {
            uses.iter().map(|&(id, at)| ("h".to_owned(), id.to_owned(), time(at))).collect()
        };
        wait(store.record_uses(vec![]));
        wait(store.record_uses(used(&[("a", 20), ("b", 20)])));
        // An unknown record or an invalid time does not affect the others.
        wait(store.record_uses(used(&[("nobody", 1), ("\0", 1), ("b", u64::MAX), ("a", 10), ("b", 30)])));
        let last = |id| find(&store, "h", id).unwrap().last_used_at;
        assert_eq!((last("a"), last("b"), last("c")), (Some(time(20)), Some(time(30)), None));
        race(8, |thread| wait(store.record_uses(used(&[("c", thread), ("a", 100 - thread), ("c", 50 + thread)]))));
        // PostgreSQL skips rows that are locked.
        wait(store.record_uses(used(&[("a", 100), ("c", 57)])));
        assert_eq!((last("a"), last("c")), (Some(time(100)), Some(time(57))));
    }
}

#[test]
fn invalid_data_never_makes_a_token_valid() {
    for place in Place::both() {
        let store = place.open();
        for id in ["why", "text", "array", "null", "time", "good"] {
            let restricted = Record { restrictions: Some(Restrictions::new().allow_all("x")), ..record(id, "alice") };
            commit(&store, "h", insert(restricted, None));
        }
        place.run("UPDATE tokens SET ended_at = 5, ended_why = 'eaten' WHERE id = 'why'");
        place.run("UPDATE tokens SET restrictions = 'x' WHERE id = 'text'");
        place.run("UPDATE tokens SET restrictions = '{\"a\":\"x\"}' WHERE id = 'array'");
        place.run("UPDATE tokens SET restrictions = 'null' WHERE id = 'null'");
        place.run("UPDATE tokens SET expires_at = -1 WHERE id = 'time'");
        assert_eq!(
            find(&store, "h", "why").unwrap().ended,
            Some(Termination { at: time(5), why: TerminationReason::Revoked })
        );
        for id in ["text", "array", "null", "time"] {
            failure(store.find("h", id), Duration::from_secs(1));
        }
        assert!(is_live(&store, "h", "good"));
    }
}

/// The store neither needs nor disturbs the executor of its caller.
#[test]
fn the_store_works_with_and_without_an_executor() {
    for place in Place::both() {
        block_on(async {
            let store = place.open();
            // Dropping the future does not undo a commit that has started.
            let mut begun = store.commit("h", insert(record("a", "alice"), None));
            std::future::poll_fn(|context| {
                let _ = begun.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            drop(begun);
            while store.find("h", "a").await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            drop(store);
        });
        assert!(is_live(&place.open(), "h", "a"));
    }
}

/// Runs `work` on this number of threads simultaneously.
fn race<T: Send>(threads: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(usize::try_from(threads).unwrap());
    thread::scope(|scope| {
        let start = |thread| {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread)
            })
        };
        let started: Vec<_> = (0..threads).map(start).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Sets its flag when dropped.
struct Writing<'a>(&'a AtomicBool);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

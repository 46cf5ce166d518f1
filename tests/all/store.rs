//! The store: one suite, run against SQLite and against PostgreSQL.

use keyward_runtime::{
    Changes, Committed, Ended, Ending, Entry, Insert, Pending, Record, Restrictions, Revocation, SecretDigest,
    StoreError, Stored, TokenStore,
};
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
mod edited;
mod issued;
mod listed;
mod refused;
mod upgraded;

const NOW: u64 = 1_767_225_600;

/// A database of a test's own.
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

    /// What opening it answers.
    fn refusal(&self) -> String {
        Store::open(self.location.parse().unwrap()).unwrap_err().to_string()
    }

    /// Changes it behind the store's back.
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
    Record {
        id: id.to_owned(),
        actor_id: actor.to_owned(),
        description: None,
        restrictions: None,
        issued_at: NOW,
        expires_at: None,
        last_used_at: None,
        ended: None,
        caller: None,
        key: None,
    }
}

fn digest(byte: u8) -> SecretDigest {
    SecretDigest::new([byte; 32])
}

/// Makes a record, of as many as one likes.
fn insert(record: Record, digest: Option<SecretDigest>) -> Changes {
    let stored = Stored { record, digest, token_digest: None };
    let insert =
        Insert { stored, replace: false, most: u64::MAX, most_per_actor: None, idle_before: None, same_is_fine: false };
    Changes { at: NOW, insert: Some(insert), ..Changes::default() }
}

fn replace(record: Record) -> Changes {
    let mut changes = insert(record, None);
    changes.insert.as_mut().unwrap().replace = true;
    changes
}

fn end(ids: &[&str]) -> Changes {
    Changes { at: NOW, end: ids.iter().map(|&id| id.to_owned()).collect(), ..Changes::default() }
}

fn revocation(handler: &str, actor: &str) -> Revocation {
    Revocation { handler: Some(handler.to_owned()), actor_id: Some(actor.to_owned()), ..Revocation::default() }
}

fn wait<T>(pending: Pending<'_, T>) -> T {
    pending.block_on().unwrap()
}

fn commit(store: &Store, handler: &str, changes: Changes) -> Committed {
    wait(store.commit(handler, changes))
}

fn find(store: &Store, handler: &str, id: &str) -> Option<Record> {
    wait(store.find(handler, id)).map(|stored| stored.record)
}

/// The revocations in the list.
fn told(store: &Store) -> Vec<Revocation> {
    let revocation = |(_, entry)| match entry {
        Entry::Revoked(revocation) => revocation,
        Entry::Capped(at) => panic!("capped at {at}"),
    };
    wait(store.revocations(0, 100)).into_iter().map(revocation).collect()
}

fn is_live(store: &Store, handler: &str, id: &str) -> bool {
    find(store, handler, id).unwrap().ended.is_none()
}

/// What came of an operation that has to fail, and soon.
fn failure<T>(pending: Pending<'_, T>, within: Duration) -> StoreError {
    let began = Instant::now();
    let Err(error) = pending.block_on() else { panic!("it was answered") };
    assert!(began.elapsed() < within, "{error}: after {:?}", began.elapsed());
    error
}

#[test]
fn what_was_put_in_comes_out() {
    let restrictions = Restrictions::new().allow_all("vi").allow_database("d\"", "x").allow_resource("d", "\0t", "y");
    let full = Record {
        description: Some("for the \u{1f980}".to_owned()),
        restrictions: Some(restrictions),
        expires_at: Some(u64::try_from(i64::MAX).unwrap()),
        last_used_at: Some(0),
        ended: Some(Ended { at: NOW, why: Ending::Replaced }),
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
            assert_eq!(commit(&store, "h", insert(record.clone(), Some(digest(byte)))), Committed::Done);
        }
        drop(store);
        // Opened again, and found by either name.
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
fn what_cannot_be_kept_is_an_error_and_is_not_there() {
    for place in Place::both() {
        let store = place.open();
        let late = u64::MAX;
        for bad in [
            record("a\0b", "alice"),
            record("id", "al\0ice"),
            Record { description: Some("\0".to_owned()), ..record("id", "alice") },
            Record { issued_at: late, ..record("id", "alice") },
            Record { expires_at: Some(late), ..record("id", "alice") },
            Record { last_used_at: Some(late), ..record("id", "alice") },
            Record { ended: Some(Ended { at: late, why: Ending::Revoked }), ..record("id", "alice") },
        ] {
            store.commit("h", insert(bad, None)).block_on().unwrap_err();
        }
        assert!(find(&store, "h", "id").is_none() && find(&store, "h", "a\0b").is_none());
        assert!(find(&store, "\0", "id").is_none() && wait(store.find_digest("\0", &digest(1))).is_none());
        assert_eq!(commit(&store, "h", end(&["a\0b"])), Committed::Ended);
        store.next_serial("\0").block_on().unwrap_err();
        store.revoke(&revocation("h", "\0"), NOW).block_on().unwrap_err();
        store.revoke(&revocation("h", "alice"), late).block_on().unwrap_err();
        let of_any = Revocation { token_id: Some("id".to_owned()), ..Revocation::default() };
        store.revoke(&of_any, NOW).block_on().unwrap_err();
        store.count(&of_any, NOW).block_on().unwrap_err();
        assert_eq!(wait(store.revocations(0, 10)), []);
    }
}

#[test]
fn handlers_have_nothing_in_common() {
    for place in Place::both() {
        let store = place.open();
        for handler in ["one", "two", "One", ""] {
            // The same names and the same secret, each for itself.
            let mut replacing = replace(record("id", "alice"));
            replacing.insert.as_mut().unwrap().stored.digest = Some(digest(1));
            replacing.insert.as_mut().unwrap().most = 1;
            assert_eq!(commit(&store, handler, replacing), Committed::Done);
            assert_eq!(wait(store.next_serial(handler)), 1);
        }
        assert_eq!(commit(&store, "one", end(&["id"])), Committed::Done);
        assert!(!is_live(&store, "one", "id") && is_live(&store, "two", "id") && is_live(&store, "One", "id"));
        assert_eq!(wait(store.revoke(&revocation("two", "alice"), NOW)).ended, 1);
        assert!(is_live(&store, "One", "id") && is_live(&store, "", "id"));
    }
}

#[test]
fn a_number_is_given_out_once() {
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
fn all_changes_are_made_or_none() {
    for place in Place::both() {
        let store = place.open();
        for (byte, id) in (1..).zip(["a", "b", "c"]) {
            commit(&store, "h", insert(record(id, "alice"), Some(digest(byte))));
        }
        // Ended twice, one after the other and at once.
        assert_eq!(commit(&store, "h", end(&["a"])), Committed::Done);
        assert_eq!(commit(&store, "h", end(&["a"])), Committed::Ended);
        assert_eq!(commit(&store, "h", end(&["b", "a"])), Committed::Ended);
        assert_eq!(commit(&store, "h", end(&["b", "nobody"])), Committed::Ended);
        let with = |record, ids: &[&str]| Changes { end: end(ids).end, ..insert(record, None) };
        assert_eq!(commit(&store, "h", with(record("d", "bob"), &["b", "a"])), Committed::Ended);
        assert!(is_live(&store, "h", "b") && find(&store, "h", "d").is_none());
        // No room.
        let mut full = with(record("d", "bob"), &["b"]);
        full.insert.as_mut().unwrap().most = 1;
        assert_eq!(commit(&store, "h", full), Committed::Full);
        assert!(is_live(&store, "h", "b") && find(&store, "h", "d").is_none());
        // A name or a secret that was there before, even if it has ended.
        let and_end = |taken| Changes { end: vec!["b".to_owned()], ..taken };
        assert_eq!(commit(&store, "h", and_end(insert(record("a", "bob"), None))), Committed::Duplicate);
        store.commit("h", and_end(insert(record("e", "bob"), Some(digest(1))))).block_on().unwrap_err();
        assert!(is_live(&store, "h", "b") && find(&store, "h", "e").is_none());
        assert_eq!(wait(store.revocations(0, 10)).len(), 1, "that of `a`");
        // And at last.
        assert_eq!(commit(&store, "h", with(record("d", "bob"), &["b", "c"])), Committed::Done);
        assert_eq!(find(&store, "h", "b").unwrap().ended, Some(Ended { at: NOW, why: Ending::Revoked }));
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
fn replacing_leaves_one_however_many_do_it_at_once() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        commit(&here, "h", insert(record("bobs", "bob"), None));
        race(16, |thread| {
            let store = if thread % 2 == 0 { &here } else { &there };
            for number in 0..4 {
                let made = Record { expires_at: Some(NOW + 9), ..record(&format!("{thread}.{number}"), "alice") };
                assert_eq!(commit(store, "h", replace(made)), Committed::Done);
            }
        });
        let all = (0..16).flat_map(|thread| (0..4).map(move |number| format!("{thread}.{number}")));
        let (live, ended): (Vec<_>, Vec<_>) = all.partition(|id| is_live(&here, "h", id));
        assert_eq!(live.len(), 1);
        assert!(is_live(&here, "h", "bobs"));
        let why = find(&here, "h", &ended[0]).unwrap().ended.unwrap().why;
        assert_eq!(why, Ending::Replaced);
        // Each of the others is told of, once.
        let told: Vec<_> = told(&there)
            .into_iter()
            .map(|Revocation { handler, token_id, token_digest, actor_id, issued_until }| {
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
fn no_more_than_the_most_are_made_however_many_try() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        // These are none of them: past their time, ended, or somebody else's.
        commit(&here, "h", insert(Record { expires_at: Some(NOW - 1), ..record("old", "alice") }, None));
        commit(&here, "h", insert(record("ended", "alice"), None));
        commit(&here, "h", end(&["ended"]));
        commit(&here, "other", insert(record("other", "alice"), None));
        // And this one is, for one more second.
        commit(&here, "h", insert(Record { expires_at: Some(NOW), ..record("last", "alice") }, None));
        let made = race(16, |thread| {
            let mut changes = insert(record(&thread.to_string(), "alice"), None);
            changes.insert.as_mut().unwrap().most = 6;
            commit(if thread % 2 == 0 { &here } else { &there }, "h", changes)
        });
        assert_eq!(made.iter().filter(|&&made| made == Committed::Done).count(), 5);
        assert_eq!(made.iter().filter(|&&made| made == Committed::Full).count(), 11);
    }
}

/// The records that a revocation ends, and how many of them were good.
#[test]
fn a_revocation_ends_what_fits_it() {
    let alice = |id: &str, issued_at| Record { issued_at, ..record(id, "alice") };
    let records = [
        ("h", alice("a1", 10)),
        ("h", alice("a2", 20)),
        ("h", Record { expires_at: Some(NOW - 1), ..alice("expired", 10) }),
        ("h", Record { ended: Some(Ended { at: 11, why: Ending::Replaced }), ..alice("ended", 10) }),
        ("h", record("b", "bob")),
        ("i", alice("a1", 10)),
    ];
    let some = |text: &str| Some(text.to_owned());
    let none = Revocation::default;
    let (h, i) = (|| Revocation { handler: some("h"), ..none() }, || Revocation { handler: some("i"), ..none() });
    let cases: &[(Revocation, u64, &[&str])] = &[
        (none(), 4, &["h.a1", "h.a2", "h.expired", "h.b", "i.a1"]),
        (h(), 3, &["h.a1", "h.a2", "h.expired", "h.b"]),
        (i(), 1, &["i.a1"]),
        (Revocation { handler: some("nobody"), ..none() }, 0, &[]),
        (Revocation { token_id: some("a1"), ..h() }, 1, &["h.a1"]),
        (Revocation { token_id: some("expired"), ..h() }, 0, &["h.expired"]),
        (Revocation { token_id: some("ended"), ..h() }, 0, &[]),
        (Revocation { token_id: some("a1"), actor_id: some("bob"), ..h() }, 0, &[]),
        (Revocation { actor_id: some("alice"), ..none() }, 3, &["h.a1", "h.a2", "h.expired", "i.a1"]),
        (Revocation { actor_id: some("alice"), ..h() }, 2, &["h.a1", "h.a2", "h.expired"]),
        (Revocation { issued_until: Some(10), ..none() }, 2, &["h.a1", "h.expired", "i.a1"]),
        (Revocation { issued_until: Some(9), ..none() }, 0, &[]),
        (Revocation { actor_id: some("alice"), issued_until: Some(20), ..h() }, 2, &["h.a1", "h.a2", "h.expired"]),
    ];
    for (revocation, good, ids) in cases {
        for place in Place::both() {
            let store = place.open();
            for (handler, record) in records.clone() {
                commit(&store, handler, insert(record, None));
            }
            let ended = || -> BTreeSet<_> {
                let ended = records.iter().filter(|(handler, record)| !is_live(&store, handler, &record.id));
                ended.map(|(handler, record)| format!("{handler}.{}", record.id)).collect()
            };
            let before = ended();
            assert_eq!(wait(store.count(revocation, NOW)), *good, "{revocation:?}");
            assert_eq!(ended(), before, "counting changes nothing");
            assert_eq!(wait(store.revoke(revocation, NOW)).ended, *good, "{revocation:?}");
            let expected: BTreeSet<_> = ids.iter().map(|&id| id.to_owned()).collect();
            assert_eq!(&ended() - &before, expected, "{revocation:?}");
            assert_eq!(find(&store, "h", "ended").unwrap().ended.unwrap().why, Ending::Replaced, "as it was");
            // Said again, it is written down again, and ends nothing.
            assert_eq!(wait(store.count(revocation, NOW)), 0);
            assert_eq!(wait(store.revoke(revocation, NOW)).ended, 0);
            assert!(told(&store).into_iter().eq([revocation.clone(), revocation.clone()]));
        }
    }
}

#[test]
fn revocations_are_read_in_pieces() {
    for place in Place::both() {
        let store = place.open();
        for number in 0..7 {
            wait(store.revoke(&revocation("h", &number.to_string()), NOW));
        }
        let all = wait(store.revocations(0, 100));
        assert!(all.is_sorted_by(|(one, _), (two, _)| one < two) && all[0].0 > 0);
        let mut read: Vec<(u64, Entry)> = vec![];
        for expected in [3, 3, 1, 0] {
            let more = wait(store.revocations(read.last().map_or(0, |(seq, _)| *seq), 3));
            assert_eq!(more.len(), expected);
            read.extend(more);
        }
        assert_eq!(read, all);
        let actors: Vec<_> = told(&store).into_iter().map(|revocation| revocation.actor_id.unwrap()).collect();
        assert_eq!(actors, ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(wait(store.revocations(read[6].0 + 1, 3)), []);
    }
}

/// Whoever reads on from the last that he has read has read all of them, in the end.
#[test]
fn no_revocation_appears_in_front_of_one_that_was_read() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        let done = AtomicBool::new(false);
        let read = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = vec![];
                loop {
                    let last = done.load(Ordering::Acquire);
                    let more = wait(here.revocations(read.last().map_or(0, |(seq, _)| *seq), 5));
                    if last && more.is_empty() {
                        return read;
                    }
                    read.extend(more);
                }
            });
            // However it ends, so does the reader.
            let writing = Writing(&done);
            race(8, |thread| {
                let store = if thread % 2 == 0 { &here } else { &there };
                for number in 0..10 {
                    let (id, actor) = (format!("{thread}.{number}"), format!("actor{}", number % 2));
                    // All that there is, in each other's way; nobody may be told of a deadlock.
                    commit(store, "h", replace(record(&id, &actor)));
                    wait(store.touch(vec![("h".to_owned(), id.clone(), NOW), ("h".to_owned(), "0.0".to_owned(), NOW)]));
                    match number % 3 {
                        0 => drop(wait(store.revoke(&revocation("h", &actor), NOW))),
                        1 => drop(wait(store.commit("h", end(&[&id])))),
                        _ => drop(wait(store.next_serial("h"))),
                    }
                }
            });
            drop(writing);
            reader.join().unwrap()
        });
        assert!(read.len() >= 8 * 4);
        assert!(read == wait(there.revocations(0, 1_000)), "one was missed");
    }
}

/// Says when it is over.
struct Writing<'a>(&'a AtomicBool);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn postgresql_tells_of_revocations_and_of_nothing_else() {
    let Some(place) = Place::postgres() else { return };
    let store = place.open();
    let mut other = connect(&place.location);
    block_on(async {
        let mut listener = PgListener::connect(&place.location).await.unwrap();
        listener.listen(CHANNEL).await.unwrap();
        for told in ["revoked", "replaced", "ended"] {
            commit(&store, "h", insert(record(told, "alice"), None));
            wait(store.count(&revocation("h", "alice"), NOW));
            assert_eq!(commit(&store, "h", end(&["nobody"])), Committed::Ended);
            match told {
                "revoked" => drop(wait(store.revoke(&revocation("h", "alice"), NOW))),
                "replaced" => assert_eq!(commit(&store, "h", replace(record("other", "alice"))), Committed::Done),
                _ => assert_eq!(commit(&store, "h", end(&[told])), Committed::Done),
            }
            // What is told is told in the order of commits.
            other.execute(AssertSqlSafe(format!("NOTIFY {CHANNEL}, 'nothing else'"))).await.unwrap();
            for payload in ["", "nothing else"] {
                let heard = tokio::time::timeout(DEADLINE, listener.recv()).await;
                assert_eq!(heard.unwrap().unwrap().payload(), payload, "{told}");
            }
        }
    });
}

#[test]
fn the_last_use_does_not_go_back() {
    for place in Place::both() {
        let store = place.open();
        for id in ["a", "b", "c"] {
            commit(&store, "h", insert(record(id, "alice"), None));
        }
        let used = |uses: &[(&str, u64)]| -> Vec<_> {
            uses.iter().map(|&(id, at)| ("h".to_owned(), id.to_owned(), at)).collect()
        };
        wait(store.touch(vec![]));
        wait(store.touch(used(&[("a", 20), ("b", 20)])));
        // What is of no record, or no time, is not in the way of the others.
        wait(store.touch(used(&[("nobody", 1), ("\0", 1), ("b", u64::MAX), ("a", 10), ("b", 30)])));
        let last = |id| find(&store, "h", id).unwrap().last_used_at;
        assert_eq!((last("a"), last("b"), last("c")), (Some(20), Some(30), None));
        race(8, |thread| wait(store.touch(used(&[("c", thread), ("a", 100 - thread), ("c", 50 + thread)]))));
        // On PostgreSQL one that is being changed is left out.
        wait(store.touch(used(&[("a", 100), ("c", 57)])));
        assert_eq!((last("a"), last("c")), (Some(100), Some(57)));
    }
}

#[test]
fn what_is_odd_in_the_database_makes_no_token_better() {
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
        assert_eq!(find(&store, "h", "why").unwrap().ended, Some(Ended { at: 5, why: Ending::Revoked }));
        for id in ["text", "array", "null", "time"] {
            failure(store.find("h", id), Duration::from_secs(1));
        }
        assert!(is_live(&store, "h", "good"));
    }
}

/// It neither needs nor disturbs whatever its caller runs on.
#[test]
fn it_runs_within_an_executor_and_without() {
    for place in Place::both() {
        block_on(async {
            let store = place.open();
            // Whoever loses interest does not undo what has begun.
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

/// Runs it on so many threads at once.
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

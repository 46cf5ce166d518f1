//! A store that is unavailable, locked or replaced: operations soon fail, and work again without a
//! restart.

use super::*;
use crate::support::time;
use keyward_runtime::store::{
    Filter, NodeDirectory, RecordStore, RevocationLog, Ticket, TicketKind, TicketStore, TokenIndex,
};
use std::time::Duration;

/// Time until the store must be usable after it is back.
const BACK: Duration = Duration::from_secs(5);

fn comes_back(store: &Store) {
    let began = Instant::now();
    wait_for("the store to come back", || {
        let found = store.find("h", "a").block_on();
        found.is_ok_and(|found| found.is_some()) && store.next_serial("h").block_on().is_ok()
    });
    assert!(began.elapsed() < BACK, "after {:?}", began.elapsed());
}

/// Asserts that every operation fails within its deadline and some tolerance, and at once if the
/// cause is known.
///
/// There are never more writes than connections, because a write that waits for a connection behind
/// stuck ones takes longer than they do.
fn all_fail(store: &Store, reads: Duration, writes: Duration) -> Vec<String> {
    let used = [("h".to_owned(), "a".to_owned(), time(NOW))];
    let (alice, secret, all, ticket) = (revocation("h", "alice"), digest(0xd1), Filter::default(), link());
    let first: [(StoreFuture<'_, ()>, Duration); 11] = [
        (ignored(store.find("h", "a")), reads),
        (ignored(store.find_digest("h", &secret)), reads),
        (ignored(store.find_ticket(TicketKind::Link, &secret, time(NOW))), reads),
        (ignored(store.count(&alice, time(NOW))), reads),
        (ignored(store.entries(0, 1)), reads),
        (ignored(store.list(&all, None, 1, time(NOW))), reads),
        (ignored(store.nodes()), reads),
        (ignored(store.next_serial("h")), writes),
        (ignored(store.commit("h", insert(record("b", "alice"), Some(secret.clone())))), writes),
        (store.record_uses(used.into()), writes),
        (ignored(store.revoke(&alice, time(NOW))), writes),
    ];
    let second: [(StoreFuture<'_, ()>, Duration); 4] = [
        (store.note_node("n", 0, time(NOW)), writes),
        (ignored(store.add_ticket(&ticket)), writes),
        (ignored(store.take_ticket(TicketKind::Link, &secret, time(NOW))), writes),
        (ignored(store.purge_tickets(time(NOW), 9)), writes),
    ];
    let mut errors = Vec::new();
    for operations in [Vec::from(first), Vec::from(second)] {
        errors.extend(thread::scope(|scope| {
            let start = |(operation, within)| scope.spawn(move || failure(operation, within).to_string());
            let started: Vec<_> = operations.into_iter().map(start).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        }));
    }
    errors
}

fn link() -> Ticket {
    let (issued_at, expires_at) = (time(NOW), time(NOW + 60));
    Ticket { kind: TicketKind::Link, digest: digest(0xd1), actor_id: "alice".to_owned(), issued_at, expires_at }
}

fn ignored<'a, T: 'a>(pending: StoreFuture<'a, T>) -> StoreFuture<'a, ()> {
    Box::pin(async { pending.await.map(drop) })
}

const AT_ONCE: Duration = Duration::from_secs(1);

fn store_with_a_record(place: &Place) -> Store {
    let store = place.open();
    commit(&store, "h", insert(record("a", "alice"), None));
    assert!(is_live(&store, "h", "a"));
    store
}

#[test]
fn a_file_that_is_moved_away_and_back() {
    let place = Place::sqlite();
    let store = store_with_a_record(&place);
    let away = place.file().with_extension("away");
    fs::rename(place.file(), &away).unwrap();
    for error in all_fail(&store, AT_ONCE, AT_ONCE) {
        assert!(error.contains("tokens.db") && error.contains("No such file"), "{error}");
    }
    assert!(!place.file().exists(), "no other file is created in its place");
    fs::rename(&away, place.file()).unwrap();
    comes_back(&store);
    assert!(find(&store, "h", "b").is_none() && is_live(&store, "h", "a"));
}

/// An older copy would lack later revocations.
#[test]
fn a_file_that_is_replaced_by_another() {
    let place = Place::sqlite();
    let store = store_with_a_record(&place);
    let copy = place.file().with_extension("copy");
    fs::copy(place.file(), &copy).unwrap();
    wait(store.revoke(&revocation("h", "alice"), time(NOW)));
    fs::rename(&copy, place.file()).unwrap();
    for error in all_fail(&store, AT_ONCE, AT_ONCE) {
        assert!(error.contains("another file is in its place"), "{error}");
    }
}

#[test]
fn a_file_that_another_process_has_locked() {
    let place = Place::sqlite();
    let store = store_with_a_record(&place);
    // A writer does not block readers.
    let mut other = place.connect_sqlite();
    block_on(other.execute("BEGIN IMMEDIATE")).unwrap();
    let error = failure(store.next_serial("h"), Duration::from_secs(6));
    assert!(error.to_string().contains("allocating a serial number: database is locked"), "{error}");
    assert!(is_live(&store, "h", "a"));
    block_on(other.execute("ROLLBACK")).unwrap();
    comes_back(&store);
    drop(store);
    // This one does, and requires that no other connection has the file open.
    wait_for("the file to be free", || {
        let locked = block_on(other.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT"));
        locked.is_ok()
    });
    let opening = thread::spawn({
        let location = place.location.clone();
        move || Store::open(location.parse().unwrap()).unwrap()
    });
    assert!(!opening.is_finished());
    block_on(other.close()).unwrap();
    comes_back(&opening.join().unwrap());
}

#[test]
fn a_server_that_refuses_connections() {
    let Some(cluster) = cluster() else { return };
    let (location, name) = cluster.database();
    let store = store_with_a_record(&Place { location, folder: None });
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    let put_out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    cluster.run(&put_out);
    wait_for("all connections to be terminated", || store.find("h", "a").block_on().is_err());
    for error in all_fail(&store, AT_ONCE, AT_ONCE) {
        assert!(error.contains(&format!("the PostgreSQL store {name}")), "{error}");
    }
    cluster.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    comes_back(&store);
    // Disconnected again, and admitted at once.
    cluster.run(&put_out);
    comes_back(&store);
    assert!(find(&store, "h", "b").is_none());
}

#[test]
fn a_server_that_does_not_respond() {
    let Some(place) = Place::postgres() else { return };
    let store = store_with_a_record(&place);
    let mut other = connect(&place.location);
    block_on(other.execute("BEGIN; LOCK TABLE tokens, serials, revocations, nodes, tickets IN ACCESS EXCLUSIVE MODE"))
        .unwrap();
    all_fail(&store, Duration::from_secs(3), Duration::from_secs(6));
    block_on(other.execute("ROLLBACK")).unwrap();
    comes_back(&store);
    assert!(find(&store, "h", "b").is_none() && is_live(&store, "h", "a"));
}

/// Not even the database's messages about rejected values.
#[test]
fn no_error_contains_a_digest() {
    for place in Place::both() {
        let store = store_with_a_record(&place);
        let twice = || insert(record("b", "alice"), Some(digest(0xd1)));
        assert_eq!(commit(&store, "h", twice()), CommitOutcome::Done);
        let mut said = vec![format!("{store:?}")];
        assert_eq!(commit(&store, "h", twice()), CommitOutcome::Duplicate);
        let same_secret = insert(record("c", "alice"), Some(digest(0xd1)));
        said.push(failure(store.commit("h", same_secret), AT_ONCE).to_string());
        place.run("ALTER TABLE tokens RENAME TO elsewhere");
        said.push(failure(store.find_digest("h", &digest(0xd1)), AT_ONCE).to_string());
        said.push(failure(store.commit("h", insert(record("d", "bob"), Some(digest(0xd1)))), AT_ONCE).to_string());
        place.run("ALTER TABLE tickets RENAME TO nowhere");
        said.push(failure(store.find_ticket(TicketKind::Link, &digest(0xd1), time(NOW)), AT_ONCE).to_string());
        said.push(failure(store.add_ticket(&link()), AT_ONCE).to_string());
        assert!(said.iter().skip(1).all(|said| said.contains("tokens") || said.contains("tickets")), "{said:#?}");
        for said in said {
            let flat: String = said.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            // 0xd1 is 209.
            assert!(!flat.contains("d1d1") && !flat.contains("209209"), "{said}");
        }
    }
}

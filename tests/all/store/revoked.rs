//! Revocations, and the list in which every node reads them.

use super::*;
use crate::support::time;
use keyward_runtime::store::{RecordStore, RevocationLog};

#[test]
fn revocations_are_read_in_pages() {
    for place in Place::both() {
        let store = place.open();
        for number in 0..7 {
            wait(store.revoke(&revocation("h", &number.to_string()), time(NOW)));
        }
        let all = wait(store.entries(0, 100));
        assert!(all.is_sorted_by(|(one, _), (two, _)| one < two) && all[0].0 > 0);
        let mut read: Vec<(u64, Entry)> = vec![];
        for expected in [3, 3, 1, 0] {
            let more = wait(store.entries(read.last().map_or(0, |(seq, _)| *seq), 3));
            assert_eq!(more.len(), expected);
            read.extend(more);
        }
        assert_eq!(read, all);
        let actors: Vec<_> = told(&store).into_iter().map(|revocation| revocation.actor_id.unwrap()).collect();
        assert_eq!(actors, ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(wait(store.entries(read[6].0 + 1, 3)), []);
    }
}

/// A reader that always continues from its last entry eventually reads all of them.
#[test]
fn no_revocation_appears_before_one_that_was_read() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        let done = AtomicBool::new(false);
        let read = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = vec![];
                loop {
                    let last = done.load(Ordering::Acquire);
                    let more = wait(here.entries(read.last().map_or(0, |(seq, _)| *seq), 5));
                    if last && more.is_empty() {
                        return read;
                    }
                    read.extend(more);
                }
            });
            // The reader stops even if a writer panics.
            let writing = Writing(&done);
            race(8, |thread| {
                let store = if thread % 2 == 0 { &here } else { &there };
                for number in 0..10 {
                    let (id, actor) = (format!("{thread}.{number}"), format!("actor{}", number % 2));
                    // Conflicting operations of every kind; none may fail with a deadlock.
                    commit(store, "h", replace(record(&id, &actor)));
                    wait(store.record_uses(vec![
                        ("h".to_owned(), id.clone(), time(NOW)),
                        ("h".to_owned(), "0.0".to_owned(), time(NOW)),
                    ]));
                    match number % 3 {
                        0 => drop(wait(store.revoke(&revocation("h", &actor), time(NOW)))),
                        1 => drop(wait(store.commit("h", end(&[&id])))),
                        _ => drop(wait(store.next_serial("h"))),
                    }
                }
            });
            drop(writing);
            reader.join().unwrap()
        });
        assert!(read.len() >= 8 * 4);
        assert!(read == wait(there.entries(0, 1_000)), "a revocation was missed");
    }
}

#[test]
fn postgresql_notifies_of_revocations_only() {
    let Some(place) = Place::postgres() else { return };
    let store = place.open();
    let mut other = connect(&place.location);
    block_on(async {
        let mut listener = PgListener::connect(&place.location).await.unwrap();
        listener.listen(CHANNEL).await.unwrap();
        for told in ["revoked", "replaced", "ended"] {
            commit(&store, "h", insert(record(told, "alice"), None));
            wait(store.count(&revocation("h", "alice"), time(NOW)));
            assert_eq!(commit(&store, "h", end(&["nobody"])), CommitOutcome::Ended);
            match told {
                "revoked" => drop(wait(store.revoke(&revocation("h", "alice"), time(NOW)))),
                "replaced" => assert_eq!(commit(&store, "h", replace(record("other", "alice"))), CommitOutcome::Done),
                _ => assert_eq!(commit(&store, "h", end(&[told])), CommitOutcome::Done),
            }
            // Notifications arrive in the order of commits.
            other.execute(AssertSqlSafe(format!("NOTIFY {CHANNEL}, 'nothing else'"))).await.unwrap();
            for payload in ["", "nothing else"] {
                let heard = tokio::time::timeout(DEADLINE, listener.recv()).await;
                assert_eq!(heard.unwrap().unwrap().payload(), payload, "{told}");
            }
        }
    });
}

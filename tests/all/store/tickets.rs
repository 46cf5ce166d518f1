//! Tickets in both databases: several nodes, copies of the store, and values that cannot be stored.

use super::*;
use crate::support::time;
use keyward_runtime::store::{Ticket, TicketKind, TicketStore};

const LINK: TicketKind = TicketKind::Link;

/// Returns a link that is valid until `expires_at`.
fn link(byte: u8, expires_at: u64) -> Ticket {
    let (actor_id, expires_at) = ("alice".to_owned(), time(expires_at));
    Ticket { kind: LINK, digest: digest(byte), actor_id, issued_at: time(NOW), expires_at }
}

fn add(store: &Store, ticket: &Ticket) -> bool {
    wait(store.add_ticket(ticket))
}

fn is_found(store: &Store, byte: u8) -> bool {
    wait(store.find_ticket(LINK, &digest(byte), time(NOW))).is_some()
}

#[test]
fn a_ticket_is_added_and_taken_once_by_several_nodes() {
    for place in Place::both() {
        let nodes = [place.open(), place.open()];
        for byte in 0..10 {
            let node = |thread: u64| &nodes[usize::try_from(thread).unwrap() % 2];
            let added = race(8, |thread| add(node(thread), &link(byte, NOW)));
            assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
            assert!(nodes.iter().all(|node| is_found(node, byte)));
            let taken = race(8, |thread| wait(node(thread).take_ticket(LINK, &digest(byte), time(NOW))));
            assert_eq!(taken.into_iter().flatten().count(), 1);
            assert!(!nodes.iter().any(|node| is_found(node, byte)));
        }
    }
}

/// No call fails because it has waited for another, and no ticket is removed twice.
#[test]
fn tickets_are_purged_while_others_are_taken() {
    for place in Place::both() {
        let nodes = [place.open(), place.open()];
        for byte in 0..100 {
            assert!(add(&nodes[0], &link(byte, if byte < 50 { NOW - 1 } else { NOW })));
        }
        let removed = race(8, |thread| {
            let node = &nodes[usize::try_from(thread).unwrap() % 2];
            if thread < 4 {
                return (0..5).map(|_| wait(node.purge_tickets(time(NOW), 7))).sum();
            }
            // Expired ones as well, for a node whose clock is behind.
            let take = |byte| u64::from(wait(node.take_ticket(LINK, &digest(byte), time(NOW - 1))).is_some());
            (25..75).map(take).sum::<u64>()
        });
        let rest = wait(nodes[0].purge_tickets(time(NOW), 100));
        assert_eq!(removed.into_iter().sum::<u64>() + rest, 75);
        assert!((0..100).all(|byte| is_found(&nodes[1], byte) == (byte >= 75)));
    }
}

#[test]
fn tickets_survive_a_restart_and_are_in_a_backup() {
    for place in Place::both() {
        let store = place.open();
        assert!(add(&store, &link(1, NOW)) && add(&store, &link(2, NOW)));
        assert!(wait(store.take_ticket(LINK, &digest(2), time(NOW))).is_some());
        drop(store);
        let store = place.open();
        assert!(is_found(&store, 1) && !is_found(&store, 2));
        let checked = wait(store.check());
        assert_eq!((checked.defects, checked.foreign), (vec![], vec![]));
        if place.is_sqlite() {
            let copy = place.file().with_extension("copy");
            wait(store.back_up(copy.clone()));
            let copy = Store::open(Location::sqlite(copy)).unwrap();
            assert!(is_found(&copy, 1) && !is_found(&copy, 2));
        }
    }
}

#[test]
fn an_invalid_ticket_is_an_error_and_is_not_stored() {
    for place in Place::both() {
        let store = place.open();
        for bad in [
            Ticket { actor_id: "al\0ice".to_owned(), ..link(1, NOW) },
            Ticket { issued_at: time(u64::MAX), ..link(1, NOW) },
            link(1, u64::MAX),
        ] {
            store.add_ticket(&bad).block_on().unwrap_err();
        }
        assert!(!is_found(&store, 1));
        store.purge_tickets(time(u64::MAX), 1).block_on().unwrap_err();
        // A row that is invalid is not a ticket, and does not stay forever.
        assert!(add(&store, &link(1, NOW)));
        place.run("UPDATE tickets SET issued_at = -1");
        failure(store.find_ticket(LINK, &digest(1), time(NOW)), Duration::from_secs(1));
        failure(store.take_ticket(LINK, &digest(1), time(NOW)), Duration::from_secs(1));
        assert_eq!(wait(store.purge_tickets(time(NOW + 1), 9)), 1);
    }
}

/// A purge of a store with many tickets, most of which are valid, reads only those that it removes.
#[test]
fn a_purge_uses_the_index() {
    let place = Place::sqlite();
    drop(place.open());
    let plan = "EXPLAIN QUERY PLAN DELETE FROM tickets WHERE (kind, digest) IN \
                (SELECT kind, digest FROM tickets WHERE expires_at < 1 ORDER BY expires_at, kind, digest LIMIT 9)";
    let mut connection = place.connect_sqlite();
    let rows: Vec<(i64, i64, i64, String)> = block_on(sqlx::query_as(plan).fetch_all(&mut connection)).unwrap();
    let steps: Vec<_> = rows.into_iter().map(|(_, _, _, step)| step).collect();
    assert!(steps.iter().any(|step| step.contains("INDEX tickets_by_expiry")), "{steps:#?}");
    assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:#?}");
}

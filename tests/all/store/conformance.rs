//! The conformance kit: every store passes it, and each of many wrong ones fails the case that is
//! about its fault.

use super::Place;
use crate::support::time;
use keyward_runtime::store::testing::{MemoryStore, Violation, check_record_store, check_token_store};
use keyward_runtime::store::{CommitOutcome, Entry, RecordStore, Revocation, StatusCount, TicketKind, TokenStore};
use mutant::Mutant;
use std::sync::{Arc, Mutex};

mod mutant;

#[test]
fn the_memory_store_conforms() {
    assert_eq!(check_token_store(|| Arc::new(MemoryStore::new())), []);
    assert_eq!(check_record_store(|| Arc::new(MemoryStore::new())), []);
}

#[test]
fn both_databases_conform() {
    for place in Place::both() {
        // The databases of the cases, for as long as their stores.
        let places = Mutex::new(Vec::new());
        let open = || -> Arc<dyn TokenStore> {
            let empty = if place.is_sqlite() { Place::sqlite() } else { Place::postgres().unwrap() };
            let store = empty.open();
            places.lock().unwrap().push(empty);
            Arc::new(store)
        };
        assert_eq!(check_token_store(open), [], "{}", place.location);
    }
}

/// A store whose pages end early conforms, as long as the list continues where they end.
#[test]
fn a_store_may_stop_within_a_page() {
    let open = || Mutant {
        page: |page| {
            if page.entries.len() > 1 {
                page.entries.truncate(1);
                page.stopped_at = page.entries.last().map(|entry| entry.place());
            }
        },
        ..Mutant::default()
    };
    assert_eq!(check_token_store(|| Arc::new(open())), []);
}

/// The name of a case, and a mutant that it detects.
type Detected = (&'static str, fn() -> Mutant);

const MUTANTS: &[Detected] = &[
    ("records are returned in full", || Mutant { found: |found| found.digest = None, ..Mutant::default() }),
    ("records are returned in full", || Mutant { found: |found| found.token_digest = None, ..Mutant::default() }),
    ("records are returned in full", || Mutant {
        found: |found| found.record.restrictions = None,
        ..Mutant::default()
    }),
    ("records are returned in full", || Mutant { found: |found| found.record.parent = None, ..Mutant::default() }),
    ("records are returned in full", || Mutant { found: |found| found.record.key = None, ..Mutant::default() }),
    ("ids are compared by their bytes", || Mutant { id: |id| id.trim().to_lowercase(), ..Mutant::default() }),
    ("records belong to their handler", || Mutant { handler: |_| "h".to_owned(), ..Mutant::default() }),
    ("records belong to their handler", || Mutant { handler: |name| name.to_lowercase(), ..Mutant::default() }),
    ("issued tokens are found by their digest", || Mutant { issued_handler: |_| None, ..Mutant::default() }),
    ("serial numbers are used once", || Mutant { serial_handler: |_| "h", ..Mutant::default() }),
    ("serial numbers are used once", || Mutant { serial: |serial| serial / 2 + 1, ..Mutant::default() }),
    // Transactions.
    ("an id, a token and a secret are used once", || Mutant {
        insert: |new| new.stored.token_digest = None,
        ..Mutant::default()
    }),
    ("an id, a token and a secret are used once", || Mutant {
        insert: |new| new.stored.digest = None,
        ..Mutant::default()
    }),
    ("a record is ended once", || Mutant {
        outcome: |outcome| {
            if outcome == CommitOutcome::Ended { CommitOutcome::Done } else { outcome }
        },
        ..Mutant::default()
    }),
    ("a refused transaction changes nothing", || Mutant { is_atomic: false, ..Mutant::default() }),
    ("a new record replaces those of its actor", || Mutant { insert: |new| new.replace = false, ..Mutant::default() }),
    ("an edit changes the terms", || Mutant { edit: |edit| edit.after.description = None, ..Mutant::default() }),
    ("an edit changes the terms", || Mutant { edit: |edit| edit.after.expires_at = None, ..Mutant::default() }),
    ("an edit changes the terms", || Mutant { edit: |edit| edit.after.restrictions = None, ..Mutant::default() }),
    ("an edit of an outdated record is refused", || Mutant { compares_terms: false, ..Mutant::default() }),
    ("a rotated record is replaced by another", || Mutant { edit: |edit| edit.replaced = false, ..Mutant::default() }),
    ("a rotated record is replaced by another", || Mutant { is_atomic: false, ..Mutant::default() }),
    ("a rotated token keeps its children", || Mutant { is_atomic: false, ..Mutant::default() }),
    ("descendants end with a record", || Mutant { insert: |new| new.stored.record.parent = None, ..Mutant::default() }),
    ("no child is inserted after its parent has ended", || Mutant {
        insert: |new| new.stored.record.parent = None,
        ..Mutant::default()
    }),
    ("no child is inserted after its parent was revoked", || Mutant {
        insert: |new| new.stored.record.parent = None,
        ..Mutant::default()
    }),
    ("concurrent transactions exclude each other", || Mutant { compares_terms: false, ..Mutant::default() }),
    // Maxima.
    ("a handler has a maximum", || Mutant { insert: |new| new.max = u64::MAX, ..Mutant::default() }),
    ("a handler has a maximum", || Mutant { insert: |new| new.max = new.max.saturating_add(1), ..Mutant::default() }),
    ("an actor has a maximum with a handler", || Mutant {
        insert: |new| new.max_per_actor = None,
        ..Mutant::default()
    }),
    ("a client has a maximum with all handlers", || Mutant {
        insert: |new| new.max_per_client = None,
        ..Mutant::default()
    }),
    ("only valid records count", || Mutant { insert: |new| new.idle_before = None, ..Mutant::default() }),
    ("only valid records count", || Mutant {
        insert: |new| new.idle_before = new.idle_before.map(|before| time(before.seconds + 1)),
        ..Mutant::default()
    }),
    ("only valid records count", || Mutant { insert_at: |at| time(at.seconds + 1), ..Mutant::default() }),
    ("only valid records count", || Mutant { insert_at: |_| time(0), ..Mutant::default() }),
    ("an ended record makes room", || Mutant {
        insert: |new| new.max = new.max.saturating_sub(1),
        ..Mutant::default()
    }),
    ("concurrent inserts observe the maxima", || Mutant { locks_maxima: false, ..Mutant::default() }),
    // Revocations.
    ("a revocation ends the records that it matches", || Mutant {
        revocation: |revocation| revocation.actor_id = None,
        ..Mutant::default()
    }),
    ("a revocation ends the records that it matches", || Mutant {
        revocation: |revocation| revocation.issued_until = None,
        ..Mutant::default()
    }),
    ("a digest names a token", || Mutant {
        revocation: |revocation| {
            revocation.token_digest = revocation.token_digest.filter(|_| revocation.token_id.is_none())
        },
        ..Mutant::default()
    }),
    ("records from the future are revoked one by one", || Mutant {
        revocation: |revocation| {
            revocation.issued_until = revocation.issued_until.map(|until| until.min(time(super::NOW - 1)))
        },
        ..Mutant::default()
    }),
    ("the id of a token requires its handler", || Mutant {
        revocation: |revocation| revocation.handler = revocation.handler.take().or_else(|| Some("h".to_owned())),
        ..Mutant::default()
    }),
    ("a revocation is recorded without a matching record", || Mutant {
        revoked: |revoked| revoked.number += 1,
        ..Mutant::default()
    }),
    ("descendants are revoked with a token", || Mutant {
        revocation: |revocation| revocation.keep_children = true,
        ..Mutant::default()
    }),
    ("descendants are revoked with a token", || Mutant {
        revocation: |revocation| revocation.keep_children = false,
        ..Mutant::default()
    }),
    ("descendants are revoked with a token", || Mutant {
        counted: |revocation| Revocation { keep_children: true, ..revocation },
        ..Mutant::default()
    }),
    ("descendants are revoked with a token", || Mutant {
        revoked: |revoked| revoked.descendants.clear(),
        ..Mutant::default()
    }),
    ("descendants of a token from the future are revoked with it", || Mutant {
        insert: |new| new.stored.record.parent = None,
        ..Mutant::default()
    }),
    ("no child escapes a concurrent revocation", || Mutant {
        insert: |new| new.stored.record.parent = None,
        ..Mutant::default()
    }),
    // The log.
    ("the log is read in order and in pages", || Mutant { entries: |entries| entries.reverse(), ..Mutant::default() }),
    ("the log is read in order and in pages", || Mutant {
        after: |after| after.saturating_sub(1),
        ..Mutant::default()
    }),
    ("the log is read in order and in pages", || Mutant { max: |_| u32::MAX, ..Mutant::default() }),
    ("the log is read in order and in pages", || Mutant {
        entries: |entries| {
            // Numbers that are not in the order of the entries.
            if let [(one, _), (two, _), ..] = &mut entries[..] {
                std::mem::swap(one, two);
            }
        },
        ..Mutant::default()
    }),
    ("the log has the records that a transaction ends", || Mutant {
        entries: |entries| {
            entries.retain(|(_, entry)| !matches!(entry, Entry::Revoked(Revocation { token_id: Some(_), .. })));
        },
        ..Mutant::default()
    }),
    ("no entry appears before one that was read", || Mutant {
        entries: |entries| {
            // The last entry but one appears after the last.
            if entries.last().is_some_and(|(number, _)| number % 2 == 1) && entries.len() > 1 {
                entries.remove(entries.len() - 2);
            }
        },
        ..Mutant::default()
    }),
    ("the newest time never decreases", || Mutant { keeps_newest: false, ..Mutant::default() }),
    // Lists, counts and nodes.
    ("a list is ordered", || Mutant { page: |page| page.entries.reverse(), ..Mutant::default() }),
    ("a list is ordered", || Mutant {
        page: |page| page.entries.sort_by_key(|entry| std::cmp::Reverse(entry.record.issued_at)),
        list_after: |mut after| {
            after.handler = String::new();
            after
        },
        ..Mutant::default()
    }),
    ("a list is ordered", || Mutant {
        page: |page| page.stopped_at = page.entries.pop().map(|entry| entry.place()),
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.handlers = None,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.actor_id = None,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.client = None,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.status = None,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.unused_since = None,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.never_ends = false,
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        filter: |filter| filter.idle.clear(),
        ..Mutant::default()
    }),
    ("a list has the records that match each field of the filter", || Mutant {
        list_at: |at| time(at.seconds + 1),
        ..Mutant::default()
    }),
    ("a list has each lasting record once", || Mutant {
        list_after: |mut after| {
            after.issued_at.seconds += 1;
            after
        },
        ..Mutant::default()
    }),
    ("records are counted by status", || Mutant { filter: |filter| filter.idle.clear(), ..Mutant::default() }),
    ("records are counted by status", || Mutant {
        counts: |counts| counts.sort_by_key(|StatusCount { status, .. }| *status),
        ..Mutant::default()
    }),
    ("records are counted by key", || Mutant { list_at: |at| time(at.seconds + 1), ..Mutant::default() }),
    ("nodes report how far they have read", || Mutant { node: |node| node.behind = 0, ..Mutant::default() }),
    ("nodes report how far they have read", || Mutant { node_at: |at| time(at.seconds - 1), ..Mutant::default() }),
    // Tickets.
    ("tickets are returned in full", || Mutant { ticket: |ticket| ticket.actor_id.truncate(9), ..Mutant::default() }),
    ("tickets are returned in full", || Mutant { ticket: |ticket| ticket.issued_at = time(0), ..Mutant::default() }),
    ("tickets are returned in full", || Mutant {
        ticket: |ticket| ticket.expires_at.seconds += 1,
        ..Mutant::default()
    }),
    ("a ticket is added once", || Mutant { adds_once: false, ..Mutant::default() }),
    ("a ticket expires after its last second", || Mutant { ticket_at: |at| time(at.seconds + 1), ..Mutant::default() }),
    ("a ticket expires after its last second", || Mutant {
        ticket_at: |at| time(at.seconds.saturating_sub(1)),
        ..Mutant::default()
    }),
    ("tickets of different kinds are separate", || Mutant {
        ticket: |ticket| ticket.kind = TicketKind::Link,
        ticket_kind: |_| TicketKind::Link,
        ..Mutant::default()
    }),
    ("a ticket is taken once", || Mutant { removes_taken: false, ..Mutant::default() }),
    ("concurrent calls add and take a ticket once", || Mutant { locks_tickets: false, ..Mutant::default() }),
    ("expired tickets are purged", || Mutant { purged_before: |before| time(before.seconds + 1), ..Mutant::default() }),
    ("expired tickets are purged", || Mutant { purged_before: |before| time(before.seconds - 1), ..Mutant::default() }),
    ("expired tickets are purged", || Mutant { purged_max: |_| u32::MAX, ..Mutant::default() }),
    ("concurrent calls purge each ticket once", || Mutant { purged: |purged| purged.min(1), ..Mutant::default() }),
];

#[test]
fn each_mutant_is_detected() {
    let mut undetected = Vec::new();
    for (number, (case, open)) in MUTANTS.iter().enumerate() {
        let violations = check_token_store(|| Arc::new(open()));
        let cases: Vec<_> = violations.iter().map(|Violation { case, .. }| *case).collect();
        if !cases.contains(case) {
            undetected.push(format!("mutant {number} passes `{case}`, but not {cases:?}"));
        }
    }
    assert_eq!(undetected, [""; 0]);
    assert_eq!(check_token_store(|| Arc::new(Mutant::default())), [], "without a fault");
}

/// A case that no mutant fails might check nothing.
#[test]
fn each_case_detects_a_mutant() {
    // A store all of whose methods fail.
    let cases = check_token_store(|| Arc::new(Mutant { fails: true, ..Mutant::default() }));
    let cases: Vec<_> = cases.iter().map(|Violation { case, .. }| *case).collect();
    let unused: Vec<_> = cases.iter().filter(|case| !MUTANTS.iter().any(|(name, _)| name == *case)).collect();
    assert_eq!(unused, [&"a use changes nothing but its time"]);
    let of_records =
        check_record_store(|| Arc::new(Mutant { fails: true, ..Mutant::default() }) as Arc<dyn RecordStore>);
    assert!(of_records.iter().map(|violation| violation.case).eq(cases[..of_records.len()].iter().copied()));
    assert_eq!(of_records[0].to_string(), "records are returned in full: unexpected error: the store is a mutant");
}

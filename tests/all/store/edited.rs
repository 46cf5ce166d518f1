//! Records are edited, replaced and created once: atomically, also under concurrency.

use super::*;
use crate::support::time;
use keyward_runtime::store::{RecordStore, RecordUpdate, RevocationLog, TokenTerms};

fn terms(description: &str, expires_at: Option<u64>, allowed: &[&str]) -> TokenTerms {
    let restrictions = allowed.iter().fold(Restrictions::new(), |restrictions, &action| restrictions.allow_all(action));
    TokenTerms {
        description: Some(description.to_owned()),
        expires_at: expires_at.map(time),
        restrictions: Some(restrictions),
    }
}

fn with_terms(id: &str, terms: &TokenTerms) -> Record {
    let TokenTerms { description, expires_at, restrictions } = terms.clone();
    let (client, key) = (Some("client".to_owned()), Some("main/k".to_owned()));
    Record { description, expires_at, restrictions, last_used_at: Some(time(NOW)), client, key, ..record(id, "alice") }
}

fn edit(id: &str, before: &TokenTerms, after: &TokenTerms, replaced: bool) -> Transaction {
    let edit = RecordUpdate { id: id.to_owned(), before: before.clone(), after: after.clone(), replaced };
    Transaction { at: time(NOW + 5), edit: Some(edit), ..Transaction::default() }
}

/// Returns a transaction that replaces one record with another.
fn rotate(id: &str, before: &TokenTerms, by: Record) -> Transaction {
    Transaction { insert: insert(by, None).insert, ..edit(id, before, before, true) }
}

#[test]
fn an_edit_changes_the_terms_and_nothing_else() {
    let before = terms("before", Some(NOW + 100), &["x", "y"]);
    let made = with_terms("a", &before);
    for place in Place::both() {
        let store = place.open();
        commit(&store, "h", insert(made.clone(), Some(digest(1))));
        commit(&store, "i", insert(made.clone(), None));
        let mut terms_now = before.clone();
        for after in [
            TokenTerms { description: None, ..before.clone() },
            terms("after'\u{1f980}", Some(NOW + 50), &["x"]),
            TokenTerms { restrictions: Some(Restrictions::new()), ..before.clone() },
            TokenTerms::default(),
            before.clone(),
        ] {
            assert_eq!(commit(&store, "h", edit("a", &terms_now, &after, false)), CommitOutcome::Done);
            let wanted = with_terms("a", &after);
            // A newly opened store has the change as well.
            for store in [&store, &place.open()] {
                let stored = wait(store.find("h", "a")).unwrap();
                assert_eq!(stored.record, wanted);
                assert_eq!(*stored.digest.unwrap().bytes(), [1; 32]);
                assert_eq!(find(store, "i", "a").unwrap(), made);
            }
            terms_now = after;
        }
        assert_eq!(wait(store.entries(0, 10)), []);
    }
}

#[test]
fn an_edit_of_an_outdated_record_changes_nothing() {
    let before = terms("before", Some(NOW + 100), &["x", "y"]);
    let after = terms("after", Some(NOW + 50), &["x"]);
    for place in Place::both() {
        let store = place.open();
        for id in ["a", "revoked", "replaced"] {
            commit(&store, "h", insert(with_terms(id, &before), None));
        }
        commit(&store, "h", insert(record("by", "bob"), None));
        commit(&store, "h", end(&["revoked"]));
        commit(&store, "h", edit("replaced", &before, &before, true));
        let told = wait(store.entries(0, 10));
        let cases = [
            ("nobody", before.clone(), CommitOutcome::Ended),
            ("a\0", before.clone(), CommitOutcome::Ended),
            ("revoked", before.clone(), CommitOutcome::Ended),
            ("replaced", before.clone(), CommitOutcome::Ended),
            ("a", TokenTerms { description: None, ..before.clone() }, CommitOutcome::Changed),
            ("a", TokenTerms { description: Some("Before".to_owned()), ..before.clone() }, CommitOutcome::Changed),
            ("a", TokenTerms { expires_at: None, ..before.clone() }, CommitOutcome::Changed),
            ("a", TokenTerms { expires_at: Some(time(NOW + 101)), ..before.clone() }, CommitOutcome::Changed),
            ("a", TokenTerms { restrictions: None, ..before.clone() }, CommitOutcome::Changed),
            ("a", TokenTerms { restrictions: Some(Restrictions::new()), ..before.clone() }, CommitOutcome::Changed),
        ];
        for (id, before, wanted) in &cases {
            for replaced in [false, true] {
                let mut changes = edit(id, before, &after, replaced);
                assert_eq!(commit(&store, "h", changes), *wanted, "{id:?}, {before:?}");
                // Neither is the rest of the transaction applied.
                changes = edit(id, before, &after, replaced);
                changes.end = vec!["by".to_owned()];
                changes.insert = insert(record("new", "carol"), None).insert;
                assert_eq!(commit(&store, "h", changes), *wanted, "{id:?}, {before:?}");
            }
        }
        for bad in [terms("\0", None, &[]), terms("", Some(u64::MAX), &[])] {
            store.commit("h", edit("a", &before, &bad, false)).block_on().unwrap_err();
        }
        assert_eq!(find(&store, "h", "a").unwrap(), with_terms("a", &before));
        assert_eq!(
            find(&store, "h", "revoked").unwrap().ended,
            Some(Termination { at: time(NOW), why: TerminationReason::Revoked })
        );
        assert_eq!(
            find(&store, "h", "replaced").unwrap().ended,
            Some(Termination { at: time(NOW + 5), why: TerminationReason::Replaced })
        );
        assert!(is_live(&store, "h", "by") && find(&store, "h", "new").is_none());
        assert_eq!(wait(store.entries(0, 10)), told);
    }
}

#[test]
fn a_replaced_record_frees_its_slot_atomically() {
    let before = terms("before", None, &["x"]);
    for place in Place::both() {
        let store = place.open();
        commit(&store, "h", insert(with_terms("old", &before), None));
        commit(&store, "h", insert(record("bobs", "bob"), None));
        let rotate_within = |max, max_per_actor| {
            let mut changes = rotate("old", &before, with_terms("new", &before));
            let insert = changes.insert.as_mut().unwrap();
            (insert.max, insert.max_per_actor) = (max, max_per_actor);
            commit(&store, "h", changes)
        };
        assert_eq!(rotate_within(1, None), CommitOutcome::Full);
        assert_eq!(rotate_within(2, Some(0)), CommitOutcome::FullForActor);
        assert!(is_live(&store, "h", "old") && wait(store.entries(0, 10)).is_empty());
        assert_eq!(rotate_within(2, Some(1)), CommitOutcome::Done);
        assert_eq!(
            find(&store, "h", "old").unwrap().ended,
            Some(Termination { at: time(NOW + 5), why: TerminationReason::Replaced })
        );
        assert!(is_live(&store, "h", "new") && is_live(&store, "h", "bobs"));
        let told = told(&store).pop().unwrap();
        assert_eq!(
            told,
            Revocation { handler: Some("h".to_owned()), token_id: Some("old".to_owned()), ..Revocation::default() }
        );
    }
}

#[test]
fn one_of_many_concurrent_edits_succeeds() {
    let before = terms("before", Some(NOW + 100), &["x"]);
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        for id in ["edited", "rotated"] {
            commit(&here, "h", insert(with_terms(id, &before), None));
        }
        let done = race(16, |thread| {
            let store = if thread % 2 == 0 { &here } else { &there };
            let after = terms(&thread.to_string(), Some(NOW + thread), &[]);
            let edited = commit(store, "h", edit("edited", &before, &after, false));
            let rotated = commit(store, "h", rotate("rotated", &before, record(&format!("new {thread}"), "alice")));
            (edited, rotated)
        });
        for (edited, rotated) in &done {
            assert!([CommitOutcome::Done, CommitOutcome::Changed].contains(edited), "{edited:?}");
            assert!([CommitOutcome::Done, CommitOutcome::Ended].contains(rotated), "{rotated:?}");
        }
        let edited: Vec<_> = (0..).zip(&done).filter(|(_, (edited, _))| *edited == CommitOutcome::Done).collect();
        let rotated: Vec<_> = (0..).zip(&done).filter(|(_, (_, rotated))| *rotated == CommitOutcome::Done).collect();
        let ([(edited, _)], [(rotated, _)]) = (&edited[..], &rotated[..]) else { panic!("{done:?}") };
        assert_eq!(find(&here, "h", "edited").unwrap().terms(), terms(&edited.to_string(), Some(NOW + edited), &[]));
        let new: Vec<u64> = (0..16).filter(|thread| find(&here, "h", &format!("new {thread}")).is_some()).collect();
        assert_eq!(new, [*rotated]);
        assert_eq!(wait(there.entries(0, 10)).len(), 1);
    }
}

/// All conflicting operations run at once, and none fails with a deadlock.
#[test]
fn under_concurrency_a_record_has_consistent_terms_and_is_revoked_once() {
    let made = terms("0", Some(NOW + 1_000), &["0"]);
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        commit(&here, "h", insert(with_terms("a", &made), None));
        race(8, |thread| {
            let store = if thread % 2 == 0 { &here } else { &there };
            for step in 0..10 {
                let now = find(store, "h", "a").unwrap().terms();
                let number = format!("{thread}.{step}");
                let after = terms(&number, Some(NOW + 100 * thread + step), &[&number]);
                commit(store, "h", edit("a", &now, &after, false));
                wait(store.record_uses(vec![("h".to_owned(), "a".to_owned(), time(NOW + step))]));
                commit(store, "h", replace(record(&number, "bob")));
                match (thread, step) {
                    (7, 8) => drop(commit(store, "h", edit("a", &after, &after, true))),
                    (6, 9) => drop(wait(store.revoke(&revocation("h", "alice"), time(NOW)))),
                    _ => {}
                }
            }
        });
        let Record { description, restrictions, ended, .. } = find(&here, "h", "a").unwrap();
        assert!(ended.is_some());
        let description = description.unwrap();
        assert_eq!(restrictions.unwrap(), Restrictions::new().allow_all(description.clone()), "{description}");
    }
}

#[test]
fn an_identical_record_is_refused() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        let made = race(16, |thread| {
            let store = if thread % 2 == 0 { &here } else { &there };
            let record = Record { description: Some(thread.to_string()), ..record("same", "alice") };
            commit(store, "h", insert(record, None))
        });
        assert_eq!(made.iter().filter(|made| **made == CommitOutcome::Done).count(), 1);
        assert_eq!(made.iter().filter(|made| **made == CommitOutcome::Duplicate).count(), 15);
        let first = find(&here, "h", "same").unwrap();
        // The rest of the transaction is not applied.
        commit(&here, "h", insert(record("another", "alice"), None));
        let mut changes = insert(record("same", "alice"), None);
        changes.insert.as_mut().unwrap().replace = true;
        assert_eq!(commit(&here, "h", changes), CommitOutcome::Duplicate);
        assert!(is_live(&here, "h", "another"));
        assert_eq!(find(&here, "h", "same").unwrap(), first);
        assert_eq!(commit(&here, "i", insert(record("same", "alice"), None)), CommitOutcome::Done);
        commit(&here, "h", end(&["same"]));
        assert_eq!(commit(&there, "h", insert(record("same", "alice"), None)), CommitOutcome::Duplicate);
        assert!(!is_live(&there, "h", "same"));
    }
}

#[test]
fn concurrent_inserts_do_not_exceed_the_maximum_per_client() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        let by = |client: &str, id: &str| Record { client: Some(client.to_owned()), ..record(id, "alice") };
        // Not counted: expired, revoked, of another client, or of the operator.
        commit(&here, "h", insert(Record { expires_at: Some(time(NOW - 1)), ..by("app", "old") }, None));
        commit(&here, "h", insert(by("app", "ended"), None));
        commit(&here, "h", end(&["ended"]));
        commit(&here, "h", insert(by("other", "others"), None));
        commit(&here, "h", insert(record("operators", "alice"), None));
        // Counted, although it is another handler's.
        commit(&here, "another", insert(Record { expires_at: Some(time(NOW)), ..by("app", "last") }, None));
        let made = race(16, |thread| {
            let mut changes = insert(by("app", &thread.to_string()), None);
            changes.insert.as_mut().unwrap().max_per_client = Some(6);
            let store = if thread % 2 == 0 { &here } else { &there };
            commit(store, ["h", "i", "j"][thread as usize % 3], changes)
        });
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::Done).count(), 5);
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::FullForClient).count(), 11);
        // Another client, and the operator, are not concerned.
        for record in [by("other", "new"), record("by-operator", "alice")] {
            let mut changes = insert(record, None);
            changes.insert.as_mut().unwrap().max_per_client = Some(2);
            assert_eq!(commit(&here, "h", changes), CommitOutcome::Done);
        }
    }
}

#[test]
fn concurrent_inserts_do_not_exceed_the_maximum_per_actor() {
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        // Not counted: expired, idle, revoked, of another handler, or of another actor.
        commit(&here, "h", insert(Record { issued_at: time(NOW - 101), ..record("unused", "alice") }, None));
        let used =
            Record { issued_at: time(NOW - 900), last_used_at: Some(time(NOW - 101)), ..record("used", "alice") };
        commit(&here, "h", insert(used, None));
        commit(&here, "h", insert(Record { expires_at: Some(time(NOW - 1)), ..record("old", "alice") }, None));
        commit(&here, "h", insert(record("ended", "alice"), None));
        commit(&here, "h", end(&["ended"]));
        commit(&here, "other", insert(record("other", "alice"), None));
        commit(&here, "h", insert(record("bobs", "bob"), None));
        // Counted for one more second.
        let used =
            Record { issued_at: time(NOW - 900), last_used_at: Some(time(NOW - 100)), ..record("last", "alice") };
        commit(&here, "h", insert(Record { expires_at: Some(time(NOW)), ..used }, None));
        let made = race(16, |thread| {
            let mut changes = insert(record(&thread.to_string(), "alice"), None);
            let insert = changes.insert.as_mut().unwrap();
            (insert.max, insert.max_per_actor, insert.idle_before) = (100, Some(6), Some(time(NOW - 100)));
            commit(if thread % 2 == 0 { &here } else { &there }, "h", changes)
        });
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::Done).count(), 5);
        assert_eq!(made.iter().filter(|&&made| made == CommitOutcome::FullForActor).count(), 11);
        // Replaced records do not count.
        let mut changes = replace(record("one", "alice"));
        changes.insert.as_mut().unwrap().max_per_actor = Some(1);
        assert_eq!(commit(&here, "h", changes), CommitOutcome::Done);
    }
}

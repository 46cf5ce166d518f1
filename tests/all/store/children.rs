//! Tokens that were requested with another one: they are revoked with it, and not issued after it.

use super::*;
use keyward_runtime::store::RevocationLog;

fn child(id: &str, (handler, parent): (&str, &str)) -> Record {
    let parent = TokenId { handler: handler.to_owned(), id: parent.to_owned() };
    Record { parent: Some(parent), ..record(id, "alice") }
}

fn of(handler: &str, id: &str) -> Revocation {
    Revocation { handler: Some(handler.to_owned()), token_id: Some(id.to_owned()), ..Revocation::default() }
}

/// Inserts `root` with two children, one of another handler, each with a child of its own, beside
/// a token without a parent.
fn family(store: &Store) {
    let digest = |record: Record, byte: u8| {
        let mut changes = insert(record, None);
        changes.insert.as_mut().unwrap().stored.token_digest =
            Some(keyward_runtime::token::TokenDigest::new([byte; 32]));
        changes
    };
    for (handler, changes) in [
        ("h", digest(record("root", "alice"), 1)),
        ("h", digest(child("one", ("h", "root")), 2)),
        ("i", digest(child("two", ("h", "root")), 3)),
        ("i", digest(child("one.one", ("h", "one")), 4)),
        ("h", insert(Record { expires_at: Some(NOW - 1), ..child("two.one", ("i", "two")) }, None)),
        ("h", insert(record("two", "alice"), None)),
    ] {
        assert_eq!(commit(store, handler, changes), CommitOutcome::Done);
    }
}

const FAMILY: [(&str, &str); 6] =
    [("h", "root"), ("h", "one"), ("i", "two"), ("i", "one.one"), ("h", "two.one"), ("h", "two")];

fn live(store: &Store) -> Vec<String> {
    let live = FAMILY.into_iter().filter(|(handler, id)| is_live(store, handler, id));
    live.map(|(handler, id)| format!("{handler}/{id}")).collect()
}

#[test]
fn descendants_are_revoked_with_a_token() {
    let by_digest = |byte| Revocation {
        token_digest: Some(keyward_runtime::token::TokenDigest::new([byte; 32])),
        handler: Some("h".to_owned()),
        ..Revocation::default()
    };
    let all: &[&str] = &["h/root", "h/one", "i/two", "i/one.one", "h/two.one", "h/two"];
    let others: &[&str] = &["h/root", "i/two", "h/two.one", "h/two"];
    for (revocation, ended, left) in [
        (of("h", "root"), 4, &["h/two"][..]),
        (by_digest(1), 4, &["h/two"]),
        (of("h", "one"), 2, others),
        (of("h", "two"), 1, &all[..5]),
        (of("i", "two"), 1, &["h/root", "h/one", "i/one.one", "h/two"]),
        (Revocation { keep_children: true, ..of("h", "root") }, 1, &all[1..]),
        (Revocation { keep_children: true, ..by_digest(1) }, 1, &all[1..]),
        // Issued later than what is revoked, so neither it nor its children are.
        (Revocation { issued_until: Some(NOW - 1), ..of("h", "root") }, 0, all),
    ] {
        for place in Place::both() {
            let store = place.open();
            family(&store);
            assert_eq!(wait(store.count(&revocation, NOW)), ended, "{revocation:?}");
            assert_eq!(live(&store), all, "counting revokes nothing");
            let revoked = wait(store.revoke(&revocation, NOW));
            assert_eq!(revoked.ended, ended, "{revocation:?}");
            assert_eq!(live(&store), left, "{revocation:?}");
            // Each descendant has an entry of its own, for other nodes.
            let mut entries = told(&store);
            let first = Revocation { keep_children: false, ..revocation.clone() };
            assert_eq!(entries.remove(0), first, "{revocation:?}");
            let names: Vec<_> = entries.iter().map(|entry| (entry.handler.clone(), entry.token_id.clone())).collect();
            let descendants = revoked.descendants.into_iter().map(|token| (Some(token.handler), Some(token.id)));
            assert!(names.iter().cloned().eq(descendants), "{names:?}");
            assert_eq!(wait(store.revoke(&revocation, NOW)).ended, 0);
        }
    }
}

/// A handler revokes by its own rules.
#[test]
fn descendants_are_revoked_with_a_record_that_a_handler_ends() {
    for place in Place::both() {
        let store = place.open();
        family(&store);
        assert_eq!(commit(&store, "h", end(&["one"])), CommitOutcome::Done);
        assert_eq!(live(&store), ["h/root", "i/two", "h/two.one", "h/two"]);
        assert_eq!(commit(&store, "h", replace(record("new", "alice"))), CommitOutcome::Done);
        assert_eq!(live(&store), [""; 0], "all are descendants of records that were replaced");
    }
}

#[test]
fn a_child_is_not_issued_after_its_parent_has_ended() {
    type End = fn(&Store);
    let no_record: End = |store| drop(wait(store.revoke(&of("h", "elsewhere"), NOW)));
    let revoked: End = |store| drop(wait(store.revoke(&of("h", "root"), NOW)));
    let ended: End = |store| assert_eq!(commit(store, "h", end(&["root"])), CommitOutcome::Done);
    let replaced: End = |store| assert_eq!(commit(store, "h", replace(record("x", "alice"))), CommitOutcome::Done);
    let kept: End = |store| drop(wait(store.revoke(&Revocation { keep_children: true, ..of("h", "root") }, NOW)));
    let ways: [(&str, End); 5] =
        [("elsewhere", no_record), ("root", revoked), ("root", ended), ("root", replaced), ("root", kept)];
    for place in Place::both() {
        for (parent, end) in ways {
            let store = place.open();
            commit(&store, "h", insert(record("root", "alice"), None));
            let child = |id: &str| commit(&store, "i", insert(child(id, ("h", parent)), None));
            assert_eq!(child("before"), CommitOutcome::Done);
            end(&store);
            assert_eq!(child("after"), CommitOutcome::ParentEnded);
            assert!(find(&store, "i", "after").is_none());
            place.run("DELETE FROM tokens WHERE id <> ''; DELETE FROM revocations");
        }
    }
}

/// The parent is revoked while sixteen children are issued: none of them is left.
#[test]
fn no_child_escapes_a_concurrent_revocation() {
    for place in Place::both() {
        let store = place.open();
        commit(&store, "h", insert(record("root", "alice"), None));
        race(16, |number| {
            if number == 8 {
                wait(store.revoke(&of("h", "root"), NOW));
            } else {
                commit(&store, "i", insert(child(&number.to_string(), ("h", "root")), None));
            }
        });
        let is_left = |number: &u64| find(&store, "i", &number.to_string()).is_some_and(|found| found.ended.is_none());
        let left: Vec<_> = (0..16).filter(is_left).collect();
        assert_eq!(left, [0; 0], "live children of a revoked token");
    }
}

#[test]
fn a_rotated_token_keeps_its_children() {
    for place in Place::both() {
        let store = place.open();
        family(&store);
        let terms = find(&store, "h", "one").unwrap().terms();
        let edit = keyward_runtime::store::RecordUpdate {
            id: "one".to_owned(),
            before: terms.clone(),
            after: terms,
            replaced: true,
        };
        let rotation = Transaction { edit: Some(edit), ..insert(child("new", ("h", "root")), None) };
        assert_eq!(commit(&store, "h", rotation), CommitOutcome::Done);
        assert!(is_live(&store, "i", "one.one"));
        let parent = find(&store, "i", "one.one").unwrap().parent.unwrap();
        assert_eq!(parent, TokenId { handler: "h".to_owned(), id: "new".to_owned() });
        wait(store.revoke(&of("h", "new"), NOW));
        assert!(!is_live(&store, "i", "one.one") && is_live(&store, "h", "root"));
    }
}

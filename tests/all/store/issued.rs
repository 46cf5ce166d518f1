//! Digests of issued tokens: looked up, unique within a handler, and used for revocation.

use super::*;
use keyward_runtime::store::{Entry, ListEntry, RecordStore, RevocationLog};
use keyward_runtime::token::TokenDigest;

/// Returns a transaction that inserts the record of an issued token.
fn issue(id: &str, token: &str) -> Transaction {
    let mut changes = insert(record(id, "alice"), None);
    changes.insert.as_mut().unwrap().stored.token_digest = Some(TokenDigest::of(token));
    changes
}

fn issued(store: &Store, handler: Option<&str>, token: &str) -> Option<(String, String)> {
    let found = wait(store.find_issued(handler, &TokenDigest::of(token)));
    found.map(|ListEntry { handler, record }| (handler, record.id))
}

fn named(handler: &str, id: &str) -> Option<(String, String)> {
    Some((handler.to_owned(), id.to_owned()))
}

#[test]
fn an_issued_token_is_found_by_its_digest_and_inserted_once() {
    for place in Place::both() {
        let store = place.open();
        assert_eq!(commit(&store, "h", issue("a", "token-a")), CommitOutcome::Done);
        assert_eq!(commit(&store, "i", issue("b", "token-b")), CommitOutcome::Done);
        assert_eq!(commit(&store, "h", insert(record("old", "alice"), None)), CommitOutcome::Done);
        assert_eq!(commit(&store, "h", insert(record("older", "alice"), None)), CommitOutcome::Done);
        for (handler, token, wanted) in [
            (Some("h"), "token-a", named("h", "a")),
            (None, "token-a", named("h", "a")),
            (Some("i"), "token-a", None),
            (None, "token-b", named("i", "b")),
            (None, "token-c", None),
            (Some("a\0b"), "token-a", None),
        ] {
            assert_eq!(issued(&store, handler, token), wanted, "{handler:?} {token}");
        }
        let digest = |id| wait(store.find("h", id)).unwrap().token_digest;
        assert_eq!((digest("a"), digest("old")), (Some(TokenDigest::of("token-a")), None));
        // The same id, the same token, and both.
        for (id, token) in [("a", "token-x"), ("x", "token-a"), ("a", "token-a")] {
            assert_eq!(commit(&store, "h", issue(id, token)), CommitOutcome::Duplicate, "{id} {token}");
        }
        // It is a different token for another handler. A live record is found first.
        assert_eq!(commit(&store, "g", issue("a", "token-a")), CommitOutcome::Done);
        assert_eq!(commit(&store, "g", end(&["a"])), CommitOutcome::Done);
        assert_eq!(issued(&store, None, "token-a"), named("h", "a"));
    }
}

#[test]
fn a_digest_revokes_with_or_without_an_id() {
    for place in Place::both() {
        let store = place.open();
        for id in ["a", "b", "c"] {
            assert_eq!(commit(&store, "h", issue(id, &format!("token-{id}"))), CommitOutcome::Done);
            assert_eq!(commit(&store, "i", issue(id, &format!("token-{id}"))), CommitOutcome::Done);
        }
        let of = |id: Option<&str>, token: &str| Revocation {
            handler: Some("h".to_owned()),
            token_id: id.map(str::to_owned),
            token_digest: Some(TokenDigest::of(token)),
            ..Revocation::default()
        };
        for (revocation, ends) in [
            (of(None, "token-a"), 1),
            (of(None, "token-a"), 0),
            (of(Some("b"), "token-c"), 2),
            (of(Some("nobody"), "token-x"), 0),
        ] {
            assert_eq!(wait(store.count(&revocation, NOW)), ends, "{revocation:?}");
            assert_eq!(wait(store.revoke(&revocation, NOW)).ended, ends, "{revocation:?}");
            assert_eq!(wait(store.entries(0, 100)).pop().unwrap().1, Entry::Revoked(revocation));
        }
        assert!(["a", "b", "c"].iter().all(|id| !is_live(&store, "h", id) && is_live(&store, "i", id)));
    }
}

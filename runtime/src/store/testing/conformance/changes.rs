//! Transactions: ended, replaced, edited and rotated records, each completely or not at all.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{
    CommitOutcome, NewRecord, Record, RecordStore, Termination, TerminationReason, TokenTerms, Transaction,
};
use crate::verdict::Restrictions;

pub(super) const CASES: &[Case<dyn RecordStore>] = &[
    ("an id, a token and a secret are used once", duplicates),
    ("a record is ended once", ended_once),
    ("a refused transaction changes nothing", atomic),
    ("a new record replaces those of its actor", replaced),
    ("an edit changes the terms", edited),
    ("an edit of an outdated record is refused", outdated),
    ("a rotated record is replaced by another", rotated),
    ("descendants end with a record", with_descendants),
    ("no child is inserted after its parent has ended", parent_ended),
    ("concurrent transactions exclude each other", concurrent),
];

fn terms(description: &str, expires_at: Option<UnixTime>, allowed: &[&str]) -> TokenTerms {
    let restrictions = allowed.iter().fold(Restrictions::new(), |restrictions, &action| restrictions.allow_all(action));
    TokenTerms { description: some(description), expires_at, restrictions: Some(restrictions) }
}

fn with_terms(id: &str, terms: &TokenTerms) -> Record {
    let TokenTerms { description, expires_at, restrictions } = terms.clone();
    let (client, key) = (some("client"), some("main/k"));
    Record { description, expires_at, restrictions, last_used_at: Some(NOW), client, key, ..record(id, "alice") }
}

fn with_secret(id: &str, byte: u8) -> NewRecord {
    stored(record(id, "bob"), Some(secret(byte)), None)
}

fn ended(at: UnixTime, why: TerminationReason) -> Option<Termination> {
    Some(Termination { at, why })
}

fn duplicates(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let first = Record { description: some("first"), ..record("a", "alice") };
    done(&*store, "h", issued(first.clone(), "token-a"))?;
    for (id, token) in [("a", "token-x"), ("x", "token-a"), ("a", "token-a")] {
        let what = format!("outcome of inserting `{id}` with the token `{token}` again");
        commit(&*store, "h", issued(record(id, "alice"), token), CommitOutcome::Duplicate, what)?;
    }
    commit(&*store, "h", replace(record("a", "bob")), CommitOutcome::Duplicate, "outcome of replacing by a used id")?;
    equal(found(&*store, "h", "a")?, first, "the first record")?;
    done(&*store, "h", end(&["a"]))?;
    commit(&*store, "h", insert(record("a", "alice")), CommitOutcome::Duplicate, "outcome of reusing an ended id")?;
    let again = issued(record("y", "alice"), "token-a");
    commit(&*store, "h", again, CommitOutcome::Duplicate, "outcome of reusing an ended token")?;
    equal(live(&*store, &[("h", "a"), ("h", "x"), ("h", "y")])?, String::new(), "valid records")?;
    done(&*store, "g", issued(record("a", "alice"), "token-a"))?;
    // A store may also report an error.
    done(&*store, "h", add(with_secret("s", 1)))?;
    let again = pollster::block_on(store.commit("h", add(with_secret("t", 1))));
    ensure(!matches!(again, Ok(CommitOutcome::Done)), "a secret was used for two records of a handler")?;
    equal(find(&*store, "h", "t")?, None, "a record with a used secret")?;
    done(&*store, "g", add(with_secret("s", 1)))
}

fn ended_once(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    for id in ["a", "b"] {
        done(&*store, "h", insert(record(id, "alice")))?;
    }
    done(&*store, "h", Transaction { at: NOW.later(1), ..end(&["a"]) })?;
    let again = || Transaction { at: NOW.later(2), ..end(&["a"]) };
    commit(&*store, "h", again(), CommitOutcome::Ended, "outcome of ending a record twice")?;
    commit(&*store, "h", end(&["unknown"]), CommitOutcome::Ended, "outcome of ending an unknown record")?;
    commit(&*store, "i", end(&["b"]), CommitOutcome::Ended, "outcome of ending another handler's record")?;
    let wanted = Record { ended: ended(NOW.later(1), TerminationReason::Revoked), ..record("a", "alice") };
    equal(found(&*store, "h", "a")?, wanted, "the ended record")?;
    equal(found(&*store, "h", "b")?, record("b", "alice"), "the other record")
}

fn atomic(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    for id in ["a", "b", "c"] {
        done(&*store, "h", insert(record(id, "alice")))?;
    }
    done(&*store, "h", end(&["a"]))?;
    let and_end = |ids, changes| Transaction { end: end(ids).end, ..changes };
    let with = |change: fn(&mut NewRecord)| {
        let mut insert = new(Record { client: some("client"), ..record("d", "alice") });
        change(&mut insert);
        and_end(&["b"], add(insert))
    };
    let outdated =
        edit("c", &TokenTerms { description: some("x"), ..TokenTerms::default() }, &terms("", None, &[]), false);
    let refused: [(&str, Transaction, CommitOutcome); 9] = [
        ("one that has ended", end(&["b", "a"]), CommitOutcome::Ended),
        ("one that is unknown", end(&["b", "unknown"]), CommitOutcome::Ended),
        ("one twice", end(&["b", "b"]), CommitOutcome::Ended),
        ("one that has ended, with a new one", and_end(&["b", "a"], insert(record("d", "bob"))), CommitOutcome::Ended),
        ("the handler's maximum", with(|insert| insert.max = 1), CommitOutcome::Full),
        ("the actor's maximum", with(|insert| insert.max_per_actor = Some(1)), CommitOutcome::FullForActor),
        ("the client's maximum", with(|insert| insert.max_per_client = Some(0)), CommitOutcome::FullForClient),
        ("a used id", and_end(&["b"], replace(record("a", "alice"))), CommitOutcome::Duplicate),
        (
            "outdated terms",
            Transaction { insert: Some(new(record("d", "bob"))), ..and_end(&["b"], outdated) },
            CommitOutcome::Changed,
        ),
    ];
    for (what, changes, wanted) in refused {
        commit(&*store, "h", changes, wanted, format_args!("outcome of a transaction with {what}"))?;
        for id in ["b", "c"] {
            equal(
                found(&*store, "h", id)?,
                record(id, "alice"),
                format_args!("`{id}` after a transaction with {what}"),
            )?;
        }
        equal(find(&*store, "h", "d")?, None, format_args!("`d` after a transaction with {what}"))?;
    }
    done(&*store, "h", and_end(&["b", "c"], insert(record("d", "bob"))))?;
    equal(live(&*store, &[("h", "b"), ("h", "c"), ("h", "d")])?, "h/d".to_owned(), "valid records")
}

fn replaced(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let revoked = Record { ended: ended(NOW.earlier(9), TerminationReason::Revoked), ..record("revoked", "alice") };
    let expired = Record { expires_at: Some(NOW.earlier(1)), ..record("expired", "alice") };
    for record in [record("a", "alice"), record("b", "alice"), expired, revoked.clone(), record("bobs", "bob")] {
        done(&*store, "h", insert(record))?;
    }
    done(&*store, "i", insert(record("other", "alice")))?;
    // A replaced record does not count any more.
    let by = NewRecord { replace: true, max: 2, max_per_actor: Some(1), ..new(record("new", "alice")) };
    done(&*store, "h", add(by))?;
    for id in ["a", "b", "expired"] {
        let ended_now = ended(NOW, TerminationReason::Replaced);
        equal(found(&*store, "h", id)?.ended, ended_now, format_args!("end of the replaced record `{id}`"))?;
    }
    equal(found(&*store, "h", "revoked")?, revoked, "a record that had ended")?;
    let left = live(&*store, &[("h", "new"), ("h", "bobs"), ("i", "other")])?;
    equal(left, "h/new h/bobs i/other".to_owned(), "valid records")
}

fn edited(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let before = terms("before", Some(NOW.later(100)), &["x", "y"]);
    done(&*store, "h", add(stored(with_terms("a", &before), Some(secret(1)), None)))?;
    done(&*store, "i", insert(with_terms("a", &before)))?;
    let mut now = before.clone();
    for after in [
        TokenTerms { description: None, ..before.clone() },
        terms("after'\u{1f980}", Some(NOW.later(50)), &["x"]),
        TokenTerms { restrictions: Some(Restrictions::new()), ..before.clone() },
        TokenTerms::default(),
        before.clone(),
    ] {
        done(&*store, "h", edit("a", &now, &after, false))?;
        equal(found(&*store, "h", "a")?, with_terms("a", &after), "the edited record")?;
        equal(found(&*store, "i", "a")?, with_terms("a", &before), "the record of another handler")?;
        now = after;
    }
    let by_secret = wait(store.find_digest("h", &secret(1)))?;
    ensure(by_secret.is_some(), "the edited record is not found by its secret")
}

fn outdated(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let (before, after) =
        (terms("before", Some(NOW.later(100)), &["x", "y"]), terms("after", Some(NOW.later(50)), &["x"]));
    for id in ["a", "revoked", "replaced"] {
        done(&*store, "h", insert(with_terms(id, &before)))?;
    }
    done(&*store, "h", insert(record("by", "bob")))?;
    done(&*store, "h", end(&["revoked"]))?;
    done(&*store, "h", edit("replaced", &before, &before, true))?;
    let changed = |change: fn(&mut TokenTerms)| {
        let mut terms = before.clone();
        change(&mut terms);
        ("a", terms, CommitOutcome::Changed)
    };
    let cases = [
        ("unknown", before.clone(), CommitOutcome::Ended),
        ("revoked", before.clone(), CommitOutcome::Ended),
        ("replaced", before.clone(), CommitOutcome::Ended),
        changed(|terms| terms.description = None),
        changed(|terms| terms.description = some("Before")),
        changed(|terms| terms.expires_at = None),
        changed(|terms| terms.expires_at = Some(NOW.later(101))),
        changed(|terms| terms.restrictions = None),
        changed(|terms| terms.restrictions = Some(Restrictions::new())),
    ];
    for (id, before, wanted) in &cases {
        for replaced in [false, true] {
            let what = format!("outcome of editing `{id}` with {before:?}");
            commit(&*store, "h", edit(id, before, &after, replaced), *wanted, &what)?;
            // Neither is the rest of the transaction applied.
            let insert = Some(new(record("new", "carol")));
            let more = Transaction { insert, end: end(&["by"]).end, ..edit(id, before, &after, replaced) };
            commit(&*store, "h", more, *wanted, &what)?;
        }
    }
    equal(found(&*store, "h", "a")?, with_terms("a", &before), "the record")?;
    equal(found(&*store, "h", "revoked")?.ended, ended(NOW, TerminationReason::Revoked), "end of a revoked record")?;
    let replaced = ended(NOW.later(5), TerminationReason::Replaced);
    equal(found(&*store, "h", "replaced")?.ended, replaced, "end of a replaced record")?;
    equal(live(&*store, &[("h", "by"), ("h", "new")])?, "h/by".to_owned(), "valid records")
}

fn rotated(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let before = terms("before", None, &["x"]);
    done(&*store, "h", insert(with_terms("old", &before)))?;
    done(&*store, "h", insert(record("bobs", "bob")))?;
    for (handler, record) in
        [("h", child("own", "h", "old")), ("i", child("other", "h", "old")), ("i", child("x", "i", "old"))]
    {
        done(&*store, handler, insert(record))?;
    }
    // The replaced record frees its place.
    let by = |max, max_per_actor| NewRecord { max, max_per_actor, ..new(with_terms("new", &before)) };
    commit(&*store, "h", rotate("old", &before, by(2, None)), CommitOutcome::Full, "outcome beyond the maximum")?;
    let refused = rotate("old", &before, by(3, Some(1)));
    commit(&*store, "h", refused, CommitOutcome::FullForActor, "outcome beyond the actor's maximum")?;
    equal(found(&*store, "h", "old")?, with_terms("old", &before), "the record after a refusal")?;
    equal(found(&*store, "i", "other")?.parent, Some(token("h", "old")), "parent of a child after a refusal")?;
    done(&*store, "h", rotate("old", &before, by(3, Some(2))))?;
    let replaced = Record { ended: ended(NOW.later(5), TerminationReason::Replaced), ..with_terms("old", &before) };
    equal(found(&*store, "h", "old")?, replaced, "the replaced record")?;
    equal(found(&*store, "h", "new")?, with_terms("new", &before), "the new record")?;
    for (handler, id, parent) in [("h", "own", "h/new"), ("i", "other", "h/new"), ("i", "x", "i/old")] {
        let child = found(&*store, handler, id)?;
        let parent_now = child.parent.map(|parent| parent.to_string());
        equal(parent_now, some(parent), format_args!("parent of `{handler}/{id}` after the rotation"))?;
        equal(child.ended, None, format_args!("end of `{handler}/{id}` after the rotation"))?;
    }
    // The children end with the new record, as they would have with the old one.
    done(&*store, "h", end(&["new"]))?;
    equal(live(&*store, &[("h", "own"), ("i", "other"), ("i", "x")])?, "i/x".to_owned(), "valid children")
}

fn with_descendants(open: Open<'_, dyn RecordStore>) -> Outcome {
    let names = [("h", "root"), ("h", "one"), ("i", "two"), ("i", "one.one"), ("h", "two.one"), ("h", "two")];
    let ends: [(Transaction, &str); 3] = [
        (end(&["one"]), "h/root i/two h/two.one h/two"),
        (end(&["two"]), "h/root h/one i/two i/one.one h/two.one"),
        (replace(record("new", "alice")), "h/two"),
    ];
    for (changes, wanted) in ends {
        let store = open();
        for (handler, record) in [
            ("h", record("root", "alice")),
            ("h", Record { actor_id: "carol".to_owned(), ..child("one", "h", "root") }),
            ("i", child("two", "h", "root")),
            ("i", child("one.one", "h", "one")),
            (
                "h",
                Record {
                    actor_id: "carol".to_owned(),
                    expires_at: Some(NOW.earlier(1)),
                    ..child("two.one", "i", "two")
                },
            ),
            ("h", record("two", "bob")),
        ] {
            done(&*store, handler, insert(record))?;
        }
        done(&*store, "h", changes)?;
        equal(live(&*store, &names)?, wanted.to_owned(), "valid records")?;
    }
    Ok(())
}

fn parent_ended(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let terms = TokenTerms::default();
    let expired = Record { expires_at: Some(NOW.earlier(1)), ..record("expired", "dave") };
    for record in [record("ended", "a"), record("replaced", "b"), record("rotated", "c"), expired, record("good", "e")]
    {
        done(&*store, "h", insert(record))?;
    }
    done(&*store, "h", end(&["ended"]))?;
    done(&*store, "h", replace(record("by", "b")))?;
    done(&*store, "h", rotate("rotated", &terms, new(record("new", "c"))))?;
    let (refused, inserted) = (CommitOutcome::ParentEnded, CommitOutcome::Done);
    for (handler, parent, wanted) in [
        ("h", "ended", refused),
        ("h", "replaced", refused),
        ("h", "rotated", refused),
        ("i", "ended", inserted),
        ("h", "issued elsewhere", inserted),
        ("h", "expired", inserted),
        ("h", "good", inserted),
    ] {
        let id = format!("child of {handler}/{parent}");
        commit(
            &*store,
            "i",
            insert(child(&id, handler, parent)),
            wanted,
            format_args!("outcome of inserting the {id}"),
        )?;
        ensure(find(&*store, "i", &id)?.is_some() == (wanted == inserted), format_args!("the {id} is wrong"))?;
    }
    Ok(())
}

fn concurrent(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let before = terms("before", Some(NOW.later(100)), &["x"]);
    for id in ["edited", "rotated"] {
        done(&*store, "h", insert(with_terms(id, &before)))?;
    }
    let outcomes = race(|number| {
        let after = terms(&number.to_string(), Some(NOW.later(number)), &[]);
        let by = new(record(&format!("by {number}"), "alice"));
        let rotation = rotate("rotated", &before, by);
        Ok([
            (wait(store.commit("h", edit("edited", &before, &after, false)))?, CommitOutcome::Changed),
            (wait(store.commit("h", rotation))?, CommitOutcome::Ended),
            (wait(store.commit("h", insert(record("same", "carol"))))?, CommitOutcome::Duplicate),
        ])
    })?;
    for (place, what) in
        ["edits of the same terms", "rotations of a record", "records with the same id"].iter().enumerate()
    {
        let of_kind = || outcomes.iter().filter_map(|outcomes| outcomes.get(place));
        let wins = of_kind().filter(|(outcome, _)| *outcome == CommitOutcome::Done).count();
        equal(wins, 1, format_args!("number of successful concurrent {what}"))?;
        for (outcome, refusal) in of_kind().filter(|(outcome, _)| *outcome != CommitOutcome::Done) {
            equal(outcome, refusal, format_args!("outcome of concurrent {what}"))?;
        }
    }
    // One record of the actor is left.
    race(|number| (0..4).try_for_each(|step| done(&*store, "h", replace(record(&format!("{number}.{step}"), "bob")))))?;
    let mut left = 0_u64;
    for number in 0..THREADS {
        for step in 0..4 {
            left += u64::from(found(&*store, "h", &format!("{number}.{step}"))?.ended.is_none());
        }
    }
    equal(left, 1, "number of valid records after concurrent replacements")
}

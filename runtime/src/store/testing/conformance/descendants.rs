//! Tokens that were requested with a revoked one.

use super::support::*;
use super::{Case, Open};
use crate::store::{CommitOutcome, Entry, Record, RecordStore, Revocation, TokenStore, TokenTerms};
use crate::token::TokenDigest;

pub(super) const CASES: &[Case<dyn TokenStore>] = &[
    ("descendants are revoked with a token", with_token),
    ("descendants of a token from the future are revoked with it", from_future),
    ("no child is inserted after its parent was revoked", after_revocation),
    ("a rotated token keeps its children", rotation),
    ("no child escapes a concurrent revocation", concurrent),
];

const NAMES: [(&str, &str); 7] = [
    ("h", "root"),
    ("h", "one"),
    ("i", "two"),
    ("i", "one.one"),
    ("h", "two.one"),
    ("h", "two"),
    ("i", "of elsewhere"),
];

/// Inserts `root` with two children, one of another handler, each with a child of its own, next to
/// a token without a parent, and one whose parent has no record.
fn family(store: &dyn RecordStore) -> Outcome {
    for (handler, changes) in [
        ("h", issued(record("root", "alice"), "root")),
        ("h", issued(child("one", "h", "root"), "one")),
        ("i", issued(child("two", "h", "root"), "two")),
        ("i", issued(child("one.one", "h", "one"), "one.one")),
        ("h", insert(Record { expires_at: Some(NOW.earlier(1)), ..child("two.one", "i", "two") })),
        ("h", insert(record("two", "alice"))),
        ("i", insert(child("of elsewhere", "h", "elsewhere"))),
    ] {
        done(store, handler, changes)?;
    }
    Ok(())
}

fn of(handler: &str, id: &str) -> Revocation {
    token(handler, id).into()
}

fn with_token(open: Open<'_, dyn TokenStore>) -> Outcome {
    let by_digest =
        |text| Revocation { token_digest: Some(TokenDigest::of(text)), handler: some("h"), ..Revocation::default() };
    let keeping = |revocation| Revocation { keep_children: true, ..revocation };
    let all = "h/root h/one i/two i/one.one h/two.one h/two i/of elsewhere";
    let without_root = "h/one i/two i/one.one h/two.one h/two i/of elsewhere";
    let cases: [(Revocation, u64, &str, &str); 12] = [
        (of("h", "root"), 4, "h/two i/of elsewhere", "h/one h/two.one i/one.one i/two"),
        (by_digest("root"), 4, "h/two i/of elsewhere", "h/one h/two.one i/one.one i/two"),
        (
            Revocation { handler: None, ..by_digest("root") },
            4,
            "h/two i/of elsewhere",
            "h/one h/two.one i/one.one i/two",
        ),
        (of("h", "one"), 2, "h/root i/two h/two.one h/two i/of elsewhere", "i/one.one"),
        (of("h", "two"), 1, "h/root h/one i/two i/one.one h/two.one i/of elsewhere", ""),
        (of("i", "two"), 1, "h/root h/one i/one.one h/two i/of elsewhere", "h/two.one"),
        (of("h", "elsewhere"), 1, "h/root h/one i/two i/one.one h/two.one h/two", "i/of elsewhere"),
        (keeping(of("h", "root")), 1, without_root, ""),
        (keeping(by_digest("root")), 1, without_root, ""),
        (keeping(of("h", "elsewhere")), 0, all, ""),
        // A descendant that is named too counts once.
        (
            Revocation { token_id: some("root"), ..by_digest("one") },
            4,
            "h/two i/of elsewhere",
            "h/two.one i/one.one i/two",
        ),
        // Issued later than what is revoked, so neither it nor its children are.
        (Revocation { issued_until: Some(NOW.earlier(1)), ..of("h", "root") }, 0, all, ""),
    ];
    for (revocation, ended, left, descendants) in cases {
        let store = open();
        family(&*store)?;
        wait(store.count(&revocation, NOW))?;
        equal(live(&*store, &NAMES)?, all.to_owned(), format_args!("records after counting {revocation:?}"))?;
        let revoked = revoke(&*store, &revocation, ended)?;
        equal(live(&*store, &NAMES)?, left.to_owned(), format_args!("records after {revocation:?}"))?;
        // Each descendant has an entry of its own, for other nodes.
        let returned = revoked.descendants.iter().cloned().map(Revocation::from);
        let after_it = wait(store.entries(revoked.number, 100))?.into_iter().map(|(_, entry)| entry);
        let returned: Vec<_> = returned.map(Entry::Revoked).collect();
        equal(after_it.collect(), returned, format_args!("entries of the descendants that {revocation:?} returned"))?;
        let mut names: Vec<_> = revoked.descendants.iter().map(ToString::to_string).collect();
        names.sort();
        equal(names.join(" "), descendants.to_owned(), format_args!("descendants revoked by {revocation:?}"))?;
        equal(wait(store.revoke(&revocation, NOW))?.ended, 0, "number of records ended by a repetition")?;
    }
    // A revocation of an actor's tokens names none: children of other actors stay valid.
    let store = open();
    family(&*store)?;
    done(&*store, "i", insert(Record { actor_id: "bob".to_owned(), ..child("bobs", "h", "root") }))?;
    revoke(&*store, &Revocation { actor_id: some("alice"), ..Revocation::default() }, 6)?;
    equal(live(&*store, &[("i", "bobs")])?, "i/bobs".to_owned(), "records of another actor")
}

fn from_future(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let ahead = |record| Record { issued_at: NOW.later(9), ..record };
    done(&*store, "h", insert(ahead(record("root", "alice"))))?;
    done(&*store, "i", insert(ahead(child("child", "h", "root"))))?;
    revoke(&*store, &Revocation { issued_until: Some(NOW), ..of("h", "root") }, 2)?;
    equal(revoked_ids(&*store)?, "h/root h/root i/child".to_owned(), "tokens revoked by their ids")
}

fn after_revocation(open: Open<'_, dyn TokenStore>) -> Outcome {
    for (parent, revocation) in [
        ("root", of("h", "root")),
        ("root", Revocation { keep_children: true, ..of("h", "root") }),
        ("root", Revocation { actor_id: some("alice"), ..Revocation::default() }),
        ("elsewhere", of("h", "elsewhere")),
    ] {
        let store = open();
        done(&*store, "h", insert(record("root", "alice")))?;
        let insert = |id, wanted| {
            let child = insert(Record { actor_id: "bob".to_owned(), ..child(id, "h", parent) });
            commit(&*store, "i", child, wanted, format_args!("outcome of inserting a child {id} {revocation:?}"))
        };
        insert("before", CommitOutcome::Done)?;
        wait(store.revoke(&revocation, NOW))?;
        insert("after", CommitOutcome::ParentEnded)?;
        equal(find(&*store, "i", "after")?, None, "a refused record")?;
    }
    Ok(())
}

fn rotation(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    family(&*store)?;
    let terms = TokenTerms::default();
    done(&*store, "h", rotate("one", &terms, new(child("new", "h", "root"))))?;
    equal(
        live(&*store, &[("h", "one"), ("i", "one.one"), ("h", "new")])?,
        "i/one.one h/new".to_owned(),
        "valid records",
    )?;
    equal(found(&*store, "i", "one.one")?.parent, Some(token("h", "new")), "parent after a rotation")?;
    revoke(&*store, &of("h", "new"), 2)?;
    equal(live(&*store, &NAMES)?, "h/root i/two h/two.one h/two i/of elsewhere".to_owned(), "valid records")
}

fn concurrent(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    done(&*store, "h", insert(record("root", "alice")))?;
    race(|number| {
        for step in 0..4 {
            if (number, step) == (0, 1) {
                wait(store.revoke(&of("h", "root"), NOW))?;
            } else {
                wait(store.commit("i", insert(child(&format!("{number}.{step}"), "h", "root"))))?;
            }
        }
        Ok(())
    })?;
    for number in 0..THREADS {
        for step in 0..4 {
            let left = live(&*store, &[("i", &format!("{number}.{step}"))])?;
            equal(left, String::new(), "valid children of a revoked token")?;
        }
    }
    Ok(())
}

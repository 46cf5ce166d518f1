//! Revocations: the records that each one ends and counts.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{Entry, Record, RecordStore, Revocation, Revoked, Termination, TerminationReason, TokenStore};
use crate::token::TokenDigest;

pub(super) const CASES: &[Case<dyn TokenStore>] = &[
    ("a revocation ends the records that it matches", matching),
    ("a digest names a token", by_digest),
    ("records from the future are revoked one by one", future_dated),
    ("the id of a token requires its handler", id_without_handler),
    ("a revocation is recorded without a matching record", unmatched),
];

const NAMES: [(&str, &str); 6] = [("h", "a1"), ("h", "a2"), ("h", "expired"), ("h", "ended"), ("h", "b"), ("i", "a1")];

fn fill(store: &dyn RecordStore) -> Outcome {
    let alice = |id: &str, second| Record { issued_at: UnixTime::from_seconds(second), ..record(id, "alice") };
    let ended = Some(Termination { at: UnixTime::from_seconds(11), why: TerminationReason::Replaced });
    for (handler, record) in [
        ("h", alice("a1", 10)),
        ("h", alice("a2", 20)),
        ("h", Record { expires_at: Some(NOW.earlier(1)), ..alice("expired", 10) }),
        ("h", Record { ended, ..alice("ended", 10) }),
        ("h", Record { expires_at: Some(NOW), ..record("b", "bob") }),
        ("i", alice("a1", 10)),
    ] {
        done(store, handler, insert(record))?;
    }
    Ok(())
}

fn matching(open: Open<'_, dyn TokenStore>) -> Outcome {
    let none = Revocation::default;
    let (h, i) = (|| Revocation { handler: some("h"), ..none() }, || Revocation { handler: some("i"), ..none() });
    let until = |second| Revocation { issued_until: Some(UnixTime::from_seconds(second)), ..none() };
    let cases: [(Revocation, u64, &str); 14] = [
        (none(), 4, ""),
        (h(), 3, "i/a1"),
        (i(), 1, "h/a1 h/a2 h/expired h/b"),
        (Revocation { handler: some("unknown"), ..none() }, 0, "h/a1 h/a2 h/expired h/b i/a1"),
        (Revocation { token_id: some("a1"), ..h() }, 1, "h/a2 h/expired h/b i/a1"),
        (Revocation { token_id: some("expired"), ..h() }, 0, "h/a1 h/a2 h/b i/a1"),
        (Revocation { token_id: some("ended"), ..h() }, 0, "h/a1 h/a2 h/expired h/b i/a1"),
        (Revocation { token_id: some("a1"), actor_id: some("bob"), ..h() }, 0, "h/a1 h/a2 h/expired h/b i/a1"),
        (Revocation { actor_id: some("alice"), ..none() }, 3, "h/b"),
        (Revocation { actor_id: some("alice"), ..h() }, 2, "h/b i/a1"),
        (Revocation { actor_id: some("bob"), ..none() }, 1, "h/a1 h/a2 h/expired i/a1"),
        (until(10), 2, "h/a2 h/b"),
        (until(9), 0, "h/a1 h/a2 h/expired h/b i/a1"),
        (Revocation { actor_id: some("alice"), handler: some("h"), ..until(20) }, 2, "h/b i/a1"),
    ];
    for (revocation, ended, left) in cases {
        let store = open();
        fill(&*store)?;
        wait(store.count(&revocation, NOW))?;
        let all = "h/a1 h/a2 h/expired h/b i/a1".to_owned();
        equal(live(&*store, &NAMES)?, all, format_args!("records after counting {revocation:?}"))?;
        revoke(&*store, &revocation, ended)?;
        equal(live(&*store, &NAMES)?, left.to_owned(), format_args!("records after {revocation:?}"))?;
        let before = found(&*store, "h", "ended")?.ended;
        equal(
            before.map(|end| (end.at, end.why)),
            Some((UnixTime::from_seconds(11), TerminationReason::Replaced)),
            "end of a replaced record",
        )?;
        for (handler, id) in NAMES.into_iter().filter(|(_, id)| *id != "ended") {
            let end = found(&*store, handler, id)?.ended;
            let revoked = Termination { at: NOW, why: TerminationReason::Revoked };
            ensure(end.is_none_or(|end| end == revoked), format_args!("`{handler}/{id}` was ended as {end:?}"))?;
        }
        // Repeated, it is recorded again, and ends nothing.
        equal(wait(store.revoke(&revocation, NOW))?.ended, 0, format_args!("number of records ended by a repetition"))?;
        let entry = || Entry::Revoked(revocation.clone());
        equal(log(&*store)?, vec![entry(), entry()], "the log")?;
    }
    Ok(())
}

fn by_digest(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    for id in ["a", "b", "c", "d"] {
        for handler in ["h", "i"] {
            done(&*store, handler, issued(record(id, "alice"), &format!("token-{id}")))?;
        }
    }
    let of = |handler: Option<&str>, id: Option<&str>, token: &str| Revocation {
        handler: handler.map(str::to_owned),
        token_id: id.map(str::to_owned),
        token_digest: Some(TokenDigest::of(token)),
        ..Revocation::default()
    };
    for (revocation, ended) in [
        (of(Some("h"), None, "token-a"), 1),
        (of(Some("h"), None, "token-a"), 0),
        // Either one names a token.
        (of(Some("h"), Some("b"), "token-c"), 2),
        (of(Some("h"), Some("unknown"), "token-x"), 0),
        (Revocation { actor_id: some("bob"), ..of(None, None, "token-d") }, 0),
        (of(None, None, "token-d"), 2),
    ] {
        revoke(&*store, &revocation, ended)?;
    }
    let names = ["h", "i"].into_iter().flat_map(|handler| ["a", "b", "c", "d"].map(|id| (handler, id)));
    equal(live(&*store, &names.collect::<Vec<_>>())?, "i/a i/b i/c".to_owned(), "valid records")
}

fn future_dated(open: Open<'_, dyn TokenStore>) -> Outcome {
    let until = |issued_until| Revocation {
        actor_id: some("alice"),
        issued_until: Some(issued_until),
        ..Revocation::default()
    };
    for (revocation, ended, left, by_id) in [
        (until(NOW.earlier(1)), 1, "h/now h/next i/later h/bobs", ""),
        // Of everything issued up to now: also what a clock that was ahead has issued.
        (until(NOW), 4, "h/bobs", "h/next i/later"),
        (until(NOW.later(1)), 4, "h/bobs", "i/later"),
        (until(NOW.later(99)), 4, "h/bobs", ""),
        (Revocation { handler: some("h"), ..until(NOW) }, 3, "i/later h/bobs", "h/next"),
    ] {
        let store = open();
        let at = |id: &str, issued_at| Record { issued_at, ..record(id, "alice") };
        for (handler, record) in [
            ("h", at("old", NOW.earlier(1))),
            ("h", at("now", NOW)),
            ("h", at("next", NOW.later(1))),
            ("i", at("later", NOW.later(9))),
            ("h", Record { issued_at: NOW.later(1), ..record("bobs", "bob") }),
        ] {
            done(&*store, handler, insert(record))?;
        }
        revoke(&*store, &revocation, ended)?;
        let names = [("h", "old"), ("h", "now"), ("h", "next"), ("i", "later"), ("h", "bobs")];
        equal(live(&*store, &names)?, left.to_owned(), format_args!("records after {revocation:?}"))?;
        equal(revoked_ids(&*store)?, by_id.to_owned(), format_args!("tokens revoked by their ids, by {revocation:?}"))?;
    }
    Ok(())
}

fn id_without_handler(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    done(&*store, "h", insert(record("a", "alice")))?;
    let revocation = Revocation { token_id: some("a"), ..Revocation::default() };
    ensure(wait(store.count(&revocation, NOW)).is_err(), "an id without a handler was counted")?;
    ensure(wait(store.revoke(&revocation, NOW)).is_err(), "an id without a handler was revoked")?;
    equal(live(&*store, &[("h", "a")])?, "h/a".to_owned(), "valid records")?;
    equal(log(&*store)?, vec![], "the log after a failure")
}

fn unmatched(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let revocation = Revocation { handler: some("h"), token_id: some("elsewhere"), ..Revocation::default() };
    let Revoked { descendants, .. } = revoke(&*store, &revocation, 0)?;
    equal(descendants, vec![], "descendants of an unknown token")
}

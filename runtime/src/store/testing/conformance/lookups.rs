//! Lookups of records, and serial numbers.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{CommitOutcome, NewRecord, Record, RecordStore, Termination, TerminationReason};
use crate::token::TokenDigest;
use crate::verdict::Restrictions;
use std::collections::BTreeSet;

pub(super) const CASES: &[Case<dyn RecordStore>] = &[
    ("records are returned in full", in_full),
    ("ids are compared by their bytes", by_bytes),
    ("records belong to their handler", by_handler),
    ("issued tokens are found by their digest", by_token),
    ("serial numbers are used once", serials),
    ("a use changes nothing but its time", uses),
];

fn in_full(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let restrictions = Restrictions::new().allow_all("vi").allow_database("d\"", "x").allow_resource("d", "t", "y");
    let full = Record {
        description: some("for the \u{1f980}"),
        restrictions: Some(restrictions),
        expires_at: Some(UnixTime::from_seconds(UnixTime::MAX_SECONDS)),
        last_used_at: Some(UnixTime::default()),
        ended: Some(Termination { at: NOW, why: TerminationReason::Replaced }),
        client: some("c\""),
        key: some("main/k"),
        parent: Some(token("other", "of it")),
        ..record("full", "alice")
    };
    let mut records = vec![full, Record { restrictions: Some(Restrictions::new()), ..record("none", "bob") }];
    let long = "\u{1f980}'\"\\%_;--\n".repeat(5_000);
    let odd = ["", "'", "\"; DROP TABLE tokens; --", "\u{1f980}e\u{301}\u{202e}", "$1 ? :x @y %s \\", " \t\r\n", &long];
    for (number, text) in odd.iter().enumerate() {
        let id = if text.len() < 100 { (*text).to_owned() } else { number.to_string() };
        records.push(Record { description: some(text), ..record(&id, text) });
    }
    for (byte, record) in (1..).zip(&records) {
        let stored = stored(record.clone(), Some(secret(byte)), Some(TokenDigest::new([byte; 32])));
        done(&*store, "h", add(stored))?;
    }
    for (byte, record) in (1..).zip(&records) {
        for (by, found) in
            [("id", wait(store.find("h", &record.id))?), ("secret", wait(store.find_digest("h", &secret(byte)))?)]
        {
            let what = format!("record `{:.30}` by its {by}", record.id);
            let Some(found) = found else { return Err(Failure(format!("{what}: missing"))) };
            equal(&found.record, record, &what)?;
            ensure(found.digest.is_some_and(|digest| *digest.bytes() == [byte; 32]), format!("{what}: other secret"))?;
            ensure(found.token_digest == Some(TokenDigest::new([byte; 32])), format!("{what}: other token"))?;
        }
    }
    done(&*store, "h", insert(record("without digests", "alice")))?;
    let found = wait(store.find("h", "without digests"))?;
    let has_none = found.is_some_and(|found| found.digest.is_none() && found.token_digest.is_none());
    ensure(has_none, "a record without digests has got one")
}

fn by_bytes(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    done(&*store, "h", insert(record("id", "alice")))?;
    for id in ["ID", "id ", " id", "i", "id\u{301}", "", "%", "other"] {
        equal(find(&*store, "h", id)?, None, format_args!("record of the unknown id {id:?}"))?;
    }
    ensure(wait(store.find_digest("h", &secret(0)))?.is_none(), "a record was found by an unknown secret")
}

fn by_handler(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    // The same id and secret, separately for each handler.
    for handler in ["one", "two", "One"] {
        let record = Record { description: some(handler), ..record("id", "alice") };
        done(&*store, handler, add(NewRecord { replace: true, max: 1, ..stored(record, Some(secret(1)), None) }))?;
        let by_secret = wait(store.find_digest(handler, &secret(1)))?.map(|found| found.record.description);
        equal(by_secret, Some(some(handler)), format_args!("record of `{handler}` by its secret"))?;
    }
    done(&*store, "one", end(&["id"]))?;
    equal(live(&*store, &[("one", "id"), ("two", "id"), ("One", "id")])?, "two/id One/id".to_owned(), "valid records")?;
    done(&*store, "two", insert(record("only two", "alice")))?;
    equal(find(&*store, "one", "only two")?, None, "a record of another handler")?;
    let other = wait(store.find_digest("three", &secret(1)))?;
    ensure(other.is_none(), "a record of another handler was found by its secret")
}

fn by_token(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    done(&*store, "h", issued(record("a", "alice"), "token-a"))?;
    done(&*store, "i", issued(record("b", "alice"), "token-b"))?;
    for id in ["old", "older"] {
        done(&*store, "h", insert(record(id, "alice")))?;
    }
    let find = |handler: Option<&str>, token: &str, wanted: Option<(&str, &str)>| {
        let found = wait(store.find_issued(handler, &TokenDigest::of(token)))?;
        let found = found.map(|entry| (entry.handler, entry.record.id));
        let wanted = wanted.map(|(handler, id)| (handler.to_owned(), id.to_owned()));
        equal(found, wanted, format_args!("record of `{token}` of {handler:?}"))
    };
    find(Some("h"), "token-a", Some(("h", "a")))?;
    find(None, "token-a", Some(("h", "a")))?;
    find(Some("i"), "token-a", None)?;
    find(None, "token-b", Some(("i", "b")))?;
    find(None, "token-c", None)?;
    // The same token of a handler with another name: the record that has not ended is found.
    done(&*store, "g", issued(record("a", "alice"), "token-a"))?;
    done(&*store, "g", end(&["a"]))?;
    find(None, "token-a", Some(("h", "a")))?;
    find(Some("g"), "token-a", Some(("g", "a")))?;
    done(&*store, "h", end(&["a"]))?;
    find(Some("h"), "token-a", Some(("h", "a")))
}

fn serials(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    for wanted in [1, 2] {
        equal(wait(store.next_serial("h"))?, wanted, "serial number")?;
    }
    equal(wait(store.next_serial("i"))?, 1, "the first serial number of another handler")?;
    let numbers = race(|_| (0..5).map(|_| wait(store.next_serial("h"))).collect::<Outcome<Vec<_>>>())?;
    let numbers: BTreeSet<_> = numbers.into_iter().flatten().collect();
    ensure(numbers.into_iter().eq(3..3 + 5 * THREADS), "concurrent calls did not return successive serial numbers")?;
    // A number does not become free with a transaction that fails.
    commit(&*store, "i", end(&["unknown"]), CommitOutcome::Ended, "outcome of ending an unknown record")?;
    equal(wait(store.next_serial("i"))?, 2, "serial number after a refused transaction")
}

fn uses(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let before = Record { last_used_at: Some(NOW.later(9)), ..record("a", "alice") };
    for record in [before.clone(), record("b", "alice")] {
        done(&*store, "h", insert(record))?;
    }
    for (id, at) in [("unknown", UnixTime::from_seconds(1)), ("a", NOW.later(5)), ("b", NOW.later(5))] {
        store.record_use("h", id, at);
    }
    equal(found(&*store, "h", "a")?, before, "a record after an earlier use")?;
    // It may be recorded later, or not at all.
    let mut used = found(&*store, "h", "b")?;
    used.last_used_at = used.last_used_at.filter(|at| *at != NOW.later(5));
    equal(used, record("b", "alice"), "a record after its use")?;
    equal(find(&*store, "h", "unknown")?, None, "the record of an unknown id after its use")
}

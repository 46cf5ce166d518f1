//! Lists and counts of records, and nodes.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{
    CreatedBy, Cursor, Filter, KeyUsage, ListEntry, NodeStatus, Record, RecordStore, Revocation, Status, StatusCount,
    Termination, TerminationReason, TokenStore, TokenTerms,
};

pub(super) const CASES: &[Case<dyn TokenStore>] = &[
    ("a list is ordered", ordered),
    ("a list has the records that match each field of the filter", filtered),
    ("a list has each lasting record once", lasting),
    ("records are counted by status", tally),
    ("records are counted by key", key_uses),
    ("nodes report how far they have read", nodes),
];

/// Returns the rest of a list after a cursor, in pages of `max` records. It continues after the
/// last record of a page, or where the store has stopped.
fn list_after(
    store: &dyn TokenStore,
    filter: &Filter,
    mut after: Option<Cursor>,
    max: u32,
    at: UnixTime,
) -> Outcome<Vec<ListEntry>> {
    let mut all = Vec::new();
    loop {
        let page = wait(store.list(filter, after.as_ref(), max, at))?;
        ensure(u64::try_from(page.entries.len()).is_ok_and(|len| len <= u64::from(max)), "a page is too long")?;
        let last = page.entries.last().map(ListEntry::place);
        all.extend(page.entries);
        match page.stopped_at.or(last) {
            None => return Ok(all),
            Some(next) if after.as_ref().is_some_and(|after| next >= *after) => {
                return Err(Failure("a list does not proceed".to_owned()));
            }
            next => after = next,
        }
    }
}

/// Returns the whole list, in pages of `max` records.
fn list(store: &dyn TokenStore, filter: &Filter, max: u32) -> Outcome<Vec<ListEntry>> {
    list_after(store, filter, None, max, NOW)
}

fn names(entries: &[ListEntry]) -> String {
    let name = |entry: &ListEntry| format!("{}/{}", entry.handler, entry.record.id);
    entries.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn cursor(issued_at: UnixTime, handler: &str, id: &str) -> Cursor {
    Cursor { issued_at, handler: handler.to_owned(), id: id.to_owned() }
}

fn ordered(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(list(&*store, &Filter::default(), 9)?, vec![], "the list of an empty store")?;
    let mut wanted = Vec::new();
    for (handler, id, second) in
        [("h", "2", 1), ("g", "9", 2), ("h", "10", 1), ("H", "5", 1), ("h", "1", 3), ("i", "2", 1), ("h", "\u{e9}", 1)]
    {
        let record = Record { issued_at: NOW.earlier(second), description: some(id), ..record(id, "alice") };
        done(&*store, handler, insert(record.clone()))?;
        wanted.push(ListEntry { handler: handler.to_owned(), record });
    }
    wanted.sort_by_key(|entry| std::cmp::Reverse(entry.place()));
    equal(names(&wanted), "i/2 h/\u{e9} h/2 h/10 H/5 g/9 h/1".to_owned(), "the order of cursors")?;
    for max in [1, 2, 3, 7, 100] {
        equal(&list(&*store, &Filter::default(), max)?, &wanted, format_args!("the list in pages of {max}"))?;
    }
    // A cursor need not be that of a record.
    for (after, wanted) in [
        (cursor(NOW, "h", "2"), "i/2 h/\u{e9} h/2 h/10 H/5 g/9 h/1"),
        (cursor(NOW.earlier(1), "h", "2"), "h/10 H/5 g/9 h/1"),
        (cursor(NOW.earlier(1), "h", "11"), "h/10 H/5 g/9 h/1"),
        (cursor(NOW.earlier(1), "I", "2"), "H/5 g/9 h/1"),
        (cursor(NOW.earlier(2), "a", "1"), "h/1"),
        (cursor(NOW.earlier(3), "h", "1"), ""),
        (cursor(UnixTime::default(), "", ""), ""),
    ] {
        for handlers in [None, Some(["g", "h", "H", "i"].map(str::to_owned).to_vec())] {
            let filter = Filter { handlers, ..Filter::default() };
            let listed = list_after(&*store, &filter, Some(after.clone()), 100, NOW)?;
            equal(names(&listed), wanted.to_owned(), format_args!("the list after {after:?}"))?;
        }
    }
    Ok(())
}

/// Inserts records that differ in everything that a filter or a count depends on.
fn fill(store: &dyn RecordStore) -> Outcome {
    let ended = |why| Some(Termination { at: NOW.earlier(5), why });
    let (c, d, key, other_key) = (some("c"), some("d"), some("main/1"), some("main/2"));
    let last_use = |at| Some(NOW.earlier(at));
    for (handler, age, record) in [
        ("h", 10, record("plain", "alice")),
        ("h", 20, Record { client: c.clone(), key: key.clone(), ..record("app", "alice") }),
        ("i", 30, Record { client: d, key: other_key, expires_at: Some(NOW.earlier(1)), ..record("expired", "bob") }),
        ("i", 40, Record { client: c, key: key.clone(), expires_at: Some(NOW), ..record("last", "bob") }),
        ("h", 50, Record { ended: ended(TerminationReason::Revoked), key: key.clone(), ..record("revoked", "bob") }),
        (
            "h",
            60,
            Record {
                ended: ended(TerminationReason::Replaced),
                expires_at: Some(NOW.later(9)),
                ..record("replaced", "alice")
            },
        ),
        (
            "j",
            70,
            Record { last_used_at: last_use(15), key, expires_at: Some(NOW.later(9)), ..record("used", "alice") },
        ),
        ("j", 80, Record { last_used_at: last_use(0), ..record("just used", "Alice") }),
    ] {
        done(store, handler, insert(Record { issued_at: NOW.earlier(age), ..record }))?;
    }
    Ok(())
}

fn filtered(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    fill(&*store)?;
    let all = Filter::default;
    let handlers =
        |names: &[&str]| Filter { handlers: Some(names.iter().map(|&name| name.to_owned()).collect()), ..all() };
    let actor = |id| Filter { actor_id: some(id), ..all() };
    let client = |client| Filter { client: Some(client), ..all() };
    let status = |status| Filter { status: Some(status), ..all() };
    let idle = |idle: &[(&str, UnixTime)], status| Filter {
        idle: idle.iter().map(|&(handler, before)| (handler.to_owned(), before)).collect(),
        status,
        ..all()
    };
    let (c, e) = (CreatedBy::Client("c".to_owned()), CreatedBy::Client("e".to_owned()));
    for (filter, wanted) in [
        (all(), "h/plain h/app i/expired i/last h/revoked h/replaced j/used j/just used"),
        (handlers(&[]), ""),
        (handlers(&["h"]), "h/plain h/app h/revoked h/replaced"),
        (handlers(&["j", "h", "j"]), "h/plain h/app h/revoked h/replaced j/used j/just used"),
        (handlers(&["unknown", "H"]), ""),
        (actor("alice"), "h/plain h/app h/replaced j/used"),
        (actor("carol"), ""),
        (Filter { actor_id: some("alice"), ..handlers(&["j"]) }, "j/used"),
        (client(CreatedBy::Operator), "h/plain h/revoked h/replaced j/used j/just used"),
        (client(c.clone()), "h/app i/last"),
        (client(e), ""),
        (Filter { client: Some(c), ..handlers(&["h", "j"]) }, "h/app"),
        (status(Status::Active), "h/plain h/app i/last j/used j/just used"),
        (status(Status::Expired), "i/expired"),
        (status(Status::Revoked), "h/revoked"),
        (status(Status::Replaced), "h/replaced"),
        (Filter { unused_since: Some(NOW.earlier(15)), ..all() }, "h/app i/expired i/last h/revoked h/replaced"),
        (Filter { unused_since: Some(NOW.earlier(14)), ..all() }, "h/app i/expired i/last h/revoked h/replaced j/used"),
        (Filter { never_ends: true, ..all() }, "h/plain h/app h/revoked j/just used"),
        (idle(&[("h", NOW.earlier(19)), ("j", NOW.earlier(15))], Some(Status::Expired)), "h/app i/expired"),
        (idle(&[("h", NOW.earlier(20)), ("j", NOW.earlier(14))], Some(Status::Expired)), "i/expired j/used"),
        (idle(&[("h", NOW.earlier(19))], Some(Status::Active)), "h/plain i/last j/used j/just used"),
        (idle(&[("h", NOW)], Some(Status::Revoked)), "h/revoked"),
        (idle(&[("h", NOW)], None), "h/plain h/app i/expired i/last h/revoked h/replaced j/used j/just used"),
    ] {
        for max in [1, 3, 100] {
            let listed = list(&*store, &filter, max)?;
            equal(names(&listed), wanted.to_owned(), format_args!("the list of {filter:?} in pages of {max}"))?;
        }
    }
    // The status depends on the time of the call.
    for (at, wanted) in [(NOW.earlier(1), ""), (NOW, "i/expired"), (NOW.later(1), "i/expired i/last")] {
        let listed = list_after(&*store, &status(Status::Expired), None, 9, at)?;
        equal(names(&listed), wanted.to_owned(), format_args!("the expired records at {at:?}"))?;
    }
    Ok(())
}

fn lasting(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let handler = |number: u64| if number.is_multiple_of(3) { "g" } else { "h" };
    for number in 0..24 {
        let record = Record { issued_at: NOW.later(number / 4), ..record(&format!("old {number:02}"), "alice") };
        done(&*store, handler(number), insert(record))?;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    for step in 0..100 {
        let page = wait(store.list(&Filter::default(), after.as_ref(), 5, NOW))?;
        after = page.stopped_at.or_else(|| page.entries.last().map(ListEntry::place));
        seen.extend(page.entries);
        if after.is_none() {
            break;
        }
        // Records are added before and after the cursor, edited and ended.
        let changed = (step * 7) % 24;
        let (changed, handler) = (format!("old {changed:02}"), handler(changed));
        done(
            &*store,
            "h",
            insert(Record { issued_at: NOW.later(step % 7), ..record(&format!("new {step}"), "alice") }),
        )?;
        let terms = found(&*store, handler, &changed)?.terms();
        let text = some(&step.to_string());
        if step.is_multiple_of(2) {
            let revocation = Revocation::from(token(handler, &changed));
            wait(store.revoke(&revocation, NOW))?;
        } else {
            wait(
                store
                    .commit(handler, edit(&changed, &terms, &TokenTerms { description: text, ..terms.clone() }, false)),
            )?;
        }
    }
    ensure(after.is_none(), "the list does not end")?;
    ensure(seen.is_sorted_by(|one, two| one.place() > two.place()), "the list is out of order or has a record twice")?;
    let old = seen.iter().filter(|entry| entry.record.id.starts_with("old"));
    equal(old.count(), 24, "number of lasting records in a list")
}

fn tally(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.tally(&[], NOW))?, vec![], "the counts of an empty store")?;
    fill(&*store)?;
    let counts = |wanted: &[(&str, Status, u64)]| -> Vec<_> {
        let count = |&(handler, status, tokens): &(&str, Status, u64)| StatusCount {
            handler: handler.to_owned(),
            status,
            tokens,
        };
        wanted.iter().map(count).collect()
    };
    let wanted = counts(&[
        ("h", Status::Active, 2),
        ("h", Status::Revoked, 1),
        ("h", Status::Replaced, 1),
        ("i", Status::Active, 1),
        ("i", Status::Expired, 1),
        ("j", Status::Active, 2),
    ]);
    equal(wait(store.tally(&[], NOW))?, wanted, "counts")?;
    let wanted = counts(&[
        ("h", Status::Active, 1),
        ("h", Status::Expired, 1),
        ("h", Status::Revoked, 1),
        ("h", Status::Replaced, 1),
        ("i", Status::Expired, 2),
        ("j", Status::Active, 1),
        ("j", Status::Expired, 1),
    ]);
    let idle = [("h".to_owned(), NOW.earlier(19)), ("j".to_owned(), NOW.earlier(14))];
    equal(wait(store.tally(&idle, NOW.later(1)))?, wanted, "counts a second later, with idle records")
}

fn key_uses(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.key_uses(NOW))?, vec![], "the keys of an empty store")?;
    fill(&*store)?;
    let usage = |key: &str, minted, good, never_end, newest_expiry| KeyUsage {
        key: key.to_owned(),
        minted,
        good,
        never_end,
        newest_expiry,
    };
    for (at, used, other) in [
        (NOW.earlier(1), usage("main/1", 4, 3, 1, Some(NOW.later(9))), usage("main/2", 1, 1, 0, Some(NOW.earlier(1)))),
        (NOW, usage("main/1", 4, 3, 1, Some(NOW.later(9))), usage("main/2", 1, 0, 0, None)),
        (NOW.later(1), usage("main/1", 4, 2, 1, Some(NOW.later(9))), usage("main/2", 1, 0, 0, None)),
        (NOW.later(10), usage("main/1", 4, 1, 1, None), usage("main/2", 1, 0, 0, None)),
    ] {
        equal(wait(store.key_uses(at))?, vec![used, other], format_args!("usage of keys at {at:?}"))?;
    }
    Ok(())
}

fn nodes(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.nodes())?, vec![], "the nodes of an empty store")?;
    let mut numbers = Vec::new();
    for number in 0..5 {
        let revocation = Revocation { actor_id: some(&number.to_string()), ..Revocation::default() };
        numbers.push(wait(store.revoke(&revocation, NOW))?.number);
    }
    let [first, _, third, _, last] = numbers[..] else { return Err(Failure("some entries have no number".to_owned())) };
    let month_later = NOW.later(30 * 86_400);
    let status = |node: &str, last, behind, at| NodeStatus { node: node.to_owned(), last, behind, at };
    for (node, read, at, wanted) in [
        ("n1", 0, NOW, vec![status("n1", 0, 5, NOW)]),
        ("n0", last, NOW.later(1), vec![status("n0", last, 0, NOW.later(1)), status("n1", 0, 5, NOW)]),
        ("n1", third, NOW.later(2), vec![status("n0", last, 0, NOW.later(1)), status("n1", third, 2, NOW.later(2))]),
        // A node that has been silent for a month is removed. The other one has restarted.
        (
            "n1",
            first,
            month_later.later(1),
            vec![status("n0", last, 0, NOW.later(1)), status("n1", first, 4, month_later.later(1))],
        ),
        ("n1", first, month_later.later(2), vec![status("n1", first, 4, month_later.later(2))]),
    ] {
        wait(store.note_node(node, read, at))?;
        equal(wait(store.nodes())?, wanted, format_args!("nodes after a note of `{node}`"))?;
    }
    Ok(())
}

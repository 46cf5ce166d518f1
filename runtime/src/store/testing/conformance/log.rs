//! The log of revocations, and the newest time.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{Entry, Record, Revocation, TokenStore, TokenTerms};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const CASES: &[Case<dyn TokenStore>] = &[
    ("the log is read in order and in pages", pages),
    ("the log has the records that a transaction ends", of_transactions),
    ("no entry appears before one that was read", no_gaps),
    ("the newest time never decreases", clock),
];

fn of_actor(actor_id: &str) -> Revocation {
    Revocation { handler: some("h"), actor_id: some(actor_id), ..Revocation::default() }
}

fn pages(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.entries(0, 10))?, vec![], "the log of an empty store")?;
    let mut wanted = Vec::new();
    for number in 0..7 {
        // In no other order than that of their numbers.
        let revocation = of_actor(&(number * 3 % 7).to_string());
        let number = wait(store.revoke(&revocation, NOW.earlier(number)))?.number;
        wanted.push((number, Entry::Revoked(revocation)));
    }
    ensure(wanted.first().is_some_and(|(number, _)| *number > 0), "the first entry has the number 0")?;
    ensure(wanted.is_sorted_by(|(one, _), (two, _)| one < two), "the numbers of entries do not increase")?;
    equal(&wait(store.entries(0, 100))?, &wanted, "the log")?;
    for max in [1, 3, 7] {
        let mut read: Vec<(u64, Entry)> = Vec::new();
        for _ in 0..8 {
            let page = wait(store.entries(read.last().map_or(0, |(number, _)| *number), max))?;
            ensure(u64::try_from(page.len()).is_ok_and(|len| len <= u64::from(max)), "a page is too long")?;
            read.extend(page);
        }
        equal(&read, &wanted, format_args!("the log in pages of {max}"))?;
    }
    let last = wanted.last().map_or(0, |(number, _)| *number);
    equal(wait(store.entries(last + 1, 3))?, vec![], "entries after the end of the log")
}

fn of_transactions(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let terms = TokenTerms::default();
    for (handler, record) in [
        ("h", record("ended", "a")),
        ("i", child("ended.child", "h", "ended")),
        ("h", record("edited", "b")),
        ("h", record("rotated", "b")),
        ("i", child("kept", "h", "rotated")),
        ("h", record("replaced", "c")),
        ("h", Record { expires_at: Some(NOW.earlier(1)), ..record("expired", "c") }),
        ("i", child("replaced.child", "h", "replaced")),
    ] {
        done(&*store, handler, insert(record))?;
    }
    done(&*store, "h", edit("edited", &terms, &TokenTerms { expires_at: Some(NOW), ..terms.clone() }, false))?;
    wait(store.commit("h", end(&["ended", "unknown"])))?;
    equal(log(&*store)?, vec![], "the log before a record was ended")?;
    let steps = [
        (end(&["ended"]), "h/ended i/ended.child"),
        (rotate("rotated", &terms, new(record("new", "b"))), "h/rotated"),
        (replace(record("newer", "c")), "h/expired h/replaced i/replaced.child"),
        (replace(record("other", "d")), ""),
    ];
    let mut names: Vec<&str> = Vec::new();
    let mut previous = Vec::new();
    for (changes, ended) in steps {
        done(&*store, "h", changes)?;
        names.extend(ended.split_terminator(' '));
        names.sort_unstable();
        equal(revoked_ids(&*store)?, names.join(" "), "tokens that the log revokes")?;
        let entries = log(&*store)?;
        equal(entries.len(), names.len(), "number of entries")?;
        ensure(entries.starts_with(&previous), "entries have changed")?;
        previous = entries;
    }
    Ok(())
}

fn no_gaps(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let writing = AtomicU64::new(THREADS - 1);
    let read = race(|thread| {
        if thread > 0 {
            let write = || {
                for step in 0..10 {
                    let id = format!("{thread}.{step}");
                    match step % 3 {
                        0 => wait(store.revoke(&of_actor(&id), NOW)).map(drop)?,
                        1 => done(&*store, "h", insert(record(&id, &id)))?,
                        _ => done(&*store, "h", end(&[&format!("{thread}.{}", step - 1)]))?,
                    }
                }
                Ok(())
            };
            let written = write();
            writing.fetch_sub(1, Ordering::SeqCst);
            return written.map(|()| Vec::new());
        }
        let mut read: Vec<(u64, Entry)> = Vec::new();
        loop {
            let was_writing = writing.load(Ordering::SeqCst) > 0;
            let page = wait(store.entries(read.last().map_or(0, |(number, _)| *number), 5))?;
            if page.is_empty() && !was_writing {
                return Ok(read);
            }
            read.extend(page);
            ensure(read.len() < 1_000, "the log does not end")?;
        }
    })?;
    let read: Vec<_> = read.into_iter().flatten().collect();
    let all = wait(store.entries(0, 10_000))?;
    equal(all.len(), usize::try_from(7 * (THREADS - 1)).unwrap_or(0), "number of entries")?;
    ensure(read == all, "a reader missed entries, or read some twice")
}

fn clock(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.clock())?, None, "the newest time of an empty store")?;
    for (at, newest) in
        [(NOW, NOW), (NOW.earlier(1), NOW), (NOW.later(7), NOW.later(7)), (UnixTime::default(), NOW.later(7))]
    {
        wait(store.note_clock(at))?;
        match wait(store.clock())? {
            // The store does not keep a clock.
            None if at == NOW => return Ok(()),
            found => equal(found, Some(newest), format_args!("the newest time after {at:?}"))?,
        }
    }
    Ok(())
}

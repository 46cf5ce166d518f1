//! Maximum numbers of valid records.

use super::support::*;
use super::{Case, Open};
use crate::store::{CommitOutcome, NewRecord, Record, RecordStore, Transaction};

pub(super) const CASES: &[Case<dyn RecordStore>] = &[
    ("a handler has a maximum", of_handler),
    ("an actor has a maximum with a handler", of_actor),
    ("a client has a maximum with all handlers", of_client),
    ("only valid records count", only_valid),
    ("an ended record makes room", makes_room),
    ("concurrent inserts observe the maxima", concurrent),
];

fn by(client: &str, id: &str, actor_id: &str) -> Record {
    Record { client: some(client), ..record(id, actor_id) }
}

/// Inserts records that differ in their handlers, actors and clients.
fn fill(store: &dyn RecordStore) -> Outcome {
    for (handler, record) in [
        ("h", by("app", "1", "alice")),
        ("h", by("app", "2", "bob")),
        ("h", record("3", "alice")),
        ("i", by("app", "4", "alice")),
        ("i", by("other", "5", "alice")),
    ] {
        done(store, handler, insert(record))?;
    }
    Ok(())
}

/// Inserts records with rising maxima, until one is not refused: at a number of other records.
fn admitted_after(
    open: Open<'_, dyn RecordStore>,
    others: u64,
    with: fn(u64) -> NewRecord,
    refusal: CommitOutcome,
) -> Outcome {
    let store = open();
    fill(&*store)?;
    for max in 0..=others {
        commit(&*store, "h", add(with(max)), refusal, format_args!("outcome with a maximum of {max}"))?;
        equal(find(&*store, "h", "new")?, None, "a refused record")?;
    }
    let max = others + 1;
    commit(&*store, "h", add(with(max)), CommitOutcome::Done, format_args!("outcome with a maximum of {max}"))
}

fn of_handler(open: Open<'_, dyn RecordStore>) -> Outcome {
    admitted_after(open, 3, |max| NewRecord { max, ..new(record("new", "carol")) }, CommitOutcome::Full)
}

fn of_actor(open: Open<'_, dyn RecordStore>) -> Outcome {
    let with = |max| NewRecord { max_per_actor: Some(max), ..new(record("new", "alice")) };
    admitted_after(open, 2, with, CommitOutcome::FullForActor)
}

fn of_client(open: Open<'_, dyn RecordStore>) -> Outcome {
    let with = |max| NewRecord { max_per_client: Some(max), ..new(by("app", "new", "carol")) };
    admitted_after(open, 3, with, CommitOutcome::FullForClient)?;
    // A record of the operator counts for no client.
    let store = open();
    fill(&*store)?;
    done(&*store, "h", add(NewRecord { max_per_client: Some(0), ..new(record("new", "carol")) }))
}

fn only_valid(open: Open<'_, dyn RecordStore>) -> Outcome {
    let unused = Record { issued_at: NOW.earlier(101), ..by("app", "unused", "alice") };
    let used_before =
        Record { issued_at: NOW.earlier(900), last_used_at: Some(NOW.earlier(101)), ..by("app", "used", "alice") };
    let last_use = Record { last_used_at: Some(NOW.earlier(100)), ..used_before.clone() };
    let last_second = Record { expires_at: Some(NOW), ..by("app", "last", "alice") };
    let idle = Some(NOW.earlier(100));
    // A record, the cutoff of idle ones, and its parts in the maxima of the handler and the client.
    for (what, other, idle_before, count, of_client) in [
        ("a valid record", by("app", "a", "alice"), idle, 1, 1),
        ("a record in its last second", last_second.clone(), idle, 1, 1),
        ("an expired record", Record { expires_at: Some(NOW.earlier(1)), ..last_second }, idle, 0, 0),
        ("a record that was never used", unused.clone(), idle, 0, 1),
        ("a record that may be idle", unused, None, 1, 1),
        ("an idle record", used_before, idle, 0, 1),
        ("a record that was used in time", last_use, idle, 1, 1),
    ] {
        let store = open();
        done(&*store, "h", insert(other))?;
        let insert = |id| NewRecord { idle_before, ..new(by("app", id, "alice")) };
        for (id, insert, count, refusal) in [
            ("handler", NewRecord { max: 1, ..insert("handler") }, count, CommitOutcome::Full),
            ("actor", NewRecord { max_per_actor: Some(1), ..insert("actor") }, count, CommitOutcome::FullForActor),
            (
                "client",
                NewRecord { max_per_client: Some(1), ..insert("client") },
                of_client,
                CommitOutcome::FullForClient,
            ),
        ] {
            let wanted = if count == 0 { CommitOutcome::Done } else { refusal };
            commit(
                &*store,
                "h",
                add(insert),
                wanted,
                format_args!("{what}: outcome with a maximum of 1 for the {id}"),
            )?;
            if count == 0 {
                done(&*store, "h", end(&[id]))?;
            }
        }
    }
    Ok(())
}

fn makes_room(open: Open<'_, dyn RecordStore>) -> Outcome {
    let store = open();
    let with =
        |id: &str| NewRecord { max: 1, max_per_actor: Some(1), max_per_client: Some(1), ..new(by("app", id, "alice")) };
    done(&*store, "h", add(with("a")))?;
    commit(&*store, "h", add(with("b")), CommitOutcome::Full, "outcome beyond the maximum")?;
    done(&*store, "h", end(&["a"]))?;
    done(&*store, "h", add(with("b")))?;
    // Within one transaction, too.
    done(&*store, "h", Transaction { end: end(&["b"]).end, ..add(with("c")) })?;
    done(&*store, "h", add(NewRecord { replace: true, ..with("d") }))?;
    equal(live(&*store, &[("h", "a"), ("h", "b"), ("h", "c"), ("h", "d")])?, "h/d".to_owned(), "valid records")
}

fn concurrent(open: Open<'_, dyn RecordStore>) -> Outcome {
    let of_handler = |new| NewRecord { max: 5, ..new };
    let of_actor = |new| NewRecord { max_per_actor: Some(5), ..new };
    let of_client = |new| NewRecord { max_per_client: Some(5), ..new };
    type Limited = fn(NewRecord) -> NewRecord;
    let maxima: [(&[&str], Limited, CommitOutcome); 3] = [
        (&["h"], of_handler, CommitOutcome::Full),
        (&["h"], of_actor, CommitOutcome::FullForActor),
        (&["h", "i", "j"], of_client, CommitOutcome::FullForClient),
    ];
    for (handlers, limited, refusal) in maxima {
        let store = open();
        let outcomes = race(|number| {
            let handlers = handlers.iter().cycle().skip(usize::try_from(number).unwrap_or(0));
            let insert = |(step, handler): (i32, &&str)| {
                let record = by("app", &format!("{number}.{step}"), "alice");
                wait(store.commit(handler, add(limited(new(record)))))
            };
            (0..4).zip(handlers).map(insert).collect::<Outcome<Vec<_>>>()
        })?;
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
        equal(count(CommitOutcome::Done), 5, format_args!("number of records with a maximum of 5 ({refusal:?})"))?;
        equal(count(refusal), outcomes.len().saturating_sub(5), format_args!("number of refusals ({refusal:?})"))?;
    }
    Ok(())
}

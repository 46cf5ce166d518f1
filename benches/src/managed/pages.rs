//! Pages and counts of records, among few and among many.

use super::{micros, ratio, shown};
use crate::kept::{ACTOR, FEW, HANDLER, Kept, MANY, each_kind};
use crate::setup::NOW;
use crate::stats::{at_most, nanos};
use keyward_runtime::Error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{Cursor, Filter, Status};
use std::hint::black_box;

/// Records on a page, as many as the actor has.
const PAGE: u32 = 100;

/// A kind of query.
struct Row {
    what: &'static str,
    /// Runs the query among the given number of records, and returns how many it finds.
    ask: fn(&Kept, u32) -> Result<usize, Error>,
    finds: usize,
    rounds: usize,
    calls: u32,
    /// `true` if the query reads no more records than it finds, and so should not be slower among
    /// many.
    few: bool,
}

const QUICK: Row = Row { what: "", ask: |_, _| Ok(0), finds: PAGE as usize, rounds: 41, calls: 10, few: true };

const SLOW: Row = Row { finds: 0, rounds: 9, calls: 1, few: false, ..QUICK };

const ROWS: [Row; 8] = [
    Row { what: "the first page of all", ask: |kept, _| list(kept, Filter::default(), None), ..QUICK },
    Row {
        what: "a page from the middle",
        ask: |kept, records| {
            let issued_at = NOW.seconds - u64::from(records) / 2;
            let after =
                Cursor { issued_at: UnixTime::from_seconds(issued_at), handler: HANDLER.to_owned(), id: String::new() };
            list(kept, Filter::default(), Some(&after))
        },
        ..QUICK
    },
    Row { what: "the first page of a handler", ask: |kept, _| list(kept, of_handler(), None), ..QUICK },
    Row {
        what: "an actor's tokens",
        ask: |kept, _| list(kept, Filter { actor_id: Some(ACTOR.to_owned()), ..Filter::default() }, None),
        ..QUICK
    },
    Row { what: "a page without a match", ask: |kept, _| list(kept, revoked(Filter::default()), None), ..SLOW },
    Row { what: "the same of a handler", ask: |kept, _| list(kept, revoked(of_handler()), None), ..SLOW },
    Row {
        what: "the same of an actor",
        ask: |kept, _| list(kept, revoked(Filter { actor_id: Some(ACTOR.to_owned()), ..Filter::default() }), None),
        finds: 0,
        ..QUICK
    },
    Row {
        what: "the counts by status",
        ask: |kept, _| Ok(pollster::block_on(kept.registry.tokens().unwrap().tally())?.len()),
        finds: 1,
        ..SLOW
    },
];

pub(super) fn run() {
    println!("| {PAGE} a page | among {FEW}, µs | among {MANY}, µs | ratio |");
    println!("| --- | --- | --- | --- |");
    for (what, ratios) in each_kind([FEW, MANY], measure) {
        at_most(&format!("{what}: pages among {MANY}, relative to among {FEW}"), &ratios, 1.5);
    }
}

/// Prints the rows, and returns all ratios of those that should not be slower among many.
fn measure(what: &str, kept: [Kept; 2]) -> Vec<f64> {
    let rows = ROWS.iter().map(|row| (row, time(row, &kept)));
    rows.flat_map(|(row, timed)| {
        match timed {
            Ok([few, many]) => {
                let (of_few, of_many) = (micros(&few), micros(&many));
                println!("| {what}: {} | {of_few:.0} | {of_many:.0} | **{}** |", row.what, shown(&many, &few));
                return if row.few { ratio(&many, &few) } else { Vec::new() };
            }
            Err(error) => println!("| {what}: {} | | failed: {error} | |", row.what),
        }
        Vec::new()
    })
    .collect()
}

/// Returns the nanoseconds among few and among many, round by round.
fn time(row: &Row, kept: &[Kept; 2]) -> Result<[Vec<f64>; 2], Error> {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=row.rounds {
        for ((kept, records), times) in kept.iter().zip([FEW, MANY]).zip(&mut times) {
            let mut answer = Ok(row.finds);
            let time = nanos(row.calls, || {
                let found = (row.ask)(black_box(kept), records);
                if !matches!(found, Ok(found) if found == row.finds) {
                    answer = found;
                }
            });
            assert_eq!(answer?, row.finds, "{}", row.what);
            // The first round is a warm-up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times)
}

fn list(kept: &Kept, filter: Filter, after: Option<&Cursor>) -> Result<usize, Error> {
    Ok(pollster::block_on(kept.registry.tokens().unwrap().list(filter, after, PAGE))?.entries.len())
}

fn of_handler() -> Filter {
    Filter { handlers: Some(vec![HANDLER.to_owned()]), ..Filter::default() }
}

fn revoked(filter: Filter) -> Filter {
    Filter { status: Some(Status::Revoked), ..filter }
}

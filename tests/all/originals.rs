//! The responses of the original systems and of Keyward to the same requests.
//!
//! Covers every exchange of `vectors/auth-tokens-exchanges.json` and every `6879-` case of
//! `vectors/hypothesis.json`. `docs/originals.md` lists them side by side.

mod answer;
mod exchanges;
mod hypothesis;
mod page;
mod plugin;
mod reasons;
mod sessions;
mod world;

use crate::support::{self, TestClock};
use answer::Answer;
use keyward_runtime::RuntimeLimits;
use keyward_runtime::clock::MonotonicClock;
use reasons::{REASONS, Reasons};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A request, and the responses of both sides.
struct Row {
    /// The unique key of the row, such as `managed/tampered`.
    key: String,
    /// The form of the request.
    asked: String,
    original: Answer,
    ours: Answer,
}

/// The replayed requests of one scenario.
#[derive(Default)]
struct Played {
    rows: Vec<Row>,
    /// The requests without an equivalent in Keyward: the step, and its purpose.
    left_out: Vec<(String, String)>,
}

#[test]
fn every_response_is_compared_with_the_original() {
    let mut blocks = Vec::new();
    let mut counts = "| | exchanges | compared | same | different, with a reason | not compared |\n".to_owned();
    counts += "| --- | --- | --- | --- | --- | --- |\n";
    let mut all = Vec::new();
    let mut left_out = String::from("| | step | in the original |\n| --- | --- | --- |\n");
    // As in the program: a clock that steps back is held.
    let runtime = support::runtime(RuntimeLimits::default(), MonotonicClock::new(TestClock));
    let mut scenarios: Vec<(String, usize, Played)> = vectors()["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scenario| {
            (
                scenario["name"].as_str().unwrap().to_owned(),
                exchanges::count(scenario),
                exchanges::play(&runtime, scenario),
            )
        })
        .collect();
    let (count, played) = hypothesis::play();
    scenarios.push(("hypothesis".to_owned(), count, played));
    for (name, count, Played { rows, left_out: not_asked }) in scenarios {
        // No request is dropped silently.
        assert_eq!(rows.len() + not_asked.len(), count, "{name}");
        let same = rows.iter().filter(|row| row.original == row.ours).count();
        let (asked, other, not) = (rows.len(), rows.len() - same, not_asked.len());
        let _ = writeln!(counts, "| {name} | {count} | {asked} | {same} | {other} | {not} |");
        for (step, what) in not_asked {
            let _ = writeln!(left_out, "| {name} | {step} | {what} |");
        }
        blocks.push((name, table(&rows, REASONS)));
        all.extend(rows);
    }
    check_reasons(&all, REASONS);
    blocks.push(("counts".to_owned(), counts));
    blocks.push(("left out".to_owned(), left_out));
    page::compare(&blocks);
}

/// Checks that every difference has exactly one reason, and every reason a difference.
fn check_reasons(rows: &[Row], reasons: Reasons) {
    let mut wrong = String::new();
    let mut keys = BTreeSet::new();
    for Row { key, original, ours, .. } in rows {
        assert!(keys.insert(key), "duplicate key {key}");
        let _ = match (reasons_of(key, reasons).len(), original == ours) {
            (0, true) | (1, false) => Ok(()),
            (0, false) => writeln!(wrong, "{key}: difference without a reason: original {original}, Keyward {ours}"),
            (_, true) => writeln!(wrong, "{key}: reason without a difference: {ours}"),
            (_, false) => writeln!(wrong, "{key}: more than one reason"),
        };
    }
    for key in reasons.iter().flat_map(|(_, keys)| *keys) {
        if !rows.iter().any(|row| row.key == *key) {
            let _ = writeln!(wrong, "{key}: reason without a request");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn reasons_of(key: &str, reasons: Reasons) -> Vec<&'static str> {
    reasons.iter().filter(|(_, keys)| keys.contains(&key)).map(|(reason, _)| *reason).collect()
}

fn table(rows: &[Row], reasons: Reasons) -> String {
    let mut text = "| | via | original | Keyward | reason |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for Row { key, asked, original, ours } in rows {
        let (_, step) = key.split_once('/').unwrap();
        let ours = if original == ours { "the same".to_owned() } else { ours.to_string() };
        let _ = writeln!(text, "| {step} | {asked} | {original} | {ours} | {} |", reasons_of(key, reasons).concat());
    }
    text
}

/// Returns the exchanges.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/auth-tokens-exchanges.json")).unwrap()
}

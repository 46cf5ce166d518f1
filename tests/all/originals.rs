//! What the originals of the stored tokens answered, and what Keyward answers to the same question: every exchange of
//! `vectors/auth-tokens-exchanges.json` and every `6879-` case of `vectors/hypothesis.json`. `docs/originals.md` shows them side
//! by side.

mod answer;
mod exchanges;
mod hypothesis;
mod page;
mod plugin;
mod reasons;
mod world;

use crate::support::TestClock;
use answer::Answer;
use keyward_runtime::{MonotonicClock, Runtime, RuntimeLimits};
use reasons::REASONS;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A question, and what both sides say to it.
struct Row {
    /// Which one it is, unique among all: `managed/tampered`.
    key: String,
    /// How it was put.
    asked: String,
    original: Answer,
    ours: Answer,
}

/// What was made of the questions of one scenario.
#[derive(Default)]
struct Played {
    rows: Vec<Row>,
    /// What is not asked of Keyward: the step, and what it was there.
    left_out: Vec<(String, String)>,
}

#[test]
fn each_answer_stands_beside_the_originals() {
    let mut blocks = Vec::new();
    let mut counts = "| | exchanges | asked | the same | other, with a reason | not asked |\n".to_owned();
    counts += "| --- | --- | --- | --- | --- | --- |\n";
    let mut all = Vec::new();
    let mut left_out = String::from("| | step | what it is there |\n| --- | --- | --- |\n");
    // As the program has it: a clock that goes back stands still.
    let runtime = Runtime::with(RuntimeLimits::default(), MonotonicClock::new(TestClock)).unwrap();
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
        // None is dropped silently.
        assert_eq!(rows.len() + not_asked.len(), count, "{name}");
        let same = rows.iter().filter(|row| row.original == row.ours).count();
        let (asked, other, not) = (rows.len(), rows.len() - same, not_asked.len());
        let _ = writeln!(counts, "| {name} | {count} | {asked} | {same} | {other} | {not} |");
        for (step, what) in not_asked {
            let _ = writeln!(left_out, "| {name} | {step} | {what} |");
        }
        blocks.push((name, table(&rows)));
        all.extend(rows);
    }
    check_reasons(&all);
    blocks.push(("counts".to_owned(), counts));
    blocks.push(("left out".to_owned(), left_out));
    page::compare(&blocks);
}

/// Every difference has one reason, and every reason a difference.
fn check_reasons(rows: &[Row]) {
    let mut wrong = String::new();
    let mut keys = BTreeSet::new();
    for Row { key, original, ours, .. } in rows {
        assert!(keys.insert(key), "{key} is there twice");
        let _ = match (reasons_of(key).len(), original == ours) {
            (0, true) | (1, false) => Ok(()),
            (0, false) => writeln!(wrong, "{key}: without a reason: {original} there, {ours} here"),
            (_, true) => writeln!(wrong, "{key}: a reason, and no difference: {ours}"),
            (_, false) => writeln!(wrong, "{key}: more than one reason"),
        };
    }
    for key in REASONS.iter().flat_map(|(_, keys)| *keys) {
        if !rows.iter().any(|row| row.key == *key) {
            let _ = writeln!(wrong, "{key}: a reason, and no such question");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn reasons_of(key: &str) -> Vec<&'static str> {
    REASONS.iter().filter(|(_, keys)| keys.contains(&key)).map(|(reason, _)| *reason).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = "| | asked with | the original | Keyward | why |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for Row { key, asked, original, ours } in rows {
        let (_, step) = key.split_once('/').unwrap();
        let ours = if original == ours { "the same".to_owned() } else { ours.to_string() };
        let _ = writeln!(text, "| {step} | {asked} | {original} | {ours} | {} |", reasons_of(key).concat());
    }
    text
}

/// The exchanges.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/auth-tokens-exchanges.json")).unwrap()
}

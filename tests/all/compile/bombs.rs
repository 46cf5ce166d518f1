//! Components that are expensive to compile are refused, and cost the parent nothing.

use crate::compile::{outcome, with_worker};
use keyward_runtime::Runtime;
use keyward_runtime::compile::WorkerLimits;
use keyward_tests::bombs;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// With low limits, so that a bomb ends in seconds; [`docs/attacks.md`] has the costs under the
/// default limits.
#[test]
fn every_bomb_is_refused() {
    let limits = WorkerLimits { memory_bytes: 256 << 20, cpu: Duration::from_secs(2), wall: Duration::from_secs(20) };
    let runtime = with_worker(limits);
    for bomb in bombs::all() {
        assert!(bomb.bytes.len() <= 32 << 20, "{}: {} bytes", bomb.name, bomb.bytes.len());
        let (code, text) = outcome(runtime.inspect(&*bomb.bytes)).expect_err(&bomb.name);
        let known = ["too-complex", "too-large", "compile-limit", "missing-export", "invalid"];
        assert!(known.contains(&code), "{}: {code}: {text}", bomb.name);
        println!("{} | {} | {code} | {text}", bomb.name, bomb.bytes.len());
    }
}

/// The page lists every bomb, with its size and whether its shape is refused.
#[test]
fn the_page_of_attacks_is_complete() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/attacks.md");
    let page = fs::read_to_string(page).unwrap();
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.split(" | ").collect()).collect();
    let runtime = Runtime::new().unwrap();
    for bomb in bombs::all() {
        let (name, bytes) = (format!("| {}", bomb.name), bomb.bytes.len().to_string());
        let row = rows.iter().find(|row| row.first() == Some(&&*name)).unwrap_or_else(|| panic!("no row {name}"));
        let [_, listed, _, _, outcome] = row[..] else { panic!("{row:?}") };
        let code = runtime.inspect(&*bomb.bytes).unwrap_err().code();
        let is_shape = code != "no-compiler";
        assert_eq!((listed, outcome.starts_with("refused by its shape")), (&*bytes, is_shape), "{name}: {code}");
        assert!(!is_shape || outcome.contains(code), "{name}: {code}");
    }
}

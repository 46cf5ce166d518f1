//! Components that are expensive to compile are refused, and cost the parent nothing.

use crate::compile::{outcome, with_worker};
use keyward_runtime::compile::WorkerLimits;
use keyward_tests::bombs;
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

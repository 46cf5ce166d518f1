//! Every target on a bounded stream of inputs: the form of the fuzz targets that runs with the
//! other tests.

#![expect(clippy::unwrap_used, reason = "a test helper panics on unexpected results, as tests do")]

use keyward_fuzz::{Stream, TARGETS};
use std::panic::catch_unwind;
use std::time::{Duration, Instant, SystemTime};

/// Runs a target on its seeds, and on a stream of mutated ones: always the same and of a fixed
/// length, or with `KEYWARD_SOAK_SECONDS` another one each time, and for that long.
fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let soak: Option<u64> = std::env::var("KEYWARD_SOAK_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut stream = Stream::new(if soak.is_some() { now.as_nanos() as u64 } else { 7 });
    let seeds = (target.seeds)();
    let start = Instant::now();
    let mut cases = 0;
    while soak.map_or(cases < target.cases, |seconds| start.elapsed() < Duration::from_secs(seconds)) {
        let input = seeds.get(cases).cloned().unwrap_or_else(|| stream.input(&seeds));
        let done = catch_unwind(|| (target.run)(&input));
        // The keys belong to the test, so the input holds no secret.
        assert!(done.is_ok(), "{name} fails on {}", input.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        cases += 1;
    }
    println!("{name}: {cases} inputs in {:?}", start.elapsed());
}

#[test]
fn answers() {
    run("answers");
}

#[test]
fn audit() {
    run("audit");
}

#[test]
fn components() {
    run("components");
}

#[test]
fn configuration() {
    run("configuration");
}

#[test]
fn itsdangerous() {
    run("itsdangerous");
}

#[test]
fn jwt() {
    run("jwt");
}

#[test]
fn key_sets() {
    run("key_sets");
}

#[test]
fn requests() {
    run("requests");
}

#[test]
fn restrictions() {
    run("restrictions");
}

#[test]
fn routing() {
    run("routing");
}

#[test]
fn sessions() {
    run("sessions");
}

#[test]
fn shape() {
    run("shape");
}

#[test]
fn strict_json() {
    run("strict_json");
}

#[test]
fn worker() {
    run("worker");
}

//! `cargo xtask test`: what CI runs. `cargo xtask soak`: the same random tests, for long, and a thousand reloads.

use crate::peers;
use crate::run::{Step, TARGET, build_all, capture, cargo, run, wasm_target, workspace};
use crate::tidy::tidy;

/// The version of cargo-deny that is installed where there is none.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// Everything that CI runs. One build profile throughout, so that nothing big is compiled twice.
pub(crate) fn test() -> Step {
    wasm_target()?;
    tidy(&workspace())?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    dependencies()?;
    build_all()?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    // What of the handlers is compiled for WebAssembly only.
    let guests = ["dsatok", "hardcoded", "opaque", "query", "signed", "stored"]
        .map(|name| format!("--package=keyward-guest-{name}"));
    let clippy = ["clippy", "--locked", "--target", TARGET];
    run(cargo().args(clippy).args(guests).args(["--", "--deny", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
        .env("RUSTDOCFLAGS", "--deny warnings"))?;
    peers::install();
    run(cargo().args(["test", "--workspace", "--locked"]))?;
    println!("All of it passed.");
    Ok(())
}

/// The random tests in their long form: each fuzz target for that many minutes, and a hundred thousand cases of each
/// property; each store's daemon killed a thousand times, and a thousand tokens taken back among a hundred thousand questions
/// (`tests/all/stored/`), and ten million steps in the life of a service (`tests/all/managed/months.rs`). And a thousand
/// reloads of a daemon that is being asked.
pub(crate) fn soak(minutes: u64) -> Step {
    wasm_target()?;
    run(cargo()
        .args(["test", "--workspace", "--locked"])
        .env("KEYWARD_SOAK_SECONDS", minutes.saturating_mul(60).to_string())
        .env("PROPTEST_CASES", "100000"))?;
    run(cargo().args(["run", "--locked", "--bin", "keyward-benches", "--", "reloads", "1000"]))
}

/// Licences, bans and sources of every dependency must be in order. Advisories need a database that not every machine can
/// reach: where it cannot be read, that is said, and is no failure.
fn dependencies() -> Step {
    if !capture(cargo().args(["deny", "--version"]))?.status.success() {
        run(cargo().args(["install", "--locked", "--debug", CARGO_DENY]))?;
    }
    run(cargo().args(["deny", "--all-features", "check", "licenses", "bans", "sources"]))?;
    let advisories = capture(cargo().args(["deny", "--all-features", "check", "advisories"]))?;
    let text = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("No dependency has a known advisory.");
    } else if text.contains("failed to fetch advisory database") || text.contains("failed to load advisory database") {
        println!("ADVISORIES NOT READ: the RustSec database cannot be reached from here.");
    } else {
        eprint!("{text}");
        return Err("a dependency has an advisory; see above".into());
    }
    Ok(())
}

//! `cargo xtask test`: the checks that CI runs. `cargo xtask soak`: the long forms of the random
//! tests, and a thousand reloads.

use crate::run::{Step, TARGET, build_all, capture, cargo, run, target, workspace};
use crate::tidy::tidy;
use crate::{dist, handlers, package, peers, tools};
use std::process::Command;

/// The version of cargo-deny that is installed if none is present.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// Runs everything that CI runs, in one build profile so that nothing large is compiled twice.
pub(crate) fn test() -> Step {
    tidy(&workspace())?;
    handlers::build()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    dependencies()?;
    build_all()?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    // Covers the parts of the handlers that are compiled for WebAssembly only.
    let guests = handlers::NAMES.map(|name| format!("--package=keyward-guest-{name}"));
    let clippy = ["clippy", "--locked", "--target", TARGET];
    run(cargo().args(clippy).args(guests).args(["--", "--deny", "warnings"]))?;
    run(cargo()
        .args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
        .env("RUSTDOCFLAGS", "--deny warnings"))?;
    peers::install();
    dist::test()?;
    package::test()?;
    // Instructions of a call, which do not depend on the load of this machine. `cargo run` would
    // build the program again, with the features of fewer packages.
    run(Command::new(target().join("debug/keyward-benches")).arg("counts"))?;
    run(cargo().args(["test", "--workspace", "--locked"]))?;
    println!("All checks passed.");
    Ok(())
}

/// Runs the long forms of the random tests: each fuzz target for `minutes`, and 100,000 cases of
/// each property; a thousand kills of each store's daemon, and a thousand revocations among 100,000
/// verifications (`tests/all/stored/`); ten million steps in the life of a service
/// (`tests/all/managed/months.rs`); and a thousand reloads under load. Compiles every package from
/// its archive, and builds the site of the documentation.
pub(crate) fn soak(minutes: u64) -> Step {
    handlers::build()?;
    package::package()?;
    package::semver()?;
    tools::book()?;
    run(cargo().args(["check", "--workspace", "--no-default-features", "--locked"]))?;
    run(cargo()
        .args(["test", "--workspace", "--locked"])
        .env("KEYWARD_SOAK_SECONDS", minutes.saturating_mul(60).to_string())
        .env("PROPTEST_CASES", "100000"))?;
    run(cargo().args(["run", "--locked", "--bin", "keyward-benches", "--", "reloads", "1000"]))
}

/// Checks licenses, bans and sources of every dependency. Advisories need a database that not every
/// machine can reach: if it cannot be read, this is reported and is not a failure.
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

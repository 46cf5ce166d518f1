//! Costs of the sandbox and of HTTP: `cargo xtask bench`.
//!
//! Every figure is a ratio within one run: the cases of a comparison take turns, round by round, so
//! that other load on the machine affects all of them alike. Medians over the rounds are printed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that fails stops the run")]

mod bare;
mod bombs;
mod cold;
mod counts;
mod http;
mod jwt;
mod kept;
mod kernel;
mod languages;
mod managed;
mod neighbours;
mod overshoot;
mod secrets;
mod sessions;
mod setup;
mod stats;
mod stored;
mod verify;

use std::process::ExitCode;

/// The measurements, by name.
type Measurements = [(&'static str, fn())];

const SANDBOX: &Measurements = &[
    ("verify", verify::run),
    ("jwt", jwt::run),
    ("counts", counts::run),
    ("kernel", kernel::run),
    ("neighbours", neighbours::run),
    ("overshoot", overshoot::run),
    ("stored", stored::run),
    ("secrets", secrets::run),
    ("sessions", sessions::run),
    ("managed", managed::run),
    ("cold", cold::run),
    ("bombs", bombs::run),
    ("languages", languages::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The modes of this program as a measured process.
        ["loop", count] => kernel::warm_verifies(count.parse().unwrap()),
        ["count", name, calls] => counts::repeat(name, calls.parse().unwrap()),
        ["features"] => counts::features(),
        ["build" | "serve" | "verify", _, ..] => return http::keyward(),
        ["compile-worker", limits @ ..] => return keyward_runtime::compile::run_worker(limits.iter().map(Into::into)),
        ["nothing", ..] => {}
        ["many"] => cold::many_handlers(),
        ["bare"] => http::bare(),
        ["reloads", count] => http::reloads(count.parse().unwrap()),
        ["--http", names @ ..] => measure(http::ALL, names),
        names => measure(SANDBOX, names),
    }
    ExitCode::SUCCESS
}

fn measure(all: &Measurements, names: &[&str]) {
    let known = |name: &&&str| all.iter().any(|(known, _)| known == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        panic!(
            "there is no measurement `{unknown}` here, but {:?}",
            all.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }
    for (name, run) in all {
        if names.is_empty() || names.contains(name) {
            println!("\n## {name}");
            run();
        }
    }
}

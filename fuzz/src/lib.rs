//! Fuzz targets: one function each, which panics if a property does not hold for its input.
//!
//! Each target turns bytes into untrusted input. It runs in two ways:
//!
//! * `cargo test -p keyward-fuzz`: a bounded stream of random and mutated inputs, the same each
//!   time. With the environment variable `KEYWARD_SOAK_SECONDS` each target runs for that long, on
//!   another stream each time.
//! * libFuzzer, which is guided by coverage: `fuzz/libfuzzer/Cargo.toml` has the commands, for the
//!   stable compiler and for cargo-fuzz. `worker` runs only in the first way, because it needs the
//!   program.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target panics on a violated property, as a test does"
)]

mod answers;
mod area;
mod audit;
mod boundary;
mod compile;
mod components;
mod configuration;
mod itsdangerous;
mod jwt;
mod requests;
mod restrictions;
mod routing;
mod sessions;
mod stream;
mod strict_json;

pub use answers::answers;
pub use audit::audit;
pub use compile::{shape, worker};
pub use components::components;
pub use configuration::configuration;
pub use itsdangerous::itsdangerous;
pub use jwt::{jwt, key_sets};
pub use requests::requests;
pub use restrictions::restrictions;
pub use routing::routing;
pub use sessions::sessions;
pub use stream::Stream;
pub use strict_json::strict_json;

/// A target and the data of its bounded form.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the function and of the fuzz target.
    pub name: &'static str,
    /// Panics if an input violates a property.
    pub run: fn(&[u8]),
    /// Returns valid inputs, which are then mutated.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Number of inputs of the bounded form: a few seconds' worth.
    pub cases: usize,
}

/// All targets.
pub const TARGETS: [Target; 14] = [
    Target { name: "answers", run: answers, seeds: answers::seeds, cases: 30_000 },
    Target { name: "audit", run: audit, seeds: audit::seeds, cases: 5_000 },
    Target { name: "components", run: components, seeds: components::seeds, cases: 400 },
    Target { name: "configuration", run: configuration, seeds: configuration::seeds, cases: 3_000 },
    Target { name: "itsdangerous", run: itsdangerous, seeds: itsdangerous::seeds, cases: 25_000 },
    Target { name: "jwt", run: jwt, seeds: jwt::seeds, cases: 15_000 },
    Target { name: "key_sets", run: key_sets, seeds: jwt::key_seeds, cases: 15_000 },
    Target { name: "requests", run: requests, seeds: requests::seeds, cases: 6_000 },
    Target { name: "restrictions", run: restrictions, seeds: restrictions::seeds, cases: 3_000 },
    Target { name: "routing", run: routing, seeds: routing::seeds, cases: 1_000 },
    Target { name: "sessions", run: sessions, seeds: sessions::seeds, cases: 10_000 },
    Target { name: "shape", run: shape, seeds: compile::seeds, cases: 5_000 },
    Target { name: "strict_json", run: strict_json, seeds: strict_json::seeds, cases: 15_000 },
    Target { name: "worker", run: worker, seeds: compile::seeds, cases: 100 },
];

//! The single integration test binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers panic on unexpected results, as tests do"
)]

mod answers;
mod attacks;
mod audit;
mod authors;
mod bad_input;
mod bounds;
mod breaker;
mod built_in;
mod command_line;
mod compile;
mod configuration;
mod conformance;
mod counted;
mod datasette;
mod direct;
mod doctor;
mod embedding;
mod endpoints;
mod explain;
mod hostile;
mod http;
mod jwt;
mod keys;
mod languages;
mod leaks;
mod limits;
mod managed;
mod operations;
mod originals;
mod pages;
mod proxies;
mod queries;
mod restrictions;
mod routing;
mod schemathesis;
mod sdk;
mod serve_command;
mod sessions;
mod shared_files;
mod store;
mod stored;
mod support;
mod vectors;
mod wasi;
mod workflows;
mod wycheproof;

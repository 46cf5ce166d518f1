//! Load by `wrk`: sixteen connections, each with one request in flight.

use crate::http::server::{PATH, TOKEN};
use std::net::SocketAddr;
use std::process::Command;

/// Prints the results on one line.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/wrk.lua");

/// A single request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) what: &'static str,
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    /// Headers as `Name: value`.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
    /// `true` if the expected status is below 400.
    pub(crate) good: bool,
}

impl Ask {
    /// Returns the request of a proxy with a valid token.
    pub(crate) fn good() -> Self {
        let headers = vec![format!("Authorization: Bearer {}", *TOKEN)];
        Self { what: "valid token", method: "GET", target: PATH, headers, body: String::new(), good: true }
    }
}

/// The results of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    /// From request to response, in seconds.
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) fn rate(&self) -> f64 {
        self.requests / self.seconds
    }
}

/// Sends requests at full speed for the given number of seconds. Every response must have the
/// expected status.
pub(crate) fn load(to: SocketAddr, ask: &Ask, seconds: u32) -> Load {
    let Ask { what, method, target, headers, body, good } = ask;
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c16", &format!("-d{seconds}s"), "-s", SCRIPT]);
    for header in headers {
        command.args(["-H", header]);
    }
    command.arg(format!("http://{to}{target}")).args(["--", method]);
    if !body.is_empty() {
        command.arg(body);
    }
    let output = match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => panic!("wrk cannot be run ({error}): install it, on Debian with `apt install wrk`"),
    };
    let numbers = output.lines().find_map(|line| line.strip_prefix("measured "));
    let numbers: Option<Vec<f64>> = numbers.map(|all| all.split(' ').filter_map(|one| one.parse().ok()).collect());
    let Some([requests, micros, p99, refused, broken]) = numbers.as_deref() else {
        panic!("{what}: wrk printed no measurements: {output}");
    };
    let wanted = if *good { 0.0 } else { *requests };
    assert!(*requests > 0.0 && *refused == wanted && *broken == 0.0, "{what}: {output}");
    Load { requests: *requests, seconds: micros / 1e6, p99: p99 / 1e6 }
}

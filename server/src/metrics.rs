//! Counters for OpenMetrics. Every label is from a fixed set or a handler's name: no client can add one.

use keyward_runtime::{Counts, Error, Fault, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

/// From 10 µs, about the cheapest call, to the quarter of a second after which every call is stopped by default.
const BUCKETS: [f64; 12] = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25];

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Verify,
    Create,
    Revoke,
    List,
    Find,
    Edit,
    Rotate,
}

impl Operation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Create => "create",
            Self::Revoke => "revoke",
            Self::List => "list",
            Self::Find => "find",
            Self::Edit => "edit",
            Self::Rotate => "rotate",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    handler: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    handler: String,
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hit {
    handler: String,
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Loaded {
    handler: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: &'static str,
    status: u16,
}

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    limits: Family<Hit, Counter>,
    requests: Family<Answered, Counter>,
    connections: Gauge,
    reloads: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("keyward");
        let calls = Family::default();
        registry.register("calls", "Calls by handler, operation and outcome", calls.clone());
        let durations: Family<Asked, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit("call_duration", "How long calls took", Unit::Seconds, durations.clone());
        let limits = Family::default();
        registry.register("limits_hit", "Calls that were stopped at a limit, or found no room", limits.clone());
        let requests = Family::default();
        registry.register("http_requests", "Requests by endpoint and status", requests.clone());
        let connections = Gauge::default();
        registry.register("connections", "Connections that are open", connections.clone());
        let reloads = Counter::default();
        registry.register("reloads", "Configurations that were put in place of another", reloads.clone());
        Self { registry, calls, durations, limits, requests, connections, reloads }
    }

    /// A call, and how it ended. `handler` is `-` where none was asked.
    pub(crate) fn call(&self, operation: Operation, handler: &str, outcome: &'static str, took: Duration) {
        let (handler, operation) = (handler.to_owned(), operation.as_str());
        self.durations.get_or_create(&Asked { handler: handler.clone(), operation }).observe(took.as_secs_f64());
        self.calls.get_or_create(&Call { handler, operation, outcome }).inc();
    }

    /// A call that ended without an answer.
    pub(crate) fn failed(&self, error: &Error) {
        if let Fault::Limit(_) | Fault::Busy { .. } = error.fault() {
            let handler = error.handler().unwrap_or("-").to_owned();
            self.limits.get_or_create(&Hit { handler, limit: error.code() }).inc();
        }
    }

    pub(crate) fn answered(&self, endpoint: &'static str, status: u16) {
        self.requests.get_or_create(&Answered { endpoint, status }).inc();
    }

    pub(crate) fn reloaded(&self) {
        self.reloads.inc();
    }

    /// Counts a connection while the value lives.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// The exposition in OpenMetrics' text format, with what has been counted of each handler since it was loaded.
    pub(crate) fn text<'a>(&self, handlers: impl Iterator<Item = (&'a str, Counts)>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &loaded(handlers))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn loaded<'a>(handlers: impl Iterator<Item = (&'a str, Counts)>) -> Registry {
    let [calls, kept, lookups] = [(); 3].map(|()| Family::<Loaded, Counter>::default());
    for (handler, counts) in handlers {
        let add = |family: &Family<Loaded, Counter>, count| {
            family.get_or_create(&Loaded { handler: handler.to_owned() }).inc_by(count);
        };
        add(&calls, counts.calls);
        add(&kept, counts.kept);
        add(&lookups, counts.lookups);
    }
    let mut registry = Registry::with_prefix("keyward");
    registry.register("guest_calls", "Calls of the component since it was loaded", calls);
    registry.register("answers_kept", "Tokens that were good by an answer of the same second", kept);
    registry.register("store_lookups", "Questions of the component to the store", lookups);
    registry
}

/// A connection that is open.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The word for a verdict, and the handler that gave it.
pub(crate) fn outcome(verdict: &Result<Verdict, Error>) -> (&'static str, &str) {
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => ("accepted", &acceptance.handler),
        Ok(Verdict::NotMine) => ("not-mine", "-"),
        Ok(Verdict::Rejected(rejection)) => ("rejected", rejection.handler.as_deref().unwrap_or("-")),
        Err(error) => ("failed", error.handler().unwrap_or("-")),
    }
}

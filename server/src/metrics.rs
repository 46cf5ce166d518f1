//! The metrics of the server in OpenMetrics format, beside those of its operations. Clients cannot
//! add label values: each is from a fixed set or the configuration.

use keyward_service::{Metrics as Calls, Snapshot};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    endpoint: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exceeded {
    limit: &'static str,
}

/// The metrics of the process.
pub(crate) struct Metrics {
    pub(crate) calls: Calls,
    registry: Registry,
    requests: Family<Answered, Counter>,
    rate_limited: Family<Exceeded, Counter>,
    connections: Gauge,
    reloads: Counter,
    failed_reloads: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("keyward");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests by endpoint and status", requests.clone());
        let rate_limited = Family::default();
        registry.register("rate_limited", "Requests refused with 429, which are not logged", rate_limited.clone());
        let connections = Gauge::default();
        registry.register("connections", "Open connections", connections.clone());
        let reloads = Counter::default();
        registry.register("reloads", "Reloads of the configuration", reloads.clone());
        let failed_reloads = Counter::default();
        let help = "Reloads that kept the previous configuration";
        registry.register("reload_failures", help, failed_reloads.clone());
        let calls = Calls::default();
        Self { calls, registry, requests, rate_limited, connections, reloads, failed_reloads }
    }

    pub(crate) fn answered(&self, endpoint: &'static str, status: u16) {
        self.requests.get_or_create(&Answered { endpoint, status }).inc();
    }

    /// Counts a request that exceeds a rate.
    pub(crate) fn rate_limited(&self, limit: &'static str) {
        self.rate_limited.get_or_create(&Exceeded { limit }).inc();
    }

    pub(crate) fn reloaded(&self) {
        self.reloads.inc();
    }

    pub(crate) fn reload_failed(&self) {
        self.failed_reloads.inc();
    }

    /// Counts a connection while the value lives.
    pub(crate) fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Returns the exposition in OpenMetrics' text format.
    pub(crate) fn text(&self, snapshot: Snapshot<'_>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.calls.encode(&mut text, snapshot)?;
        encode_registry(&mut text, &self.registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// An open connection, which counts until it is dropped.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

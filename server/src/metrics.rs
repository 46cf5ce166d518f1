//! The metrics in OpenMetrics format. Clients cannot add label values: each is from a fixed set,
//! the configuration or the store.

use crate::config::KeyAge;
use crate::inventory::Inventory;
use keyward_audit::AuditStatus;
use keyward_runtime::error::ErrorKind;
use keyward_runtime::revocation::PendingStatus;
use keyward_runtime::store::{NodeStatus, StatusCount};
use keyward_runtime::{Counts, Error, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Duration;

/// Buckets of call durations in seconds: from 10 µs, about the cheapest call, to 250 ms, at which
/// calls are stopped by default.
const BUCKETS: [f64; 12] = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25];

/// The operation label of calls.
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exceeded {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kept {
    handler: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AKey {
    key: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node: String,
}

/// The metrics of the process.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    limits: Family<Hit, Counter>,
    requests: Family<Answered, Counter>,
    rate_limited: Family<Exceeded, Counter>,
    connections: Gauge,
    reloads: Counter,
    failed_reloads: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("keyward");
        let calls = Family::default();
        registry.register("calls", "Calls by handler, operation and outcome", calls.clone());
        let durations: Family<Asked, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit("call_duration", "Duration of calls", Unit::Seconds, durations.clone());
        let limits = Family::default();
        registry.register("limits_hit", "Calls that exceeded a limit or found no free slot", limits.clone());
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
        Self { registry, calls, durations, limits, requests, rate_limited, connections, reloads, failed_reloads }
    }

    /// Counts a call, its outcome and its duration. `handler` is `-` if no handler was called.
    pub(crate) fn call(&self, operation: Operation, handler: &str, outcome: &'static str, took: Duration) {
        let (handler, operation) = (handler.to_owned(), operation.as_str());
        self.durations.get_or_create(&Asked { handler: handler.clone(), operation }).observe(took.as_secs_f64());
        self.calls.get_or_create(&Call { handler, operation, outcome }).inc();
    }

    /// Counts a call that failed, if it exceeded a limit or found no free slot.
    pub(crate) fn failed(&self, error: &Error) {
        if let ErrorKind::Limit(_) | ErrorKind::Busy { .. } = error.kind() {
            let handler = error.handler().unwrap_or("-").to_owned();
            self.limits.get_or_create(&Hit { handler, limit: error.code() }).inc();
        }
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

    /// Returns the exposition in OpenMetrics' text format, with the counts of each handler since it
    /// was loaded, the inventory of the store, the state of pending revocations and of the audit
    /// log, and the age of the keys at `now`, in unix seconds.
    pub(crate) fn text<'a>(
        &self,
        handlers: impl Iterator<Item = (&'a str, Counts)>,
        stock: &Inventory,
        pending: Option<&PendingStatus>,
        audit: Option<&AuditStatus>,
        keys: &[KeyAge],
        now: u64,
    ) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &loaded(handlers))?;
        encode_registry(&mut text, &kept(stock, keys, now))?;
        if let Some(pending) = pending {
            encode_registry(&mut text, &unwritten(pending))?;
        }
        if let Some(audit) = audit {
            encode_registry(&mut text, &written(audit))?;
        }
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn loaded<'a>(handlers: impl Iterator<Item = (&'a str, Counts)>) -> Registry {
    let [calls, hits, lookups] = [(); 3].map(|()| Family::<Loaded, Counter>::default());
    for (handler, counts) in handlers {
        let add = |family: &Family<Loaded, Counter>, count| {
            family.get_or_create(&Loaded { handler: handler.to_owned() }).inc_by(count);
        };
        add(&calls, counts.calls);
        add(&hits, counts.cache_hits);
        add(&lookups, counts.lookups);
    }
    let mut registry = Registry::with_prefix("keyward");
    registry.register("guest_calls", "Calls to the component since it was loaded", calls);
    registry.register("verdict_cache_hits", "Tokens accepted by the verdict cache, without a call", hits);
    registry.register("store_lookups", "Store lookups by the component", lookups);
    registry
}

/// Returns the metrics of the store and the keys.
fn kept(stock: &Inventory, keys: &[KeyAge], now: u64) -> Registry {
    let (tokens, ages) = (Family::<Kept, Gauge>::default(), Family::<AKey, Gauge>::default());
    let [behind, seen] = [(); 2].map(|()| Family::<Node, Gauge>::default());
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    for StatusCount { handler, status, tokens: count } in &stock.tokens {
        let labels = Kept { handler: handler.clone(), status: status.name() };
        tokens.get_or_create(&labels).set(number(*count));
    }
    let revocations: Gauge = Gauge::default();
    let length = stock.nodes.iter().map(|NodeStatus { last, behind, .. }| last.saturating_add(*behind)).max();
    revocations.set(number(length.unwrap_or_default()));
    for NodeStatus { node, last: _, behind: unread, at } in &stock.nodes {
        let labels = Node { node: node.clone() };
        behind.get_or_create(&labels).set(number(*unread));
        seen.get_or_create(&labels).set(number(*at));
    }
    for KeyAge { key, state, made_at } in keys {
        if let Some(made_at) = made_at {
            let labels = AKey { key: key.clone(), state };
            ages.get_or_create(&labels).set(number(now.saturating_sub(*made_at)));
        }
    }
    let mut registry = Registry::with_prefix("keyward");
    registry.register("tokens", "Tokens with a record, by handler and status", tokens);
    registry.register_with_unit("key_age", "Age of keys", Unit::Seconds, ages);
    registry.register("revocations", "Revocations in the list of the store, which every node keeps", revocations);
    registry.register("node_behind", "Revocations that a node had not read at its last heartbeat", behind);
    registry.register_with_unit("node_seen_timestamp", "Time of a node's last heartbeat", Unit::Seconds, seen);
    registry
}

/// Returns the metrics of pending revocations.
fn unwritten(pending: &PendingStatus) -> Registry {
    let PendingStatus { count, is_volatile, may_be_lost, .. } = pending;
    let [waiting, lost] = [(); 2].map(|()| Gauge::<i64>::default());
    waiting.set(i64::try_from(*count).unwrap_or(i64::MAX));
    lost.set(i64::from(*is_volatile || *may_be_lost));
    let mut registry = Registry::with_prefix("keyward");
    registry.register("revocations_pending", "Revocations that are not confirmed and only apply here", waiting);
    let help = "1 if a restart may have lost revocations, or would lose some";
    registry.register("revocations_may_be_lost", help, lost);
    registry
}

/// Returns the metrics of the audit log.
fn written(standing: &AuditStatus) -> Registry {
    let AuditStatus { head, written: _, waiting, lag, lost, refused, trouble } = standing;
    let gauge = |number: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        gauge
    };
    let counter = |number: u64| {
        let counter = Counter::<u64>::default();
        counter.inc_by(number);
        counter
    };
    let behind = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    behind.set(lag.as_secs_f64());
    let mut registry = Registry::with_prefix("keyward");
    registry.register("audit_head", "Number of the last record of the audit log", gauge(head.seq));
    registry.register("audit_waiting", "Queued records", gauge(u64::try_from(*waiting).unwrap_or(u64::MAX)));
    registry.register_with_unit("audit_lag", "Time that the oldest queued record has waited", Unit::Seconds, behind);
    registry.register("audit_stuck", "1 if the audit log cannot be written", gauge(u64::from(trouble.is_some())));
    registry.register("audit_lost", "Records that were counted but not written", counter(*lost));
    registry.register("audit_refused", "Changes refused because they could not be recorded", counter(*refused));
    registry
}

/// An open connection, which counts until it is dropped.
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Returns the outcome label of a verdict, and the handler that gave it or `-`.
pub(crate) fn outcome(verdict: &Result<Verdict, Error>) -> (&'static str, &str) {
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => ("accepted", &acceptance.handler),
        Ok(Verdict::NotMine) => ("not-mine", "-"),
        Ok(Verdict::Rejected(rejection)) => ("rejected", rejection.handler.as_deref().unwrap_or("-")),
        Err(error) => ("failed", error.handler().unwrap_or("-")),
    }
}

//! The metrics of a registry in OpenMetrics format. Clients cannot add label values: each is from a
//! fixed set, the configuration or the store.

use keyward_audit::{Audit, AuditStatus};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::ErrorKind;
use keyward_runtime::key_sets::KeySetStatus;
use keyward_runtime::registry::{BreakerState, HandlerInfo, LimitPeak};
use keyward_runtime::revocation::PendingStatus;
use keyward_runtime::store::{NodeStatus, StatusCount};
use keyward_runtime::{Error, Registry as Handlers, Verdict};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Buckets of call durations in seconds: from 10 µs, about the cheapest call, to 250 ms, at which
/// calls are stopped by default.
const BUCKETS: [f64; 12] = [0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25];

/// The operation label of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Verifies a token.
    Verify,
    /// Identifies the user of a request.
    Identify,
    /// Issues a token.
    Create,
    /// Revokes tokens.
    Revoke,
    /// Lists records.
    List,
    /// Reads a record.
    Find,
    /// Edits a record.
    Edit,
    /// Replaces a token.
    Rotate,
}

impl Operation {
    /// Returns the value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Identify => "identify",
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
struct Failed {
    handler: String,
    code: &'static str,
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ASet {
    set: String,
}

/// The latest token counts and nodes of a store. Empty until the store has responded.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The counts of [`Tokens::tally`](keyward_runtime::registry::Tokens::tally).
    pub tokens: Vec<StatusCount>,
    /// The nodes of [`NodeDirectory::nodes`](keyward_runtime::store::NodeDirectory::nodes).
    pub nodes: Vec<NodeStatus>,
}

/// The age of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAge {
    /// The ring and the key's id: `main/2026-11`.
    pub key: String,
    /// Its state: `pending`, `active`, `verify-only` or `retired`.
    pub state: &'static str,
    /// The time of creation; `None` if unknown.
    pub made_at: Option<UnixTime>,
}

/// The state that an exposition shows, beside the counted calls.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The registry, with the counts of each handler since it was loaded.
    pub registry: &'a Handlers,
    /// The counts and nodes of its store.
    pub inventory: &'a Inventory,
    /// The audit log, if there is one.
    pub audit: Option<&'a Audit>,
    /// The keys that the handlers use.
    pub keys: &'a [KeyAge],
    /// The current time.
    pub at: UnixTime,
}

/// The metrics of the calls of a registry. Survives reloads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    limits: Family<Hit, Counter>,
    failures: Family<Failed, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("keyward");
        let calls = Family::default();
        registry.register("calls", "Calls by handler, operation and outcome", calls.clone());
        let durations: Family<Asked, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit("call_duration", "Duration of calls", Unit::Seconds, durations.clone());
        let limits = Family::default();
        registry.register("limits_hit", "Calls that exceeded a limit or found no free slot", limits.clone());
        let failures = Family::default();
        registry.register("failures", "Calls without a verdict, by the code of the error", failures.clone());
        Self { registry, calls, durations, limits, failures }
    }
}

impl Metrics {
    /// Counts a verification.
    pub fn verified(&self, verdict: &Result<Verdict, Error>, took: Duration) {
        let (outcome, handler) = outcome(verdict);
        self.call(Operation::Verify, handler, outcome, took);
        if let Err(error) = verdict {
            self.failed(error);
        }
    }

    /// Counts the identification of a user.
    pub fn identified(&self, verdict: &Result<Verdict, Error>, took: Duration) {
        let (outcome, handler) = outcome(verdict);
        self.call(Operation::Identify, handler, outcome, took);
        if let Err(error) = verdict {
            self.failed(error);
        }
    }

    /// Counts another operation. `handler` is `-` if no handler or several are concerned, and
    /// `outcome` a word for a success.
    pub fn done<T>(
        &self,
        operation: Operation,
        handler: &str,
        result: &Result<T, Error>,
        outcome: impl FnOnce(&T) -> &'static str,
        took: Duration,
    ) {
        self.call(operation, handler, result.as_ref().map_or("failed", outcome), took);
        if let Err(error) = result {
            self.failed(error);
        }
    }

    fn call(&self, operation: Operation, handler: &str, outcome: &'static str, took: Duration) {
        let (handler, operation) = (handler.to_owned(), operation.as_str());
        self.durations.get_or_create(&Asked { handler: handler.clone(), operation }).observe(took.as_secs_f64());
        self.calls.get_or_create(&Call { handler, operation, outcome }).inc();
    }

    /// Counts a call that failed, also as a limit if it exceeded one or found no free slot.
    fn failed(&self, error: &Error) {
        let handler = || error.handler().unwrap_or("-").to_owned();
        self.failures.get_or_create(&Failed { handler: handler(), code: error.code() }).inc();
        if let ErrorKind::Limit(_) | ErrorKind::Busy { .. } = error.kind() {
            self.limits.get_or_create(&Hit { handler: handler(), limit: error.code() }).inc();
        }
    }

    /// Returns the exposition in OpenMetrics' text format.
    ///
    /// # Errors
    /// The text cannot be formatted, which does not happen.
    pub fn text(&self, snapshot: Snapshot<'_>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.encode(&mut text, snapshot)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// Appends the exposition without its final line, so that other metrics can follow.
    ///
    /// # Errors
    /// As for [`text`](Self::text).
    pub fn encode(&self, text: &mut String, snapshot: Snapshot<'_>) -> Result<(), fmt::Error> {
        let Snapshot { registry, inventory, audit, keys, at } = snapshot;
        encode_registry(text, &self.registry)?;
        encode_registry(text, &loaded(registry.handlers()))?;
        encode_registry(text, &kept(inventory, keys, at))?;
        encode_registry(text, &key_sets(registry.key_sets()))?;
        if let Ok(revocations) = registry.revocations() {
            encode_registry(text, &unwritten(revocations.list().pending()))?;
        }
        if let Some(audit) = audit {
            encode_registry(text, &written(&audit.status()))?;
        }
        Ok(())
    }
}

fn loaded<'a>(handlers: impl Iterator<Item = HandlerInfo<'a>>) -> Registry {
    let [calls, hits, lookups, openings] = [(); 4].map(|()| Family::<Loaded, Counter>::default());
    let breakers = Family::<Loaded, Gauge>::default();
    let used = Family::<Hit, Gauge<f64, AtomicU64>>::default();
    for HandlerInfo { name: handler, counts, breaker, breaker_openings, peaks, .. } in handlers {
        let add = |family: &Family<Loaded, Counter>, count| {
            family.get_or_create(&Loaded { handler: handler.to_owned() }).inc_by(count);
        };
        add(&calls, counts.calls);
        add(&hits, counts.cache_hits);
        add(&lookups, counts.lookups);
        add(&openings, breaker_openings);
        let state = i64::from(breaker != BreakerState::Closed);
        for LimitPeak { limit, used: peak, of, .. } in peaks {
            #[expect(clippy::cast_precision_loss, reason = "a ratio for humans")]
            let ratio = peak as f64 / of.max(1) as f64;
            used.get_or_create(&Hit { handler: handler.to_owned(), limit: limit.code() }).set(ratio);
        }
        breakers.get_or_create(&Loaded { handler: handler.to_owned() }).set(state);
    }
    let mut registry = Registry::with_prefix("keyward");
    registry.register("guest_calls", "Calls to the component since it was loaded", calls);
    registry.register("verdict_cache_hits", "Verdicts from the cache, without a call", hits);
    registry.register("store_lookups", "Store lookups by the component", lookups);
    registry.register("limit_used_ratio", "Highest use of a limit by one call in the last minutes", used);
    registry.register("breaker_open", "1 while the handler gets one call at a time, because it failed", breakers);
    registry.register("breaker_openings", "Times that the breaker of the handler has opened", openings);
    registry
}

/// Returns the metrics of the store and the keys.
fn kept(stock: &Inventory, keys: &[KeyAge], now: UnixTime) -> Registry {
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
        seen.get_or_create(&labels).set(number(at.seconds));
    }
    for KeyAge { key, state, made_at } in keys {
        if let Some(made_at) = made_at {
            let labels = AKey { key: key.clone(), state };
            ages.get_or_create(&labels).set(number(now.seconds_since(*made_at)));
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

/// Returns the metrics of the key sets.
fn key_sets(sets: BTreeMap<String, KeySetStatus>) -> Registry {
    let [keys, usable, ages, next] = [(); 4].map(|()| Family::<ASet, Gauge>::default());
    let [refreshes, failures] = [(); 2].map(|()| Family::<ASet, Counter>::default());
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    for (set, KeySetStatus { keys: known, is_usable, remote, .. }) in sets {
        let labels = ASet { set };
        keys.get_or_create(&labels).set(i64::try_from(known.len()).unwrap_or(i64::MAX));
        usable.get_or_create(&labels).set(i64::from(is_usable));
        let Some(remote) = remote else { continue };
        if let Some(age) = remote.age {
            ages.get_or_create(&labels).set(seconds(age));
        }
        next.get_or_create(&labels).set(seconds(remote.next_refresh));
        refreshes.get_or_create(&labels).inc_by(remote.refreshes);
        failures.get_or_create(&labels).inc_by(remote.failures);
    }
    let mut registry = Registry::with_prefix("keyward");
    registry.register("key_set_keys", "Public keys of a key set", keys);
    registry.register("key_set_usable", "0 if a key set verifies nothing, because it is too old or unknown", usable);
    registry.register_with_unit("key_set_age", "Time since a key set was fetched", Unit::Seconds, ages);
    registry.register_with_unit("key_set_next_refresh", "Time until the next refresh", Unit::Seconds, next);
    registry.register("key_set_refreshes", "Refreshes of a key set", refreshes);
    registry.register("key_set_refresh_failures", "Refreshes of a key set that failed", failures);
    registry
}

/// Returns the metrics of pending revocations.
fn unwritten(pending: PendingStatus) -> Registry {
    let PendingStatus { count, is_volatile, may_be_lost, .. } = pending;
    let [waiting, lost] = [(); 2].map(|()| Gauge::<i64>::default());
    waiting.set(i64::try_from(count).unwrap_or(i64::MAX));
    lost.set(i64::from(is_volatile || may_be_lost));
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
    let behind = Gauge::<f64, AtomicU64>::default();
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

/// Returns the outcome label of a verdict, and the handler that gave it or `-`.
fn outcome(verdict: &Result<Verdict, Error>) -> (&'static str, &str) {
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => ("accepted", &acceptance.handler),
        Ok(Verdict::NotMine) => ("not-mine", "-"),
        Ok(Verdict::Rejected(rejection)) => ("rejected", rejection.handler.as_deref().unwrap_or("-")),
        Err(error) => ("failed", error.handler().unwrap_or("-")),
    }
}

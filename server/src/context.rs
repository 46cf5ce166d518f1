//! What one request is answered with.

use crate::config::Config;
use crate::metrics::Metrics;
use hyper::header::HeaderValue;
use keyward_audit::Audit;
use keyward_runtime::Registry;
use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Configuration and handlers that belong together. A reload puts another one in its place; a request keeps the one that it
/// began with.
pub(crate) struct Live {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    /// The SHA-256 of each handler's component, for the audit.
    pub(crate) digests: HashMap<String, String>,
    /// Room for requests that are being answered.
    pub(crate) room: Semaphore,
    /// Room for those whose sender is known only when the body has been read: a quarter of the other, so that nobody holds
    /// up those who are known by sending bodies slowly.
    pub(crate) room_for_unknown: Semaphore,
}

impl Live {
    pub(crate) fn new(config: Config, registry: Registry) -> Self {
        let digests = registry.handlers().map(|handler| (handler.name.to_owned(), handler.component.sha256_hex()));
        let digests = digests.collect();
        let room = Semaphore::new(config.limits.requests);
        let room_for_unknown = Semaphore::new(config.limits.requests.div_ceil(4));
        Self { config, registry, digests, room, room_for_unknown }
    }
}

/// One request: what it may use, who sent it, and its name in the log.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) live: Arc<Live>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where changes are written down before they are made, and what is refused.
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) peer: IpAddr,
    pub(crate) id: RequestId,
    pub(crate) begun: Instant,
}

/// The name of a request: 16 hexadecimal digits, the first 8 of which are random for each process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    fn new(process: u32, number: u32) -> Self {
        let mut text = [b'0'; 16];
        // It has just the room that this takes.
        let _ = write!(text.as_mut_slice(), "{process:08x}{number:08x}");
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("-")
    }

    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Gives requests their names.
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        // Without randomness the names still differ within the process.
        let process = getrandom::u32().unwrap_or_else(|_| std::process::id());
        Self { process, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        // After 2^32 requests the names begin again, as those of log lines may.
        let number = u32::try_from(self.next.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX)).unwrap_or(0);
        RequestId::new(self.process, number)
    }
}

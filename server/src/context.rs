//! The state of one request: the live configuration, the peer and the request id.

use crate::config::Config;
use crate::metrics::Metrics;
use crate::peer::Peer;
use crate::rate_limits::RateLimits;
use crate::slots::{Slot, Slots};
use hyper::header::HeaderValue;
use keyward_audit::Audit;
use keyward_pages::Pages;
use keyward_runtime::Registry;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A configuration and the registry that belongs to it. A reload replaces both at once; a request
/// keeps the pair that it started with.
pub(crate) struct LiveConfig {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    /// The SHA-256 of each handler's component, by handler name, for the logs.
    pub(crate) digests: HashMap<String, String>,
    pub(crate) slots: Slots,
    pub(crate) rates: RateLimits,
    pub(crate) pages: Option<Pages>,
}

impl LiveConfig {
    pub(crate) fn new(config: Config, registry: Registry) -> Self {
        let digests = registry.handlers().map(|handler| (handler.name.to_owned(), handler.component.sha256_hex()));
        let digests = digests.collect();
        let slots = Slots::new(&config.limits);
        let rates = RateLimits::new(&config);
        let pages = config.pages.clone().map(Pages::new);
        Self { config, registry, digests, slots, rates, pages }
    }
}

/// The context of one request.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) live: Arc<LiveConfig>,
    pub(crate) metrics: Arc<Metrics>,
    /// The audit log, which records changes before they happen, and refusals.
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) peer: Peer,
    pub(crate) id: RequestId,
    pub(crate) begun: Instant,
    /// The slot of the request; `None` if none was free.
    pub(crate) slot: Option<Slot>,
}

/// The id of a request: 16 hexadecimal digits, of which the first 8 are random for each process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId([u8; 16]);

impl RequestId {
    fn new(process: u32, number: u32) -> Self {
        let mut text = [b'0'; 16];
        // Cannot fail: the text is exactly 16 bytes long.
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

/// Generates request ids.
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        // Without randomness the ids still differ within the process.
        let process = getrandom::u32().unwrap_or_else(|_| std::process::id());
        Self { process, next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> RequestId {
        // The ids repeat after 2^32 requests, which is acceptable for logs.
        let number = u32::try_from(self.next.fetch_add(1, Ordering::Relaxed) & u64::from(u32::MAX)).unwrap_or(0);
        RequestId::new(self.process, number)
    }
}

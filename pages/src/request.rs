//! A request of a browser, and the host that answers it.

use crate::Pages;
use http::header::COOKIE;
use http::{HeaderMap, Method};
use keyward_audit::Audit;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::session::cookies;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{Error, Registry};
use keyward_service::{Metrics, Operation, Operations, Origin};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The client in audit logs and records of changes on the pages. No client of the API may have this
/// name.
pub const CLIENT: &str = "page";

/// The part of a server that the pages need.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "metrics have no `Debug`")]
#[expect(clippy::exhaustive_structs, reason = "servers construct it")]
pub struct Host<'a> {
    /// The registry of the handlers.
    pub registry: &'a Registry,
    /// The audit log.
    pub audit: Option<&'a Arc<Audit>>,
    /// The counters of operations.
    pub metrics: &'a Metrics,
    /// The id of the request.
    pub request_id: &'a str,
    /// The address of the client or proxy; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
}

/// A request whose path is one of the pages.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it holds cookies")]
#[expect(clippy::exhaustive_structs, reason = "servers construct it")]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, which may be percent-encoded.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, whose size is bounded.
    pub body: &'a [u8],
}

/// A request with everything that is needed to answer it.
pub(crate) struct Call<'a> {
    pub(crate) pages: &'a Pages,
    pub(crate) host: Host<'a>,
    pub(crate) request: Request<'a>,
    pub(crate) store: &'a dyn TokenStore,
    pub(crate) now: UnixTime,
}

impl<'a> Call<'a> {
    /// # Errors
    /// There is no store, or the clock returns no time.
    pub(crate) fn new(pages: &'a Pages, host: Host<'a>, mut request: Request<'a>) -> Result<Self, Error> {
        if request.method == Method::HEAD {
            request.method = &Method::GET;
        }
        Ok(Self { pages, host, request, store: host.registry.tokens()?.store(), now: host.registry.now()? })
    }

    pub(crate) fn is_post(&self) -> bool {
        self.request.method == Method::POST
    }

    /// Returns the value of a cookie; `None` if there is none, or more than one.
    pub(crate) fn cookie(&self, name: &str) -> Option<&'a str> {
        let headers = self.request.headers.get_all(COOKIE).iter();
        let all = headers.flat_map(|header| cookies(header.as_bytes()));
        let mut values = all.filter(|(known, _)| *known == name).map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the value of a header; `None` if there is none, or more than one.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.request.headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none());
        value.and_then(|value| value.to_str().ok())
    }

    /// Returns the fields of the query.
    pub(crate) fn query(&self) -> Values {
        Values::parse(self.request.query.as_bytes())
    }

    /// Returns the fields of the form.
    pub(crate) fn form(&self) -> Values {
        Values::parse(self.request.body)
    }

    /// Returns the operations of a person.
    pub(crate) fn operations(&self) -> Operations<'a> {
        let origin = Origin { request: Some(self.host.request_id), client: Some(CLIENT) };
        Operations::new(self.host.registry, self.host.audit, origin).with_retries()
    }

    /// Awaits an operation, counts it, and logs it.
    pub(crate) async fn counted<T>(
        &self,
        operation: Operation,
        handler: &str,
        person: &str,
        work: impl Future<Output = Result<T, Error>>,
        outcome: impl Fn(&T) -> &'static str,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let done = work.await;
        self.host.metrics.done(operation, handler, &done, &outcome, start.elapsed());
        let registry = self.host.registry;
        tracing::info!(
            target: "keyward::decision",
            request_id = self.host.request_id,
            endpoint = "pages",
            client = CLIENT,
            outcome = done.as_ref().map_or("failed", &outcome),
            reason = done.as_ref().err().map(Error::code),
            handler,
            actor = &*keyward_runtime::text::escape_untrusted(&registry.redact(person), 256),
            detail = operation.as_str(),
            "decision"
        );
        done
    }
}

/// The fields of a form or a query.
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value of a field, or an empty text.
    pub(crate) fn one<'v>(&'v self, name: &'v str) -> &'v str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns the values of a field.
    pub(crate) fn all<'v>(&'v self, name: &'v str) -> impl Iterator<Item = &'v str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

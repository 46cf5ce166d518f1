//! The service: responds to requests with the live configuration, which a reload replaces.

use crate::config::Config;
use crate::context::{Context, LiveConfig, RequestIds};
use crate::endpoints::OTHER;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::pages::{self, PAGES, Serves};
use crate::peer::Peer;
use crate::routes::{self, forward, forward::ForwardPath};
use crate::slots::{HeldBody, Slot};
use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Request, Version};
use keyward_audit::Audit;
use keyward_runtime::Registry;
use keyward_service::Inventory;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tower::ServiceExt;

/// The header for the id of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A service that responds to requests with a configuration and a [`Registry`], both replaceable at
/// runtime. Cheap to clone; all clones share their state.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    live: ArcSwap<LiveConfig>,
    /// The error of the last reload, if it failed.
    failed_reload: ArcSwapOption<String>,
    audit: Option<Arc<Audit>>,
    stock: ArcSwap<Inventory>,
    metrics: Arc<Metrics>,
    ids: RequestIds,
    router: Router,
}

impl Service {
    /// Creates a service from an initial configuration and registry, without an audit log.
    pub fn new(config: Config, registry: Registry) -> Self {
        Self::with_audit(config, registry, None)
    }

    /// Creates a service with an audit log, which records each change before it happens and notes
    /// refusals. The settings of the [`Audit`] determine whether a change that cannot be recorded
    /// is refused. The audit log cannot be replaced.
    pub fn with_audit(config: Config, registry: Registry, audit: Option<Arc<Audit>>) -> Self {
        Self(Arc::new(Inner {
            live: ArcSwap::from_pointee(LiveConfig::new(config, registry)),
            failed_reload: ArcSwapOption::empty(),
            audit,
            stock: ArcSwap::default(),
            metrics: Arc::new(Metrics::new()),
            ids: RequestIds::new(),
            router: routes::router(),
        }))
    }

    /// Replaces configuration and registry atomically: each request uses either the old or the new
    /// pair. Settings that apply at startup do not change: the addresses and
    /// [`Limits::connections`].
    ///
    /// [`Limits::connections`]: crate::Limits::connections
    pub fn replace(&self, config: Config, registry: Registry) {
        self.0.live.store(Arc::new(LiveConfig::new(config, registry)));
        self.0.failed_reload.store(None);
        self.0.metrics.reloaded();
    }

    /// Notes that a reload failed, so that the previous configuration stays in effect. `/readyz`
    /// reports the error, which must contain no secret, until the next [`replace`](Self::replace).
    pub fn reload_failed(&self, error: impl Into<String>) {
        self.0.failed_reload.store(Some(Arc::new(error.into())));
        self.0.metrics.reload_failed();
    }

    /// Returns the error of the last reload, or `None` if it succeeded.
    pub(crate) fn failed_reload(&self) -> Option<Arc<String>> {
        self.0.failed_reload.load_full()
    }

    /// Returns the OpenAPI document that `/openapi.json` serves.
    pub fn openapi() -> &'static str {
        routes::document()
    }

    pub(crate) fn live(&self) -> Arc<LiveConfig> {
        self.0.live.load_full()
    }

    pub(crate) fn stock(&self) -> &ArcSwap<Inventory> {
        &self.0.stock
    }

    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.0.audit.as_deref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Returns the headers for a response of the HTTP library about a request that it cannot parse,
    /// and counts the response.
    pub(crate) fn unparsed(&self, status: u16) -> String {
        self.0.metrics.answered(OTHER, status);
        format!("{REQUEST_ID}: {}\r\ncache-control: no-store\r\n", self.0.ids.next().as_str())
    }

    /// Responds to one request.
    pub(crate) async fn answer(&self, peer: Peer, serves: Serves, request: Request<Incoming>) -> Response {
        let Inner { live, failed_reload: _, audit, stock: _, metrics, ids, router } = &*self.0;
        let live = live.load_full();
        let is_page = pages::are_served(&live, serves, request.uri().path());
        let slot = slot(&live, &request, is_page);
        let context = Context {
            live,
            metrics: metrics.clone(),
            audit: audit.clone(),
            peer,
            id: ids.next(),
            begun: Instant::now(),
            slot,
        };
        let (request, body) = request.into_parts();
        let place = ForwardPath::of(request.uri.path());
        let named = || routes::endpoint_of(request.uri.path()).map_or(OTHER, |endpoint| endpoint.name);
        let pages = context.live.pages.as_ref().filter(|_| is_page);
        let endpoint = match pages {
            Some(_) => PAGES,
            None => place.map_or_else(named, |place| place.dialect.as_str()),
        };
        let mut response = match context.slot {
            None => ApiError::Overloaded.into_response(),
            Some(_) => match (check(&context, &request, is_page), place) {
                (Err(problem), _) => problem.into_response(),
                (Ok(()), _) if pages.is_none() && serves == Serves::Pages => ApiError::NotFound.into_response(),
                (Ok(()), _) if let Some(pages) = pages => {
                    Box::pin(pages::answer(&context, pages, &request, Body::new(body))).await
                }
                (Ok(()), Some(place)) => {
                    let mut response = forward::answer(&context, place, &request).await;
                    // hyper drops the body of a response to HEAD, and with it the length.
                    if let (&Method::HEAD, Some(length)) = (&request.method, response.body().size_hint().exact()) {
                        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                    }
                    response
                }
                (Ok(()), None) => {
                    let mut request = Request::from_parts(request, Body::new(body));
                    request.extensions_mut().insert(context.clone());
                    // Boxed, so that the future of forward-auth requests stays small.
                    match Box::pin(router.clone().oneshot(request)).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    }
                }
            },
        };
        if let Some(problem) = response.extensions_mut().remove::<ApiError>() {
            if let ApiError::RateLimited(exceeded) | ApiError::QuotaExceeded(exceeded) = problem {
                metrics.rate_limited(exceeded.limit);
            }
            response = problem.worded(&context.live.config.realm, response.headers());
        }
        // The document is static, so that a client that does not read it costs no memory.
        if let Some(slot) = &context.slot
            && endpoint != routes::DOCUMENT.name
        {
            response = response.map(|body| HeldBody::hold(body, slot.clone()));
        }
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        headers.insert(REQUEST_ID, context.id.header());
        metrics.answered(endpoint, response.status().as_u16());
        response
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// Takes a slot for the request.
fn slot<B>(live: &LiveConfig, request: &Request<B>, is_page: bool) -> Option<Slot> {
    let endpoint = routes::endpoint_of(request.uri().path());
    let takes_credentials = endpoint.is_some_and(|endpoint| endpoint.takes_credentials_in_body);
    let is_unknown = takes_credentials && !request.headers().contains_key(header::AUTHORIZATION);
    // The body of a form is read before the person is known.
    let is_form = is_page && request.method() == Method::POST;
    if is_unknown || is_form { live.slots.take_for_form() } else { live.slots.take() }
}

/// Checks the requirements on every request: host, version, transfer coding and query.
fn check(context: &Context, request: &Parts, is_page: bool) -> Result<(), ApiError> {
    let config = &context.live.config;
    let Parts { method, uri, version, headers, .. } = request;
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::InvalidRequest("The request must have exactly one `Host` header"));
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    // The authority is a host, optionally with a port.
    let plain = |authority: &Authority| {
        !authority.as_str().contains('@') && (authority.port_u16().is_some() || authority.as_str() == authority.host())
    };
    let Some(authority) = authority.filter(plain) else {
        return Err(ApiError::InvalidRequest("The `Host` header is not a valid host"));
    };
    if !config.hosts.contains(authority.host()) || uri.host().is_some_and(|host| !config.hosts.contains(host)) {
        return Err(ApiError::Misdirected);
    }
    if method == Method::CONNECT || *version > Version::HTTP_11 {
        return Err(ApiError::InvalidRequest("CONNECT and HTTP/2 are not supported"));
    }
    // hyper decodes the last coding only and would pass on a body that is still encoded.
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() {
        return Err(ApiError::UnknownCoding);
    }
    let path = uri.path();
    if !is_page && !routes::may_have_query(path, method) && uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(ApiError::InvalidRequest("This path takes no query: send parameters in the body"));
    }
    Ok(())
}

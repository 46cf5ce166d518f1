//! The service: what answers requests, and what a reload puts in its place.

use crate::config::Config;
use crate::context::{Context, Live, RequestIds};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::routes::{self, forward, forward::Place};
use crate::stock::Stock;
use arc_swap::ArcSwap;
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
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// The name of the request in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A configuration and a registry that answer requests, until others are put in their place. Cheap to clone; all clones
/// are one.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    live: ArcSwap<Live>,
    audit: Option<Arc<Audit>>,
    stock: ArcSwap<Stock>,
    metrics: Arc<Metrics>,
    ids: RequestIds,
    router: Router,
}

impl Service {
    /// Begins with these.
    pub fn new(config: Config, registry: Registry) -> Self {
        Self::with_audit(config, registry, None)
    }

    /// The same with an audit: each change is written down in it before it is made, or not made, as its settings say; what is
    /// refused is noted. It is the same one for as long as the service lives.
    pub fn with_audit(config: Config, registry: Registry, audit: Option<Arc<Audit>>) -> Self {
        Self(Arc::new(Inner {
            live: ArcSwap::from_pointee(Live::new(config, registry)),
            audit,
            stock: ArcSwap::default(),
            metrics: Arc::new(Metrics::new()),
            ids: RequestIds::new(),
            router: routes::router(),
        }))
    }

    /// Puts these in place, together and at once: each request is answered by the old ones or by the new ones. What has been
    /// bound or counted when the server started stays: addresses and `limits.connections`.
    pub fn replace(&self, config: Config, registry: Registry) {
        self.0.live.store(Arc::new(Live::new(config, registry)));
        self.0.metrics.reloaded();
    }

    /// The OpenAPI document that `/openapi.json` serves.
    pub fn openapi() -> &'static str {
        routes::document()
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    pub(crate) fn stock(&self) -> &ArcSwap<Stock> {
        &self.0.stock
    }

    pub(crate) fn audit(&self) -> Option<&Audit> {
        self.0.audit.as_deref()
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response {
        let Inner { live, audit, stock: _, metrics, ids, router } = &*self.0;
        let context = Context {
            live: live.load_full(),
            metrics: metrics.clone(),
            audit: audit.clone(),
            peer: peer.to_canonical(),
            id: ids.next(),
            begun: Instant::now(),
        };
        let (request, body) = request.into_parts();
        let place = Place::of(request.uri.path());
        let endpoint = place.map_or_else(|| endpoint(request.uri.path()), |place| place.dialect.as_str());
        let mut response = match room(&context.live, &request).try_acquire() {
            Err(_) => Problem::Overloaded.into_response(),
            Ok(_room) => match (check(&context, &request), place) {
                (Err(problem), _) => problem.into_response(),
                (Ok(()), Some(place)) => {
                    let mut response = forward::answer(&context, place, &request).await;
                    // hyper leaves the body of an answer to HEAD away, and with it the length that it would have.
                    if let (&Method::HEAD, Some(length)) = (&request.method, response.body().size_hint().exact()) {
                        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                    }
                    response
                }
                (Ok(()), None) => {
                    let mut request = Request::from_parts(request, Body::new(body));
                    request.extensions_mut().insert(context.clone());
                    // In a box, so that what proxies ask carries little about.
                    match Box::pin(router.clone().oneshot(request)).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    }
                }
            },
        };
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response = problem.worded(&context.live.config.realm, response.headers());
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

/// Where there must be room for this request.
fn room<'a>(live: &'a Live, request: &Parts) -> &'a Semaphore {
    let takes_secrets = matches!(request.uri.path(), "/v1/introspect" | "/v1/revoke");
    let is_unknown = takes_secrets && !request.headers.contains_key(header::AUTHORIZATION);
    if is_unknown { &live.room_for_unknown } else { &live.room }
}

/// What every request must keep to, whatever it asks.
fn check(context: &Context, request: &Parts) -> Result<(), Problem> {
    let config = &context.live.config;
    let Parts { method, uri, version, headers, .. } = request;
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Problem::InvalidRequest("There is not exactly one `Host` header"));
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    // Beside the host there may be a port and nothing else.
    let plain = |authority: &Authority| {
        !authority.as_str().contains('@') && (authority.port_u16().is_some() || authority.as_str() == authority.host())
    };
    let Some(authority) = authority.filter(plain) else {
        return Err(Problem::InvalidRequest("The `Host` header names no host"));
    };
    if !config.hosts.include(authority.host()) || uri.host().is_some_and(|host| !config.hosts.include(host)) {
        return Err(Problem::Misdirected);
    }
    if method == Method::CONNECT || *version > Version::HTTP_11 {
        return Err(Problem::InvalidRequest("This is no tunnel, and speaks HTTP/1 only"));
    }
    // hyper reads the last coding only: a body in others before it would be taken for what it is not.
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() {
        return Err(Problem::UnknownCoding);
    }
    let path = uri.path();
    // A proxy may append the query of its client. Elsewhere a query is a mistake, or a token that is about to be logged, but
    // where tokens are listed.
    let lists = path == "/v1/tokens" && matches!(*method, Method::GET | Method::HEAD);
    let may_have_query = lists || path == "/v1/actor" || path.starts_with("/v1/auth/");
    if !may_have_query && uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Problem::InvalidRequest("This path takes no query: parameters stand in the body"));
    }
    Ok(())
}

/// The endpoint of a path that is not for proxies, for metrics: one of a few.
fn endpoint(path: &str) -> &'static str {
    match path {
        "/v1/introspect" => "introspect",
        "/v1/verify" => "verify",
        "/v1/tokens" => "tokens",
        "/v1/revoke" => "revoke",
        "/v1/revocations" => "revocations",
        "/v1/actor" => "actor",
        path if path.starts_with("/v1/tokens/") => {
            if path.ends_with("/rotate") && path.matches('/').count() == 5 {
                "rotate"
            } else {
                "token"
            }
        }
        "/openapi.json" => "openapi",
        "/.well-known/oauth-authorization-server" => "metadata",
        _ => "other",
    }
}

//! Requests for the pages of `keyward-pages`.

use crate::body::form;
use crate::context::{Context, LiveConfig};
use crate::error::{ApiError, RateLimited};
use crate::peer::Peer;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::Method;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use keyward_pages::{Host, NotSignedIn, Pages, Request};

/// The name of the pages in metrics.
pub(crate) const PAGES: &str = "pages";

/// The requests that a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    /// The API and the pages.
    All,
    /// The API.
    Api,
    /// The pages.
    Pages,
}

/// Returns whether a listener serves the pages, and the path is one of them.
pub(crate) fn are_served(live: &LiveConfig, serves: Serves, path: &str) -> bool {
    serves != Serves::Api && live.pages.as_ref().is_some_and(|pages| pages.contain(path))
}

/// Responds to a request for a page.
pub(crate) async fn answer(context: &Context, pages: &Pages, request: &Parts, body: Body) -> Response {
    let Parts { method, uri, headers, .. } = request;
    let body = match *method {
        Method::GET | Method::HEAD => Ok(Bytes::new()),
        Method::POST => form(context, headers, body).await,
        _ => Err(ApiError::MethodNotAllowed),
    };
    let body = match body {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    let peer = match context.peer {
        Peer::Address(address) => Some(address),
        Peer::Unix => None,
    };
    let host = Host {
        registry: &context.live.registry,
        audit: context.audit.as_ref(),
        metrics: &context.metrics.calls,
        request_id: context.id.as_str(),
        peer,
    };
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let response = pages.answer(host, Request { method, path, query, headers, body: &body }).await;
    let counted = match response.extensions().get() {
        Some(NotSignedIn) => counted(context),
        None => Ok(()),
    };
    match counted {
        Ok(()) => response.map(Body::from),
        Err(problem) => problem.into_response(),
    }
}

/// Counts a request of a peer that is not signed in, like a failed authentication of a client.
///
/// # Errors
/// The peer exceeds the rate.
fn counted(context: &Context) -> Result<(), ApiError> {
    let Peer::Address(address) = context.peer else { return Ok(()) };
    if context.live.config.forward_auth.trusts(context.peer) {
        return Ok(());
    }
    let counted = context.live.rates.failed_authentication(address);
    counted.map_err(|wait| ApiError::RateLimited(RateLimited { limit: "failed-authentications", wait }))
}

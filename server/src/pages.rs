//! Requests for the pages of `keyward-pages`.

use crate::body::form;
use crate::context::Context;
use crate::error::{ApiError, RateLimited};
use crate::peer::Peer;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use keyward_pages::{Host, Pages, Request};

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

/// Returns the pages if a listener serves them and the path is one of them.
pub(crate) fn of<'a>(context: &'a Context, serves: Serves, path: &str) -> Option<&'a Pages> {
    context.live.pages.as_ref().filter(|pages| serves != Serves::Api && pages.contain(path))
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
    match counted(context, path, response.status()) {
        Ok(()) => response.map(Body::from),
        Err(problem) => problem.into_response(),
    }
}

/// Counts a request of a peer that is not signed in, like a failed authentication of a client.
///
/// # Errors
/// The peer exceeds the rate.
fn counted(context: &Context, path: &str, status: StatusCode) -> Result<(), ApiError> {
    let is_used_link = status == StatusCode::NOT_FOUND && path.contains("/login/");
    let Peer::Address(address) = context.peer else { return Ok(()) };
    let is_trusted = context.live.config.forward_auth.trusts(context.peer);
    if is_trusted || !(is_used_link || status == StatusCode::FORBIDDEN) {
        return Ok(());
    }
    let counted = context.live.rates.failed_authentication(address);
    counted.map_err(|wait| ApiError::RateLimited(RateLimited { limit: "failed-authentications", wait }))
}

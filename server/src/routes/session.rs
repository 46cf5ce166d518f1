//! `POST /v1/session`: the user that a session handler identifies by the cookies of a request.

use crate::body;
use crate::client;
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, ErrorBody, json, retry_after};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_service::{Outcome, SessionBody};

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::new("session", "/v1/session", Query::Never);

const WANTED: &str = "send `cookies` and `headers` (objects of texts), and optionally `method`, `path` and `handler`";

/// Identifies the user of a request, for trusted clients. A client asks for a request without a
/// token only, and protects its own users against forged requests.
#[utoipa::path(
    post,
    path = "/v1/session",
    tag = "applications",
    request_body = SessionBody,
    responses(
        (status = 200, body = Outcome, description = "The outcome; without a user that the handler knows, it is `not-mine` or `rejected`"),
        (status = 404, body = ErrorBody, description = "There is no such session handler, or this client may not use it"),
        (status = 503, body = ref("#/components/schemas/Failed"), description = "There is no verdict, or too many requests are in progress: the user is neither known nor unknown; try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn session(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (context, headers) = (&context, &headers);
    let client = client::authorize(context, &ENDPOINT, headers, None, &[Right::Verify])?;
    let request: SessionBody = body::json(context, headers, body, WANTED).await?;
    let rights = &client.config().handlers;
    let sessions = context.live.registry.handlers().filter(|handler| handler.component.handles_sessions());
    let usable: Vec<_> = sessions.map(|handler| handler.name).filter(|name| rights.contains(name)).collect();
    let handler = match (&request.handler, &usable[..]) {
        (Some(name), _) => usable.iter().find(|known| *known == name).ok_or(ApiError::NoSuchHandler)?,
        (None, [only]) => only,
        (None, []) => return Err(ApiError::NoSuchHandler),
        (None, _) => return Err(ApiError::InvalidRequest("There are several session handlers: name one in `handler`")),
    };
    let request = request.into_request().map_err(ApiError::InvalidRequest)?;
    let verdict = decision::identify(context, handler, request).await;
    decision_log::verified(context, DecisionContext::of(&ENDPOINT, client.id()), &verdict, true);
    let outcome = Outcome::of_verdict(verdict);
    let failed = matches!(outcome, Outcome::Failed { .. });
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut response = json(status, &outcome);
    if failed {
        retry_after(response.headers_mut());
    }
    Ok(response)
}

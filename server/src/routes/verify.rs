//! `POST /v1/verify`: the full outcome of a verification, for trusted clients.

use crate::body::{self, given};
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
use keyward_service::Outcome;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::new("verify", "/v1/verify", Query::Never);

const WANTED: &str = "send `token` (text) or `tokens` (an array of texts), and optionally `handler`";

/// A request to verify one token or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, try_from = "Members")]
pub(crate) enum VerifyRequest {
    One(OneToken),
    Several(SeveralTokens),
}

/// The members of either request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(default, deserialize_with = "given")]
    token: Option<String>,
    #[serde(default, deserialize_with = "given")]
    tokens: Option<Vec<String>>,
    handler: Option<String>,
}

impl TryFrom<Members> for VerifyRequest {
    type Error = &'static str;

    fn try_from(Members { token, tokens, handler }: Members) -> Result<Self, Self::Error> {
        match (token, tokens) {
            (Some(token), None) => Ok(Self::One(OneToken { token, handler })),
            (None, Some(tokens)) => Ok(Self::Several(SeveralTokens { tokens, handler })),
            _ => Err("neither one token nor several"),
        }
    }
}

/// A request to verify one token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneToken {
    /// The token.
    token: String,
    /// The handler whose tokens count; every one the client may use if omitted.
    handler: Option<String>,
}

/// A request to verify several tokens: at most `limits.batch`, 100 by default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeveralTokens {
    /// The tokens.
    tokens: Vec<String>,
    /// The handler whose tokens count; every one the client may use if omitted.
    handler: Option<String>,
}

/// The outcomes of several tokens, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outcomes {
    outcomes: Vec<Outcome>,
}

/// The outcome of one token or several, as in the request.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Verified {
    /// The outcome of `token`.
    One(Outcome),
    /// The outcomes of `tokens`.
    Several(Outcomes),
}

/// Verifies tokens and returns the full outcomes, for trusted clients.
#[utoipa::path(
    post,
    path = "/v1/verify",
    tag = "applications",
    request_body = VerifyRequest,
    responses(
        (status = 200, body = Verified, description = "The outcome of one token, or the outcomes of several. `failed` occurs only among several"),
        (status = 404, body = ErrorBody, description = "There is no such handler, or this client may not use it"),
        (status = 503, body = ref("#/components/schemas/Failed"), description = "There is no verdict on the one token, or too many requests are in progress: the token is neither accepted nor rejected; try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn verify(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (context, headers) = (&context, &headers);
    let config = &context.live.config;
    let client = client::authorize(context, &ENDPOINT, headers, None, &[Right::Verify])?;
    let request = body::json(context, headers, body, WANTED).await?;
    let handler = match &request {
        VerifyRequest::One(OneToken { token: _, handler }) => handler,
        VerifyRequest::Several(SeveralTokens { tokens: _, handler }) => handler,
    };
    let rights = &client.config().handlers;
    if let Some(name) = handler
        && !(rights.contains(name) && context.live.digests.contains_key(name))
    {
        return Err(ApiError::NoSuchHandler);
    }
    let counts = |name: &str| rights.contains(name) && handler.as_deref().is_none_or(|only| only == name);
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let judge = async |token: &str| {
        let verdict = decision::verify(context, token, counts).await;
        decision_log::verified(context, asked, &verdict, true);
        Outcome::of_verdict(verdict)
    };
    match &request {
        VerifyRequest::One(OneToken { token, handler: _ }) => {
            let outcome = judge(token).await;
            let failed = matches!(outcome, Outcome::Failed { .. });
            let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            let mut response = json(status, &Verified::One(outcome));
            if failed {
                retry_after(response.headers_mut());
            }
            Ok(response)
        }
        VerifyRequest::Several(SeveralTokens { tokens, handler: _ }) => {
            if tokens.len() > config.limits.batch {
                return Err(ApiError::InvalidRequest("There are more tokens than `limits.batch` allows"));
            }
            let mut outcomes = Vec::with_capacity(tokens.len());
            for token in tokens {
                outcomes.push(judge(token).await);
            }
            Ok(json(StatusCode::OK, &Verified::Several(Outcomes { outcomes })))
        }
    }
}

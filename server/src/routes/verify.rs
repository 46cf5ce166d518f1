//! `POST /v1/verify`: the full outcome, for callers that are trusted with it.

use crate::audit::{self, Asked};
use crate::caller;
use crate::context::Context;
use crate::decision;
use crate::outcome::Outcome;
use crate::problem::{ErrorBody, Problem, json, retry_after};
use crate::receive;
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send `{\"token\":\"…\"}` or `{\"tokens\":[\"…\"]}`, and `\"handler\":\"…\"` to narrow";

/// What is asked: about one token, or about several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum VerifyRequest {
    One(OneToken),
    Several(SeveralTokens),
}

/// One token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneToken {
    /// The token.
    token: String,
    /// Only tokens of this handler count.
    handler: Option<String>,
}

/// Several tokens, at most as many as the configuration says: 100, unless it says otherwise.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeveralTokens {
    /// The tokens.
    tokens: Vec<String>,
    /// Only tokens of this handler count.
    handler: Option<String>,
}

/// The outcomes of several tokens, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Outcomes {
    outcomes: Vec<Outcome>,
}

/// The answer, in the form of the question.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Verified {
    /// Of `token`.
    One(Outcome),
    /// Of `tokens`.
    Several(Outcomes),
}

/// What is to be said about these tokens? For callers that are trusted with it.
#[utoipa::path(
    post,
    path = "/v1/verify",
    tag = "applications",
    request_body = VerifyRequest,
    responses(
        (status = 200, body = Verified, description = "The outcome, or the outcomes. One outcome is `failed` among several only"),
        (status = 404, body = ErrorBody, description = "There is no such handler, or this caller may not use it"),
        (status = 503, body = ref("#/components/schemas/Failed"), description = "The one token got no verdict, or too many requests are being answered: neither a yes nor a no; try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn verify(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (context, headers) = (&context, &headers);
    let config = &context.live.config;
    let caller = caller::authorize(context, "verify", headers, None, |rights| rights.verify)?;
    let request = receive::json(context, headers, body, WANTED).await?;
    let handler = match &request {
        VerifyRequest::One(OneToken { token: _, handler }) => handler,
        VerifyRequest::Several(SeveralTokens { tokens: _, handler }) => handler,
    };
    let rights = &caller.rights().handlers;
    if let Some(name) = handler
        && !(rights.include(name) && context.live.digests.contains_key(name))
    {
        return Err(Problem::NoSuchHandler);
    }
    let counts = |name: &str| rights.include(name) && handler.as_deref().is_none_or(|only| only == name);
    let asked = Asked { endpoint: "verify", caller: Some(caller.id()), ..Asked::default() };
    let judge = async |token: &str| {
        let verdict = decision::verify(context, token, counts).await;
        audit::verified(context, asked, &verdict, true);
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
                return Err(Problem::InvalidRequest("There are more tokens than `limits.batch` allows"));
            }
            let mut outcomes = Vec::with_capacity(tokens.len());
            for token in tokens {
                outcomes.push(judge(token).await);
            }
            Ok(json(StatusCode::OK, &Verified::Several(Outcomes { outcomes })))
        }
    }
}

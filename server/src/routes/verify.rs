//! `POST /v1/verify`: the full outcome, for callers that are trusted with it.

use crate::audit::{self, Asked};
use crate::caller;
use crate::context::Context;
use crate::decision;
use crate::outcome::Outcome;
use crate::problem::{ErrorBody, Problem, json, retry_after};
use crate::receive;
use crate::service::Failure;
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send `{\"token\":\"…\"}` or `{\"tokens\":[\"…\"]}`, and `\"handler\":\"…\"` to narrow";

/// What is asked: one token, or several.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyRequest {
    /// The token.
    token: Option<String>,
    /// Or the tokens.
    tokens: Option<Vec<String>>,
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

/// What is to be said about these tokens?
#[utoipa::path(
    post,
    path = "/v1/verify",
    request_body = VerifyRequest,
    responses(
        (status = 200, body = Verified, description = "The outcome, or the outcomes"),
        (status = 400, body = ErrorBody, description = "The request is malformed"),
        (status = 401, body = ErrorBody, description = "The caller is not known"),
        (status = 403, body = ErrorBody, description = "The caller may not verify"),
        (status = 404, body = ErrorBody, description = "There is no such handler for this caller"),
        (status = 413, body = ErrorBody, description = "The body is too long"),
        (status = 415, body = ErrorBody, description = "The body is not JSON"),
        (status = 503, body = Outcome, description = "The one token got no verdict: neither a yes nor a no")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn verify(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    answer(&context, &headers, body).await.map_err(|problem| Failure::of(&context, problem))
}

async fn answer(context: &Context, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let config = &context.live.config;
    let caller = caller::authenticate(config, headers, None)?;
    if !caller.rights().verify {
        return Err(Problem::UnauthorizedClient);
    }
    let VerifyRequest { token, tokens, handler } = receive::json(context, headers, body, WANTED).await?;
    let rights = &caller.rights().handlers;
    if let Some(name) = &handler
        && !(rights.include(name) && context.live.digests.contains_key(name))
    {
        return Err(Problem::NoSuchHandler);
    }
    let counts = |name: &str| rights.include(name) && handler.as_deref().is_none_or(|only| only == name);
    let asked = Asked { endpoint: "verify", caller: Some(caller.id()), ..Asked::default() };
    let judge = async |token: String| {
        let verdict = decision::verify(context, &token, counts).await;
        audit::verified(context, asked, &verdict, true);
        Outcome::of_verdict(verdict)
    };
    match (token, tokens) {
        (Some(token), None) => {
            let outcome = judge(token).await;
            let failed = matches!(outcome, Outcome::Failed { .. });
            let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            let mut response = json(status, &Verified::One(outcome));
            if failed {
                retry_after(response.headers_mut());
            }
            Ok(response)
        }
        (None, Some(tokens)) if tokens.len() > config.limits.batch => {
            Err(Problem::InvalidRequest("There are more tokens than `limits.batch` allows"))
        }
        (None, Some(tokens)) => {
            let mut outcomes = Vec::with_capacity(tokens.len());
            for token in tokens {
                outcomes.push(judge(token).await);
            }
            Ok(json(StatusCode::OK, &Verified::Several(Outcomes { outcomes })))
        }
        (None, None) | (Some(_), Some(_)) => Err(Problem::InvalidRequest(WANTED)),
    }
}

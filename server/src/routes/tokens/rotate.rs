//! `POST /v1/tokens/{handler}/{token_id}/rotate`: replaces a token by a new one.

use super::token::{TokenPath, find};
use super::{Token, refusal, shown};
use crate::body::{self, whole};
use crate::client;
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, ErrorBody};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path};
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Creation, Denial};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use std::time::Duration;
use utoipa::ToSchema;

/// The endpoint of this module.
pub(crate) const ENDPOINT: Endpoint = Endpoint::new("rotate", "/v1/tokens/{handler}/{token_id}/rotate", Query::Never);

const WANTED: &str = "send `{}`, or `overlap` (seconds, at most 2592000)";

/// Maximum overlap in seconds: 30 days.
const MOST_OVERLAP: u64 = 2_592_000;

/// The options of a rotation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// Number of seconds for which the old token stays valid, unless it expires sooner. With 0, the
    /// default, it is invalid at once.
    #[serde(default, deserialize_with = "seconds")]
    #[schema(value_type = u64, minimum = 0, maximum = 2592000, default = 0)]
    overlap: u32,
}

/// Replaces a token by a new one for the same actor, with the same restrictions, note and expiry.
#[utoipa::path(
    post,
    path = "/v1/tokens/{handler}/{token_id}/rotate",
    tag = "applications",
    params(TokenPath),
    request_body = RotateRequest,
    responses(
        (status = 201, body = Token, description = "The new token. It replaces the old one durably"),
        (status = 404, body = ErrorBody, description = "There is no such token, this client may not see it, or no store is configured"),
        (status = 409, body = ErrorBody, description = "The token is not active, it was changed concurrently, tokens of its handler cannot be changed, or the handler no longer issues such tokens (`conflict`); or the handler's settings disable creation (`disabled`)"),
        (status = 503, body = ErrorBody, description = "The handler failed, the store did not confirm the change, or too many requests are in progress: check the token, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn rotate(
    Extension(context): Extension<Context>,
    path: Result<Path<TokenPath>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let context = &context;
    // A rotation issues a token, so it requires `create` too.
    let rights = &[Right::List, Right::Edit, Right::Create];
    let client = client::authorize(context, &ENDPOINT, &headers, None, rights)?;
    let RotateRequest { overlap } = body::json(context, &headers, body, WANTED).await?;
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let seen = find(context, asked, client, path).await?;
    let told = |outcome, detail: &str| {
        decision_log::recorded(context, asked, (seen.handler(), seen.record()), outcome, Some(detail));
    };
    let how = format!("overlap: {overlap}");
    match decision::rotate(context, asked, &seen, Duration::from_secs(overlap.into())).await {
        Ok(Some(Creation::Created(created))) => {
            // Tokens that can be rotated have ids.
            let new = created.token_id.as_deref().unwrap_or("-");
            told(("rotated", None), &format!("{how}; new: {new}"));
            Ok(shown(&created))
        }
        Ok(Some(Creation::Denied(denied))) => {
            told(("denied", Some(denied.denial.as_str())), &how);
            let word = if denied.denial == Denial::Disabled { "disabled" } else { "conflict" };
            Ok(refusal(StatusCode::CONFLICT, word, &denied))
        }
        Ok(None) => {
            decision_log::log_without_token(context, asked, "unknown-token");
            Err(ApiError::NoSuchToken)
        }
        Err(error) => {
            told(("failed", Some(error.code())), &format!("{how}; {error}"));
            Err(ApiError::NotConfirmed)
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = whole(&Number::deserialize(deserializer)?, MOST_OVERLAP);
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).ok_or_else(|| D::Error::custom("not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_whole_and_at_most_30_days() {
        let read = |text: &str| serde_json::from_str::<RotateRequest>(text).ok().map(|request| request.overlap);
        for (text, wanted) in [
            ("{}", Some(0)),
            (r#"{"overlap":0}"#, Some(0)),
            (r#"{"overlap":60.0}"#, Some(60)),
            (r#"{"overlap":2592000}"#, Some(2_592_000)),
            (r#"{"overlap":2592001}"#, None),
            (r#"{"overlap":-1}"#, None),
            (r#"{"overlap":1.5}"#, None),
            (r#"{"overlap":null}"#, None),
            (r#"{"overlap":"60"}"#, None),
            (r#"{"seconds":60}"#, None),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
    }
}

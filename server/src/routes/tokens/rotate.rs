//! `POST /v1/tokens/{handler}/{token_id}/rotate`: another token in the place of this one.

use super::one::{find, may_edit};
use super::{Token, refusal, shown};
use crate::audit::{self, Asked};
use crate::caller;
use crate::config::Caller;
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem};
use crate::receive::{self, whole};
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path};
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Creation, Denial};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send `{}`, or `{\"overlap\":…}` (seconds, at most 2592000)";

/// 30 days.
const MOST_OVERLAP: u64 = 2_592_000;

/// How it is put in place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateRequest {
    /// For how many seconds the old one is good beside the new one, if it does not end sooner. It ends at once, unless they are
    /// given.
    #[serde(default, deserialize_with = "seconds")]
    #[schema(value_type = u64, minimum = 0, maximum = 2592000, default = 0)]
    overlap: u32,
}

/// Makes another token for the same actor, with the same restrictions, note and end, in the place of this one.
#[utoipa::path(
    post,
    path = "/v1/tokens/{handler}/{token_id}/rotate",
    tag = "applications",
    params(
        ("handler" = String, Path, description = "The handler that made it"),
        ("token_id" = String, Path, description = "Its id: not the token")
    ),
    request_body = RotateRequest,
    responses(
        (status = 201, body = Token, description = "Here is the new one; that the old one ends is durable"),
        (status = 404, body = ErrorBody, description = "There is no such token, this caller may not see it, or no store is configured"),
        (status = 409, body = ErrorBody, description = "It has ended, it has changed meanwhile, tokens of its handler cannot be changed, or the handler makes no such token any more (`conflict`); or the handler's settings switch creation off (`disabled`)"),
        (status = 503, body = ErrorBody, description = "No token could be had, the store did not confirm, or too many requests are being answered: look at the token, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn rotate(
    Extension(context): Extension<Context>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let context = &context;
    // Whoever gets another token in the place of one has a good token made.
    let may = |rights: &Caller| may_edit(rights) && rights.create;
    let caller = caller::authorize(context, "rotate", &headers, None, may)?;
    let RotateRequest { overlap } = receive::json(context, &headers, body, WANTED).await?;
    let asked = Asked { endpoint: "rotate", caller: Some(caller.id()), ..Asked::default() };
    let seen = find(context, asked, caller, path).await?;
    let told = |outcome, detail: &str| {
        audit::recorded(context, asked, (seen.handler(), seen.record()), outcome, Some(detail));
    };
    let how = format!("overlap: {overlap}");
    match decision::rotate(context, asked, &seen, overlap).await {
        Ok(Some(Creation::Created(created))) => {
            // Handlers whose tokens can be rotated give them ids.
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
            audit::without_token(context, asked, "unknown-token");
            Err(Problem::NoSuchToken)
        }
        Err(error) => {
            told(("failed", Some(error.code())), &format!("{how}; {error}"));
            Err(Problem::NotConfirmed)
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = whole(&Number::deserialize(deserializer)?, MOST_OVERLAP);
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).ok_or_else(|| D::Error::custom("no number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_whole_and_no_longer_than_a_month() {
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

//! `GET` and `PATCH /v1/tokens/{handler}/{token_id}`: shows and edits a token.

use super::restrictions::RestrictionsBody;
use super::{has_nul, refusal};
use crate::body::{self, Object, given, second};
use crate::client::{self, AuthenticatedClient};
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, BodyProblem, ErrorBody, json};
use crate::visibility::VisibleToken;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path};
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::policy::is_token_id;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Denial, Error, Registry};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The endpoint of this module.
pub(crate) const ENDPOINT: Endpoint = Endpoint::new("token", "/v1/tokens/{handler}/{token_id}", Query::Never);

const WANTED: &str =
    "send at least one of `description` (text without NUL, or null), `expires_at` (unix seconds), `restrictions`";

/// The token that a path names.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// The handler that issued the token
    handler: String,
    /// The token's id, not the token itself
    token_id: String,
}

/// The record of a token. It does not contain the token itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct KnownToken {
    /// The token's id for revocation and the audit log.
    token_id: String,
    /// The handler that issued it.
    handler: String,
    /// The actor's id.
    actor: String,
    /// The note given when the token was issued or edited.
    #[schema(required)]
    description: Option<String>,
    /// The restrictions of the actor's rights; null if the token is not restricted.
    #[schema(required)]
    restrictions: Option<RestrictionsBody>,
    /// The time of issue in unix seconds.
    issued_at: u64,
    /// The last second in which it is valid, in unix seconds; null if it does not expire.
    #[schema(required)]
    expires_at: Option<u64>,
    /// The time of the last use in unix seconds, accurate to about a minute; null if it was never
    /// used.
    #[schema(required)]
    last_used_at: Option<u64>,
    /// The current status.
    #[schema(value_type = TokenStatus)]
    status: &'static str,
    /// The time of revocation or replacement in unix seconds; null if neither has happened.
    #[schema(required)]
    ended_at: Option<u64>,
    /// The client that requested it; null if it was the operator.
    #[schema(required)]
    client: Option<String>,
    /// The token with which it was requested, and with which it is revoked; null if there was none.
    #[schema(required)]
    parent: Option<ParentToken>,
}

/// The token with which another one was requested.
#[derive(Serialize, ToSchema)]
pub(crate) struct ParentToken {
    /// The handler that issued it.
    handler: String,
    /// The token's id.
    token_id: String,
}

/// The current status of a token.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `keyward_runtime::store::Status`")]
pub(crate) enum TokenStatus {
    Active,
    Expired,
    Revoked,
    Replaced,
}

impl KnownToken {
    /// Converts a visible record.
    pub(super) fn of(seen: &VisibleToken, registry: &Registry) -> Result<Self, Error> {
        let handler = seen.handler().to_owned();
        let status = registry.tokens()?.status(&handler, seen.record())?.name();
        let record = seen.record();
        Ok(Self {
            token_id: record.id.clone(),
            handler,
            actor: record.actor_id.clone(),
            description: record.description.clone(),
            restrictions: record.restrictions.as_ref().map(|restrictions| RestrictionsBody::of(restrictions, registry)),
            issued_at: record.issued_at.seconds,
            expires_at: record.expires_at.map(|time| time.seconds),
            last_used_at: record.last_used_at.map(|time| time.seconds),
            status,
            ended_at: record.ended.map(|ended| ended.at.seconds),
            client: record.client.clone(),
            parent: record.parent.clone().map(|TokenId { handler, id }| ParentToken { handler, token_id: id }),
        })
    }
}

/// The changes to a token. Omitted members are not changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(crate) struct EditRequest {
    /// The new note, at most 4,096 bytes, or null to remove it.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    /// An earlier expiry in unix seconds, not in the past.
    #[serde(default, deserialize_with = "second")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 253402300799_u64)]
    expires_at: Option<u64>,
    /// New restrictions, which must not allow more than the token does.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RestrictionsBody>, nullable = false)]
    restrictions: Option<Object<RestrictionsBody>>,
}

/// Returns the record of a token.
#[utoipa::path(
    get,
    path = "/v1/tokens/{handler}/{token_id}",
    tag = "applications",
    params(TokenPath),
    responses(
        (status = 200, body = KnownToken, description = "The record of the token"),
        (status = 404, body = ErrorBody, description = "There is no such token, this client may not see it, or no store is configured")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn show(
    Extension(context): Extension<Context>,
    path: Result<Path<TokenPath>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let context = &context;
    let client = client::authorize(context, &ENDPOINT, &headers, None, &[Right::List])?;
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let seen = find(context, asked, client, path).await?;
    decision_log::recorded(context, asked, (seen.handler(), seen.record()), ("shown", None), None);
    answer(context, &seen)
}

/// Narrows a token, or changes its note.
#[utoipa::path(
    patch,
    path = "/v1/tokens/{handler}/{token_id}",
    tag = "applications",
    params(TokenPath),
    request_body = EditRequest,
    responses(
        (status = 200, body = KnownToken, description = "The token is changed durably, for all later requests"),
        (status = 400, body = ErrorBody, description = "The request is malformed, or the changes would allow more than the token does (`invalid_request`)"),
        (status = 404, body = ErrorBody, description = "There is no such token, this client may not see it, or no store is configured"),
        (status = 409, body = ErrorBody, description = "The token is not active, it was changed concurrently, or tokens of its handler cannot be changed (`conflict`)"),
        (status = 503, body = ErrorBody, description = "The store did not confirm the change, or too many requests are in progress: check the token, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn edit(
    Extension(context): Extension<Context>,
    path: Result<Path<TokenPath>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let context = &context;
    let client = client::authorize(context, &ENDPOINT, &headers, None, &[Right::List, Right::Edit])?;
    let EditRequest { description, expires_at, restrictions } = body::json(context, &headers, body, WANTED).await?;
    if description.is_none() && expires_at.is_none() && restrictions.is_none()
        || has_nul(description.as_ref().and_then(|text| text.as_deref()))
    {
        return Err(ApiError::InvalidBody { problem: BodyProblem::Other, wanted: WANTED });
    }
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let seen = find(context, asked, client, path).await?;
    let restrictions = restrictions.map(|Object(restrictions)| restrictions.checked());
    let amendment = TokenUpdate { description, expires_at: expires_at.map(UnixTime::from_seconds), restrictions };
    let named = amendment.to_string();
    let told = |outcome| decision_log::recorded(context, asked, (seen.handler(), seen.record()), outcome, Some(&named));
    match decision::edit(context, asked, &seen, amendment).await {
        Ok(UpdateOutcome::Done(record)) => {
            told(("edited", None));
            answer(context, &seen.now(record))
        }
        Ok(UpdateOutcome::Denied(denied)) => {
            told(("denied", Some(denied.denial.as_str())));
            Ok(match denied.denial {
                Denial::InvalidRequest => refusal(StatusCode::BAD_REQUEST, "invalid_request", &denied),
                _ => refusal(StatusCode::CONFLICT, "conflict", &denied),
            })
        }
        Ok(UpdateOutcome::Unknown) => {
            decision_log::log_without_token(context, asked, "unknown-token");
            Err(ApiError::NoSuchToken)
        }
        Err(error) => {
            let detail = format!("{named}; {error}");
            let failed = ("failed", Some(error.code()));
            decision_log::recorded(context, asked, (seen.handler(), seen.record()), failed, Some(&detail));
            Err(ApiError::NotConfirmed)
        }
    }
}

/// Returns the record named by a path.
///
/// # Errors
/// There is no such record, or the client may not see it: the error is the same for both.
pub(super) async fn find(
    context: &Context,
    asked: DecisionContext<'_>,
    client: AuthenticatedClient<'_>,
    path: Result<Path<TokenPath>, PathRejection>,
) -> Result<VisibleToken, ApiError> {
    context.live.registry.tokens().map_err(|error| ApiError::of_records(&error))?;
    let unknown = || {
        decision_log::log_without_token(context, asked, "unknown-token");
        Err(ApiError::NoSuchToken)
    };
    // Names are UTF-8, so a path that is not UTF-8 names nothing.
    let Ok(Path(TokenPath { handler, token_id: id })) = path else { return unknown() };
    let is_usable = client.config().handlers.contains(&handler) && context.live.digests.contains_key(&handler);
    if !is_usable || !is_token_id(&id) {
        return unknown();
    }
    if context.live.registry.is_token(&id, keyward_runtime::registry::IdKind::Token).await {
        decision_log::log_without_token(context, asked, "token-for-id");
        return Err(ApiError::InvalidRequest(
            "The path contains a token instead of its id: revoke that token, because paths are logged by proxies",
        ));
    }
    match decision::find(context, &handler, &id).await {
        Ok(None) => unknown(),
        Ok(Some(record)) => VisibleToken::by(client, handler.clone(), record).map_err(|record| {
            decision_log::recorded(context, asked, (&handler, &record), ("refused", Some("not-its-token")), None);
            ApiError::NoSuchToken
        }),
        Err(error) => {
            decision_log::failed(context, asked, &error);
            Err(ApiError::of_records(&error))
        }
    }
}

fn answer(context: &Context, seen: &VisibleToken) -> Result<Response, ApiError> {
    let known = KnownToken::of(seen, &context.live.registry).map_err(|_| ApiError::NoAnswer)?;
    Ok(json(StatusCode::OK, &known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_accepted_for_the_note_only() {
        let read = |text: &str| serde_json::from_str::<EditRequest>(text).ok();
        let description = |text: &str| read(text).map(|request| request.description);
        assert_eq!(description("{}"), Some(None));
        assert_eq!(description(r#"{"description":null}"#), Some(Some(None)));
        assert_eq!(description(r#"{"description":"x"}"#), Some(Some(Some("x".to_owned()))));
        for bad in [
            r#"{"description":7}"#,
            r#"{"expires_at":null}"#,
            r#"{"expires_at":1.5}"#,
            r#"{"expires_at":253402300800}"#,
            r#"{"restrictions":null}"#,
            r#"{"restrictions":[[],{},{}]}"#,
            r#"{"restrictions":{"a":["vi"]}}"#,
            r#"{"actor":"x"}"#,
            r#"{"expires_at":1,"expires_at":2}"#,
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
        assert!(read(r#"{"expires_at":1.0,"restrictions":{}}"#).is_some());
    }
}

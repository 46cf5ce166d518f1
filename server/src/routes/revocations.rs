//! `POST /v1/revocations`: revokes many tokens at once, or one by its id.

use crate::body::{self, given, second};
use crate::client::{self, AuthenticatedClient};
use crate::config::{Handlers, Right};
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, BodyProblem, ErrorBody, RateLimited, json};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::policy::{is_actor_id, is_token_id};
use keyward_runtime::store::Revocation;
use keyward_service::Named;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::new("revocations", "/v1/revocations", Query::Never);

const WANTED: &str = "send at least one of `handler`, `actor`, `issued_until` (unix seconds), or `handler` and `token_id`; optionally `dry_run` and `keep_children` (true or false)";

/// The tokens to revoke: those that match all members. A null member is rejected, because a value
/// missing by mistake would revoke more tokens than intended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationsRequest {
    /// Matches tokens of this handler. Required for clients that are limited to some handlers.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    handler: Option<String>,
    /// Matches the token with this id. Requires `handler` and excludes `actor`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 256, pattern = "^[!-~]([ -~]*[!-~])?$")]
    token_id: Option<String>,
    /// Matches tokens of the actor with this id: at most the largest limit of a handler, 1,024
    /// bytes by default.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    actor: Option<String>,
    /// Matches tokens that were issued up to this second, and tokens without a time of issue.
    /// Default: the current time, unless `token_id` is given. At most a minute in the future.
    #[serde(default, deserialize_with = "second")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 253402300799_u64)]
    issued_until: Option<u64>,
    /// Counts the records without revoking tokens.
    #[serde(default)]
    dry_run: bool,
    /// Keeps the tokens valid that were requested with the token `token_id`. By default they are
    /// revoked with it.
    #[serde(default)]
    keep_children: bool,
}

/// The number of records concerned. Tokens issued elsewhere have no record, but are revoked too.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Revoked {
    Done(Done),
    DryRun(DryRun),
}

/// The tokens are revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// Number of records that were revoked.
    ended: u64,
}

/// The result of a dry run, which changes nothing.
#[derive(Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// Number of records that would be revoked.
    would_end: u64,
}

/// Revokes tokens by handler, id, actor or time of issue.
#[utoipa::path(
    post,
    path = "/v1/revocations",
    tag = "applications",
    request_body = RevocationsRequest,
    responses(
        (status = 200, body = Revoked, description = "The tokens are revoked durably; or they are counted, for a dry run"),
        (status = 404, body = ErrorBody, description = "There is no such handler, this client may not use it, or no store is configured"),
        (status = 429, body = ErrorBody, description = "The client exceeds its rate (`too_many_requests`), or its quota of revocations that match no record (`quota_exceeded`): try again after the time in `Retry-After`"),
        (status = 503, body = ErrorBody, description = "The store did not confirm the revocation, or too many requests are in progress: treat the tokens as still valid, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn revocations(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let context = &context;
    let client = client::authorize(context, &ENDPOINT, &headers, None, &[Right::Revoke])?;
    let request: RevocationsRequest = body::json(context, &headers, body, WANTED).await?;
    let dry_run = request.dry_run;
    let revocation = request.checked(context, client)?;
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let _slot = if dry_run { Some(client::list_slot(context, client)?) } else { None };
    let mut records = 0_u64;
    let revocations = context.live.registry.revocations().map_err(|error| ApiError::of_revocation(&error))?;
    for requested in revocations.requested(revocation).await {
        let (named, revocation) = (Named::of(&requested), requested.revocation.clone());
        let done = if dry_run {
            let counted = decision::count_revoked(context, revocation.clone()).await;
            decision_log::revoked(context, asked, &revocation, named, "counted", &counted);
            counted
        } else {
            check_quota(context, client, &revocation).await?;
            let ended = decision::revoke(context, asked, revocation.clone(), named).await;
            decision_log::revoked(context, asked, &revocation, named, "revoked", &ended);
            ended
        };
        records = records.saturating_add(done.map_err(|error| ApiError::of_revocation(&error))?);
    }
    let answer = match dry_run {
        true => Revoked::DryRun(DryRun { would_end: records }),
        false => Revoked::Done(Done { ended: records }),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// Checks the client's quota of revocations that match no record. Those that match one are never
/// refused.
///
/// # Errors
/// The quota is exceeded. If the store cannot count the records, the revocation counts as one that
/// matches none.
async fn check_quota(
    context: &Context,
    client: AuthenticatedClient<'_>,
    revocation: &Revocation,
) -> Result<(), ApiError> {
    if decision::count_revoked(context, revocation.clone()).await.is_ok_and(|records| records > 0) {
        return Ok(());
    }
    let counted = context.live.rates.unmatched_revocation(client.id());
    counted.map_err(|wait| ApiError::QuotaExceeded(RateLimited { limit: "unmatched-revocations", wait }))
}

impl RevocationsRequest {
    /// Returns the requested revocation.
    ///
    /// # Errors
    /// The members are not valid together, or the client may not use the handler.
    fn checked(self, context: &Context, client: AuthenticatedClient<'_>) -> Result<Revocation, ApiError> {
        let Self { handler, token_id, actor: actor_id, issued_until, dry_run: _, keep_children } = self;
        // An id never begins or ends with a space, so one that was copied with spaces is still
        // found.
        let token_id = token_id.map(|id| id.trim_matches(' ').to_owned());
        if !(token_id.as_deref().is_none_or(is_token_id) && actor_id.as_deref().is_none_or(is_actor_id)) {
            return Err(ApiError::InvalidRequest(
                "`token_id` must be 1 to 256 printable ASCII characters without leading or trailing spaces; `actor` must have a visible character and no control characters",
            ));
        }
        if let Some(actor) = &actor_id {
            context.live.registry.check_actor_id(actor).map_err(ApiError::InvalidRequest)?;
        }
        match (&handler, &token_id, &actor_id, issued_until) {
            (None, None, None, None) => {
                return Err(ApiError::InvalidBody { problem: BodyProblem::Other, wanted: WANTED });
            }
            (None, Some(_), ..) => return Err(ApiError::InvalidRequest("`token_id` requires `handler`")),
            (_, Some(_), Some(_), _) => {
                return Err(ApiError::InvalidRequest("`token_id` and `actor` cannot be combined"));
            }
            _ => {}
        }
        let rights = &client.config().handlers;
        match &handler {
            Some(name) if rights.contains(name) && context.live.digests.contains_key(name) => {}
            Some(_) => return Err(ApiError::NoSuchHandler),
            None if matches!(rights, Handlers::All) => {}
            None => {
                return Err(ApiError::InvalidRequest(
                    "This client is limited to some handlers: name one of them in `handler`",
                ));
            }
        }
        Ok(Revocation {
            handler,
            token_id,
            token_digest: None,
            actor_id,
            issued_until: issued_until.map(UnixTime::from_seconds),
            keep_children,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_members_are_rejected() {
        let read = |text: &str| serde_json::from_str::<RevocationsRequest>(text).ok();
        let all = read(r#"{"handler":"h","token_id":"t","actor":"a","issued_until":7.0,"dry_run":true}"#).unwrap();
        assert_eq!(
            (all.handler.as_deref(), all.token_id.as_deref(), all.actor.as_deref()),
            (Some("h"), Some("t"), Some("a"))
        );
        assert_eq!((all.issued_until, all.dry_run), (Some(7), true));
        let some = read(r#"{"actor":"a"}"#).unwrap();
        assert!(some.handler.is_none() && some.token_id.is_none() && some.issued_until.is_none() && !some.dry_run);
        for member in ["handler", "token_id", "actor", "issued_until", "dry_run"] {
            assert!(read(&format!("{{\"{member}\":null}}")).is_none(), "{member}");
        }
        for time in ["-1", "1.5", "253402300800", "1767225600000", "\"1\"", "true"] {
            assert!(read(&format!("{{\"issued_until\":{time}}}")).is_none(), "{time}");
        }
        assert!(read(r#"{"issued_until":253402300799}"#).is_some());
    }
}

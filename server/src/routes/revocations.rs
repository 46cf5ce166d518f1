//! `POST /v1/revocations`: takes back many tokens at once, or one by its id.

use crate::audit::{self, Asked, Named};
use crate::caller::{self, AuthenticatedCaller};
use crate::config::Handlers;
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::{self, given, second};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Revocation, is_actor_id, is_token_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send at least one of `handler`, `actor`, `issued_until` (unix seconds), or `handler` and `token_id`; and `dry_run` (true or false) to count only";

/// Which tokens are revoked: those that fit all that is given. No member is null: one that somebody forgot to fill in would
/// make of one token all of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationsRequest {
    /// Tokens of this handler. A caller that may use some handlers only must name one of them.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    handler: Option<String>,
    /// The token of this id. Goes with `handler`, and not with `actor`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 256, pattern = "^[!-~]([ -~]*[!-~])?$")]
    token_id: Option<String>,
    /// Tokens of the actor with this id.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    actor: Option<String>,
    /// Tokens that were issued up to this second, and those that do not say when: those issued so far, unless it is given or
    /// a token is named. No more than a minute ahead.
    #[serde(default, deserialize_with = "second")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 253402300799_u64)]
    issued_until: Option<u64>,
    /// Only counts.
    #[serde(default)]
    dry_run: bool,
}

/// How many records it is about. Tokens that were made elsewhere have none, and are revoked all the same.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Revoked {
    Done(Done),
    DryRun(DryRun),
}

/// The tokens are revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// How many records were ended.
    ended: u64,
}

/// Nothing is changed.
#[derive(Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// How many records would be ended.
    would_end: u64,
}

/// Takes tokens back, by handler, id, actor or time of issue.
#[utoipa::path(
    post,
    path = "/v1/revocations",
    tag = "applications",
    request_body = RevocationsRequest,
    responses(
        (status = 200, body = Revoked, description = "They are revoked, and that is durable; or they are counted"),
        (status = 404, body = ErrorBody, description = "There is no such handler, this caller may not use it, or no store is configured"),
        (status = 503, body = ErrorBody, description = "The store did not confirm, or too many requests are being answered: take the tokens to be good still, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn revocations(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let context = &context;
    let caller = caller::authorize(context, "revocations", &headers, None, |rights| rights.revoke)?;
    let request: RevocationsRequest = receive::json(context, &headers, body, WANTED).await?;
    let dry_run = request.dry_run;
    let revocation = request.checked(context, caller)?;
    let asked = Asked { endpoint: "revocations", caller: Some(caller.id()), ..Asked::default() };
    let mut records = 0_u64;
    for requested in context.live.registry.requested(revocation).await {
        let (named, revocation) = (Named::of(&requested), requested.revocation.clone());
        let done = if dry_run {
            let counted = decision::count_revoked(context, revocation.clone()).await;
            audit::revoked(context, asked, &revocation, named, "counted", &counted);
            counted
        } else {
            let ended = decision::revoke(context, asked, revocation.clone(), named).await;
            audit::revoked(context, asked, &revocation, named, "revoked", &ended);
            ended
        };
        records = records.saturating_add(done.map_err(|error| Problem::of_revocation(&error))?);
    }
    let answer = match dry_run {
        true => Revoked::DryRun(DryRun { would_end: records }),
        false => Revoked::Done(Done { ended: records }),
    };
    Ok(json(StatusCode::OK, &answer))
}

impl RevocationsRequest {
    /// What it asks for, if that is something and this caller's to ask.
    fn checked(self, context: &Context, caller: AuthenticatedCaller<'_>) -> Result<Revocation, Problem> {
        let Self { handler, token_id, actor: actor_id, issued_until, dry_run: _ } = self;
        // No id begins or ends with a space: what was copied with one must not escape for that.
        let token_id = token_id.map(|id| id.trim_matches(' ').to_owned());
        if !(token_id.as_deref().is_none_or(is_token_id) && actor_id.as_deref().is_none_or(is_actor_id)) {
            return Err(Problem::InvalidRequest(
                "`token_id` has 1 to 256 printable ASCII characters and no blank at either end, `actor` a visible character and no control characters",
            ));
        }
        match (&handler, &token_id, &actor_id, issued_until) {
            (None, None, None, None) => return Err(Problem::InvalidRequest(WANTED)),
            (None, Some(_), ..) => return Err(Problem::InvalidRequest("`token_id` needs a `handler`")),
            (_, Some(_), Some(_), _) => {
                return Err(Problem::InvalidRequest("`token_id` names one token: leave `actor` out"));
            }
            _ => {}
        }
        let rights = &caller.rights().handlers;
        match &handler {
            Some(name) if rights.include(name) && context.live.digests.contains_key(name) => {}
            Some(_) => return Err(Problem::NoSuchHandler),
            None if matches!(rights, Handlers::All) => {}
            None => {
                return Err(Problem::InvalidRequest(
                    "This caller may use some handlers only: name one of them as `handler`",
                ));
            }
        }
        Ok(Revocation { handler, token_id, actor_id, issued_until, ..Revocation::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_filled_in_is_a_mistake() {
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

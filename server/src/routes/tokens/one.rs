//! `GET /v1/tokens/{handler}/{token_id}`, and `PATCH` of the same: what is known of a token, and what may be changed of it.

use super::restrictions::RestrictionsBody;
use super::{has_nul, refusal};
use crate::audit::{self, Asked};
use crate::caller::{self, AuthenticatedCaller};
use crate::config::{Caller, Sees};
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::{self, Object, given, second};
use crate::seen::Seen;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path};
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Amendment, Denial, Edited, Error, Record, Registry, is_token_id};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send at least one of `description` (text without NUL, or null), `expires_at` (unix seconds), `restrictions`";

/// What is known of a token. The token itself is not.
#[derive(Serialize, ToSchema)]
pub(crate) struct KnownToken {
    /// What revocation and audit name it by.
    token_id: String,
    /// The handler that made it.
    handler: String,
    /// The actor's id.
    actor: String,
    /// The note of whoever asked for it.
    #[schema(required)]
    description: Option<String>,
    /// What it narrows the actor's rights to; null for one that is not restricted.
    #[schema(required)]
    restrictions: Option<RestrictionsBody>,
    /// When it was made, in unix seconds.
    issued_at: u64,
    /// The last second in which it is good, in unix seconds; null for one that does not end.
    #[schema(required)]
    expires_at: Option<u64>,
    /// When it was last used, in unix seconds, to the minute or so.
    #[schema(required)]
    last_used_at: Option<u64>,
    /// What has become of it.
    #[schema(value_type = TokenStatus)]
    status: &'static str,
    /// When it was revoked or replaced, in unix seconds.
    #[schema(required)]
    ended_at: Option<u64>,
    /// The caller that had it made; null for the operator.
    #[schema(required)]
    caller: Option<String>,
}

/// What has become of a token by now.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `keyward_runtime::Status`")]
pub(crate) enum TokenStatus {
    Active,
    Expired,
    Revoked,
    Replaced,
}

impl KnownToken {
    /// Of a record that may be seen.
    pub(super) fn of(seen: &Seen, registry: &Registry) -> Result<Self, Error> {
        let handler = seen.handler().to_owned();
        let status = registry.status(&handler, seen.record())?.name();
        let Record {
            id,
            actor_id,
            description,
            restrictions,
            issued_at,
            expires_at,
            last_used_at,
            ended,
            caller,
            key: _,
        } = seen.record().clone();
        Ok(Self {
            token_id: id,
            handler,
            actor: actor_id,
            description,
            restrictions: restrictions.map(|restrictions| RestrictionsBody::of(&restrictions, registry)),
            issued_at,
            expires_at,
            last_used_at,
            status,
            ended_at: ended.map(|ended| ended.at),
            caller,
        })
    }
}

/// What is to be changed: each member that is there. Others stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(crate) struct EditRequest {
    /// Another note, or null for none.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    /// An earlier end, in unix seconds, that has not passed.
    #[serde(default, deserialize_with = "second")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 253402300799_u64)]
    expires_at: Option<u64>,
    /// Restrictions that allow nothing that the token does not.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<RestrictionsBody>, nullable = false)]
    restrictions: Option<Object<RestrictionsBody>>,
}

/// What is known of this token?
#[utoipa::path(
    get,
    path = "/v1/tokens/{handler}/{token_id}",
    tag = "applications",
    params(
        ("handler" = String, Path, description = "The handler that made it"),
        ("token_id" = String, Path, description = "Its id: not the token")
    ),
    responses(
        (status = 200, body = KnownToken, description = "What is known of it"),
        (status = 404, body = ErrorBody, description = "There is no such token, this caller may not see it, or no store is configured")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn show(
    Extension(context): Extension<Context>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let context = &context;
    let caller = caller::authorize(context, "token", &headers, None, |rights| rights.sees != Sees::Nothing)?;
    let asked = Asked { endpoint: "token", caller: Some(caller.id()), ..Asked::default() };
    let seen = find(context, asked, caller, path).await?;
    audit::recorded(context, asked, (seen.handler(), seen.record()), ("shown", None), None);
    answer(context, &seen)
}

/// Narrows this token, or gives it another note.
#[utoipa::path(
    patch,
    path = "/v1/tokens/{handler}/{token_id}",
    tag = "applications",
    params(
        ("handler" = String, Path, description = "The handler that made it"),
        ("token_id" = String, Path, description = "Its id: not the token")
    ),
    request_body = EditRequest,
    responses(
        (status = 200, body = KnownToken, description = "It is changed, and that is durable: it holds for every question from now on"),
        (status = 400, body = ErrorBody, description = "The request is malformed, or asks for more than the token is good for (`invalid_request`)"),
        (status = 404, body = ErrorBody, description = "There is no such token, this caller may not see it, or no store is configured"),
        (status = 409, body = ErrorBody, description = "It has ended, it has changed meanwhile, or tokens of its handler cannot be changed (`conflict`)"),
        (status = 503, body = ErrorBody, description = "The store did not confirm, or too many requests are being answered: look at the token, and try again")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn edit(
    Extension(context): Extension<Context>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let context = &context;
    let caller = caller::authorize(context, "token", &headers, None, may_edit)?;
    let EditRequest { description, expires_at, restrictions } = receive::json(context, &headers, body, WANTED).await?;
    if description.is_none() && expires_at.is_none() && restrictions.is_none()
        || has_nul(description.as_ref().and_then(|text| text.as_deref()))
    {
        return Err(Problem::InvalidRequest(WANTED));
    }
    let asked = Asked { endpoint: "token", caller: Some(caller.id()), ..Asked::default() };
    let seen = find(context, asked, caller, path).await?;
    let restrictions = restrictions.map(|Object(restrictions)| restrictions.checked());
    let amendment = Amendment { description, expires_at, restrictions };
    let named = amendment.to_string();
    let told = |outcome| audit::recorded(context, asked, (seen.handler(), seen.record()), outcome, Some(&named));
    match decision::edit(context, asked, &seen, amendment).await {
        Ok(Edited::Done(record)) => {
            told(("edited", None));
            answer(context, &seen.now(record))
        }
        Ok(Edited::Denied(denied)) => {
            told(("denied", Some(denied.denial.as_str())));
            Ok(match denied.denial {
                Denial::InvalidRequest => refusal(StatusCode::BAD_REQUEST, "invalid_request", &denied),
                _ => refusal(StatusCode::CONFLICT, "conflict", &denied),
            })
        }
        Ok(Edited::Unknown) => {
            audit::without_token(context, asked, "unknown-token");
            Err(Problem::NoSuchToken)
        }
        Err(error) => {
            let detail = format!("{named}; {error}");
            let failed = ("failed", Some(error.code()));
            audit::recorded(context, asked, (seen.handler(), seen.record()), failed, Some(&detail));
            Err(Problem::NotConfirmed)
        }
    }
}

/// Whether a caller may change tokens at all. Which ones, [`find`] says.
pub(super) fn may_edit(rights: &Caller) -> bool {
    rights.edit && rights.sees != Sees::Nothing
}

/// The record that a path names, if this caller may see it. There is one answer about all others, whatever the reason.
pub(super) async fn find(
    context: &Context,
    asked: Asked<'_>,
    caller: AuthenticatedCaller<'_>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Seen, Problem> {
    context.live.registry.records().map_err(|error| Problem::of_records(&error))?;
    let unknown = || {
        audit::without_token(context, asked, "unknown-token");
        Err(Problem::NoSuchToken)
    };
    // An encoded byte that is no UTF-8 is in no name.
    let Ok(Path((handler, id))) = path else { return unknown() };
    let is_usable = caller.rights().handlers.include(&handler) && context.live.digests.contains_key(&handler);
    if !is_usable || !is_token_id(&id) {
        return unknown();
    }
    if context.live.registry.is_token(&id, true).await {
        audit::without_token(context, asked, "token-for-id");
        return Err(Problem::InvalidRequest(
            "The path holds a token in the place of its id: revoke it, for paths are logged on their way",
        ));
    }
    match decision::find(context, &handler, &id).await {
        Ok(None) => unknown(),
        Ok(Some(record)) => Seen::by(caller, handler.clone(), record).map_err(|record| {
            audit::recorded(context, asked, (&handler, &record), ("refused", Some("not-its-token")), None);
            Problem::NoSuchToken
        }),
        Err(error) => {
            audit::failed(context, asked, &error);
            Err(Problem::of_records(&error))
        }
    }
}

fn answer(context: &Context, seen: &Seen) -> Result<Response, Problem> {
    let known = KnownToken::of(seen, &context.live.registry).map_err(|_| Problem::NoAnswer)?;
    Ok(json(StatusCode::OK, &known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_another_note_and_nothing_else() {
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

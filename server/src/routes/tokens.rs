//! `POST /v1/tokens`: makes a token. What there is to be known of those that were made stands in the modules below.

pub(crate) mod list;
pub(crate) mod one;
mod restrictions;
pub(crate) mod rotate;

use crate::audit::{self, Asked};
use crate::caller::{self, AuthenticatedCaller};
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::{self, Object, given, whole};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Acceptance, CreateRequest, Created, Creation, Denial, Denied, Parent, Verdict};
use restrictions::RestrictionsBody;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use std::num::NonZeroU32;
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send `{\"actor\":\"…\"}`, and any of `handler`, `expires_after` (seconds, at least 1), `restrictions`, `description` (without NUL), `parent` (a token, whose actor it is then)";

/// What the token should be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// Whom it speaks for: a visible character, no control characters, and not longer than the handler's limit, 1,024 bytes unless configured. With a
    /// `parent` it is the actor of that, and may be left out.
    #[schema(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    #[serde(default, deserialize_with = "given")]
    actor: Option<String>,
    /// The handler that makes it; the first that the caller may use, unless it is named.
    handler: Option<String>,
    /// Seconds until it ends. Without them it ends as the handler is configured and with `parent`, or not.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u32)]
    #[serde(default, deserialize_with = "seconds")]
    expires_after: Option<NonZeroU32>,
    /// What it narrows the actor's rights to; it leaves the actor all, or all that `parent` does, unless they are given.
    #[schema(value_type = Option<RestrictionsBody>)]
    restrictions: Option<Object<RestrictionsBody>>,
    /// A note.
    #[schema(pattern = "^[^\\u0000]*$")]
    description: Option<String>,
    /// The token that whoever asks has presented to the caller. The new one is for the same actor, is not wider, and ends no
    /// later. Not null: a forgotten one would make a token without bounds.
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "given")]
    parent: Option<String>,
}

/// The token, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token<'a> {
    /// The token.
    token: &'a str,
    /// The handler that made it.
    handler: &'a str,
    /// What revocation and audit name it by.
    #[schema(required)]
    token_id: Option<&'a str>,
    /// When it ends, in unix seconds.
    #[schema(required)]
    expires_at: Option<u64>,
}

/// Makes a token.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "applications",
    request_body = TokenRequest,
    responses(
        (status = 201, body = Token, description = "Here it is"),
        (status = 403, body = ErrorBody, description = "This caller may not create, or not from a restricted `parent` (`unauthorized_client`); `parent` is not good, or the handler makes no such token (`access_denied`)"),
        (status = 404, body = ErrorBody, description = "There is no such handler, or this caller may not use it"),
        (status = 409, body = ErrorBody, description = "The handler's settings switch creation off (`disabled`)")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn create(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (context, headers) = (&context, &headers);
    let live = &context.live;
    let caller = caller::authorize(context, "tokens", headers, None, |rights| rights.create)?;
    let request: TokenRequest = receive::json(context, headers, body, WANTED).await?;
    let TokenRequest { actor, handler, expires_after, restrictions, description, parent } = request;
    if (actor.is_none() && parent.is_none()) || has_nul(description.as_deref()) {
        return Err(Problem::InvalidRequest(WANTED));
    }
    if let Some(actor) = &actor
        && live.registry.is_token(actor, false).await
    {
        return Err(Problem::InvalidRequest("`actor` holds a token, and not its actor's id: it may be a `parent`"));
    }
    let usable = |name: &str| caller.rights().handlers.include(name);
    let handler = match handler {
        Some(name) => Some(name).filter(|name| usable(name) && live.digests.contains_key(name)),
        None => live.registry.handlers().map(|handler| handler.name).find(|name| usable(name)).map(str::to_owned),
    };
    let handler = handler.ok_or(Problem::NoSuchHandler)?;
    let asked = Asked { endpoint: "tokens", caller: Some(caller.id()), ..Asked::default() };
    let parent = match parent {
        Some(token) => Some(presented(context, asked, caller, &token).await?),
        None => None,
    };
    // A parent whose actor has no id can be none.
    let of_parent = || parent.as_ref().and_then(|parent| parent.actor.id()).map(str::to_owned);
    let actor = actor.or_else(of_parent).ok_or(Problem::BadParent)?;
    let request = CreateRequest {
        actor_id: actor.clone(),
        expires_after,
        restrictions: restrictions.map(|Object(restrictions)| restrictions.checked()),
        description,
        parent: parent.as_ref().map(Parent::of),
        caller: Some(caller.id().to_owned()),
    };
    let creation = decision::create(context, asked, &handler, request).await;
    audit::created(context, asked, &actor, &creation);
    match creation {
        Ok(Creation::Created(created)) => Ok(shown(&created)),
        Ok(Creation::Denied(denied)) => Ok(match denied.denial {
            Denial::InvalidRequest => refusal(StatusCode::BAD_REQUEST, "invalid_request", &denied),
            Denial::Disabled => refusal(StatusCode::CONFLICT, "disabled", &denied),
            _ => refusal(StatusCode::FORBIDDEN, "access_denied", &denied),
        }),
        Err(_) => Err(Problem::NoVerdict),
    }
}

/// A token that was presented to the caller, if it is good and the caller may make others from it. Of one that is not, nothing
/// is said, whatever the reason: a caller that may create need not be one that may verify.
async fn presented(
    context: &Context,
    asked: Asked<'_>,
    caller: AuthenticatedCaller<'_>,
    token: &str,
) -> Result<Acceptance, Problem> {
    let rights = caller.rights();
    let verdict = decision::verify(context, token, |name| rights.handlers.include(name)).await;
    match &verdict {
        Ok(Verdict::Accepted(parent)) if parent.restrictions.is_some() && !rights.delegate => {
            audit::refused(context, asked, parent, "restricted-parent");
            return Err(Problem::RestrictedParent);
        }
        _ => audit::verified(context, asked, &verdict, true),
    }
    match verdict {
        Ok(Verdict::Accepted(parent)) => Ok(parent),
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Err(Problem::BadParent),
        Err(_) => Err(Problem::NoVerdict),
    }
}

/// The answer with a new token in it.
fn shown(created: &Created) -> Response {
    let Created { handler, token, token_id, expires_at, key: _ } = created;
    json(StatusCode::CREATED, &Token { token, handler, token_id: token_id.as_deref(), expires_at: *expires_at })
}

/// A no in the handler's or the policy's own words, in the form of every error.
fn refusal(status: StatusCode, error: &'static str, denied: &Denied) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'static str,
        error_description: &'a str,
    }
    json(status, &Refusal { error, error_description: &denied.message })
}

/// No database keeps a text with NUL in it alike.
fn has_nul(description: Option<&str>) -> bool {
    description.is_some_and(|text| text.contains('\0'))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let seconds = whole(&number, u32::MAX.into()).and_then(|whole| u32::try_from(whole).ok()).and_then(NonZeroU32::new);
    seconds.map(Some).ok_or_else(|| D::Error::custom("no number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_fit() {
        let read = |text: &str| {
            let body = format!("{{\"actor\":\"root\",\"expires_after\":{text}}}");
            serde_json::from_str::<TokenRequest>(&body).ok().map(|request| request.expires_after.map(NonZeroU32::get))
        };
        for (text, wanted) in [
            ("null", None),
            ("1", Some(1)),
            ("3600.0", Some(3600)),
            ("36e2", Some(3600)),
            ("4294967295", Some(u32::MAX)),
        ] {
            assert_eq!(read(text), Some(wanted), "{text}");
        }
        for text in
            ["0", "0.0", "-1", "-1.0", "1.5", "4294967296", "4294967296.0", "1e300", "1e-300", "\"1\"", "true", "[1]"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

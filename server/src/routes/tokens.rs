//! `POST /v1/tokens`: issues a token. The submodules list, show, edit and rotate tokens.

pub(crate) mod list;
mod restrictions;
pub(crate) mod rotate;
pub(crate) mod token;

use crate::body::{self, Object, given, whole};
use crate::client::{self, AuthenticatedClient};
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, BodyProblem, ErrorBody, json};
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

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::new("tokens", "/v1/tokens", Query::OnGet);

const WANTED: &str = "send `actor` (text), and optionally `handler`, `expires_after` (seconds, at least 1), `restrictions`, `description` (without NUL), `parent` (a token, whose actor is the default)";

/// A request for a token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// The id of the actor: at least one visible character, no control characters, and at most the
    /// handler's limit, 1,024 bytes by default. With `parent` it is the actor of the parent, and
    /// may be omitted.
    #[schema(nullable = false, min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    #[serde(default, deserialize_with = "given")]
    actor: Option<String>,
    /// The handler that issues the token. Default: the first one that the client may use.
    handler: Option<String>,
    /// Lifetime in seconds. Default: as configured for the handler, and at most that of `parent`;
    /// if there is neither, the token does not expire.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u32)]
    #[serde(default, deserialize_with = "seconds")]
    expires_after: Option<NonZeroU32>,
    /// The restrictions of the actor's rights. Default: those of `parent`, or none.
    #[schema(value_type = Option<RestrictionsBody>)]
    restrictions: Option<Object<RestrictionsBody>>,
    /// A note about the token: at most 4,096 bytes.
    #[schema(pattern = "^[^\\u0000]*$")]
    description: Option<String>,
    /// The token that was presented to the client. The new token has the same actor, allows no more
    /// and expires no later. Null is rejected, because a value missing by mistake would issue a
    /// token without bounds.
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "given")]
    parent: Option<String>,
}

/// The new token, which is never shown again.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token<'a> {
    /// The token.
    token: &'a str,
    /// The handler that issued it.
    handler: &'a str,
    /// The token's id for revocation and the audit log.
    #[schema(required)]
    token_id: Option<&'a str>,
    /// The last second in which it is valid, in unix seconds; null if it does not expire.
    #[schema(required)]
    expires_at: Option<u64>,
}

/// Issues a token.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    tag = "applications",
    request_body = TokenRequest,
    responses(
        (status = 201, body = Token, description = "The token"),
        (status = 403, body = ErrorBody, description = "This client may not create tokens, or not from a restricted `parent` (`unauthorized_client`); or `parent` is not valid, or the token is not permitted (`access_denied`)"),
        (status = 404, body = ErrorBody, description = "There is no such handler, or this client may not use it"),
        (status = 409, body = ErrorBody, description = "The handler's settings disable creation (`disabled`)")
    ),
    security(("basic" = []), ("bearer" = []))
)]
pub(crate) async fn create(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (context, headers) = (&context, &headers);
    let live = &context.live;
    let client = client::authorize(context, &ENDPOINT, headers, None, &[Right::Create])?;
    let request: TokenRequest = body::json(context, headers, body, WANTED).await?;
    let TokenRequest { actor, handler, expires_after, restrictions, description, parent } = request;
    if (actor.is_none() && parent.is_none()) || has_nul(description.as_deref()) {
        return Err(ApiError::InvalidBody { problem: BodyProblem::Other, wanted: WANTED });
    }
    if let Some(actor) = &actor
        && live.registry.is_token(actor, keyward_runtime::registry::IdKind::Actor).await
    {
        return Err(ApiError::InvalidRequest("`actor` is a token, not an actor's id: send a token as `parent`"));
    }
    let issuers = live.registry.handlers().filter(|handler| handler.component.handles_tokens());
    let mut usable = issuers.map(|handler| handler.name).filter(|name| client.config().handlers.contains(name));
    let handler = usable.find(|name| handler.as_ref().is_none_or(|wanted| wanted == name));
    let handler = handler.ok_or(ApiError::NoSuchHandler)?.to_owned();
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let parent = match parent {
        Some(token) => Some(presented(context, asked, client, &token).await?),
        None => None,
    };
    // A token whose actor has no id, or an integer, cannot be a parent.
    let of_parent = || parent.as_ref()?.actor_ignoring_restrictions().id()?.as_text().map(str::to_owned);
    let actor = actor.or_else(of_parent).ok_or(ApiError::BadParent)?;
    let parent = parent.as_ref().map(Parent::of);
    let parent_token = parent.as_ref().and_then(Parent::token);
    let mut request = CreateRequest::new(&actor).handler(&handler).client(client.id());
    request.expires_after = expires_after;
    request.restrictions = restrictions.map(|Object(restrictions)| restrictions.checked());
    request.description = description;
    request.parent = parent;
    let creation = decision::create(context, asked, request).await;
    decision_log::created(context, asked, (&actor, parent_token.as_ref()), &creation);
    match creation {
        Ok(Creation::Created(created)) => Ok(shown(&created)),
        Ok(Creation::Denied(denied)) => Ok(match denied.denial {
            Denial::InvalidRequest => refusal(StatusCode::BAD_REQUEST, "invalid_request", &denied),
            Denial::Disabled => refusal(StatusCode::CONFLICT, "disabled", &denied),
            _ => refusal(StatusCode::FORBIDDEN, "access_denied", &denied),
        }),
        Err(_) => Err(ApiError::NoVerdict),
    }
}

/// Verifies the parent token.
///
/// # Errors
/// The token is not valid, or is restricted and the client may not delegate. The error does not
/// give the reason of a rejection, since a client that may create tokens may lack the permission to
/// verify.
async fn presented(
    context: &Context,
    asked: DecisionContext<'_>,
    client: AuthenticatedClient<'_>,
    token: &str,
) -> Result<Acceptance, ApiError> {
    let rights = client.config();
    let verdict = decision::verify(context, token, |name| rights.handlers.contains(name)).await;
    match &verdict {
        Ok(Verdict::Accepted(parent)) if parent.restrictions.is_some() && !rights.may(Right::Delegate) => {
            decision_log::refused(context, asked, parent, "restricted-parent");
            return Err(ApiError::RestrictedParent);
        }
        _ => decision_log::verified(context, asked, &verdict, true),
    }
    match verdict {
        Ok(Verdict::Accepted(parent)) => Ok(parent),
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Err(ApiError::BadParent),
        Err(_) => Err(ApiError::NoVerdict),
    }
}

/// Returns the response with a new token.
fn shown(created: &Created) -> Response {
    let Created { handler, token, token_id, expires_at, .. } = created;
    json(
        StatusCode::CREATED,
        &Token { token, handler, token_id: token_id.as_deref(), expires_at: expires_at.map(|time| time.seconds) },
    )
}

/// Returns an error response with the message of the handler or the policy.
fn refusal(status: StatusCode, error: &'static str, denied: &Denied) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'static str,
        error_description: &'a str,
    }
    json(status, &Refusal { error, error_description: &denied.message })
}

/// Returns whether the text contains NUL, which databases do not store consistently.
fn has_nul(description: Option<&str>) -> bool {
    description.is_some_and(|text| text.contains('\0'))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let seconds = whole(&number, u32::MAX.into()).and_then(|whole| u32::try_from(whole).ok()).and_then(NonZeroU32::new);
    seconds.map(Some).ok_or_else(|| D::Error::custom("not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_whole_and_in_range() {
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

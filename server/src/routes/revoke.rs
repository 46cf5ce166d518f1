//! `POST /v1/revoke`: RFC 7009.

use crate::audit::{self, Asked};
use crate::caller;
use crate::config::Caller;
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem};
use crate::routes::document::TokenForm;
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{HeaderValue, PRAGMA};
use keyward_runtime::{Acceptance, Reason, Rejection, Revocation, Verdict};

/// Takes a token back.
#[utoipa::path(
    post,
    path = "/v1/revoke",
    tag = "applications",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (
            status = 200,
            description = "It is revoked, and that is durable; or it was no good token before. Nothing tells the one from the other",
            headers(("Pragma" = String, description = "`no-cache`"))
        ),
        (status = 400, body = ErrorBody, description = "The request is malformed (`invalid_request`), the token's handler is none that this caller may use (`unauthorized_client`), or the token has no id (`unsupported_token_type`)"),
        (status = 404, body = ErrorBody, description = "Nothing can be revoked here: no store is configured. The same for every token"),
        (status = 503, body = ErrorBody, description = "No verdict could be had, the store has not confirmed, or too many requests are being answered: take the token to be good still, and try again")
    ),
    security(("basic" = []), ("bearer" = []), ())
)]
pub(crate) async fn revoke(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let context = &context;
    let may = |rights: &Caller| rights.revoke;
    let (caller, form) = caller::authorize_form(context, "revoke", &headers, body, may).await?;
    let registry = &context.live.registry;
    if !registry.can_revoke() {
        // Whatever the token is: the answer must not tell.
        return Err(Problem::NoStore);
    }
    // Whoever may not use the token's handler is told so: that is no secret before whoever has the token.
    let verdict = decision::verify(context, form.token()?, |_| true).await;
    let asked = Asked { endpoint: "revoke", caller: Some(caller.id()), ..Asked::default() };
    match verdict {
        Ok(Verdict::Accepted(acceptance)) if !caller.rights().handlers.include(&acceptance.handler) => {
            audit::refused(context, asked, &acceptance, "unauthorized-client");
            return Err(Problem::NotItsToken);
        }
        Ok(Verdict::Accepted(acceptance)) => take_back(context, asked, acceptance).await?,
        Ok(Verdict::Rejected(Rejection { reason: Reason::Revoked, .. })) if registry.has_unconfirmed_revocations() => {
            audit::verified(context, asked, &verdict, false);
            return Err(Problem::NotRevoked);
        }
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => audit::verified(context, asked, &verdict, false),
        Err(_) => {
            audit::verified(context, asked, &verdict, false);
            return Err(Problem::NotRevoked);
        }
    }
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

async fn take_back(context: &Context, asked: Asked<'_>, acceptance: Acceptance) -> Result<(), Problem> {
    if acceptance.token_id.is_none() {
        audit::refused(context, asked, &acceptance, "no-token-id");
        return Err(Problem::NoTokenId);
    }
    let revocation = Revocation {
        handler: Some(acceptance.handler.to_string()),
        token_id: acceptance.token_id.clone(),
        ..Revocation::default()
    };
    // Whose it was is for the audit: the token is named by its id.
    let ended = decision::revoke(context, asked, revocation.clone(), acceptance.actor.id()).await;
    let named = Revocation { actor_id: acceptance.actor.id().map(str::to_owned), ..revocation };
    audit::revoked(context, asked, &named, "revoked", &ended);
    ended.map(|_| ()).map_err(|error| Problem::of_revocation(&error))
}

//! `POST /v1/revoke`: RFC 7009.

use crate::audit::{self, Asked, Named};
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
use keyward_runtime::{Presented, Reason, Rejection, Verdict};

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
        (status = 400, body = ErrorBody, description = "The request is malformed (`invalid_request`), or the token's handler is none that this caller may use (`unauthorized_client`)"),
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
    // Clients that may not use the token's handler are told so: that is no secret before those who have the token.
    let token = form.token()?;
    let verdict = decision::verify(context, token, |_| true).await;
    let asked = Asked { endpoint: "revoke", caller: Some(caller.id()), ..Asked::default() };
    let is_unconfirmed = matches!(&verdict, Ok(Verdict::Rejected(Rejection { reason: Reason::Revoked, .. })))
        && registry.has_unconfirmed_revocations();
    let presented = registry.presented(token, &verdict).await;
    match presented {
        Ok(Some(presented)) if !presented.revocations.is_empty() && !is_unconfirmed => {
            if !caller.rights().handlers.include(&presented.handler) {
                match &verdict {
                    Ok(Verdict::Accepted(acceptance)) => {
                        audit::refused(context, asked, acceptance, "unauthorized-client");
                    }
                    _ => audit::verified(context, asked, &verdict, false),
                }
                return Err(Problem::NotItsToken);
            }
            if !matches!(verdict, Ok(Verdict::Accepted(_))) {
                audit::verified(context, asked, &verdict, false);
            }
            revoke_all(context, asked, presented).await?;
        }
        presented => {
            audit::verified(context, asked, &verdict, false);
            let is_revoked = matches!(presented, Ok(Some(_)));
            if is_unconfirmed || presented.is_err() || (verdict.is_err() && !is_revoked) {
                return Err(Problem::NotRevoked);
            }
        }
    }
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Revokes a token by all that names it.
async fn revoke_all(context: &Context, asked: Asked<'_>, presented: Presented) -> Result<(), Problem> {
    let Presented { actor_id, revocations, mismatch, .. } = presented;
    for revocation in revocations {
        let named =
            Named { actor: actor_id.as_deref(), token_id: revocation.token_id.as_deref(), note: mismatch.as_deref() };
        let ended = decision::revoke(context, asked, revocation.clone(), named).await;
        audit::revoked(context, asked, &revocation, named, "revoked", &ended);
        ended.map_err(|error| Problem::of_revocation(&error))?;
    }
    Ok(())
}

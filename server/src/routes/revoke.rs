//! `POST /v1/revoke`: token revocation (RFC 7009).

use crate::client;
use crate::config::Right;
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::Endpoint;
use crate::error::{ApiError, ErrorBody};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{HeaderValue, PRAGMA};
use keyward_runtime::registry::Presented;
use keyward_runtime::store::Revocation;
use keyward_runtime::{Reason, Rejection, Verdict};
use keyward_service::Named;
use utoipa::ToSchema;

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::with_credentials("revoke", "/v1/revoke");

/// The token to revoke. A parameter must not be repeated; unknown ones are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form body, which is read parameter by parameter")]
pub(crate) struct RevokeForm {
    /// The token.
    token: String,
    /// Ignored: the result is the same with any hint.
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// Keeps the tokens valid that were requested with this one. By default they are revoked with
    /// it.
    #[schema(nullable = false)]
    keep_children: Option<bool>,
    /// The client's id, unless it authenticates in `Authorization`.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The client's secret, unless it authenticates in `Authorization`. Requires `client_id`.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// Revokes a token (RFC 7009), and the tokens that were requested with it.
#[utoipa::path(
    post,
    path = "/v1/revoke",
    tag = "applications",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (
            status = 200,
            description = "The token is revoked durably, or was not valid before. The responses do not differ",
            headers(("Pragma" = String, description = "`no-cache`"))
        ),
        (status = 400, body = ErrorBody, description = "The request is malformed (`invalid_request`), or this client may not use the token's handler (`unauthorized_client`)"),
        (status = 404, body = ErrorBody, description = "No store is configured, which revocation requires. The same for every token"),
        (status = 503, body = ErrorBody, description = "There is no verdict, the store did not confirm the revocation, or too many requests are in progress: treat the token as still valid, and try again")
    ),
    security(("basic" = []), ("bearer" = []), ())
)]
pub(crate) async fn revoke(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let context = &context;
    let (client, form) = client::authorize_form(context, &ENDPOINT, &headers, body, &[Right::Revoke]).await?;
    let registry = &context.live.registry;
    // Checked before the token, so that the response does not depend on it.
    let revocations = registry.revocations().map_err(|_| ApiError::NoStore)?;
    // Clients that may not use the token's handler get an error of their own: the handler is not a
    // secret from a client that holds the token.
    let token = form.token()?;
    let keep_children = match form.one("keep_children")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(ApiError::InvalidRequest("`keep_children` must be `true` or `false`")),
    };
    let verdict = decision::verify(context, token, |_| true).await;
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    let is_unconfirmed = matches!(&verdict, Ok(Verdict::Rejected(Rejection { reason: Reason::Revoked, .. })))
        && revocations.list().has_unwritten();
    let presented = revocations.presented(token, &verdict).await;
    match presented {
        Ok(Some(presented)) if !presented.revocations.is_empty() && !is_unconfirmed => {
            if !client.config().handlers.contains(&presented.handler) {
                match &verdict {
                    Ok(Verdict::Accepted(acceptance)) => {
                        decision_log::refused(context, asked, acceptance, "unauthorized-client");
                    }
                    _ => decision_log::verified(context, asked, &verdict, false),
                }
                return Err(ApiError::NotItsToken);
            }
            if !matches!(verdict, Ok(Verdict::Accepted(_))) {
                decision_log::verified(context, asked, &verdict, false);
            }
            revoke_all(context, asked, presented, keep_children).await?;
        }
        presented => {
            decision_log::verified(context, asked, &verdict, false);
            let is_revoked = matches!(presented, Ok(Some(_)));
            if is_unconfirmed {
                decision::pending_are_kept(context).await;
            }
            if is_unconfirmed || presented.is_err() || (verdict.is_err() && !is_revoked) {
                return Err(ApiError::NotRevoked);
            }
        }
    }
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Revokes a token by each of its names.
async fn revoke_all(
    context: &Context,
    asked: DecisionContext<'_>,
    presented: Presented,
    keep_children: bool,
) -> Result<(), ApiError> {
    let Presented { actor_id, revocations, mismatch, .. } = presented;
    for revocation in revocations {
        let revocation = Revocation { keep_children, ..revocation };
        let named =
            Named { actor: actor_id.as_deref(), token_id: revocation.token_id.as_deref(), note: mismatch.as_deref() };
        let ended = decision::revoke(context, asked, revocation.clone(), named).await;
        decision_log::revoked(context, asked, &revocation, named, "revoked", &ended);
        ended.map_err(|error| ApiError::of_revocation(&error))?;
    }
    Ok(())
}

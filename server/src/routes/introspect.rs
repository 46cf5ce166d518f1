//! `POST /v1/introspect`: token introspection (RFC 7662).

use crate::client;
use crate::config::{Config, Right};
use crate::context::Context;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::Endpoint;
use crate::error::{ApiError, json};
use crate::identity_headers;
use crate::routes::openapi::{self, TokenForm};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Acceptance, Registry, Restrictions, Verdict};
use keyward_service::actor_json;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::with_credentials("introspect", "/v1/introspect");

/// The result of an introspection (RFC 7662 section 2.2). Inactive tokens have no other members.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Introspection {
    Active(Box<Active>),
    Inactive(Inactive),
}

/// A valid token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Active {
    #[schema(schema_with = openapi::always_true)]
    active: bool,
    /// The restrictions of the token: `ACTION`, `ACTION:DATABASE` or `ACTION:DATABASE/RESOURCE`,
    /// separated by spaces. Absent if the token is not restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    #[schema(schema_with = openapi::bearer)]
    token_type: &'static str,
    /// The last second in which the token is valid, in unix seconds. Absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<u64>,
    /// The time of issue in unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<u64>,
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sub: Option<String>,
    /// The issuer from the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    /// The token's id for revocation and the audit log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jti: Option<String>,
    /// The handler that accepted the token.
    handler: String,
    /// The actor, as described by the handler and the host.
    #[schema(value_type = Object)]
    actor: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ShortRestrictions>, nullable = false)]
    restrictions: Option<Restrictions>,
}

/// Any other token.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inactive {
    #[schema(schema_with = openapi::always_false)]
    active: bool,
}

/// The restrictions of a token in Datasette's format, with actions as the token names them. Empty
/// restrictions allow nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `keyward_runtime::Restrictions`")]
struct ShortRestrictions {
    /// Actions allowed on everything.
    #[schema(nullable = false)]
    a: Option<Vec<String>>,
    /// Actions allowed on a database, by database.
    #[schema(nullable = false)]
    d: Option<BTreeMap<String, Vec<String>>>,
    /// Actions allowed on a resource, by database and resource.
    #[schema(nullable = false)]
    r: Option<BTreeMap<String, BTreeMap<String, Vec<String>>>>,
}

/// Introspects a token (RFC 7662).
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "applications",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection, description = "The token, or exactly `{\"active\":false}` if it is not valid")
    ),
    security(("basic" = []), ("bearer" = []), ())
)]
pub(crate) async fn introspect(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (context, headers) = (&context, &headers);
    let config = &context.live.config;
    let (client, form) = client::authorize_form(context, &ENDPOINT, headers, body, &[Right::Introspect]).await?;
    let token = form.token()?;

    let verdict = decision::verify(context, token, |name| client.config().handlers.contains(name)).await;
    let asked = DecisionContext::of(&ENDPOINT, client.id());
    decision_log::verified(context, asked, &verdict, true);
    let introspection = match verdict {
        Ok(Verdict::Accepted(acceptance)) => active(config, &context.live.registry, acceptance)?,
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Introspection::Inactive(Inactive { active: false }),
        Err(_) => return Err(ApiError::NoVerdict),
    };
    Ok(json(StatusCode::OK, &introspection))
}

fn active(config: &Config, registry: &Registry, acceptance: Acceptance) -> Result<Introspection, ApiError> {
    let actor = acceptance.actor_ignoring_restrictions();
    let sub = actor.id().map(|id| id.as_str().to_owned());
    // Fail closed: an actor that cannot be serialized is not accepted.
    let actor = actor_json(actor.json()).ok_or(ApiError::NoVerdict)?;
    let Acceptance { handler, restrictions, token_id, issued_at, expires_at, .. } = acceptance;
    Ok(Introspection::Active(Box::new(Active {
        active: true,
        scope: restrictions.as_ref().map(|restrictions| identity_headers::scopes(registry, restrictions)),
        token_type: "Bearer",
        exp: expires_at.map(|time| time.seconds),
        iat: issued_at.map(|time| time.seconds),
        sub,
        iss: config.issuer.as_ref().map(|issuer| issuer.as_str().to_owned()),
        jti: token_id,
        handler: handler.to_string(),
        actor,
        restrictions,
    })))
}

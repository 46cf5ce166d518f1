//! `POST /v1/introspect`: RFC 7662.

use crate::audit::{self, Asked};
use crate::caller;
use crate::config::{Caller, Config};
use crate::context::Context;
use crate::decision;
use crate::identity;
use crate::outcome::actor_json;
use crate::problem::{Problem, json};
use crate::routes::document::{self, TokenForm};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Acceptance, Registry, Restrictions, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What is said of a token (RFC 7662 section 2.2): of any that is not good only that it is not active.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Introspection {
    Active(Box<Active>),
    Inactive(Inactive),
}

/// What is said of a good token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Active {
    #[schema(schema_with = document::always_true)]
    active: bool,
    /// What the token is restricted to: `ACTION`, `ACTION:DATABASE` or `ACTION:DATABASE/RESOURCE`, separated by spaces. Absent
    /// where it is not restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    #[schema(schema_with = document::bearer)]
    token_type: &'static str,
    /// When it ends, in unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<u64>,
    /// When it was made, in unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<u64>,
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sub: Option<String>,
    /// The issuer of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
    /// What revocation and audit name the token by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jti: Option<String>,
    /// The handler that vouches.
    handler: String,
    /// The actor, as the handler and the host describe it.
    #[schema(value_type = Object)]
    actor: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ShortRestrictions>, nullable = false)]
    restrictions: Option<Restrictions>,
}

/// What is said of any other token.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inactive {
    #[schema(schema_with = document::always_false)]
    active: bool,
}

/// What a token is restricted to, as Datasette writes it: actions by the names that the token carries. Nothing at all allows
/// nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `keyward_runtime::Restrictions`")]
struct ShortRestrictions {
    /// On everything.
    #[schema(nullable = false)]
    a: Option<Vec<String>>,
    /// By database.
    #[schema(nullable = false)]
    d: Option<BTreeMap<String, Vec<String>>>,
    /// By database and resource.
    #[schema(nullable = false)]
    r: Option<BTreeMap<String, BTreeMap<String, Vec<String>>>>,
}

/// Is this token good, and whose is it?
#[utoipa::path(
    post,
    path = "/v1/introspect",
    tag = "applications",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection, description = "Exactly `{\"active\":false}`, unless it is a clear yes")
    ),
    security(("basic" = []), ("bearer" = []), ())
)]
pub(crate) async fn introspect(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (context, headers) = (&context, &headers);
    let config = &context.live.config;
    let may = |rights: &Caller| rights.introspect;
    let (caller, form) = caller::authorize_form(context, "introspect", headers, body, may).await?;
    let token = form.token()?;

    let verdict = decision::verify(context, token, |name| caller.rights().handlers.include(name)).await;
    let asked = Asked { endpoint: "introspect", caller: Some(caller.id()), ..Asked::default() };
    audit::verified(context, asked, &verdict, true);
    let introspection = match verdict {
        Ok(Verdict::Accepted(acceptance)) => active(config, &context.live.registry, acceptance)?,
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Introspection::Inactive(Inactive { active: false }),
        Err(_) => return Err(Problem::NoVerdict),
    };
    Ok(json(StatusCode::OK, &introspection))
}

fn active(config: &Config, registry: &Registry, acceptance: Acceptance) -> Result<Introspection, Problem> {
    let Acceptance { handler, actor, restrictions, token_id, issued_at, expires_at, key: _, .. } = acceptance;
    Ok(Introspection::Active(Box::new(Active {
        active: true,
        scope: restrictions.as_ref().map(|restrictions| identity::scopes(registry, restrictions)),
        token_type: "Bearer",
        exp: expires_at,
        iat: issued_at,
        sub: actor.id().map(str::to_owned),
        iss: config.issuer.as_ref().map(|issuer| issuer.as_str().to_owned()),
        jti: token_id,
        handler: handler.to_string(),
        // What cannot be shown is no yes.
        actor: actor_json(actor.json()).ok_or(Problem::NoVerdict)?,
        restrictions,
    })))
}

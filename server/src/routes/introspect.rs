//! `POST /v1/introspect`: RFC 7662.

use crate::audit::{self, Asked};
use crate::caller::{self, Posted};
use crate::context::Context;
use crate::identity;
use crate::outcome::actor_json;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::Form;
use crate::service::Failure;
use crate::{config::Config, decision};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Acceptance, Registry, Restrictions, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What introspection is asked.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form body, which is read parameter by parameter")]
pub(crate) struct IntrospectionRequest {
    /// The token.
    token: String,
    /// Ignored: the answer is the same with any hint.
    token_type_hint: Option<String>,
    /// The caller's id, unless it is in `Authorization`.
    client_id: Option<String>,
    /// The caller's secret, unless it is in `Authorization`.
    client_secret: Option<String>,
}

/// What is said of a good token (RFC 7662 section 2.2). Of any other it is said that it is not active, and nothing else.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Introspection {
    /// A good token.
    Active(Box<Active>),
    /// Anything else.
    Inactive {
        /// `false`
        active: bool,
    },
}

/// What is said of a good token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Active {
    /// `true`
    active: bool,
    /// What the token is restricted to: `ACTION`, `ACTION:DATABASE` or `ACTION:DATABASE/RESOURCE`, separated by spaces. Absent
    /// where it is not restricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// `Bearer`
    token_type: &'static str,
    /// When it ends, in unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// When it was made, in unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    /// The actor's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The issuer of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// What revocation and audit name the token by.
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    /// The handler that vouches.
    handler: String,
    /// The actor, as the handler and the host describe it.
    #[schema(value_type = Object)]
    actor: Box<RawValue>,
    /// What the token is restricted to, as Datasette writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    restrictions: Option<Restrictions>,
}

/// Is this token good, and whose is it?
#[utoipa::path(
    post,
    path = "/v1/introspect",
    request_body(content = IntrospectionRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = Introspection, description = "The answer: exactly `{\"active\":false}` unless it is a clear yes"),
        (status = 400, body = ErrorBody, description = "The request is malformed"),
        (status = 401, body = ErrorBody, description = "The caller is not known"),
        (status = 403, body = ErrorBody, description = "The caller may not introspect"),
        (status = 413, body = ErrorBody, description = "The body is too long"),
        (status = 415, body = ErrorBody, description = "The body is not a form"),
        (status = 503, body = ErrorBody, description = "No verdict could be had: neither a yes nor a no")
    ),
    security(("basic" = []), ("bearer" = []), ())
)]
pub(crate) async fn introspect(
    Extension(context): Extension<Context>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    answer(&context, &headers, body).await.map_err(|problem| Failure::of(&context, problem))
}

async fn answer(context: &Context, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let config = &context.live.config;
    let form = Form::receive(context, headers, body).await?;
    let posted = match (form.one("client_id")?, form.one("client_secret")?) {
        (Some(id), Some(secret)) => Some(Posted { id, secret }),
        (None, Some(_)) => return Err(Problem::InvalidRequest("`client_secret` needs a `client_id`")),
        // Some clients name themselves in the body although they authenticate in the header.
        (_, None) => None,
    };
    let caller = caller::authenticate(config, headers, posted)?;
    if !caller.rights().introspect {
        return Err(Problem::UnauthorizedClient);
    }
    let token = form.one("token")?.ok_or(Problem::InvalidRequest("The parameter `token` is missing"))?;
    let _hint = form.one("token_type_hint")?;

    let verdict = decision::verify(context, token, |name| caller.rights().handlers.include(name)).await;
    let asked = Asked { endpoint: "introspect", caller: Some(caller.id()), ..Asked::default() };
    audit::verified(context, asked, &verdict, true);
    let introspection = match verdict {
        Ok(Verdict::Accepted(acceptance)) => active(config, &context.live.registry, acceptance)?,
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Introspection::Inactive { active: false },
        Err(_) => return Err(Problem::NoVerdict),
    };
    Ok(json(StatusCode::OK, &introspection))
}

fn active(config: &Config, registry: &Registry, acceptance: Acceptance) -> Result<Introspection, Problem> {
    let Acceptance { handler, actor, restrictions, token_id, issued_at, expires_at } = acceptance;
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

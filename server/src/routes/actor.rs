//! `GET /v1/actor`: the actor of the presented token, in the style of Datasette's `/-/actor.json`.

use crate::context::Context;
use crate::credential::Authorization;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::{Endpoint, Query};
use crate::error::{challenge, json, retry_after};
use crate::routes::openapi;
use axum::extract::Extension;
use axum::response::Response;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode, Uri};
use keyward_runtime::Verdict;
use keyward_service::actor_json;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The endpoint of this module.
pub(super) const ENDPOINT: Endpoint = Endpoint::new("actor", "/v1/actor", Query::Always);

/// The actor of the presented token.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorBody {
    #[schema(schema_with = openapi::always_true)]
    ok: bool,
    /// The actor; null without a token, or if no handler owns the token.
    #[schema(value_type = Option<Object>, required)]
    actor: Option<Box<RawValue>>,
}

/// An error in Datasette's format.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorError {
    #[schema(schema_with = openapi::always_false)]
    ok: bool,
    /// The description of the error.
    error: String,
    /// The same description, as the only item.
    #[schema(min_items = 1, max_items = 1)]
    errors: Vec<String>,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
}

/// Returns the actor of the presented token.
///
/// In the style of Datasette's `/-/actor.json`. If the configuration names a query parameter, the
/// token may be sent in that parameter instead of the header.
#[utoipa::path(
    get,
    path = "/v1/actor",
    tag = "applications",
    responses(
        (status = 200, body = ActorBody, description = "The actor, or null"),
        (status = 400, body = ActorError, description = "The token is presented more than once, or the request is malformed"),
        (status = 401, body = ActorError, description = "The token is rejected"),
        (status = 503, body = ActorError, description = "There is no verdict, or too many requests are in progress: try again")
    ),
    security(("token" = []), ())
)]
pub(crate) async fn actor(Extension(context): Extension<Context>, uri: Uri, headers: HeaderMap) -> Response {
    let mut response = answer(&context, &uri, &headers).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

async fn answer(context: &Context, uri: &Uri, headers: &HeaderMap) -> Response {
    let asked = DecisionContext { endpoint: ENDPOINT.name, ..DecisionContext::default() };
    let token = match presented(context, uri, headers) {
        Ok(Some(token)) => token,
        Ok(None) => {
            decision_log::log_without_token(context, asked, "no-token");
            return json(StatusCode::OK, &ActorBody { ok: true, actor: None });
        }
        Err(text) => {
            decision_log::log_without_token(context, asked, "malformed");
            return error(StatusCode::BAD_REQUEST, text);
        }
    };
    let verdict = decision::verify(context, &token, |_| true).await;
    decision_log::verified(context, asked, &verdict, true);
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => match actor_json(acceptance.actor_ignoring_restrictions().json()) {
            Some(actor) => json(StatusCode::OK, &ActorBody { ok: true, actor: Some(actor) }),
            None => no_verdict("No verdict: the handler of this token failed."),
        },
        Ok(Verdict::NotMine) => json(StatusCode::OK, &ActorBody { ok: true, actor: None }),
        Ok(Verdict::Rejected(rejection)) => {
            let mut response = error(StatusCode::UNAUTHORIZED, &rejection.message);
            challenge(response.headers_mut(), "Bearer error=\"invalid_token\"");
            response
        }
        Err(error) => no_verdict(error.public_message()),
    }
}

/// Returns the token of a request; `None` if there is none.
///
/// Like Datasette, accepts any text after `Bearer` and lets the handler reject it. Unlike
/// Datasette, the scheme is case-insensitive, several spaces count as one, and a token that is
/// presented twice is an error.
fn presented<'a>(
    context: &Context,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Option<Cow<'a, str>>, &'static str> {
    match Authorization::of(headers) {
        Authorization::Several => Err("There is more than one Authorization header"),
        // A header of any scheme takes precedence over the query, as in datasette-auth-tokens.
        authorization @ Authorization::One { .. } => {
            let token = authorization.with_scheme("bearer").filter(|token| !token.is_empty());
            Ok(token.map(String::from_utf8_lossy))
        }
        Authorization::Missing => {
            let Some(name) = &context.live.config.query_parameter else { return Ok(None) };
            let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
            let mut values = pairs.filter(|(known, _)| known == name).map(|(_, value)| value);
            let value = values.next();
            match values.next() {
                Some(_) => Err("The token occurs more than once in the query"),
                None => Ok(value.filter(|value| !value.is_empty())),
            }
        }
    }
}

fn no_verdict(text: &str) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, text);
    retry_after(response.headers_mut());
    response
}

/// Returns an error in Datasette's format.
fn error(status: StatusCode, text: &str) -> Response {
    let body = ActorError { ok: false, error: text.to_owned(), errors: vec![text.to_owned()], status: status.as_u16() };
    json(status, &body)
}

//! `GET /v1/actor`: who the presented token is, in the style of Datasette's `/-/actor.json`.

use crate::audit::{self, Asked};
use crate::context::Context;
use crate::credential::Authorization;
use crate::decision;
use crate::outcome::actor_json;
use crate::problem::{challenge, json, retry_after};
use crate::routes::document;
use axum::extract::Extension;
use axum::response::Response;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode, Uri};
use keyward_runtime::Verdict;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

/// Who it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorBody {
    #[schema(schema_with = document::always_true)]
    ok: bool,
    /// The actor; null without a token, or with nobody's.
    #[schema(value_type = Option<Object>, required)]
    actor: Option<Box<RawValue>>,
}

/// Why it is not said, as Datasette says it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActorError {
    #[schema(schema_with = document::always_false)]
    ok: bool,
    /// Why.
    error: String,
    /// The same, alone.
    #[schema(min_items = 1, max_items = 1)]
    errors: Vec<String>,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
}

/// Who am I?
///
/// In the style of Datasette's `/-/actor.json`. Where the configuration names a query parameter, the token may stand in that one instead.
#[utoipa::path(
    get,
    path = "/v1/actor",
    tag = "applications",
    responses(
        (status = 200, body = ActorBody, description = "The actor, or null"),
        (status = 400, body = ActorError, description = "The token is presented twice, or the request is malformed"),
        (status = 401, body = ActorError, description = "The token is bad"),
        (status = 503, body = ActorError, description = "No verdict could be had, or too many requests are being answered: try again")
    ),
    security(("token" = []), ())
)]
pub(crate) async fn actor(Extension(context): Extension<Context>, uri: Uri, headers: HeaderMap) -> Response {
    let mut response = answer(&context, &uri, &headers).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

async fn answer(context: &Context, uri: &Uri, headers: &HeaderMap) -> Response {
    let asked = Asked { endpoint: "actor", ..Asked::default() };
    let token = match presented(context, uri, headers) {
        Ok(Some(token)) => token,
        Ok(None) => {
            audit::without_token(context, asked, "no-token");
            return json(StatusCode::OK, &ActorBody { ok: true, actor: None });
        }
        Err(text) => {
            audit::without_token(context, asked, "malformed");
            return error(StatusCode::BAD_REQUEST, text);
        }
    };
    let verdict = decision::verify(context, &token, |_| true).await;
    audit::verified(context, asked, &verdict, true);
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => match actor_json(acceptance.actor.json()) {
            Some(actor) => json(StatusCode::OK, &ActorBody { ok: true, actor: Some(actor) }),
            None => no_verdict("No verdict: the handler of this token is out of order."),
        },
        Ok(Verdict::NotMine) => json(StatusCode::OK, &ActorBody { ok: true, actor: None }),
        Ok(Verdict::Rejected(rejection)) => {
            let mut response = error(StatusCode::UNAUTHORIZED, &rejection.message);
            challenge(response.headers_mut(), "Bearer error=\"invalid_token\"");
            response
        }
        Err(error) => no_verdict(error.caller_text()),
    }
}

/// The token of a request. Like Datasette, this looks at what follows `Bearer` and at nothing else, and leaves it to the
/// handler to say what is wrong with it; unlike Datasette, the scheme knows no case, several spaces are one, and a token
/// that is presented twice is refused.
fn presented<'a>(
    context: &Context,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Option<Cow<'a, str>>, &'static str> {
    match Authorization::of(headers) {
        Authorization::Several => Err("There is more than one Authorization header"),
        // A header of any scheme comes before the query, as with datasette-auth-tokens.
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
                Some(_) => Err("The token stands in the query more than once"),
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

/// An error as Datasette writes it.
fn error(status: StatusCode, text: &str) -> Response {
    let body = ActorError { ok: false, error: text.to_owned(), errors: vec![text.to_owned()], status: status.as_u16() };
    json(status, &body)
}

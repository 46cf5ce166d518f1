//! `POST /v1/tokens`: makes a token.

use crate::audit::{self, Asked};
use crate::caller;
use crate::context::Context;
use crate::decision;
use crate::problem::{ErrorBody, Problem, json};
use crate::receive::{self, Object, whole};
use axum::body::Body;
use axum::extract::Extension;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use indexmap::IndexMap;
use keyward_runtime::{CreateRequest, Created, Creation, Denial, Restrictions};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use utoipa::ToSchema;

const WANTED: &str = "The body is not as it should be: send `{\"actor\":\"…\"}`, and any of `handler`, `expires_after` (seconds, at least 1), `restrictions`, `description`";

/// What the token should be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// Whom it speaks for: no control characters, and not longer than the handler's limit, 1,024 bytes unless configured.
    #[schema(min_length = 1, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]+$")]
    actor: String,
    /// The handler that makes it; the first that the caller may use, unless it is named.
    handler: Option<String>,
    /// Seconds until it ends; it does not end, unless they are given.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u32)]
    #[serde(default, deserialize_with = "seconds")]
    expires_after: Option<NonZeroU32>,
    /// What it narrows the actor's rights to; it leaves the actor all, unless they are given.
    #[schema(value_type = Option<RestrictionsBody>)]
    restrictions: Option<Object<RestrictionsBody>>,
    /// A note for handlers that keep one.
    description: Option<String>,
}

/// Actions in full, and what they are allowed on. Nothing at all allows nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestrictionsBody {
    /// On everything.
    #[serde(default)]
    all: Vec<String>,
    /// By database.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    database: Members<Vec<String>>,
    /// By database and resource.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Vec<String>>>)]
    resource: Members<Members<Vec<String>>>,
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
        (status = 403, body = ErrorBody, description = "This caller may not create (`unauthorized_client`), or the handler makes no such token (`access_denied`)"),
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
    let TokenRequest { actor, handler, expires_after, restrictions, description } = request;
    let usable = |name: &str| caller.rights().handlers.include(name);
    let handler = match handler {
        Some(name) => Some(name).filter(|name| usable(name) && live.digests.contains_key(name)),
        None => live.registry.handlers().map(|handler| handler.name).find(|name| usable(name)).map(str::to_owned),
    };
    let handler = handler.ok_or(Problem::NoSuchHandler)?;
    let request = CreateRequest {
        actor_id: actor.clone(),
        expires_after,
        restrictions: restrictions.map(|Object(restrictions)| restrictions.checked()),
        description,
    };
    let creation = decision::create(context, &handler, request).await;
    let asked = Asked { endpoint: "tokens", caller: Some(caller.id()), ..Asked::default() };
    audit::created(context, asked, &actor, &creation);
    match creation {
        Ok(Creation::Created(Created { handler, token, token_id, expires_at, key: _ })) => {
            let token = Token { token: &token, handler: &handler, token_id: token_id.as_deref(), expires_at };
            Ok(json(StatusCode::CREATED, &token))
        }
        Ok(Creation::Denied(denied)) => {
            let (status, error) = match denied.denial {
                Denial::Disabled => (StatusCode::CONFLICT, "disabled"),
                Denial::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
                _ => (StatusCode::FORBIDDEN, "access_denied"),
            };
            Ok(json(status, &DeniedBody { error, error_description: &denied.message }))
        }
        Err(_) => Err(Problem::NoVerdict),
    }
}

/// The handler's own words, in the form of every error.
#[derive(Serialize)]
struct DeniedBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl RestrictionsBody {
    fn checked(self) -> Restrictions {
        let Self { all, database, resource } = self;
        let mut restrictions = all.into_iter().fold(Restrictions::new(), Restrictions::allow_all);
        for (database, actions) in database.0 {
            for action in actions {
                restrictions = restrictions.allow_database(&database, action);
            }
        }
        for (database, resources) in resource.0 {
            for (resource, actions) in resources.0 {
                for action in actions {
                    restrictions = restrictions.allow_resource(&database, &resource, action);
                }
            }
        }
        restrictions
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let seconds = whole(&number, u32::MAX.into()).and_then(|whole| u32::try_from(whole).ok()).and_then(NonZeroU32::new);
    seconds.map(Some).ok_or_else(|| D::Error::custom("no number of seconds"))
}

/// The members of an object, in their order and each once: of two with one name, which counts would be a guess.
struct Members<V>(IndexMap<String, V>);

impl<V> Default for Members<V> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = IndexMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
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

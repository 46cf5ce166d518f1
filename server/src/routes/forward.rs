//! `/v1/auth/…`: what proxies ask before they let a request through.

use crate::audit::{self, Asked};
use crate::config::Policy;
use crate::context::Context;
use crate::credential::Bearer;
use crate::decision;
use crate::identity;
use crate::original::{Dialect, Original};
use crate::problem::{ErrorBody, Problem, challenge, json};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use keyward_runtime::Verdict;
use utoipa::OpenApi;
use utoipa::openapi::HttpMethod;

/// Where a proxy asks: `/v1/auth/DIALECT/POLICY`, and for Envoy the path of the original request behind it, as it was written:
/// nothing is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) dialect: Dialect,
    policy: &'a str,
    path: &'a str,
}

impl<'a> Place<'a> {
    /// `None`: the path is none of these.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let (dialect, rest) = path.strip_prefix("/v1/auth/")?.split_once('/')?;
        let (dialect, (policy, path)) = match (dialect, rest.find('/')) {
            ("nginx", None) => (Dialect::Nginx, (rest, "/")),
            ("forward", None) => (Dialect::Forward, (rest, "/")),
            ("envoy", None) => (Dialect::Envoy, (rest, "/")),
            ("envoy", Some(end)) => (Dialect::Envoy, rest.split_at(end)),
            _ => return None,
        };
        Some(Self { dialect, policy, path })
    }
}

/// Why a request does not get through.
enum Refusal<'a> {
    /// No token, or credentials of another scheme.
    NoToken,
    /// Any token that is not good: one text for every cause.
    BadToken,
    /// The token is good, and the policy wants this of it.
    Scope(&'a Policy),
    /// The request itself is refused: it is not one of those that the policy is for, or carries headers that are ours.
    Request,
    /// No verdict could be had.
    NoVerdict,
}

/// Answers with any method. Neither the query nor the body of the request is looked at: both are the client's.
pub(crate) async fn answer(context: &Context, place: Place<'_>, request: &Parts) -> Response {
    let config = &context.live.config;
    let Parts { method, headers, .. } = request;
    let Place { dialect, policy, path } = place;
    let Some((name, policy)) = config.policies.get_key_value(policy) else {
        return Problem::NotFound.into_response();
    };
    let trusted = config.forward_auth.trusted_proxies.iter().any(|network| network.contains(&context.peer));
    let original =
        if trusted { dialect.original(method, path, headers) } else { Original { method: None, path: None } };
    let asked = Asked {
        endpoint: dialect.as_str(),
        caller: None,
        policy: Some(name),
        method: original.method.as_deref(),
        path: original.path.as_deref(),
    };
    let refusal = match decide(context, policy, &original, headers, asked).await {
        Ok(response) => return response,
        Err(refusal) => refusal,
    };
    refuse(context, refusal)
}

async fn decide<'a>(
    context: &Context,
    policy: &'a Policy,
    original: &Original,
    headers: &HeaderMap,
    asked: Asked<'_>,
) -> Result<Response, Refusal<'a>> {
    let live = &context.live;
    let forward_auth = &live.config.forward_auth;
    let token = match Bearer::of(headers) {
        Bearer::Missing => {
            audit::without_token(context, asked, "no-token");
            return Err(Refusal::NoToken);
        }
        Bearer::Malformed => {
            audit::without_token(context, asked, "malformed");
            return Err(Refusal::BadToken);
        }
        Bearer::Token(token) => token,
    };
    if forward_auth.refuse_forged && is_forged(headers, &forward_auth.headers.all()) {
        audit::without_token(context, asked, "forged-headers");
        return Err(Refusal::Request);
    }
    if !is_for(policy, original) {
        audit::without_token(context, asked, "other-request");
        return Err(Refusal::Request);
    }
    let verdict = decision::verify(context, token, |name| policy.handlers.include(name)).await;
    let granted = match &verdict {
        Ok(Verdict::Accepted(acceptance)) => policy
            .permission
            .as_ref()
            .is_none_or(|permission| live.registry.allows(acceptance.restrictions.as_ref(), permission)),
        _ => false,
    };
    audit::verified(context, asked, &verdict, granted);
    match verdict {
        Ok(Verdict::Accepted(acceptance)) if granted => {
            let mut response = Response::new(Body::empty());
            identity::set_headers(response.headers_mut(), &forward_auth.headers, &live.registry, &acceptance);
            if forward_auth.remove_credentials {
                let remove = HeaderValue::from_static("authorization");
                response.headers_mut().insert("x-envoy-auth-headers-to-remove", remove);
            }
            Ok(response)
        }
        Ok(Verdict::Accepted(_)) => Err(Refusal::Scope(policy)),
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Err(Refusal::BadToken),
        Err(_) => Err(Refusal::NoVerdict),
    }
}

/// Whether the policy is for such a request. What is not known fits nothing.
fn is_for(policy: &Policy, original: &Original) -> bool {
    let method = match (&policy.methods, &original.method) {
        (None, _) => true,
        (Some(methods), Some(method)) => methods.contains(method),
        (Some(_), None) => false,
    };
    let path = match (&policy.paths, &original.path) {
        (None, _) => true,
        (Some(paths), Some(path)) => paths.iter().any(|pattern| pattern.fits(path)),
        (Some(_), None) => false,
    };
    method && path
}

/// Whether the client sent one of our headers, in a spelling that some server takes for it.
fn is_forged(headers: &HeaderMap, ours: &[&HeaderName]) -> bool {
    headers.keys().any(|sent| {
        let sent = sent.as_str().replace(['_', '.'], "-");
        ours.iter().any(|name| name.as_str().replace(['_', '.'], "-") == sent)
    })
}

fn refuse(context: &Context, refusal: Refusal<'_>) -> Response {
    let realm = context.live.config.realm.as_str();
    let (status, problem, text) = match refusal {
        Refusal::NoVerdict => return Problem::NoVerdict.into_response(),
        Refusal::NoToken => (StatusCode::UNAUTHORIZED, None, format!("Bearer realm=\"{realm}\"")),
        Refusal::BadToken => (
            StatusCode::UNAUTHORIZED,
            Some(("invalid_token", "The access token is invalid")),
            format!(
                "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"The access token is invalid\""
            ),
        ),
        Refusal::Scope(policy) => (
            StatusCode::FORBIDDEN,
            Some(("insufficient_scope", "The access token does not allow this")),
            match &policy.permission {
                Some(permission) => format!(
                    "Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{}\"",
                    identity::scope(permission.action(), permission.database(), permission.resource())
                ),
                None => format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\""),
            },
        ),
        Refusal::Request => (
            StatusCode::FORBIDDEN,
            Some(("access_denied", "This request is not one of those that the policy is for")),
            String::new(),
        ),
    };
    let mut response = match problem {
        Some((error, description)) => json(status, &ErrorBody::new(error, description)),
        None => status.into_response(),
    };
    if !text.is_empty() {
        challenge(response.headers_mut(), &text);
    }
    response
}

/// The methods that OpenAPI knows, of all that these paths answer.
const METHODS: [(HttpMethod, &str); 8] = [
    (HttpMethod::Get, "get"),
    (HttpMethod::Put, "put"),
    (HttpMethod::Post, "post"),
    (HttpMethod::Delete, "delete"),
    (HttpMethod::Options, "options"),
    (HttpMethod::Head, "head"),
    (HttpMethod::Patch, "patch"),
    (HttpMethod::Trace, "trace"),
];

/// Describes these paths, each with every method.
pub(super) fn describe(paths: &mut utoipa::openapi::Paths) {
    for (path, mut item) in Described::openapi().paths.paths {
        let Some(mut get) = item.get.take() else { continue };
        item.parameters = get.parameters.take();
        paths.paths.insert(path.clone(), item);
        for (method, name) in METHODS {
            let mut operation = get.clone();
            operation.operation_id = get.operation_id.as_ref().map(|id| format!("{id}_{name}"));
            paths.add_path_operation(&path, vec![method], operation);
        }
    }
}

#[derive(OpenApi)]
#[openapi(paths(describe_nginx, describe_forward, describe_envoy, describe_envoy_slash, describe_envoy_path))]
struct Described;

macro_rules! described {
    ($name:ident, $id:literal, $path:literal, $what:literal, $($header:literal: $about:literal),* $(; $part:literal)?) => {
        #[doc = $what]
        #[utoipa::path(
            get,
            path = $path,
            operation_id = $id,
            tag = "proxies",
            params(
                ("policy" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "A policy of the configuration"),
                $(($part = String, Path, description = "The path of the original request, as it was written"),)?
                $(($header = Option<String>, Header, nullable = false, description = $about),)*
            ),
            responses(
                (status = 200, description = "The request may pass; the headers say who it is. They have these names unless configured. `X-Envoy-Auth-Headers-To-Remove` is there too if configured"),
                (status = 401, description = "There is no token, and no body; or the token is not good, and the body is an `ErrorBody`"),
                (
                    status = 403,
                    body = ErrorBody,
                    description = "The policy wants more of the token (`insufficient_scope`, with `WWW-Authenticate`), or is not for such a request (`access_denied`)",
                ),
            ),
            security(("token" = []))
        )]
        #[expect(dead_code, reason = "only its description is used")]
        fn $name() {}
    };
}

described!(
    describe_nginx,
    "nginx",
    "/v1/auth/nginx/{policy}",
    "May this request pass? For nginx `auth_request`",
    "X-Original-Method": "The method of the original request",
    "X-Original-URI": "Its path and query",
    "X-Original-URL": "Or its URL"
);
described!(
    describe_forward,
    "forward",
    "/v1/auth/forward/{policy}",
    "May this request pass? For Caddy, Traefik and HAProxy",
    "X-Forwarded-Method": "The method of the original request",
    "X-Forwarded-Uri": "Its path and query"
);
described!(
    describe_envoy,
    "envoy",
    "/v1/auth/envoy/{policy}",
    "May this request pass? For Envoy `ext_authz`, about `/`",
);
described!(
    describe_envoy_slash,
    "envoy_slash",
    "/v1/auth/envoy/{policy}/",
    "May this request pass? For Envoy `ext_authz`, about `/`",
);
described!(
    describe_envoy_path,
    "envoy_path",
    "/v1/auth/envoy/{policy}/{path}",
    "May this request pass? For Envoy `ext_authz`, about any path, also one with slashes",
    ; "path"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_path_is_taken_as_it_was_written() {
        for (path, wanted) in [
            ("/v1/auth/nginx/members", Some((Dialect::Nginx, "members", "/"))),
            ("/v1/auth/forward/members", Some((Dialect::Forward, "members", "/"))),
            ("/v1/auth/envoy/members", Some((Dialect::Envoy, "members", "/"))),
            ("/v1/auth/envoy/members/", Some((Dialect::Envoy, "members", "/"))),
            ("/v1/auth/envoy/members/a%2Fb/../c", Some((Dialect::Envoy, "members", "/a%2Fb/../c"))),
            ("/v1/auth/envoy/members//a", Some((Dialect::Envoy, "members", "//a"))),
            ("/v1/auth/envoy", None),
            ("/v1/auth/nginx/members/", None),
            ("/v1/auth/forward/members/x", None),
            ("/v1/auth/traefik/members", None),
            ("/v1/auth//members", None),
        ] {
            let place = Place::of(path).map(|Place { dialect, policy, path }| (dialect, policy, path));
            assert_eq!(place, wanted, "{path}");
        }
    }

    #[test]
    fn forged_headers_are_seen_in_every_spelling() {
        let name = HeaderName::from_static("x-auth-subject");
        for (sent, forged) in
            [("x-auth-subject", true), ("x_auth_subject", true), ("x.auth-subject", true), ("x-auth-subjects", false)]
        {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(sent), HeaderValue::from_static("root"))]);
            assert_eq!(is_forged(&headers, &[&name]), forged, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn the_policy_ends_where_the_path_begins(policy in "[^/]{0,8}", path in "(/[^?]{0,12})?") {
            let whole = format!("/v1/auth/envoy/{policy}{path}");
            let path = if path.is_empty() { "/" } else { &path };
            prop_assert_eq!(Place::of(&whole), Some(Place { dialect: Dialect::Envoy, policy: &policy, path }));
        }

        #[test]
        fn any_path_has_a_policy_or_none(path in any::<String>()) {
            if let Some(Place { policy, path: rest, .. }) = Place::of(&path) {
                prop_assert!(!policy.contains('/') && rest.starts_with('/') && path.contains(policy));
            }
        }
    }
}

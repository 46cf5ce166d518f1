//! `/v1/auth/…`: authorization of requests for proxies (forward-auth).

use crate::config::{Policy, SessionAccess};
use crate::context::Context;
use crate::credential::Bearer;
use crate::decision;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::FORWARD_AUTH;
use crate::error::{ApiError, ErrorBody, RateLimited, challenge, json};
use crate::identity_headers;
use crate::proxied_request::{ProxiedRequest, ProxyProtocol};
use crate::session_cookies;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use keyward_runtime::Verdict;
use std::borrow::Cow;
use utoipa::OpenApi;
use utoipa::openapi::HttpMethod;

/// A forward-auth path: `/v1/auth/PROTOCOL/POLICY`, for Envoy followed by the path of the original
/// request. Nothing is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardPath<'a> {
    pub(crate) dialect: ProxyProtocol,
    policy: &'a str,
    path: &'a str,
}

impl<'a> ForwardPath<'a> {
    /// Parses a path. Returns `None` if it is not a forward-auth path.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let (dialect, rest) = path.strip_prefix(FORWARD_AUTH)?.split_once('/')?;
        let (dialect, (policy, path)) = match (dialect, rest.find('/')) {
            ("nginx", None) => (ProxyProtocol::Nginx, (rest, "/")),
            ("forward", None) => (ProxyProtocol::Forward, (rest, "/")),
            ("envoy", None) => (ProxyProtocol::Envoy, (rest, "/")),
            ("envoy", Some(end)) => (ProxyProtocol::Envoy, rest.split_at(end)),
            _ => return None,
        };
        Some(Self { dialect, policy, path })
    }
}

/// The credential by which a request is judged.
#[derive(Clone, Copy)]
enum Credential<'a> {
    Token(&'a str),
    /// The cookies of a request without a token.
    Session(&'a SessionAccess),
}

/// The reason to refuse a request.
enum Refusal<'a> {
    /// No token, or credentials of another scheme.
    NoToken,
    /// A token that is not valid. All causes have the same text.
    BadToken,
    /// A valid token without the permission that the policy requires.
    Scope(&'a Policy),
    /// A request that the policy does not cover, or that carries identity headers.
    Request,
    /// A token check beyond the policy's rate.
    RateLimited(RateLimited),
    /// No verdict.
    NoVerdict,
}

/// Responds to a request of any method. Query and body are ignored: both come from the proxy's
/// client.
pub(crate) async fn answer(context: &Context, place: ForwardPath<'_>, request: &Parts) -> Response {
    let config = &context.live.config;
    let Parts { method, headers, .. } = request;
    let ForwardPath { dialect, policy, path } = place;
    let Some((name, policy)) = config.policies.get_key_value(policy) else {
        let asked = DecisionContext { endpoint: dialect.as_str(), ..DecisionContext::default() };
        decision_log::unknown_policy(context, asked, policy);
        return ApiError::NotFound.into_response();
    };
    let trusted = config.forward_auth.trusts(context.peer);
    let original =
        if trusted { dialect.original(method, path, headers) } else { ProxiedRequest { method: None, path: None } };
    let bearer = Bearer::of(headers);
    // A token without a recognizable shape may be in the path as well.
    let path = original.path.as_deref().map(|path| match bearer {
        Bearer::Token(token) if path.contains(token) => Cow::Owned(path.replace(token, "[token]")),
        _ => Cow::Borrowed(path),
    });
    let asked = DecisionContext {
        endpoint: dialect.as_str(),
        client: None,
        policy: Some(name),
        method: original.method.as_deref(),
        path: path.as_deref(),
    };
    let refusal = match decide(context, (name, policy), &original, (headers, bearer), asked).await {
        Ok(response) => return response,
        Err(refusal) => refusal,
    };
    refuse(context, refusal)
}

async fn decide<'a>(
    context: &Context,
    (name, policy): (&str, &'a Policy),
    original: &ProxiedRequest,
    (headers, bearer): (&HeaderMap, Bearer<'_>),
    asked: DecisionContext<'_>,
) -> Result<Response, Refusal<'a>> {
    let live = &context.live;
    let forward_auth = &live.config.forward_auth;
    let credential = match (bearer, &policy.session) {
        (Bearer::Missing, None) => {
            decision_log::log_without_token(context, asked, "no-token");
            return Err(Refusal::NoToken);
        }
        (Bearer::Missing, Some(session)) => Credential::Session(session),
        (Bearer::Malformed, _) => {
            decision_log::log_without_token(context, asked, "malformed");
            return Err(Refusal::BadToken);
        }
        // Valid or not, it is never followed by cookies.
        (Bearer::Token(token), _) => Credential::Token(token),
    };
    if forward_auth.refuse_forged && is_forged(headers, &forward_auth.headers.all()) {
        decision_log::log_without_token(context, asked, "forged-headers");
        return Err(Refusal::Request);
    }
    if !is_for(policy, original) {
        decision_log::log_without_token(context, asked, "other-request");
        return Err(Refusal::Request);
    }
    let counted = live.rates.policy(name);
    counted.map_err(|wait| Refusal::RateLimited(RateLimited { limit: "policy", wait }))?;
    let verdict = match credential {
        Credential::Token(token) => decision::verify(context, token, |name| policy.handlers.contains(name)).await,
        Credential::Session(SessionAccess { handler, methods }) => {
            let request = session_cookies::request(original, headers);
            let Some(request) = request.filter(|request| methods.contains(&request.method)) else {
                decision_log::log_without_token(context, asked, "other-method");
                return Err(Refusal::NoToken);
            };
            decision::identify(context, handler, request).await
        }
    };
    let granted = match &verdict {
        Ok(Verdict::Accepted(acceptance)) => policy
            .permission
            .as_ref()
            .is_none_or(|permission| live.registry.authorize(acceptance, permission).is_some()),
        _ => false,
    };
    decision_log::verified(context, asked, &verdict, granted);
    match verdict {
        Ok(Verdict::Accepted(acceptance)) if granted => {
            let mut response = Response::new(Body::empty());
            identity_headers::set_headers(response.headers_mut(), &forward_auth.headers, &live.registry, &acceptance);
            if forward_auth.remove_credentials {
                let remove = HeaderValue::from_static("authorization");
                response.headers_mut().insert("x-envoy-auth-headers-to-remove", remove);
            }
            Ok(response)
        }
        Ok(Verdict::Accepted(_)) => Err(Refusal::Scope(policy)),
        Ok(Verdict::NotMine | Verdict::Rejected(_)) => Err(match credential {
            Credential::Token(_) => Refusal::BadToken,
            Credential::Session(_) => Refusal::NoToken,
        }),
        Err(_) => Err(Refusal::NoVerdict),
    }
}

/// Returns whether the policy covers the request. An unknown method or path satisfies no
/// restriction.
fn is_for(policy: &Policy, original: &ProxiedRequest) -> bool {
    let method = match (&policy.methods, &original.method) {
        (None, _) => true,
        (Some(methods), Some(method)) => methods.contains(method),
        (Some(_), None) => false,
    };
    let path = match (&policy.paths, &original.path) {
        (None, _) => true,
        (Some(paths), Some(path)) => paths.iter().any(|pattern| pattern.matches(path)),
        (Some(_), None) => false,
    };
    method && path
}

/// Returns whether the client sent one of the identity headers, also in a spelling that some
/// servers treat as the same header.
fn is_forged(headers: &HeaderMap, ours: &[&HeaderName]) -> bool {
    headers.keys().any(|sent| {
        let sent = sent.as_str().replace(['_', '.'], "-");
        ours.iter().any(|name| name.as_str().replace(['_', '.'], "-") == sent)
    })
}

fn refuse(context: &Context, refusal: Refusal<'_>) -> Response {
    let realm = context.live.config.realm.as_str();
    let (status, problem, text) = match refusal {
        Refusal::RateLimited(exceeded) => return ApiError::RateLimited(exceeded).into_response(),
        Refusal::NoVerdict => return ApiError::NoVerdict.into_response(),
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
                    identity_headers::scope(permission.action(), permission.database(), permission.resource())
                ),
                None => format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\""),
            },
        ),
        Refusal::Request => {
            (StatusCode::FORBIDDEN, Some(("access_denied", "The policy does not cover this request")), String::new())
        }
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

/// The methods that OpenAPI can describe. The paths accept any method.
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

/// Adds the descriptions of the forward-auth paths, each with every method.
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
                ("policy" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "The name of a policy in the configuration"),
                $(($part = String, Path, description = "The path of the original request, not decoded"),)?
                $(($header = Option<String>, Header, nullable = false, description = $about),)*
            ),
            responses(
                (status = 200, description = "The request is allowed. The headers identify the actor; their names are configurable. `X-Envoy-Auth-Headers-To-Remove` is added if configured"),
                (status = 401, description = "Without a token, there is no body. If the token is not valid, the body is an `ErrorBody`"),
                (
                    status = 403,
                    body = ErrorBody,
                    description = "The token lacks the permission that the policy requires (`insufficient_scope`, with `WWW-Authenticate`), or the policy does not cover the request (`access_denied`)",
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
    "Authorizes a request for nginx's `auth_request`.",
    "X-Original-Method": "The method of the original request",
    "X-Original-URI": "The path and query of the original request",
    "X-Original-URL": "The URL of the original request, instead of `X-Original-URI`"
);
described!(
    describe_forward,
    "forward",
    "/v1/auth/forward/{policy}",
    "Authorizes a request for Caddy, Traefik and HAProxy.",
    "X-Forwarded-Method": "The method of the original request",
    "X-Forwarded-Uri": "The path and query of the original request"
);
described!(describe_envoy, "envoy", "/v1/auth/envoy/{policy}", "Authorizes a request to `/` for Envoy's `ext_authz`.",);
described!(
    describe_envoy_slash,
    "envoy_slash",
    "/v1/auth/envoy/{policy}/",
    "Authorizes a request to `/` for Envoy's `ext_authz`.",
);
described!(
    describe_envoy_path,
    "envoy_path",
    "/v1/auth/envoy/{policy}/{path}",
    "Authorizes a request for Envoy's `ext_authz`. The path may contain slashes.",
    ; "path"
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_parsed_without_decoding() {
        for (path, wanted) in [
            ("/v1/auth/nginx/members", Some((ProxyProtocol::Nginx, "members", "/"))),
            ("/v1/auth/forward/members", Some((ProxyProtocol::Forward, "members", "/"))),
            ("/v1/auth/envoy/members", Some((ProxyProtocol::Envoy, "members", "/"))),
            ("/v1/auth/envoy/members/", Some((ProxyProtocol::Envoy, "members", "/"))),
            ("/v1/auth/envoy/members/a%2Fb/../c", Some((ProxyProtocol::Envoy, "members", "/a%2Fb/../c"))),
            ("/v1/auth/envoy/members//a", Some((ProxyProtocol::Envoy, "members", "//a"))),
            ("/v1/auth/envoy", None),
            ("/v1/auth/nginx/members/", None),
            ("/v1/auth/forward/members/x", None),
            ("/v1/auth/traefik/members", None),
            ("/v1/auth//members", None),
        ] {
            let place = ForwardPath::of(path).map(|ForwardPath { dialect, policy, path }| (dialect, policy, path));
            assert_eq!(place, wanted, "{path}");
        }
    }

    #[test]
    fn forged_headers_are_found_in_every_spelling() {
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
            prop_assert_eq!(ForwardPath::of(&whole), Some(ForwardPath { dialect: ProxyProtocol::Envoy, policy: &policy, path }));
        }

        #[test]
        fn any_path_is_parsed_without_a_panic(path in any::<String>()) {
            if let Some(ForwardPath { policy, path: rest, .. }) = ForwardPath::of(&path) {
                prop_assert!(!policy.contains('/') && rest.starts_with('/') && path.contains(policy));
            }
        }
    }
}

//! The endpoints, each with its OpenAPI description.

mod actor;
pub(crate) mod forward;
mod introspect;
mod metadata;
mod openapi;
mod revocations;
mod revoke;
mod session;
mod tokens;
mod verify;

use crate::endpoints::{Endpoint, FORWARD_AUTH};
use crate::error::ApiError;
use axum::Router;
use hyper::Method;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use metadata::DOCUMENT;
pub(crate) use openapi::text as document;

/// All endpoints except those for proxies, which are below [`FORWARD_AUTH`].
const ENDPOINTS: [&Endpoint; 12] = [
    &introspect::ENDPOINT,
    &verify::ENDPOINT,
    &session::ENDPOINT,
    &tokens::ENDPOINT,
    &tokens::token::ENDPOINT,
    &tokens::rotate::ENDPOINT,
    &revoke::ENDPOINT,
    &revocations::ENDPOINT,
    &actor::ENDPOINT,
    &metadata::ENDPOINT,
    &metadata::KEYS,
    &DOCUMENT,
];

/// Returns the endpoint of a path, or `None` if the path is unknown or for proxies.
pub(crate) fn endpoint_of(path: &str) -> Option<&'static Endpoint> {
    // Most requests are of proxies.
    let is_for_proxies = path.starts_with(FORWARD_AUTH);
    ENDPOINTS.into_iter().find(|endpoint| !is_for_proxies && endpoint.matches(path))
}

/// Returns whether a request for a path may have a query.
pub(crate) fn may_have_query(path: &str, method: &Method) -> bool {
    path.starts_with(FORWARD_AUTH) || endpoint_of(path).is_some_and(|endpoint| endpoint.may_have_query(method))
}

/// Returns the router of all endpoints except those for proxies, which serve every request of a
/// site: [`forward::ForwardPath`] dispatches them without the overhead of a router.
pub(crate) fn router() -> Router {
    let (router, _) = described().split_for_parts();
    router.fallback(async || ApiError::NotFound).method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// Returns the routed endpoints with their OpenAPI descriptions.
fn described() -> OpenApiRouter {
    OpenApiRouter::with_openapi(openapi::ApiDoc::openapi())
        .routes(routes!(introspect::introspect))
        .routes(routes!(verify::verify))
        .routes(routes!(session::session))
        .routes(routes!(tokens::list::list, tokens::create))
        .routes(routes!(tokens::token::show, tokens::token::edit))
        .routes(routes!(tokens::rotate::rotate))
        .routes(routes!(revoke::revoke))
        .routes(routes!(revocations::revocations))
        .routes(routes!(actor::actor))
        .routes(routes!(metadata::metadata))
        .routes(routes!(metadata::jwks))
        .routes(routes!(metadata::openapi))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use hyper::{Request, StatusCode};
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{env, fs};
    use tower::ServiceExt;

    #[test]
    fn paths_are_matched_to_endpoints() {
        for (path, wanted) in [
            ("/v1/introspect", Some("introspect")),
            ("/v1/introspect/", None),
            ("/v1/tokens", Some("tokens")),
            ("/v1/tokens/", None),
            ("/v1/tokens/h/id", Some("token")),
            ("/v1/tokens/h/id%2Frotate", Some("token")),
            ("/v1/tokens/h/id/rotate", Some("rotate")),
            ("/v1/tokens/h/id/rotate/x", None),
            ("/v1/auth/nginx/members", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(endpoint_of(path).map(|endpoint| endpoint.name), wanted, "{path}");
        }
    }

    #[test]
    fn queries_are_for_lists_and_proxies() {
        assert!(may_have_query("/v1/tokens", &Method::GET));
        assert!(!may_have_query("/v1/tokens", &Method::POST));
        assert!(may_have_query("/v1/actor", &Method::GET));
        assert!(may_have_query("/v1/auth/nginx/members", &Method::GET));
        assert!(!may_have_query("/v1/introspect", &Method::GET));
        assert!(!may_have_query("/other", &Method::GET));
    }

    /// The table and the OpenAPI document have the same paths.
    #[test]
    fn every_endpoint_is_described() {
        let document: serde_json::Value = serde_json::from_str(document()).unwrap();
        let described = document["paths"].as_object().unwrap().keys();
        let mut described: Vec<_> = described.filter(|path| !path.starts_with(FORWARD_AUTH)).collect();
        let mut listed: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.path).collect();
        described.sort();
        listed.sort_unstable();
        assert_eq!(listed, described);
    }

    /// `KEYWARD_BLESS=1` updates the file.
    #[test]
    fn the_document_matches_the_reviewed_file() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        if env::var_os("KEYWARD_BLESS").is_some() {
            fs::write(&path, document()).unwrap();
        }
        let copy = fs::read_to_string(&path).unwrap_or_default();
        assert!(copy == document(), "docs/openapi.json is out of date: run with KEYWARD_BLESS=1, review the changes");
    }

    /// Returns the paths in the router's debug output: `RouteId(0): "/v1/introspect"`.
    fn routed() -> BTreeSet<String> {
        let shown = format!("{:?}", router());
        let paths = shown.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split('"').next());
        paths.map(|path| path.replace("{*", "{")).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn routes_and_descriptions_match() {
        let document: serde_json::Value = serde_json::from_str(document()).unwrap();
        let described = document["paths"].as_object().unwrap();
        let fallback = ["/", "/{__private__axum_fallback}"].map(str::to_owned);
        let (for_proxies, others): (Vec<_>, Vec<_>) =
            described.into_iter().partition(|(path, _)| path.starts_with("/v1/auth/"));
        for (path, _) in &for_proxies {
            let path = path.replace("{policy}", "members").replace("{path}", "a/b");
            assert!(forward::ForwardPath::of(&path).is_some(), "{path}");
        }
        assert_eq!(for_proxies.len(), 5, "one for each protocol, and two more for Envoy's paths");
        assert_eq!(routed(), others.iter().map(|(path, _)| (*path).clone()).chain(fallback).collect());
        for (path, operations) in others {
            for method in
                [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS, Method::PATCH, Method::TRACE]
            {
                let request = Request::builder().method(&method).uri(path).body(Body::empty()).unwrap();
                let status = router().oneshot(request).await.unwrap().status();
                let is_described = operations.get(method.as_str().to_ascii_lowercase()).is_some();
                assert_eq!(status == StatusCode::METHOD_NOT_ALLOWED, !is_described, "{method} {path}: {status}");
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            }
        }
    }
}

//! The endpoints. What OpenAPI says of one stands with it.

mod actor;
mod document;
pub(crate) mod forward;
mod introspect;
mod metadata;
mod revocations;
mod revoke;
mod tokens;
mod verify;

use crate::problem::Problem;
use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use document::text as document;

/// All endpoints but those for proxies. These are asked about every request of a site, so they are told by [`forward::Place`],
/// without what a router does for paths and bodies of all kinds.
pub(crate) fn router() -> Router {
    let (router, _) = described().split_for_parts();
    router.fallback(async || Problem::NotFound).method_not_allowed_fallback(async || Problem::MethodNotAllowed)
}

/// Those whose methods OpenAPI can name, with their description.
fn described() -> OpenApiRouter {
    OpenApiRouter::with_openapi(document::Beginning::openapi())
        .routes(routes!(introspect::introspect))
        .routes(routes!(verify::verify))
        .routes(routes!(tokens::list::list, tokens::create))
        .routes(routes!(tokens::one::show, tokens::one::edit))
        .routes(routes!(tokens::rotate::rotate))
        .routes(routes!(revoke::revoke))
        .routes(routes!(revocations::revocations))
        .routes(routes!(actor::actor))
        .routes(routes!(metadata::metadata))
        .routes(routes!(metadata::openapi))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use hyper::{Method, Request, StatusCode};
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{env, fs};
    use tower::ServiceExt;

    /// With `KEYWARD_BLESS=1` the copy is written anew.
    #[test]
    fn the_document_is_the_one_that_was_reviewed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        if env::var_os("KEYWARD_BLESS").is_some() {
            fs::write(&path, document()).unwrap();
        }
        let copy = fs::read_to_string(&path).unwrap_or_default();
        assert!(copy == document(), "docs/openapi.json is another: run with KEYWARD_BLESS=1, and see what has changed");
    }

    /// The paths of the router, as it shows itself: `RouteId(0): "/v1/introspect"`.
    fn routed() -> BTreeSet<String> {
        let shown = format!("{:?}", router());
        let paths = shown.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split('"').next());
        paths.map(|path| path.replace("{*", "{")).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_routed_is_described_and_the_reverse() {
        let document: serde_json::Value = serde_json::from_str(document()).unwrap();
        let described = document["paths"].as_object().unwrap();
        let fallback = ["/", "/{__private__axum_fallback}"].map(str::to_owned);
        let (for_proxies, others): (Vec<_>, Vec<_>) =
            described.into_iter().partition(|(path, _)| path.starts_with("/v1/auth/"));
        for (path, _) in &for_proxies {
            let path = path.replace("{policy}", "members").replace("{path}", "a/b");
            assert!(forward::Place::of(&path).is_some(), "{path}");
        }
        assert_eq!(for_proxies.len(), 5, "one for each dialect, and for Envoy's paths");
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

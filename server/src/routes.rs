//! The endpoints, and their description for programs. A route and what OpenAPI says of it stand in one place.

mod actor;
mod forward;
mod introspect;
mod metadata;
mod tokens;
mod verify;

use crate::context::Context;
use crate::problem::Problem;
use crate::service::Failure;
use axum::Router;
use axum::extract::Extension;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All endpoints, and the document that describes them.
pub(crate) fn router() -> (Router, String) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(introspect::introspect))
        .routes(routes!(verify::verify))
        .routes(routes!(tokens::create))
        .routes(routes!(actor::actor))
        .routes(routes!(metadata::metadata))
        .split_for_parts();
    document.merge(forward::Paths::openapi());
    if let Some(components) = &mut document.components {
        for (name, scheme) in [("basic", HttpAuthScheme::Basic), ("bearer", HttpAuthScheme::Bearer)] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
    }
    let text = document.to_pretty_json().unwrap_or_default();
    let served = text.clone();
    let router = router
        .route("/v1/auth/nginx/{policy}", any(forward::nginx))
        .route("/v1/auth/forward/{policy}", any(forward::forward))
        .route("/v1/auth/envoy/{policy}", any(forward::envoy))
        .route("/v1/auth/envoy/{policy}/", any(forward::envoy))
        .route("/v1/auth/envoy/{policy}/{*path}", any(forward::envoy))
        .route("/openapi.json", axum::routing::get(async move || metadata::openapi(served)))
        .fallback(async |Extension(context): Extension<Context>| Failure::of(&context, Problem::NotFound))
        .method_not_allowed_fallback(async || MethodNotAllowed);
    (router, text)
}

/// axum sets `Allow` when it sees the bare status; [`crate::service`] gives it a body.
struct MethodNotAllowed;

impl IntoResponse for MethodNotAllowed {
    fn into_response(self) -> Response {
        hyper::StatusCode::METHOD_NOT_ALLOWED.into_response()
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Keyward",
    description = "Is this token good, whose is it, may it do that?",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

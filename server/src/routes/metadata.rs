//! What programs read before they ask: RFC 8414 metadata and the OpenAPI document.

use crate::context::Context;
use crate::problem::{ErrorBody, Problem, json, json_text};
use crate::routes::document;
use axum::extract::Extension;
use axum::response::Response;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Authorization server metadata (RFC 8414 section 2). Keyward authorizes nobody, so there are no response types.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// The issuer of the configuration.
    issuer: String,
    /// Where introspection is.
    introspection_endpoint: String,
    /// How callers of it may authenticate. They may also send their secret as Bearer, for which RFC 8414 has no word.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// Where revocation is.
    revocation_endpoint: String,
    /// How callers of it may authenticate: as for introspection.
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// None: a required member.
    #[schema(max_items = 0)]
    response_types_supported: [&'static str; 0],
}

/// How callers may authenticate where a form is taken.
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// Where are introspection and revocation?
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "discovery",
    responses(
        (status = 200, body = Metadata, description = "The metadata"),
        (status = 404, body = ErrorBody, description = "No issuer is configured")
    )
)]
pub(crate) async fn metadata(Extension(context): Extension<Context>) -> Result<Response, Problem> {
    let issuer = context.live.config.issuer.as_ref().ok_or(Problem::NotFound)?.as_str();
    let metadata = Metadata {
        issuer: issuer.to_owned(),
        introspection_endpoint: format!("{issuer}/v1/introspect"),
        introspection_endpoint_auth_methods_supported: AUTH_METHODS,
        revocation_endpoint: format!("{issuer}/v1/revoke"),
        revocation_endpoint_auth_methods_supported: AUTH_METHODS,
        response_types_supported: [],
    };
    Ok(json(StatusCode::OK, &metadata))
}

/// What is all there?
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "discovery",
    responses((status = 200, body = Object, description = "This document"))
)]
pub(crate) async fn openapi() -> Response {
    json_text(StatusCode::OK, document::text())
}

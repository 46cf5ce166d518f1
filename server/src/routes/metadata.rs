//! Discovery: RFC 8414 metadata and the OpenAPI document.

use crate::context::Context;
use crate::endpoints::{Endpoint, Query};
use crate::error::{ApiError, ErrorBody, json, json_text};
use crate::routes::openapi;
use axum::extract::Extension;
use axum::response::Response;
use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The endpoint of the metadata.
pub(super) const ENDPOINT: Endpoint =
    Endpoint::new("metadata", "/.well-known/oauth-authorization-server", Query::Never);

/// The endpoint of the OpenAPI document.
pub(crate) const DOCUMENT: Endpoint = Endpoint::new("openapi", "/openapi.json", Query::Never);

/// Authorization server metadata (RFC 8414 section 2). Keyward has no authorization endpoint, so
/// there are no response types.
#[derive(Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// The issuer from the configuration.
    issuer: String,
    /// The URL of the introspection endpoint.
    introspection_endpoint: String,
    /// The authentication methods of the introspection endpoint. It also accepts the secret as
    /// Bearer, for which RFC 8414 has no name.
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    /// The URL of the revocation endpoint.
    revocation_endpoint: String,
    /// The authentication methods of the revocation endpoint: the same as for introspection.
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    /// Always empty, but a required member.
    #[schema(max_items = 0)]
    response_types_supported: [&'static str; 0],
}

/// The authentication methods of the endpoints that accept forms.
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// Returns the metadata of RFC 8414: the URLs of introspection and revocation.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "discovery",
    responses(
        (status = 200, body = Metadata, description = "The metadata"),
        (status = 404, body = ErrorBody, description = "No issuer is configured")
    )
)]
pub(crate) async fn metadata(Extension(context): Extension<Context>) -> Result<Response, ApiError> {
    let issuer = context.live.config.issuer.as_ref().ok_or(ApiError::NotFound)?.as_str();
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

/// Returns this OpenAPI document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "discovery",
    responses((status = 200, body = Object, description = "This document"))
)]
pub(crate) async fn openapi() -> Response {
    json_text(StatusCode::OK, openapi::text())
}

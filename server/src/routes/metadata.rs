//! Discovery: RFC 8414 metadata, public keys, and the OpenAPI document.

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

/// The endpoint of the public keys.
pub(super) const KEYS: Endpoint = Endpoint::new("jwks", "/.well-known/jwks.json", Query::Never);

/// The endpoint of the OpenAPI document.
pub(crate) const DOCUMENT: Endpoint = Endpoint::new("openapi", "/openapi.json", Query::Never);

/// Authorization server metadata (RFC 8414 section 2). Keyward has no authorization endpoint, so
/// there are no response types, and members without elements are omitted (section 3.2).
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
    /// The URL of the public keys of the tokens that are signed with Ed25519.
    jwks_uri: String,
    /// The only grant: clients create tokens with Keyward's own API, whose URL is the grant's name
    /// (RFC 6749 section 4.5). Without this member, clients would assume the grants of an
    /// authorization endpoint.
    grant_types_supported: [String; 1],
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
        jwks_uri: format!("{issuer}/.well-known/jwks.json"),
        grant_types_supported: [format!("{issuer}/v1/tokens")],
    };
    Ok(json(StatusCode::OK, &metadata))
}

/// Returns the public keys with which other services verify signed tokens: a JWK Set (RFC 7517),
/// which is empty if no key is asymmetric.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "discovery",
    responses((status = 200, body = Object, description = "The keys, also those that do not sign yet"))
)]
pub(crate) async fn jwks(Extension(context): Extension<Context>) -> Response {
    json_text(StatusCode::OK, context.live.registry.jwk_set())
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

//! Error responses: one table from causes to statuses, codes and descriptions.

use crate::config::Realm;
use crate::rate_limits::Seconds;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::Error;
use keyward_runtime::error::ErrorKind;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// The cause of an error response. The texts are fixed and never echo the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiError {
    /// 400: the request is malformed, as described by the text.
    InvalidRequest(&'static str),
    /// 400: the JSON body is malformed; `wanted` describes it.
    InvalidBody { problem: BodyProblem, wanted: &'static str },
    /// 400: the transfer coding is not supported, so the end of the body is unknown.
    UnknownCoding,
    /// 401: client authentication failed with this scheme.
    InvalidClient(Scheme),
    /// 403: the client lacks the permission.
    UnauthorizedClient,
    /// 404: the path, the policy or the metadata document does not exist.
    NotFound,
    /// 404: the handler does not exist, or the client may not use it.
    NoSuchHandler,
    /// 404: the token does not exist, or the client may not see it.
    NoSuchToken,
    /// 404: revocation requires a store.
    NoStore,
    /// 404: token records require a store.
    NoRecords,
    /// 403: the parent token is not valid, for any reason.
    BadParent,
    /// 403: the parent token is restricted, and the client may not delegate.
    RestrictedParent,
    /// 400: the token to be revoked is of a handler that the client may not use (RFC 7009 section
    /// 2.1).
    NotItsToken,
    /// 405: the path has no such method. The router sets `Allow`.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    Timeout,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the content type is not the one in the text.
    UnsupportedMediaType(&'static str),
    /// 421: the host in the request is not configured.
    Misdirected,
    /// 429: the peer, the client or the policy exceeds its rate, or the client its share of lists.
    RateLimited(RateLimited),
    /// 429: the client's revocations that match no record exceed its quota.
    QuotaExceeded(RateLimited),
    /// 503: too many requests are in progress.
    Overloaded,
    /// 503: the operation gave no verdict.
    NoVerdict,
    /// 503: the revocation is not confirmed.
    NotRevoked,
    /// 503: the revocation is not confirmed, and there was no room to remember it.
    NotRemembered,
    /// 503: the store is unavailable.
    NoAnswer,
    /// 503: the change of a token is not confirmed.
    NotConfirmed,
}

/// The problem of a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyProblem {
    /// A member that the body does not have.
    UnknownMember,
    /// A member that occurs more than once.
    Repeated(&'static str),
    /// A member whose value has the wrong type or form.
    BadValue(&'static str),
    /// A missing member, members that exclude each other, or no JSON object.
    Other,
}

/// A rate or a share that is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimited {
    /// The name of the limit in metrics.
    pub(crate) limit: &'static str,
    /// The time after which the request may be repeated.
    pub(crate) wait: Seconds,
}

/// The authentication scheme of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Basic,
    Bearer,
}

/// The body of an error response, as in RFC 6749 section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The error code, for programs.
    error: &'static str,
    /// The description, for humans.
    error_description: Cow<'static, str>,
}

impl ErrorBody {
    pub(crate) fn new(error: &'static str, error_description: &'static str) -> Self {
        Self { error, error_description: error_description.into() }
    }
}

impl ApiError {
    /// Returns the status, the error code and the description.
    pub(crate) fn parts(self) -> (StatusCode, &'static str, Cow<'static, str>) {
        let (status, code, text) = match self {
            Self::InvalidBody { problem, wanted } => {
                let problem = match problem {
                    BodyProblem::UnknownMember => "The body has an unknown member".to_owned(),
                    BodyProblem::Repeated(name) => format!("The body has `{name}` more than once"),
                    BodyProblem::BadValue(name) => format!("The value of `{name}` is invalid"),
                    BodyProblem::Other => "Invalid body".to_owned(),
                };
                return (StatusCode::BAD_REQUEST, "invalid_request", format!("{problem}: {wanted}").into());
            }
            Self::InvalidRequest(text) => (StatusCode::BAD_REQUEST, "invalid_request", text),
            Self::UnknownCoding => {
                (StatusCode::BAD_REQUEST, "invalid_request", "The only supported transfer coding is a single `chunked`")
            }
            Self::InvalidClient(_) => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Client authentication failed: send the client's id and secret as HTTP Basic, or its secret as Bearer",
            ),
            Self::UnauthorizedClient => (
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "This client lacks the permission: add it to `may` in the client's configuration",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "This path does not exist"),
            Self::NoSuchHandler => {
                (StatusCode::NOT_FOUND, "not_found", "There is no such handler, or this client may not use it")
            }
            Self::NoStore => {
                (StatusCode::NOT_FOUND, "not_found", "Revocation requires a store: add a `[store]` section")
            }
            Self::NoSuchToken => {
                (StatusCode::NOT_FOUND, "not_found", "There is no such token, or this client may not see it")
            }
            Self::NoRecords => {
                (StatusCode::NOT_FOUND, "not_found", "Token records require a store: add a `[store]` section")
            }
            Self::BadParent => (StatusCode::FORBIDDEN, "access_denied", "The token in `parent` is not valid"),
            Self::RestrictedParent => (
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "The token in `parent` is restricted: deriving tokens from it requires `delegate` in the client's `may`",
            ),
            Self::NotItsToken => (
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                "The token was not revoked: this client may not use its handler",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The method is not supported; the header `Allow` lists those that are",
            ),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request body did not arrive in time"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "content_too_large", "The request body is too large"),
            Self::UnsupportedMediaType(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "Unknown `Host`: add it to `server.hosts` in the configuration",
            ),
            Self::RateLimited(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests per second or in progress: try again after the time in `Retry-After`",
            ),
            Self::QuotaExceeded(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "quota_exceeded",
                "Nothing was revoked: too many revocations of this client match no record. Try again after the time in `Retry-After`, or raise `max_unmatched_revocations` of the client",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "Too many requests are in progress: try again",
            ),
            Self::NoVerdict => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "No verdict: the request is neither granted nor denied; try again",
            ),
            Self::NotRevoked => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The revocation is not confirmed: treat the tokens as still valid, and try again",
            ),
            Self::NotRemembered => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The revocation is not confirmed, and will not be retried, because too many others wait to be written: treat the tokens as still valid, and try again",
            ),
            Self::NoAnswer => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "The store is unavailable: try again")
            }
            Self::NotConfirmed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The change is not confirmed: check the token, and try again",
            ),
        };
        (status, code, text.into())
    }

    /// Converts an error of a read from the store.
    pub(crate) fn of_records(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NoStore => Self::NoRecords,
            _ => Self::NoAnswer,
        }
    }

    /// Converts an error of a revocation.
    pub(crate) fn of_revocation(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::NoStore => Self::NoStore,
            ErrorKind::BadRevocation(text) => Self::InvalidRequest(text),
            ErrorKind::TooManyPending => Self::NotRemembered,
            _ => Self::NotRevoked,
        }
    }

    /// Returns the complete response. `given` are the headers set by the router, which knows the
    /// allowed methods.
    pub(crate) fn worded(self, realm: &Realm, given: &HeaderMap) -> Response {
        let (status, error, error_description) = self.parts();
        let mut response = json(status, &ErrorBody { error, error_description });
        let headers = response.headers_mut();
        match self {
            Self::MethodNotAllowed => {
                headers.extend(given.get(header::ALLOW).map(|allow| (header::ALLOW, allow.clone())))
            }
            Self::InvalidClient(Scheme::Basic) => challenge(headers, &format!("Basic realm=\"{}\"", realm.as_str())),
            Self::InvalidClient(Scheme::Bearer) => {
                challenge(headers, &format!("Bearer realm=\"{}\", error=\"invalid_token\"", realm.as_str()));
            }
            // The rest of the body would be read as the next request.
            Self::Timeout | Self::TooLarge | Self::UnknownCoding => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Overloaded
            | Self::NoVerdict
            | Self::NotRevoked
            | Self::NotRemembered
            | Self::NoAnswer
            | Self::NotConfirmed => {
                retry_after(headers);
            }
            Self::RateLimited(RateLimited { limit: _, wait }) | Self::QuotaExceeded(RateLimited { limit: _, wait }) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(wait));
            }
            _ => {}
        }
        response
    }
}

/// Converts to the bare status with the error as an extension. [`crate::service`] completes it with
/// [`ApiError::worded`], because the realm is needed.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.parts().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Sets `Retry-After` to one second.
pub(crate) fn retry_after(headers: &mut HeaderMap) {
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
}

/// Sets the challenge of a 401 or 403. Its parts are valid in a header: they were checked when
/// parsed.
pub(crate) fn challenge(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

/// Returns a JSON response.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => json_text(status, text),
        // Cannot happen with the types of this crate; fails closed.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Returns a response with serialized JSON.
pub(crate) fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

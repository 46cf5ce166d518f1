//! What is said when a request is not answered: one table from causes to statuses.

use crate::config::Realm;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use keyward_runtime::{Error, Fault};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request gets an error. The texts are fixed: nothing of a request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// 400: the text says what was wrong with it.
    InvalidRequest(&'static str),
    /// 400: where its body ends is not certain.
    UnknownCoding,
    /// 401: who asks is not known. The scheme is the one that was tried.
    InvalidClient(Scheme),
    /// 403: who asks may not.
    UnauthorizedClient,
    /// 404.
    NotFound,
    /// 404: no such handler, or none that the caller may use.
    NoSuchHandler,
    /// 404: no such token, or none that the caller may see.
    NoSuchToken,
    /// 404: there is nowhere to write a revocation down.
    NoStore,
    /// 404: there are no records of tokens.
    NoRecords,
    /// 403: the token that another one is to be made from is not good, for whatever reason.
    BadParent,
    /// 403: the token that another one is to be made from is restricted, and the caller may not.
    RestrictedParent,
    /// 400: the token to be revoked is of a handler that the caller may not use (RFC 7009 section 2.1).
    NotItsToken,
    /// 405. The router says what is allowed.
    MethodNotAllowed,
    /// 408: the body did not come in time.
    Timeout,
    /// 413.
    TooLarge,
    /// 415: what it should be.
    UnsupportedMediaType(&'static str),
    /// 421.
    Misdirected,
    /// 503: too many requests are being answered.
    Overloaded,
    /// 503: no verdict could be had.
    NoVerdict,
    /// 503: it is not certain that tokens are revoked.
    NotRevoked,
    /// 503: the store does not say what there is.
    NoAnswer,
    /// 503: it is not certain what has become of a token.
    NotConfirmed,
}

/// How callers authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Basic,
    Bearer,
}

/// The body of every error, in the terms of RFC 6749 section 5.2.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// A word for programs.
    error: &'static str,
    /// A sentence for people.
    error_description: &'static str,
}

impl ErrorBody {
    pub(crate) fn new(error: &'static str, error_description: &'static str) -> Self {
        Self { error, error_description }
    }
}

impl Problem {
    /// Status, word and sentence.
    pub(crate) fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest(text) => (StatusCode::BAD_REQUEST, "invalid_request", text),
            Self::UnknownCoding => {
                (StatusCode::BAD_REQUEST, "invalid_request", "Of transfer codings only `chunked` is read, and once")
            }
            Self::InvalidClient(_) => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "The caller is not known: send its id and secret as HTTP Basic, or its secret as Bearer",
            ),
            Self::UnauthorizedClient => (
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "This caller may not do that: `may` in its configuration says what it may",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing under this path"),
            Self::NoSuchHandler => {
                (StatusCode::NOT_FOUND, "not_found", "There is no such handler, or this caller may not use it")
            }
            Self::NoStore => {
                (StatusCode::NOT_FOUND, "not_found", "Nothing can be revoked here: no `[store]` is configured")
            }
            Self::NoSuchToken => {
                (StatusCode::NOT_FOUND, "not_found", "There is no such token, or this caller may not see it")
            }
            Self::NoRecords => {
                (StatusCode::NOT_FOUND, "not_found", "There are no records of tokens here: no `[store]` is configured")
            }
            Self::BadParent => {
                (StatusCode::FORBIDDEN, "access_denied", "The token in `parent` is not good: none is made from it")
            }
            Self::RestrictedParent => (
                StatusCode::FORBIDDEN,
                "unauthorized_client",
                "The token in `parent` is restricted, and this caller may make none from such a one: `delegate` is not in its `may`",
            ),
            Self::NotItsToken => (
                StatusCode::BAD_REQUEST,
                "unauthorized_client",
                "The token is not revoked: this caller may not use its handler",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The header `Allow` says which methods there are",
            ),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The body of the request did not come in time"),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "content_too_large", "The body of the request is too long")
            }
            Self::UnsupportedMediaType(text) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", text),
            Self::Misdirected => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected_request",
                "This server is not called what `Host` says: list the name under `hosts` in its configuration",
            ),
            Self::Overloaded => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "Too many requests are being answered: try again",
            ),
            Self::NoVerdict => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "No verdict could be had: it is neither a yes nor a no; try again",
            ),
            Self::NotRevoked => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "It is not certain that anything is revoked: take tokens to be good still, and try again",
            ),
            Self::NoAnswer => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The store does not say what there is: try again",
            ),
            Self::NotConfirmed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "It is not certain that anything is changed: look at the token, and try again",
            ),
        }
    }

    /// Why nothing is known of records.
    pub(crate) fn of_records(error: &Error) -> Self {
        match error.fault() {
            Fault::NoStore => Self::NoRecords,
            _ => Self::NoAnswer,
        }
    }

    /// Why tokens are not revoked.
    pub(crate) fn of_revocation(error: &Error) -> Self {
        match error.fault() {
            Fault::NoStore => Self::NoStore,
            Fault::BadRevocation(text) => Self::InvalidRequest(text),
            _ => Self::NotRevoked,
        }
    }

    /// The whole answer. `given` are the headers that the router has set: it knows which methods are allowed.
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
            // What is left of the body cannot be told from the next request.
            Self::Timeout | Self::TooLarge | Self::UnknownCoding => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Overloaded | Self::NoVerdict | Self::NotRevoked | Self::NoAnswer | Self::NotConfirmed => {
                retry_after(headers);
            }
            _ => {}
        }
        response
    }
}

/// The bare status, with the problem beside it: [`crate::service`] words it, for it knows the realm.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.parts().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Tells the client to try again in a second: what is busy is free by then.
pub(crate) fn retry_after(headers: &mut HeaderMap) {
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
}

/// Sets the challenge of a 401 or 403. What it is made of has been checked where it came in.
pub(crate) fn challenge(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => json_text(status, text),
        // No type of ours fails to be written; if one did, this is no yes.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// An answer of JSON that is written already.
pub(crate) fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

//! Responses: pages with their headers, redirections, and the files of the pages.

use crate::config::{Config, LINK_MINUTES, SignIn};
use crate::origin::AGAIN;
use crate::person::Person;
use crate::request::Call;
use askama::Template;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use keyward_runtime::Error;
use keyward_runtime::text::escape_untrusted;

/// A response. Its body is UTF-8.
pub type Response = http::Response<String>;

/// A mark among the [extensions](http::Response::extensions) of responses to requests whose person
/// is not known, which a server counts against the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it has no state")]
pub struct NotSignedIn;

fn without_sign_in(mut response: Response) -> Response {
    response.extensions_mut().insert(NotSignedIn);
    response
}

const STYLE: &str = include_str!("../static/style.css");
const SCRIPT: &str = include_str!("../static/copy.js");

/// The content security policy. Forbids resources of other origins, forms to other sites, framing,
/// and inline scripts and styles.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The parts of a page that are the same everywhere.
pub(crate) struct Frame {
    /// The path below which the pages are.
    pub(crate) prefix: String,
    pub(crate) title: String,
    /// The person, in visible characters; `None` if the page needs none.
    pub(crate) person: Option<String>,
    pub(crate) can_sign_out: bool,
    /// The URL that the page reloads at once; `None` for other pages.
    pub(crate) reload: Option<String>,
}

impl Frame {
    /// Creates the frame of a page for a person.
    pub(crate) fn new(call: &Call<'_>, person: &Person, title: impl Into<String>) -> Self {
        let can_sign_out = person.can_sign_out;
        let person = Some(escape_untrusted(&person.id, 256));
        Self { person, can_sign_out, ..Self::public(&call.pages.config, title) }
    }

    /// Creates the frame of a page for everyone.
    pub(crate) fn public(config: &Config, title: impl Into<String>) -> Self {
        let prefix = config.url.prefix().to_owned();
        Self { prefix, title: title.into(), person: None, can_sign_out: false, reload: None }
    }
}

/// Returns a page.
pub(crate) fn page(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => with_headers(status, "text/html; charset=utf-8", text),
        // Writing to a text does not fail.
        Err(_) => with_headers(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new()),
    }
}

fn with_headers(status: StatusCode, kind: &'static str, text: String) -> Response {
    const HEADERS: [(HeaderName, &str); 7] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer`, browsers would send forms with the origin `null`.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Returns a file of the pages, or `None` for other paths.
pub(crate) fn asset(path: &str) -> Option<Response> {
    let (kind, text) = match path {
        "/style.css" => ("text/css; charset=utf-8", STYLE),
        "/copy.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => return None,
    };
    let mut response = with_headers(StatusCode::OK, kind, text.to_owned());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// Returns a redirection to a path, which the browser gets with `GET`.
pub(crate) fn see_other(path: &str) -> Response {
    let mut response = with_headers(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// A page with a text.
#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    frame: Frame,
    text: String,
    /// A command, shown as such.
    command: Option<&'static str>,
}

fn message(status: StatusCode, frame: Frame, text: impl Into<String>) -> Response {
    page(status, &Message { frame, text: text.into(), command: None })
}

/// Returns the page for an id that is not one of the person's tokens, and for any other path.
pub(crate) fn not_found(call: &Call<'_>, person: &Person) -> Response {
    let frame = Frame::new(call, person, "Not found");
    message(StatusCode::NOT_FOUND, frame, "This page does not exist, or the token is not yours.")
}

pub(crate) fn not_signed_in(config: &Config) -> Response {
    let (text, command) = match &config.sign_in {
        SignIn::Session(_) => ("Sign in to the site that these tokens belong to, and load this page again.", None),
        SignIn::Header { .. } => ("The proxy in front of this page did not identify you.", None),
        SignIn::Link => {
            ("A link signs you in. The operator of this service creates one with", Some("keyward login --actor NAME"))
        }
    };
    let frame = Frame::public(config, "You are not signed in");
    without_sign_in(page(StatusCode::FORBIDDEN, &Message { frame, text: text.to_owned(), command }))
}

pub(crate) fn used_link(config: &Config) -> Response {
    let text = format!(
        "A link works once, within {LINK_MINUTES} minutes: this one was used, has expired, or was revoked. Ask the \
         operator for a new one."
    );
    without_sign_in(message(StatusCode::NOT_FOUND, Frame::public(config, "The link is not valid"), text))
}

pub(crate) fn cross_site(config: &Config) -> Response {
    let text = "Another site has sent this form, so nothing was changed. Open the page itself, and repeat the \
                change there.";
    without_sign_in(message(StatusCode::FORBIDDEN, Frame::public(config, "Nothing was changed"), text))
}

pub(crate) fn wrong_method(config: &Config) -> Response {
    let frame = Frame::public(config, "Nothing was changed");
    message(StatusCode::METHOD_NOT_ALLOWED, frame, "Pages are requested with GET and POST.")
}

pub(crate) fn too_fast(config: &Config) -> Response {
    let frame = Frame::public(config, "Too many requests");
    let mut response =
        message(StatusCode::TOO_MANY_REQUESTS, frame, "Nothing was changed. Wait for a minute, and try again.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

pub(crate) fn sent_before(call: &Call<'_>, person: &Person) -> Response {
    let frame = Frame::new(call, person, "This form was already sent, or has expired");
    let text = "Nothing was changed. A new token is shown once: if you have not copied it, revoke it, and create \
                another one.";
    message(StatusCode::CONFLICT, frame, text)
}

/// Returns the page for an operation without a result. The error is for the operator only.
pub(crate) fn unavailable(config: &Config, error: &Error) -> Response {
    tracing::warn!(target: "keyward::server", %error, code = error.code(), "a page could not be answered");
    let frame = Frame::public(config, "Not available");
    let mut response = message(StatusCode::SERVICE_UNAVAILABLE, frame, error.public_message());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Returns a page that loads the same URL again, as a request of this site.
pub(crate) fn reload(call: &Call<'_>) -> Response {
    let request = &call.request;
    debug_assert_eq!(request.method, Method::GET);
    let separator = if request.query.is_empty() { "" } else { "&" };
    let mut frame = Frame::public(&call.pages.config, "Loading your tokens");
    frame.reload = Some(format!("{}?{}{separator}{AGAIN}=1", request.path, request.query));
    without_sign_in(message(StatusCode::OK, frame, "The page loads again, because another site has linked to it."))
}

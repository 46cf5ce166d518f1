//! Requests behind the import `http`. The embedder implements [`HttpEndpoint`]; the crate
//! `keyward-fetch` does so with checked addresses, TLS and bounds.

use crate::session::{SessionRequest, named};
use std::pin::Pin;
use std::time::Duration;

/// A future of an [`HttpEndpoint`].
pub type HttpFuture<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

/// A URL that an operator configured, which handlers may request.
///
/// Implementations must bound the duration and the size of a response, must not follow redirects,
/// and must connect only where the operator allows it.
pub trait HttpEndpoint: Send + Sync + 'static {
    /// Returns the maximum duration of a request.
    fn timeout(&self) -> Duration;

    /// Returns the names of the query parameters that a handler may add.
    fn parameters(&self) -> &[String];

    /// Returns what the host adds from the request of a session; nothing by default.
    fn forwards(&self) -> &Forwards {
        const NOTHING: &Forwards = &Forwards { cookies: Vec::new(), headers: Vec::new(), query: Vec::new() };
        NOTHING
    }

    /// Sends a request with these additions.
    fn send(&self, additions: HttpAdditions) -> HttpFuture<'_>;
}

/// The parts of a session's request that are added to a request to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "endpoints construct it")]
pub struct Forwards {
    /// The names of cookies.
    pub cookies: Vec<String>,
    /// The names of headers, in lower case.
    pub headers: Vec<String>,
    /// The names of headers that become query parameters of the same name, in lower case.
    pub query: Vec<String>,
}

impl Forwards {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { cookies, headers, query } = self;
        cookies.is_empty() && headers.is_empty() && query.is_empty()
    }
}

/// The additions to the configured request of an [`HttpEndpoint`].
#[derive(Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "endpoints destructure it")]
#[expect(missing_debug_implementations, reason = "it may hold secrets")]
pub struct HttpAdditions {
    /// Query parameters: those of the handler, whose names are among
    /// [`parameters`](HttpEndpoint::parameters), each at most once, and then
    /// [`Forwards::query`].
    pub query: Vec<(String, String)>,
    /// Headers, of which [`Forwards::headers`] has the names.
    pub headers: Vec<(String, String)>,
    /// Cookies with a value, of which [`Forwards::cookies`] has the names.
    pub cookies: Vec<(String, String)>,
}

impl HttpAdditions {
    /// Returns the additions to a request of a handler. Those from the session are in the order in
    /// which the endpoint names them; parts that are absent, and cookies without a value, are left
    /// out.
    pub(crate) fn new(query: Vec<(String, String)>, forwards: &Forwards, session: &SessionRequest) -> Self {
        let mut query = query;
        query.extend(named(&forwards.query, &session.headers).cloned());
        let cookies = named(&forwards.cookies, &session.cookies).filter(|(_, value)| !value.is_empty());
        let headers = named(&forwards.headers, &session.headers);
        Self { query, headers: headers.cloned().collect(), cookies: cookies.cloned().collect() }
    }
}

/// A response that arrived completely, and is no redirect.
#[derive(Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "endpoints construct it")]
#[expect(missing_debug_implementations, reason = "it may hold secrets")]
pub struct HttpResponse {
    /// The status, from 200 to 599.
    pub status: u16,
    /// The value of `Content-Type`; `None` without a printable one.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// The reason that there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the errors of the contract")]
pub enum HttpError {
    /// The body is larger than the operator allows.
    TooLarge,
    /// The response did not arrive in time.
    Timeout,
    /// An address is not allowed, or the response is a redirect or compressed.
    Refused,
    /// There is no response.
    Unavailable,
}

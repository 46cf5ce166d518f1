//! Requests behind the import `http`. The embedder implements [`HttpEndpoint`]; the crate
//! `keyward-fetch` does so with checked addresses, TLS and bounds.

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

    /// Sends a request, with these parameters added to the query. Their names are among
    /// [`parameters`](Self::parameters), each at most once.
    fn send(&self, query: Vec<(String, String)>) -> HttpFuture<'_>;
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

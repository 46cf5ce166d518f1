//! The errors of endpoints and requests. None contains anything that was sent.

use std::io;
use std::net::IpAddr;

/// The reason that an [`Endpoint`](crate::Endpoint) cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The URL cannot be used.
    #[error("the URL {0}: use one such as `https://issuer.example/jwks.json`")]
    BadUrl(&'static str),
    /// The text has no certificate.
    #[error("it is not a certificate in PEM: {0}")]
    NoCertificate(String),
    /// A handler could add a parameter that the URL has.
    #[error("the URL has the parameter `{0}` itself: remove it from one of them")]
    RepeatsParameter(String),
    /// A header of a session would change the request itself.
    #[error("the header `{0}` is part of the request itself: remove it from `headers`")]
    BadHeader(String),
    /// A network contains all addresses.
    #[error("a network of length 0 contains every address: list the networks of your own services")]
    EveryNetwork,
}

/// The reason that a request has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The name has no address.
    #[error("the host has no address: {0}")]
    NoAddress(#[source] io::Error),
    /// An address of the host may not be connected to.
    #[error("the host has the address {address}, which is {kind}: list its network in `private` if it is yours")]
    AddressRefused {
        /// The address.
        address: IpAddr,
        /// Its kind, such as `loopback`.
        kind: &'static str,
    },
    /// The URL begins with `http://`, and an address of the host is on the public Internet.
    #[error("`http://` is only for networks that are listed in `private`: use `https://`")]
    PlainHttp,
    /// No connection could be made.
    #[error("the connection failed: {0}")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, such as because of a certificate for another name.
    #[error("the TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// The server does not speak HTTP, or broke off.
    #[error("the response is not valid HTTP/1.1, or ended early: {0}")]
    Http(#[source] hyper::Error),
    /// The server redirects to another URL, which is never followed.
    #[error("the response has the status {0}, a redirect, which is not followed: configure the final URL")]
    Redirect(u16),
    /// The body is compressed, although the request did not allow it.
    #[error("the response is compressed, which is not supported")]
    Compressed,
    /// The body is too large.
    #[error("the response has more than {0} bytes")]
    TooLarge(usize),
    /// A header or a cookie has a character that cannot be sent.
    #[error("a header or a cookie of the session cannot be sent")]
    BadHeader,
    /// The query is too long for a request.
    #[error("the query is too long")]
    LongQuery,
    /// The response did not arrive in time.
    #[error("the response did not arrive within {} ms", .0.as_millis())]
    Timeout(std::time::Duration),
}

//! Requests to the URLs that an operator configured, and to no other address.
//!
//! A [`Fetcher`] keeps the [`RemoteKeySet`](keyward_runtime::key_sets::RemoteKeySet)s of issuers
//! fresh: their JWK Sets (RFC 7517), such as from the `jwks_uri` of OpenID Connect Discovery. It
//! also sends the requests of handlers to the endpoints that they were granted.
//!
//! # Guarantees
//!
//! * The addresses of a host are looked up once, all of them are checked, and only a checked one is
//!   connected to. Addresses that are not on the public Internet are refused unless the operator
//!   lists their network, also if an address of IPv6 contains one of IPv4.
//! * Redirects are not followed, and no proxy is read from the environment.
//! * The certificate must be valid for the configured host.
//! * The size and the duration of each request are bounded, and its body is never decompressed.

#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod address;
mod client;
mod endpoint;
mod error;
mod fetcher;
mod http;
mod key_sets;
mod resolve;
mod thread;

#[cfg(test)]
mod tests;

pub use endpoint::{Endpoint, Roots};
pub use error::{EndpointError, FetchError};
pub use fetcher::Fetcher;
pub use key_sets::Refreshes;
pub use resolve::{Resolve, ResolveFuture, SystemResolver};

//! The look-up of names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

/// A future of a [`Resolve`].
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// A source of the addresses of a host.
pub trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `host`, which is a name or an address.
    ///
    /// # Errors
    /// Returns an error if the name is unknown or the look-up fails.
    fn addresses<'a>(&'a self, host: &'a str) -> ResolveFuture<'a>;
}

/// The resolver of the system.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn addresses<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address: SocketAddr| address.ip()).collect())
        })
    }
}

//! The look-up of names.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Maximum number of look-ups of a host at once. Each blocks a thread until the system gives up,
/// however early its request does.
const PER_HOST: usize = 4;

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
#[derive(Default)]
pub struct SystemResolver {
    /// The look-ups by host, so that one whose name servers are silent does not delay the others.
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl SystemResolver {
    fn lookups(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        match hosts.get(host) {
            Some(lookups) => lookups.clone(),
            None => hosts.entry(host.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(PER_HOST))).clone(),
        }
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver(..)")
    }
}

impl Resolve for SystemResolver {
    fn addresses<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        Box::pin(async move {
            if let Ok(address) = host.parse() {
                return Ok(vec![address]);
            }
            let permit = self.lookups(host).acquire_owned().await.map_err(io::Error::other)?;
            let name = host.to_owned();
            let lookup = move || {
                // Held until the look-up ends, also if nothing waits for it any more.
                let _permit = permit;
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
            };
            spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    }
}

//! The thread on which requests are sent.

use crate::endpoint::Endpoint;
use crate::http::EndpointClient;
use crate::key_sets::{Refreshes, keep_fresh};
use crate::resolve::{Resolve, SystemResolver};
use crate::thread::Thread;
use keyward_runtime::http::HttpEndpoint;
use keyward_runtime::key_sets::RemoteKeySet;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// The thread on which requests are sent, `keyward-fetch`. It ends with the last clone, and with
/// the last endpoint that was created here.
///
/// ```no_run
/// # use keyward_fetch::{Endpoint, Fetcher, Roots};
/// # use keyward_runtime::key_sets::{Algorithm, KeySetGrant, RefreshTimes, RemoteKeySet};
/// # use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let roots = Roots::from_pem(b"")?;
/// let fetcher = Fetcher::new()?;
/// let set = Arc::new(RemoteKeySet::new("idp", None, RefreshTimes::default()));
/// let refreshes = fetcher.refresh(set.clone(), Endpoint::new("https://idp.example/jwks.json", roots)?);
/// // Optional: until then, there is no verdict on a token of this issuer.
/// pollster::block_on(refreshes.first_attempt());
/// let grant = KeySetGrant::new(set, [Algorithm::Rs256]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Fetcher {
    thread: Arc<Thread>,
    resolver: Arc<dyn Resolve>,
}

impl Fetcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn new() -> io::Result<Self> {
        Self::with_resolver(Arc::new(SystemResolver::default()))
    }

    /// Starts the thread. `resolver` looks up all names.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn with_resolver(resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        Ok(Self { thread: Arc::new(Thread::start()?), resolver })
    }

    /// Fetches `set` from `endpoint`, at once and then whenever it is due, until the returned
    /// [`Refreshes`] are dropped.
    pub fn refresh(&self, set: Arc<RemoteKeySet>, endpoint: Endpoint) -> Refreshes {
        let (first, attempted) = watch::channel(false);
        let work = keep_fresh(set, endpoint, self.resolver.clone(), first);
        Refreshes::new(self.thread.handle().map(|handle| handle.spawn(work).abort_handle()), attempted)
    }

    /// Returns an endpoint for [`HandlerConfig::http`](keyward_runtime::HandlerConfig::http).
    /// `name` is its name in the log.
    pub fn endpoint(&self, name: impl Into<Arc<str>>, endpoint: Endpoint) -> Arc<dyn HttpEndpoint> {
        Arc::new(EndpointClient::new(name.into(), endpoint, self.thread.clone(), self.resolver.clone()))
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher(..)")
    }
}

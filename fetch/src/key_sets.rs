//! The refreshes of key sets.

use crate::client::{Fetched, get};
use crate::endpoint::Endpoint;
use crate::resolve::{Resolve, SystemResolver};
use keyward_runtime::key_sets::{KeySetStatus, RemoteKeySet};
use keyward_runtime::text::list_items;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep_until;

/// Maximum number of names that are looked up at once. Each blocks a thread.
const LOOKUPS: usize = 8;

/// The thread on which key sets are fetched, `keyward-fetch`.
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
pub struct Fetcher {
    /// Present until the fetcher is dropped.
    runtime: Option<Runtime>,
    resolver: Arc<dyn Resolve>,
}

impl Fetcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn new() -> io::Result<Self> {
        Self::with_resolver(Arc::new(SystemResolver))
    }

    /// Starts the thread. `resolver` looks up all names.
    ///
    /// # Errors
    /// Returns an error if the system cannot start another thread.
    pub fn with_resolver(resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(LOOKUPS).thread_name("keyward-fetch").enable_all();
        Ok(Self { runtime: Some(builder.build()?), resolver })
    }

    /// Fetches `set` from `endpoint`, at once and then whenever it is due, until the returned
    /// [`Refreshes`] are dropped.
    pub fn refresh(&self, set: Arc<RemoteKeySet>, endpoint: Endpoint) -> Refreshes {
        let (first, attempted) = watch::channel(false);
        let resolver = self.resolver.clone();
        let work = async move {
            loop {
                refresh(&set, &endpoint, &*resolver).await;
                first.send_replace(true);
                tokio::select! {
                    () = sleep_until(set.next_refresh().into()) => {}
                    () = set.requested() => {}
                }
            }
        };
        Refreshes { task: self.runtime.as_ref().map(|runtime| runtime.spawn(work).abort_handle()), attempted }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        // Does not wait for a look-up that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher(..)")
    }
}

/// The refreshes of a key set. They end when this is dropped.
#[derive(Debug)]
pub struct Refreshes {
    task: Option<AbortHandle>,
    attempted: watch::Receiver<bool>,
}

impl Refreshes {
    /// Waits until the first refresh has succeeded or failed, at most as long as a request may
    /// take. Runs on any executor.
    pub async fn first_attempt(&self) {
        // An error says that the fetcher is gone, so there will be no attempt.
        let _ = self.attempted.clone().wait_for(|attempted| *attempted).await;
    }
}

impl Drop for Refreshes {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn refresh(set: &RemoteKeySet, endpoint: &Endpoint, resolver: &dyn Resolve) {
    let before = set.status();
    let refresh = set.begin_refresh();
    match get(endpoint, resolver).await {
        Ok(Fetched { status: 200, body }) => match str::from_utf8(&body) {
            Ok(text) => refresh.fetched(text),
            Err(_) => refresh.failed("the response is not UTF-8"),
        },
        Ok(Fetched { status, .. }) => refresh.failed(format!("the response has the status {status}")),
        Err(error) => refresh.failed(error.to_string()),
    }
    report(&before, &set.status());
}

/// Logs a change of the keys, and the first error of several.
fn report(before: &KeySetStatus, after: &KeySetStatus) {
    let [earlier, error] =
        [before, after].map(|status| status.remote.as_ref().and_then(|remote| remote.error.as_deref()));
    let set = &after.name;
    match (earlier, error) {
        (None, Some(error)) => {
            tracing::warn!(target: "keyward::key_sets", set, error, "the key set could not be refreshed; its last keys are kept");
        }
        (Some(_), None) => tracing::info!(target: "keyward::key_sets", set, "the key set can be refreshed again"),
        _ => {}
    }
    if before.keys != after.keys {
        let keys = list_items(after.keys.iter().map(|(id, algorithm)| format!("{id} ({})", algorithm.as_str())));
        tracing::info!(target: "keyward::key_sets", set, keys, "the key set has new keys");
    }
}

//! Calls of a session handler that are shared: equal requests that arrive during a call wait for
//! its verdict, without an instance and a slot of their own.

use crate::error::Error;
use crate::session::SessionKey;
use crate::verdict::Verdict;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// The calls in progress.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<SessionKey, Arc<Flight>>>);

/// A call in progress.
struct Flight {
    /// The version of the revocation list before the call.
    version: Option<u64>,
    verdict: OnceCell<Result<Verdict, Error>>,
}

impl Flights {
    /// Returns the verdict of the call for an equal request that is in progress, or else of `call`.
    /// A call from before a revocation is not joined: `version` is that of the list.
    pub(crate) async fn join<F>(
        &self,
        key: SessionKey,
        version: Option<u64>,
        call: impl FnOnce() -> F,
    ) -> Result<Verdict, Error>
    where
        F: Future<Output = Result<Verdict, Error>>,
    {
        let joined = Joined { flight: self.flight(key, version), key, flights: self };
        // If the caller that makes the call goes away, another one makes it.
        joined.flight.verdict.get_or_init(call).await.clone()
    }

    fn flight(&self, key: SessionKey, version: Option<u64>) -> Arc<Flight> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key).filter(|flight| flight.version == version) {
            return flight.clone();
        }
        let flight = Arc::new(Flight { version, verdict: OnceCell::new() });
        flights.insert(key, flight.clone());
        flight
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits for a [`Flight`].
struct Joined<'a> {
    flights: &'a Flights,
    key: SessionKey,
    flight: Arc<Flight>,
}

/// Forgets the call once it has ended, or nothing waits for it.
impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let is_ours = flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
        // The map and this caller.
        if is_ours && (self.flight.verdict.initialized() || Arc::strong_count(&self.flight) <= 2) {
            flights.remove(&self.key);
        }
    }
}

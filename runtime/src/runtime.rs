//! State that lives as long as the process: the engine, the compiled components, the guest threads.

use crate::admission::Admission;
use crate::clock::{Clock, MonotonicClock, SystemClock, UnixTime};
use crate::component::{CheckedComponent, ComponentInfo, digest};
use crate::engine::Engine;
use crate::error::{ErrorKind, LoadError, LoadErrorKind};
use crate::limits::{Limits, RuntimeLimits};
use crate::pool::Pool;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A runtime for components: an engine, threads and a cache of compiled components.
///
/// Cheap to clone. [`Registry`](crate::Registry) values built on one runtime share its threads and
/// compile no component twice. Two runtimes in one process share nothing.
#[derive(Clone)]
pub struct Runtime(Arc<RuntimeInner>);

pub(crate) struct RuntimeInner {
    pub(crate) engine: Engine,
    pub(crate) pool: Pool,
    pub(crate) admission: Arc<Admission>,
    pub(crate) limits: RuntimeLimits,
    clock: Arc<dyn Clock>,
    /// The loaded components by digest.
    components: Mutex<HashMap<[u8; 32], Weak<CheckedComponent>>>,
}

impl Runtime {
    /// Creates a runtime with the default [`RuntimeLimits`] and the system's clock.
    ///
    /// # Errors
    /// The engine does not start, or no threads can be started.
    pub fn new() -> Result<Self, LoadError> {
        Self::with(RuntimeLimits::default(), MonotonicClock::new(SystemClock))
    }

    /// Creates a runtime with the given [`RuntimeLimits`] and [`Clock`].
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with(limits: RuntimeLimits, clock: impl Clock + 'static) -> Result<Self, LoadError> {
        let engine = Engine::new(&limits)?;
        let on_thread = engine.wasmtime().clone();
        let pool = Pool::new(limits.slow_threads, move || {
            let _ = &on_thread;
            wasmtime::Engine::tls_eager_initialize();
        })
        .map_err(|error| LoadError::of_thread("the guest threads", error))?;
        Ok(Self(Arc::new(RuntimeInner {
            engine,
            pool,
            admission: Admission::new(limits.slots),
            limits,
            clock: Arc::new(clock),
            components: Mutex::default(),
        })))
    }

    /// Returns the [`ComponentInfo`] of a component. Checks and compiles it, but runs none of its
    /// code.
    ///
    /// # Errors
    /// The component is too large, not valid, or does not match the contract.
    pub fn inspect(&self, component: &[u8]) -> Result<ComponentInfo, LoadError> {
        Ok(self.load(component, Limits::default().component_bytes, None)?.info.clone())
    }

    pub(crate) fn shared(&self) -> &Arc<RuntimeInner> {
        &self.0
    }

    /// Returns the component with these bytes, compiled unless it is already loaded. Checks the
    /// length and the pinned digest before it parses anything.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        max_bytes: usize,
        pinned: Option<[u8; 32]>,
    ) -> Result<Arc<CheckedComponent>, LoadError> {
        if bytes.len() > max_bytes {
            return Err(LoadError::new(
                LoadErrorKind::TooLarge,
                format!("the component has {} bytes of {max_bytes} allowed (`limits.component_bytes`)", bytes.len()),
            ));
        }
        let digest = digest(bytes);
        if let Some(pinned) = pinned.filter(|pinned| *pinned != digest) {
            return Err(LoadError::new(
                LoadErrorKind::DigestMismatch,
                format!(
                    "the component has the SHA-256 {}, not the configured {}: restore the file, or pin the new digest once \
                     you trust it",
                    hex::encode(digest),
                    hex::encode(pinned)
                ),
            ));
        }
        let mut loaded = self.0.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(&digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let component = Arc::new(CheckedComponent::new(self.0.engine.wasmtime(), bytes, digest)?);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&component));
        Ok(component)
    }
}

impl RuntimeInner {
    /// Returns whether its clock shows a chosen time instead of the real one.
    pub(crate) fn has_chosen_time(&self) -> bool {
        self.clock.is_chosen()
    }

    pub(crate) fn now(&self) -> Result<UnixTime, ErrorKind> {
        self.clock.now().ok_or_else(|| ErrorKind::Runtime("the clock returned no time after 1970".into()))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

//! What lives as long as the process: the engine, the compiled components, the guest pool.

use crate::admission::Admission;
use crate::clock::{Clock, MonotonicClock, SystemClock, UnixTime};
use crate::component::{CheckedComponent, ComponentInfo, digest};
use crate::engine::Engine;
use crate::error::{ErrorKind, LoadError};
use crate::limits::{Limits, RuntimeLimits};
use crate::pool::Pool;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Loads and runs components. Cheap to clone; registries made from one share its threads and
/// compile nothing twice. Two of them in one process know nothing of each other.
#[derive(Clone)]
pub struct Runtime(Arc<RuntimeInner>);

pub(crate) struct RuntimeInner {
    pub(crate) engine: Engine,
    pub(crate) pool: Pool,
    pub(crate) admission: Arc<Admission>,
    pub(crate) limits: RuntimeLimits,
    clock: Arc<dyn Clock>,
    /// What is loaded now, by digest.
    components: Mutex<HashMap<[u8; 32], Weak<CheckedComponent>>>,
}

impl Runtime {
    /// A runtime with the default limits and the system's clock.
    pub fn new() -> Result<Self, LoadError> {
        Self::with(RuntimeLimits::default(), MonotonicClock::new(SystemClock))
    }

    /// A runtime with these limits and this clock.
    pub fn with(limits: RuntimeLimits, clock: impl Clock + 'static) -> Result<Self, LoadError> {
        let engine = Engine::new(&limits)?;
        let on_thread = engine.wasmtime().clone();
        let pool = Pool::new(limits.slow_threads, move || {
            let _ = &on_thread;
            wasmtime::Engine::tls_eager_initialize();
        })
        .map_err(|error| LoadError::new("runtime", format!("the guest threads could not be started: {error}")))?;
        Ok(Self(Arc::new(RuntimeInner {
            engine,
            pool,
            admission: Admission::new(limits.slots),
            limits,
            clock: Arc::new(clock),
            components: Mutex::default(),
        })))
    }

    /// What a component is and asks for. Checks and compiles it, but runs nothing of it.
    pub fn inspect(&self, component: &[u8]) -> Result<ComponentInfo, LoadError> {
        Ok(self.load(component, Limits::default().component_bytes, None)?.info.clone())
    }

    pub(crate) fn shared(&self) -> &Arc<RuntimeInner> {
        &self.0
    }

    /// The component of these bytes, compiled unless a registry has it already. Nothing looks into
    /// the bytes before their length and their digest are what they must be.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        max_bytes: usize,
        pinned: Option<[u8; 32]>,
    ) -> Result<Arc<CheckedComponent>, LoadError> {
        if bytes.len() > max_bytes {
            return Err(LoadError::new(
                "too-large",
                format!("the component has {} bytes of {max_bytes} allowed (`limits.component_bytes`)", bytes.len()),
            ));
        }
        let digest = digest(bytes);
        if let Some(pinned) = pinned.filter(|pinned| *pinned != digest) {
            return Err(LoadError::new(
                "digest-mismatch",
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
    /// Returns whether its time is one that was chosen.
    pub(crate) fn has_chosen_time(&self) -> bool {
        self.clock.is_chosen()
    }

    pub(crate) fn now(&self) -> Result<UnixTime, ErrorKind> {
        self.clock.now().ok_or_else(|| ErrorKind::Runtime("the clock tells no time after 1970".into()))
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

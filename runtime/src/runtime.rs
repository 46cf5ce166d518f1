//! State that lives as long as the process: the engine, the compiled components, the guest threads.

use crate::admission::Admission;
use crate::clock::{Clock, MonotonicClock, SystemClock, UnixTime};
use crate::compile::{ArtifactCache, Compilation, LOAD_TIME, Worker, WorkerLimits};
use crate::component::{CheckedComponent, Component, ComponentInfo, digest};
use crate::engine::Engine;
use crate::error::{ErrorKind, LoadError, LoadErrorKind};
use crate::limits::{Limits, RuntimeLimits};
use crate::pool::Pool;
use keyward_handlers::BuiltIn;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

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
    compilation: Compilation,
    /// The loaded components by digest.
    components: Mutex<HashMap<[u8; 32], Weak<CheckedComponent>>>,
}

impl Runtime {
    /// Creates a runtime with the default [`RuntimeLimits`] and the system's clock. It loads the
    /// components of `keyward-handlers`; a [`builder`](Self::builder) can add a worker for others.
    ///
    /// # Errors
    /// The engine does not start, or no threads can be started.
    pub fn new() -> Result<Self, LoadError> {
        Self::builder().build()
    }

    /// Returns a [`RuntimeBuilder`].
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            limits: RuntimeLimits::default(),
            clock: Arc::new(MonotonicClock::new(SystemClock)),
            compilation: Compilation::default(),
            backtraces: false,
        }
    }

    /// Returns the [`ComponentInfo`] of a component. Checks and compiles it, but runs none of its
    /// code.
    ///
    /// # Errors
    /// The component is too large, not valid, does not match the contract, or cannot be compiled.
    pub fn inspect(&self, component: impl Into<Component>) -> Result<ComponentInfo, LoadError> {
        let deadline = Instant::now() + LOAD_TIME;
        Ok(self.load(&component.into(), Limits::default().component_bytes, None, deadline)?.info.clone())
    }

    /// Stops this runtime's ticks, and the CPU time of calls in the whole process, so that the
    /// instructions of calls can be counted.
    ///
    /// A handler that never returns then blocks its thread forever.
    #[cfg(feature = "testing")]
    pub fn dangerous_stop_time(&self) {
        self.0.engine.stop_ticks();
        crate::slice::stop_time();
    }

    pub(crate) fn shared(&self) -> &Arc<RuntimeInner> {
        &self.0
    }

    /// Returns a component, compiled before `deadline` unless it is already loaded. Checks the
    /// length and the pinned digest before it parses anything.
    pub(crate) fn load(
        &self,
        component: &Component,
        max_bytes: usize,
        pinned: Option<[u8; 32]>,
        deadline: Instant,
    ) -> Result<Arc<CheckedComponent>, LoadError> {
        let bytes = component.bytes();
        if bytes.len() > max_bytes {
            return Err(LoadError::new(
                LoadErrorKind::TooLarge,
                format!("the component has {} bytes of {max_bytes} allowed (`limits.component_bytes`)", bytes.len()),
            ));
        }
        let digest = component.built_in().map_or_else(|| digest(bytes), BuiltIn::sha256);
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
        // Held while the component is compiled, so that one is compiled at a time.
        let mut loaded = self.0.components.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.get(&digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let (engine, compilation) = (&self.0.engine, &self.0.compilation);
        let component = Arc::new(CheckedComponent::new(engine, compilation, component, digest, deadline)?);
        loaded.retain(|_, component| component.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&component));
        Ok(component)
    }
}

/// A builder of a [`Runtime`].
pub struct RuntimeBuilder {
    limits: RuntimeLimits,
    clock: Arc<dyn Clock>,
    compilation: Compilation,
    backtraces: bool,
}

impl RuntimeBuilder {
    /// Sets the [`RuntimeLimits`].
    #[must_use]
    pub fn limits(mut self, limits: RuntimeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the [`Clock`]; the system's by default, which then never runs backwards.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the program that compiles foreign components: `keyward`, or a program that calls
    /// [`run_worker`](crate::compile::run_worker).
    ///
    /// Each component is compiled in a new process with bounded memory and time, an empty
    /// environment, and no access to files or the network as far as the kernel can deny it. Without
    /// a worker, only built-in components can be loaded.
    #[must_use]
    pub fn worker(self, program: impl Into<PathBuf>) -> Self {
        self.worker_within(program, WorkerLimits::default())
    }

    /// Sets the program that compiles foreign components, as [`worker`](Self::worker), and its
    /// [`WorkerLimits`].
    #[must_use]
    pub fn worker_within(mut self, program: impl Into<PathBuf>, limits: WorkerLimits) -> Self {
        self.compilation.worker = Some(Worker::new(program.into(), limits));
        self
    }

    /// Sets the cache of compiled components.
    #[must_use]
    pub fn cache(mut self, cache: ArtifactCache) -> Self {
        self.compilation.cache = Some(cache);
        self
    }

    /// Compiles foreign components in this process if there is no [`worker`](Self::worker).
    ///
    /// A hostile component can then exhaust the memory and CPU time of this process.
    #[must_use]
    pub fn dangerous_compile_in_process(mut self) -> Self {
        self.compilation.dangerous_in_process = true;
        self
    }

    /// Adds the functions on the stack to the text of
    /// [`ErrorKind::Trap`], for tools of authors.
    ///
    /// Their names are text of the component, which may say anything, so a service leaves this off.
    #[must_use]
    pub fn backtraces(mut self) -> Self {
        self.backtraces = true;
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// A limit is out of range, the engine does not start, or no threads can be started.
    pub fn build(self) -> Result<Runtime, LoadError> {
        let Self { limits, clock, compilation, backtraces } = self;
        let engine = Engine::new(&limits, backtraces)?;
        let on_thread = engine.pure().clone();
        let pool = Pool::new(limits.slow_threads, move || {
            let _ = &on_thread;
            wasmtime::Engine::tls_eager_initialize();
        })
        .map_err(|error| LoadError::of_thread("the guest threads", error))?;
        Ok(Runtime(Arc::new(RuntimeInner {
            engine,
            pool,
            admission: Admission::new(limits.slots),
            limits,
            clock,
            compilation,
            components: Mutex::default(),
        })))
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl RuntimeInner {
    /// Returns whether its clock shows a chosen time instead of the real one.
    pub(crate) fn has_chosen_time(&self) -> bool {
        self.clock.is_chosen()
    }

    /// Compiles a component in the worker with little memory; `None` if there is no worker.
    pub(crate) fn compile_bomb(&self, bytes: &[u8]) -> Option<Result<(), LoadError>> {
        let worker = self.compilation.worker.as_ref()?;
        let limits =
            WorkerLimits { memory_bytes: 24 << 20, cpu: Duration::from_secs(2), wall: Duration::from_secs(10) };
        Some(worker.within(limits).compile(bytes, Instant::now() + LOAD_TIME).map(drop))
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

//! Compiles components to machine code. Nothing else in the runtime calls a compiler.
//!
//! The compiler is not hardened against hostile components, so a worker compiles foreign ones:
//! another process, in a cage. Results are kept in an [`ArtifactCache`].

pub(crate) mod cache;
mod cage;
mod child;
pub(crate) mod output;
mod reply;
mod worker;

use crate::artifact::{AuthenticArtifact, Origin};
use crate::component::source::Component;
use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::escape_untrusted;
pub use cache::{ArtifactCache, CacheEntry};
pub use child::run_worker;
use output::{Compiled, panicked, refused};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use wasmtime::Engine;
pub(crate) use worker::Worker;
pub use worker::{COMMAND, WorkerLimits};

/// Maximum time that the components of a registry take to compile, all together.
pub(crate) const LOAD_TIME: Duration = Duration::from_secs(600);

/// The ways in which a runtime obtains machine code.
#[derive(Default)]
pub(crate) struct Compilation {
    /// The worker, which compiles foreign components; `None` if there is none.
    pub(crate) worker: Option<Worker>,
    pub(crate) cache: Option<ArtifactCache>,
    /// Set if foreign components may be compiled in this process.
    pub(crate) dangerous_in_process: bool,
}

impl Compilation {
    /// Returns the machine code of a component, from this program and then from the cache, which is
    /// read only if the first is not enough. `digest` is its SHA-256.
    pub(crate) fn find(&self, component: &Component, digest: [u8; 32]) -> impl Iterator<Item = AuthenticArtifact> {
        let own = component.built_in().map(|handler| Origin::BuiltIn(*handler));
        let cached = std::iter::once_with(move || self.cache.as_ref()?.get(digest).map(Origin::Cache)).flatten();
        own.into_iter().chain(cached).filter_map(AuthenticArtifact::of)
    }

    /// Loads machine code into `engine`. Returns `None` if it does not fit, which is logged.
    pub(crate) fn load(
        engine: &Engine,
        artifact: AuthenticArtifact,
        digest: [u8; 32],
    ) -> Option<wasmtime::component::Component> {
        let failed = |error: &wasmtime::Error| {
            let (component, reason) = (hex::encode(digest), escape_untrusted(&format!("{error:#}"), 300));
            tracing::info!(target: "keyward::load", component, reason, "machine code does not fit; compiling it again");
        };
        artifact.load(engine).inspect_err(failed).ok()
    }

    /// Compiles a component for `engine` before `deadline`, and keeps it in the cache. Its shape
    /// must have been checked, and `digest` is its SHA-256.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the component is not valid, or if it cannot be compiled here.
    pub(crate) fn compile(
        &self,
        engine: &Engine,
        component: &Component,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<wasmtime::component::Component, LoadError> {
        let compiled = self.run_compiler(component, digest, deadline)?;
        if let Some(cache) = &self.cache {
            cache.put(digest, compiled.bytes());
        }
        let artifact = AuthenticArtifact::of(Origin::Compiler(compiled));
        let none = || LoadError::new(LoadErrorKind::Runtime, "the compiler returned nothing");
        artifact.ok_or_else(none)?.load(engine).map_err(|error| refused(&format!("{error:#}")))
    }

    fn run_compiler(&self, component: &Component, digest: [u8; 32], deadline: Instant) -> Result<Compiled, LoadError> {
        let (bytes, start) = (component.bytes(), Instant::now());
        tracing::info!(target: "keyward::load", component = hex::encode(digest), bytes = bytes.len(), "compiling");
        let compiled = match &self.worker {
            Some(worker) => worker.compile(bytes, deadline)?,
            None if self.dangerous_in_process || component.built_in().is_some() => in_process(bytes)?,
            None => {
                return Err(LoadError::new(
                    LoadErrorKind::NoCompiler,
                    "foreign components are compiled by a worker process only, and this runtime has none: give it one \
                     with `RuntimeBuilder::worker`",
                ));
            }
        };
        let milliseconds = start.elapsed().as_millis();
        tracing::info!(target: "keyward::load", component = hex::encode(digest), milliseconds, "compiled");
        Ok(compiled)
    }
}

fn in_process(bytes: &[u8]) -> Result<Compiled, LoadError> {
    let compile = || keyward_engine::Compiler::new(None)?.compile(bytes);
    catch_unwind(AssertUnwindSafe(compile))
        .map_err(|_| panicked())?
        .map(Compiled::new)
        .map_err(|error| refused(&format!("{error:#}")))
}

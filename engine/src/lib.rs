//! The WebAssembly settings of Keyward, and the compiler of token handlers.
//!
//! Machine code runs only in an engine with the settings, and of the version, that it was compiled
//! with. This crate keeps them in one place for everything that compiles or runs: the build script
//! of `keyward-handlers`, the compile worker, and `keyward-runtime`. Programs that embed Keyward
//! use `keyward-runtime` only.
//!
//! ```
//! let code = keyward_engine::Compiler::new(None)?.compile(b"\0asm\x0d\0\x01\0")?;
//! assert!(code.starts_with(b"\x7fELF"));
//! # Ok::<(), wasmtime::Error>(())
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use wasmtime::{Config, Engine, ModuleVersionStrategy, WasmBacktraceDetails, WasmFeatures};

/// Returns the settings that machine code depends on. They enable no compiler; the settings of
/// slots and stacks are left to the caller.
///
/// # Errors
/// The version of wasmtime is longer than wasmtime allows.
pub fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .enable_compiler(false)
        // wasmtime would accept code of every version with the same major number.
        .module_version(ModuleVersionStrategy::Custom(wasmtime_version()))?
        // Only the proposals that handlers need. Multi-memory stays on, because without it wasmtime
        // 48.0.8 panics on a component of 517 bytes; the pool bounds the number of memories.
        .wasm_component_model(true)
        .wasm_features(proposals_left_out(), false)
        .shared_memory(false)
        .gc_support(false)
        .concurrency_support(false)
        // The means to stop a guest.
        .epoch_interruption(true)
        // No backtraces: their function names are the handler's own text and would reach the
        // operator's log.
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Ok(config)
}

/// Returns the proposals that no handler needs. Each of them has had security advisories.
fn proposals_left_out() -> WasmFeatures {
    WasmFeatures::TAIL_CALL
        | WasmFeatures::MEMORY64
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::THREADS
        | WasmFeatures::SHARED_EVERYTHING_THREADS
        | WasmFeatures::FUNCTION_REFERENCES
        | WasmFeatures::GC
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::STACK_SWITCHING
        | WasmFeatures::CUSTOM_PAGE_SIZES
        | WasmFeatures::WIDE_ARITHMETIC
        | WasmFeatures::CM_ASYNC
}

/// Returns the full version of wasmtime, such as `48.0.8`.
pub fn wasmtime_version() -> String {
    /// Keeps the text that is hashed: the version has no other accessor.
    #[derive(Default)]
    struct Text(Vec<u8>);

    impl Hasher for Text {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend(bytes.iter().filter(|byte| byte.is_ascii_graphic()));
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    let mut text = Text::default();
    ModuleVersionStrategy::WasmtimeVersion.hash(&mut text);
    String::from_utf8_lossy(&text.0).into_owned()
}

/// Returns a text that differs between engines whose machine code is not interchangeable: the
/// version of wasmtime, the settings, and the features of this processor.
///
/// # Errors
/// As for [`config`].
pub fn fingerprint() -> wasmtime::Result<String> {
    Ok(format!("{} {:?} {}", wasmtime_version(), config()?, processor().join(" ")))
}

/// Returns the architecture, and the features of this processor that Cranelift uses.
#[cfg(target_arch = "x86_64")]
pub fn processor() -> Vec<&'static str> {
    macro_rules! detected {
        ($($feature:tt)*) => { [$(($feature, std::arch::is_x86_feature_detected!($feature))),*] };
    }
    let features = detected!(
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "avx" "avx2" "fma" "bmi1" "bmi2" "lzcnt" "cmpxchg16b"
        "avx512bitalg" "avx512dq" "avx512f" "avx512vbmi" "avx512vl"
    );
    std::iter::once("x86_64")
        .chain(features.into_iter().filter(|(_, detected)| *detected).map(|(name, _)| name))
        .collect()
}

/// Returns the architecture, and the features of this processor that Cranelift uses.
#[cfg(not(target_arch = "x86_64"))]
pub fn processor() -> Vec<&'static str> {
    // wasmtime itself refuses code for features that the processor lacks.
    vec![std::env::consts::ARCH]
}

/// A compiler of components.
pub struct Compiler(Engine);

impl Compiler {
    /// Creates a compiler for a target triple, without optional features of its processors; or, if
    /// `None`, for this machine.
    ///
    /// # Errors
    /// Cranelift does not support the target.
    pub fn new(target: Option<&str>) -> wasmtime::Result<Self> {
        let mut config = config()?;
        config.enable_compiler(true);
        if let Some(target) = target {
            config.target(target)?;
        }
        Engine::new(&config).map(Self)
    }

    /// Compiles a component to machine code, on the calling thread.
    ///
    /// Cranelift is not hardened against hostile components: they can make it use any amount of
    /// time and memory.
    ///
    /// # Errors
    /// The component is not valid.
    pub fn compile(&self, component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        self.0.precompile_component(component)
    }
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_full_one() {
        let version = wasmtime_version();
        assert_eq!(version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3, "{version}");
    }

    #[test]
    fn the_fingerprint_names_version_settings_and_processor() {
        let text = fingerprint().unwrap();
        for part in [wasmtime_version().as_str(), "epoch_interruption: true", std::env::consts::ARCH] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

//! The WebAssembly engine: the only place that configures wasmtime, and the thread that ticks it.

use crate::error::LoadError;
use crate::limits::RuntimeLimits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use wasmtime::{
    Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
    WasmFeatures,
};

/// The length of a tick: how often a guest that computes is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a call after which the ticker sleeps. A tick costs some 30 µs in a virtual machine: too much to pay
/// while nothing runs.
const IDLE_TICKS: u32 = 20;

/// Core instances, memories and tables that one component may have. Components made by `wit-component` have three core
/// instances, one memory and two tables.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;

/// What host functions may use of a call's stack, on top of what the guest may use. It is address space, not memory; to
/// overflow it ends the process, so it is generous.
const HOST_STACK_BYTES: usize = 512 << 10;

/// A wasmtime engine and its ticker.
pub(crate) struct Engine {
    wasmtime: wasmtime::Engine,
    ticker: Ticker,
}

impl Engine {
    /// Makes the engine for components that import `keyward:handler` only.
    pub(crate) fn new(limits: &RuntimeLimits) -> Result<Self, LoadError> {
        let failed = |error: wasmtime::Error| {
            LoadError::new("runtime", format!("the WebAssembly engine could not be made: {error:#}"))
        };
        let wasmtime = wasmtime::Engine::new(&config(limits)?).map_err(failed)?;
        let ticker = Ticker::start(wasmtime.weak())
            .map_err(|error| LoadError::new("runtime", format!("the ticker thread could not be started: {error}")))?;
        Ok(Self { wasmtime, ticker })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Keeps the ticker awake for as long as the guard lives. Nothing may run in a guest without one.
    pub(crate) fn ticking(&self) -> Ticking {
        self.ticker.gate.enter();
        Ticking(self.ticker.gate.clone())
    }
}

fn config(limits: &RuntimeLimits) -> Result<Config, LoadError> {
    let RuntimeLimits { slots, memory_bytes, table_elements, wasm_stack_bytes, slow_threads: _ } = limits;
    let slots = u32::try_from(*slots)
        .ok()
        .filter(|slots| (1..=10_000).contains(slots))
        .ok_or_else(|| LoadError::new("runtime", "a runtime has 1 to 10,000 slots"))?;

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_memory_size(*memory_bytes)
        .table_elements(*table_elements)
        // A handler from the SDK has one page of memory and small tables: keeping them resident and wiping them costs less
        // than a tenth of giving them back to the kernel and faulting them in again. This is what keeps the kernel out of
        // a warm call.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        // With swap the scan can take a page of the last guest for a clean one.
        .pagemap_scan(Enabled::No);

    let mut config = Config::new();
    config
        // The language: what handlers need, and no more. Multi-memory stays on, because with it off wasmtime 48.0.8
        // panics on a component of 517 bytes; the pool bounds the number of memories.
        .wasm_component_model(true)
        .wasm_features(proposals_left_out(), false)
        .shared_memory(false)
        .gc_support(false)
        .concurrency_support(false)
        // The stop buttons.
        .epoch_interruption(true)
        .max_wasm_stack(*wasm_stack_bytes)
        .async_stack_size(wasm_stack_bytes.saturating_add(HOST_STACK_BYTES))
        // Traps say what, not where: a backtrace would be the handler's words in the operator's log.
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

/// What no handler needs, and each of which has had advisories of its own.
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

/// Keeps the ticker awake.
pub(crate) struct Ticking(Arc<Gate>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

/// What the ticker and the calls tell each other.
struct Gate {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Gate {
    /// Counts the call first and looks second; the ticker says that it sleeps first and counts second. Whatever the order,
    /// one of the two sees the other.
    fn enter(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// A thread of its own, so that no guest can starve what stops it. It follows the real clock: a tick that it missed, it
/// adds.
struct Ticker {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let gate = Arc::new(Gate {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        });
        let shared = gate.clone();
        let thread = thread::Builder::new().name("keyward-ticker".into()).spawn(move || tick(&engine, &shared))?;
        // A call that comes before this finds the ticker awake: it has just been started.
        let _ = gate.thread.set(thread.thread().clone());
        Ok(Self { gate, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.gate.stop.store(true, Ordering::SeqCst);
        self.gate.wake();
        if let Some(thread) = self.thread.take() {
            // It can only have ended; there is nothing to be done about a panic of a thread that does not panic.
            let _ = thread.join();
        }
    }
}

fn tick(engine: &EngineWeak, gate: &Gate) {
    let mut last = Instant::now();
    let mut idle = 0_u32;
    while !gate.stop.load(Ordering::SeqCst) {
        thread::park_timeout(TICK);
        while last.elapsed() >= TICK {
            last += TICK;
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
        idle = if gate.running.load(Ordering::SeqCst) == 0 { idle.saturating_add(1) } else { 0 };
        if idle > IDLE_TICKS {
            gate.asleep.store(true, Ordering::SeqCst);
            while gate.asleep.load(Ordering::SeqCst)
                && gate.running.load(Ordering::SeqCst) == 0
                && !gate.stop.load(Ordering::SeqCst)
            {
                thread::park();
            }
            gate.asleep.store(false, Ordering::SeqCst);
            idle = 0;
            last = Instant::now();
        }
    }
}

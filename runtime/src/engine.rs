//! The WebAssembly engines: their slots and stacks, and the thread that increments their epochs.
//! The settings that machine code depends on are in `keyward-engine`.

use crate::error::{LoadError, LoadErrorKind};
use crate::limits::RuntimeLimits;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use wasmtime::{Config, Enabled, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

/// The length of a tick, the interval at which a running guest is checked.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Number of frames of a backtrace, if there is one.
const FRAMES: usize = 12;

/// Number of ticks without a call after which the ticker sleeps. A tick costs about 30 µs in a
/// virtual machine, too much while nothing runs.
const IDLE_TICKS: u32 = 20;

/// The slots of an engine, of which each has room for one component.
struct Slots {
    /// Maximum number of core instances of one component.
    core_instances: u32,
    /// Maximum number of memories of one component.
    memories: u32,
    /// Maximum number of tables of one component.
    tables: u32,
    /// Stack size of WebAssembly code as a multiple of [`RuntimeLimits::wasm_stack_bytes`].
    stack_factor: usize,
}

/// The slots of components that import this project's interfaces only. One from `wit-component` has
/// three core instances, one memory and two tables; one from `componentize-py --stub-wasi`, 38 core
/// instances.
const PURE: Slots = Slots { core_instances: 64, memories: 2, tables: 8, stack_factor: 1 };

/// The slots of components that import WASI: interpreters, which recurse. One from QuickJS has
/// three memories.
const WASI: Slots = Slots { core_instances: 64, memories: 4, tables: 48, stack_factor: 4 };

/// Stack space of host functions in one call, in addition to the guest's. Generous, because it is
/// only address space, and an overflow aborts the process.
pub(crate) const HOST_STACK_BYTES: usize = 512 << 10;

/// The [`wasmtime::Engine`]s and their ticker.
pub(crate) struct Engine {
    pure: wasmtime::Engine,
    /// The engine of components that import WASI, created with the first of them.
    wasi: Arc<OnceLock<wasmtime::Engine>>,
    limits: RuntimeLimits,
    frames: Option<NonZeroUsize>,
    ticker: Ticker,
}

impl Engine {
    /// Creates the engine and starts its ticker. With `backtraces`, the error of a trap has the
    /// functions on the stack.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the limits are out of range, or if wasmtime or the thread cannot
    /// start.
    pub(crate) fn new(limits: &RuntimeLimits, backtraces: bool) -> Result<Self, LoadError> {
        let frames = NonZeroUsize::new(if backtraces { FRAMES } else { 0 });
        let pure = create(limits, &PURE, frames)?;
        let wasi = Arc::new(OnceLock::new());
        let ticker = Ticker::start(pure.weak(), Arc::downgrade(&wasi))
            .map_err(|error| LoadError::of_thread("the ticker thread", error))?;
        Ok(Self { pure, wasi, limits: limits.clone(), frames, ticker })
    }

    /// Returns the engine of components that import no WASI.
    pub(crate) fn pure(&self) -> &wasmtime::Engine {
        &self.pure
    }

    /// Returns the engine of components that import WASI.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if wasmtime cannot start it.
    pub(crate) fn wasi(&self) -> Result<&wasmtime::Engine, LoadError> {
        if let Some(engine) = self.wasi.get() {
            return Ok(engine);
        }
        let engine = create(&self.limits, &WASI, self.frames)?;
        Ok(self.wasi.get_or_init(|| engine))
    }

    /// Returns the size of the stack of WebAssembly code in bytes, with WASI or without.
    pub(crate) fn stack_bytes(&self, has_wasi: bool) -> usize {
        stack_bytes(&self.limits, if has_wasi { &WASI } else { &PURE })
    }

    /// Stops the ticker for good: a guest that never returns then runs forever.
    #[cfg(feature = "testing")]
    pub(crate) fn stop_ticks(&self) {
        self.ticker.stop();
    }

    /// Keeps the ticker awake until the returned guard is dropped. Every guest call must hold a
    /// guard.
    pub(crate) fn ticking(&self) -> Ticking {
        self.ticker.gate.enter();
        Ticking(self.ticker.gate.clone())
    }
}

fn create(limits: &RuntimeLimits, slots: &Slots, frames: Option<NonZeroUsize>) -> Result<wasmtime::Engine, LoadError> {
    wasmtime::Engine::new(config(limits, slots)?.wasm_backtrace_max_frames(frames))
        .map_err(|error| failed(&error).with_source(error))
}

fn config(limits: &RuntimeLimits, of: &Slots) -> Result<Config, LoadError> {
    let Slots { core_instances, memories, tables, stack_factor: _ } = *of;
    let RuntimeLimits { slots, memory_bytes, table_elements, wasm_stack_bytes: _, slow_threads: _ } = limits;
    let slots = u32::try_from(*slots)
        .ok()
        .filter(|slots| (1..=10_000).contains(slots))
        .ok_or_else(|| LoadError::new(LoadErrorKind::Runtime, "`RuntimeLimits::slots` must be 1 to 10,000"))?;

    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(core_instances))
        .total_memories(slots.saturating_mul(memories))
        .total_tables(slots.saturating_mul(tables))
        .total_stacks(slots)
        .max_core_instances_per_component(core_instances)
        .max_memories_per_component(memories)
        .max_memories_per_module(memories)
        .max_tables_per_component(tables)
        .max_tables_per_module(tables)
        .max_memory_size(*memory_bytes)
        .table_elements(*table_elements)
        // A handler from the SDK has one page of memory and small tables. Wiping resident pages
        // costs less than a tenth of unmapping and faulting them in again, and keeps the kernel out
        // of a warm call.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        // With swap, the scan can mistake a page of the previous guest for a clean page.
        .pagemap_scan(Enabled::No);

    let mut config = keyward_engine::config().map_err(|error| failed(&error))?;
    let stack = stack_bytes(limits, of);
    config
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK_BYTES))
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

fn stack_bytes(limits: &RuntimeLimits, of: &Slots) -> usize {
    limits.wasm_stack_bytes.saturating_mul(of.stack_factor)
}

fn failed(error: &wasmtime::Error) -> LoadError {
    LoadError::new(LoadErrorKind::Runtime, format!("failed to create the WebAssembly engine: {error:#}"))
}

/// A guard that keeps the ticker awake.
pub(crate) struct Ticking(Arc<Gate>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
    }
}

/// The state that the [`Ticker`] and the calls share.
struct Gate {
    running: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Gate {
    /// Registers a call, and wakes the ticker if it sleeps.
    ///
    /// A call increments `running` before it reads `asleep`; the ticker sets `asleep` before it
    /// reads `running`. In every interleaving, at least one of them sees the other.
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

/// The thread that ticks the engines. It is a dedicated thread, so that no guest can starve it, and
/// it follows the real clock: it catches up on missed ticks.
struct Ticker {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(pure: EngineWeak, wasi: Weak<OnceLock<wasmtime::Engine>>) -> std::io::Result<Self> {
        let gate = Arc::new(Gate {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        let shared = gate.clone();
        let thread = thread::Builder::new().name("keyward-ticker".into()).spawn(move || tick(&pure, &wasi, &shared))?;
        // A call that enters before this line finds the new ticker still awake.
        let _ = gate.thread.set(thread.thread().clone());
        Ok(Self { gate, thread: Some(thread) })
    }

    fn stop(&self) {
        self.gate.stop.store(true, Ordering::SeqCst);
        self.gate.wake();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Ignore the join error: the ticker does not panic.
            let _ = thread.join();
        }
    }
}

fn tick(pure: &EngineWeak, wasi: &Weak<OnceLock<wasmtime::Engine>>, gate: &Gate) {
    let mut last = Instant::now();
    let mut idle = 0_u32;
    while !gate.stop.load(Ordering::SeqCst) {
        thread::park_timeout(TICK);
        while last.elapsed() >= TICK {
            last += TICK;
            let Some((pure, wasi)) = pure.upgrade().zip(wasi.upgrade()) else { return };
            pure.increment_epoch();
            if let Some(wasi) = wasi.get() {
                wasi.increment_epoch();
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

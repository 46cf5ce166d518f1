//! How much a call may use: plain numbers, finite by default, every one enforced.

use std::time::Duration;

/// What one handler may use. Every field is enforced: the places that enforce them take this struct
/// apart without `..`, so a field that nobody enforces does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one call, summed over all memories of the component, in bytes. A handler
    /// from the SDK fits one page of 64 KiB; 16 MiB leave room for a language with a garbage
    /// collector. It bounds latency too: `memory.fill` is not interrupted.
    pub memory_bytes: usize,
    /// Table elements of one call, summed over all tables of the component. Large Go or JavaScript
    /// programs have some ten thousand functions.
    pub table_elements: usize,
    /// CPU time of one call, counted on the threads that run it; a call that the machine makes wait
    /// is not charged.
    pub cpu: Duration,
    /// Wall-clock time of one call, host calls and waiting included.
    pub wall: Duration,
    /// Host calls in one call.
    pub host_calls: u32,
    /// Bytes that the handler may hand to the host in one host call, or as its result.
    pub host_call_bytes: usize,
    /// Bytes that the host may process for the handler in one call: what host functions hash, sign,
    /// compare, copy and log, each as often as it does so. A signed token of 8 KiB needs less than
    /// a hundredth of the default.
    pub host_work_bytes: usize,
    /// Length of a token, presented or made, in bytes. 8 KiB is what a header holds with most
    /// servers.
    pub token_bytes: usize,
    /// Length of the actor's JSON in bytes, with the members that the host adds.
    pub actor_bytes: usize,
    /// Nesting of the actor's JSON: `{}` is one level.
    pub actor_depth: usize,
    /// Length of an actor's id in bytes.
    pub actor_id_bytes: usize,
    /// Length of a message to the caller and of a log line, in bytes; longer ones are cut.
    pub message_bytes: usize,
    /// Log lines of one call; more are counted and dropped.
    pub log_lines: u32,
    /// Length of the component's file in bytes.
    pub component_bytes: usize,
    /// Calls of this handler at the same time; `None` is half of the runtime's slots. Beside other
    /// handlers it gets fewer where those need them: each owns a part of half of the slots.
    pub concurrent_calls: Option<usize>,
    /// Memory for good answers, in bytes: one is kept for the rest of the second in which it was
    /// given, so that a token that is presented again meanwhile costs no call. 0 asks the handler
    /// every time.
    pub verdict_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 16 << 20,
            table_elements: 20_000,
            cpu: Duration::from_millis(50),
            wall: Duration::from_millis(250),
            host_calls: 2_000,
            host_call_bytes: 256 << 10,
            host_work_bytes: 4 << 20,
            token_bytes: 8_192,
            actor_bytes: 16 << 10,
            actor_depth: 32,
            actor_id_bytes: 1_024,
            message_bytes: 1_024,
            log_lines: 50,
            component_bytes: 32 << 20,
            concurrent_calls: None,
            verdict_cache_bytes: 4 << 20,
        }
    }
}

/// What all handlers of one [`Runtime`](crate::Runtime) share. These are settings of the engine,
/// fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLimits {
    /// Calls at the same time, over all handlers. Each slot reserves address space, not memory.
    pub slots: usize,
    /// The most that [`Limits::memory_bytes`] may be set to.
    pub memory_bytes: usize,
    /// The most that [`Limits::table_elements`] may be set to.
    pub table_elements: usize,
    /// Stack of WebAssembly code in one call, in bytes.
    pub wasm_stack_bytes: usize,
    /// Threads for calls that need more than their first slice: so many that share a fifth of one
    /// core on a busy machine, and so many more for handlers whose last call had to be stopped.
    pub slow_threads: usize,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self { slots: 64, memory_bytes: 64 << 20, table_elements: 20_000, wasm_stack_bytes: 256 << 10, slow_threads: 2 }
    }
}

//! Limits on the resources of calls and of the runtime: finite by default, and all enforced.

use std::time::Duration;

/// The resources that one handler may use.
///
/// Every field is enforced: the code that enforces them destructures this struct without `..`, so
/// an unenforced field does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Maximum linear memory of one call, summed over all memories of the component, in bytes. A
    /// handler built with the SDK fits one page of 64 KiB; 16 MiB leave room for a language with a
    /// garbage collector. It also bounds latency: `memory.fill` cannot be interrupted.
    pub memory_bytes: usize,
    /// Maximum number of table elements of one call, summed over all tables of the component. Large
    /// Go or JavaScript programs have about ten thousand functions.
    pub table_elements: usize,
    /// Maximum CPU time of one call, counted on the threads that run it; time spent waiting for a
    /// processor is not charged.
    pub cpu: Duration,
    /// Maximum wall-clock time of one call, including host calls and waiting.
    pub wall: Duration,
    /// Maximum number of host calls in one call.
    pub host_calls: u32,
    /// Maximum number of bytes that the handler may pass to the host in one host call, or return as
    /// its result.
    pub host_call_bytes: usize,
    /// Maximum number of bytes that the host processes for the handler in one call: every byte that
    /// host functions hash, sign, compare, copy and log, counted once per operation. A signed token
    /// of 8 KiB needs less than a hundredth of the default.
    pub host_work_bytes: usize,
    /// Maximum length of a token, presented or issued, in bytes. Most servers accept a header of 8
    /// KiB.
    pub token_bytes: usize,
    /// Maximum length of the actor's JSON in bytes, including the restrictions and other members
    /// that the host adds. A compressed token of 8 KiB holds restrictions of up to 64 KiB.
    pub actor_bytes: usize,
    /// Maximum nesting depth of the actor's JSON: `{}` has depth 1.
    pub actor_depth: usize,
    /// Maximum length of an actor's id in bytes.
    pub actor_id_bytes: usize,
    /// Maximum length of a message to the caller and of a log line, in bytes; longer ones are
    /// truncated.
    pub message_bytes: usize,
    /// Maximum number of log lines of one call; more are counted and dropped.
    pub log_lines: u32,
    /// Maximum length of the component's file in bytes.
    pub component_bytes: usize,
    /// Maximum number of concurrent calls of this handler; `None` means half of the runtime's
    /// [`slots`](RuntimeLimits::slots). It gets fewer while other handlers need them: each handler
    /// owns a part of half of the slots.
    pub concurrent_calls: Option<usize>,
    /// Size of the verdict cache in bytes. A cached verdict is valid for the rest of its second, so
    /// that a token presented again within it costs no call. 0 disables the cache.
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
            actor_bytes: 64 << 10,
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

/// The resources that all handlers of one [`Runtime`](crate::Runtime) share. They configure the
/// engine and are fixed when the runtime is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLimits {
    /// Maximum number of concurrent calls of all handlers. Each slot reserves address space, not
    /// memory.
    pub slots: usize,
    /// Upper bound for [`Limits::memory_bytes`].
    pub memory_bytes: usize,
    /// Upper bound for [`Limits::table_elements`].
    pub table_elements: usize,
    /// Stack size of WebAssembly code in one call, in bytes.
    pub wasm_stack_bytes: usize,
    /// Number of threads in each of the two lanes for calls that outlast their first slice. The
    /// threads of the steady lane share a fifth of one core on a busy machine; those of the spare
    /// lane run handlers whose last call had to be stopped.
    pub slow_threads: usize,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self { slots: 64, memory_bytes: 64 << 20, table_elements: 20_000, wasm_stack_bytes: 256 << 10, slow_threads: 2 }
    }
}

//! The host functions that a handler can call. Each interface of `wit/` has a module with its
//! state, its `impl Host` and its link function.

pub(crate) mod clock;
pub(crate) mod digest;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod queries;
pub(crate) mod random;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod store;

use crate::bindings::types;
use crate::clock::UnixTime;
use crate::error::{ErrorKind, LimitExceeded};
use crate::grants::BoundGrants;
use crate::limits::{LimitKind, Limits};
use crate::slice;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{ResourceLimiter, Result};

/// The data of a call's [`wasmtime::Store`].
pub(crate) struct State {
    pub(crate) bound: Arc<BoundGrants>,
    pub(crate) phase: Phase,
    pub(crate) now: UnixTime,
    /// The token under verification, to keep it out of the log; empty in `create`.
    pub(crate) token: Arc<str>,
    pub(crate) calls: Calls,
    pub(crate) lines: log::Lines,
    pub(crate) growth: MemoryLimiter,
    pub(crate) records: store::Records,
    pub(crate) asked: queries::Asked,
    /// The key that signed last or, in `verify`, that last verified a signature.
    pub(crate) key: Option<Arc<str>>,
}

impl State {
    /// Creates the state of a call. The [`Limits`] that are enforced elsewhere are listed as `_`,
    /// so that a new limit cannot be forgotten here.
    pub(crate) fn new(bound: Arc<BoundGrants>, token: Arc<str>, now: UnixTime) -> Self {
        let Limits {
            memory_bytes,
            table_elements,
            host_calls,
            message_bytes,
            log_lines,
            cpu: _,
            wall: _,
            host_call_bytes: _,
            host_work_bytes,
            token_bytes: _,
            actor_bytes: _,
            actor_depth: _,
            actor_id_bytes: _,
            component_bytes: _,
            concurrent_calls: _,
            verdict_cache_bytes: _,
        } = bound.limits;
        Self {
            phase: Phase::Instantiate,
            now,
            token,
            calls: Calls::new(host_calls, host_work_bytes),
            lines: log::Lines::new(bound.name.clone(), log_lines, message_bytes),
            growth: MemoryLimiter {
                memory: Quota { used: 0, of: memory_bytes },
                table: Quota { used: 0, of: table_elements },
            },
            records: store::Records::default(),
            asked: queries::Asked::default(),
            key: None,
            bound,
        }
    }
}

impl State {
    /// Returns the use of memory, table elements, host calls and host work up to now.
    pub(crate) fn used(&self) -> [u64; 4] {
        let Self { growth, calls, .. } = self;
        [growth.memory.used as u64, growth.table.used as u64, calls.used.into(), calls.work.used as u64]
    }
}

/// The phase of a call, which decides the rights of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Instantiate,
    Create,
    Verify,
}

/// Links the interfaces that the component may import: the five harmless ones, and those that the
/// operator granted.
pub(crate) fn link(linker: &mut Linker<State>, bound: &BoundGrants) -> Result<()> {
    types::add_to_linker::<State, clock::HasClock>(linker, clock::view)?;
    clock::add_to_linker(linker)?;
    digest::add_to_linker(linker)?;
    log::add_to_linker(linker)?;
    random::add_to_linker(linker)?;
    settings::add_to_linker(linker)?;
    if !bound.keys.is_empty() {
        keys::add_to_linker(linker)?;
    }
    if !bound.secrets.is_empty() {
        secrets::add_to_linker(linker)?;
    }
    if bound.store.is_some() {
        store::add_to_linker(linker)?;
    }
    if !bound.queries.is_empty() {
        queries::add_to_linker(linker)?;
    }
    Ok(())
}

/// The account of a call's host calls and of the host's work for them. Every host function enters
/// here first.
pub(crate) struct Calls {
    used: u32,
    of: u32,
    work: Quota,
    /// Work in bytes since the slice was last checked.
    unseen: usize,
    /// Set if the slice was over at the last check.
    is_over: bool,
    repeatable: bool,
}

/// The fixed cost of a host call in bytes of work: crossing the boundary costs about as much as
/// hashing 1 KiB.
const CALL_BYTES: usize = 1 << 10;

/// Maximum work in bytes between two checks of the slice. A verification by a well-behaved handler
/// stays below it.
const LOOK_BYTES: usize = 16 << 10;

/// The approximate CPU time of a lookup outside of the calling thread: in the store's threads and
/// the kernel. It is charged to the handler with [`slice::charge`].
const LOOKUP: Duration = Duration::from_micros(70);

impl Calls {
    fn new(of: u32, work: usize) -> Self {
        Self { used: 0, of, work: Quota { used: 0, of: work }, unseen: 0, is_over: false, repeatable: true }
    }

    /// Continues the account of an earlier instance in the same call.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        self.used = before.used;
        self.work.used = before.work.used;
        self.unseen = before.unseen;
    }

    /// Enters a function without side effects that returns the same result all through a second.
    /// `bytes` is the amount of data that the host will process.
    ///
    /// The guest continues until its next epoch check, and straight-line code has none. Functions
    /// with much work are therefore asynchronous and call [`rest`](Self::rest) first.
    ///
    /// # Errors
    /// Returns a [`HostError`] if the call exceeds its limit of host calls or host work.
    pub(crate) fn enter_repeatable(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(1);
        if self.used > self.of {
            return Err(HostError::limit(LimitKind::HostCalls, u64::from(self.used), u64::from(self.of)));
        }
        self.charge(bytes)?;
        self.unseen = self.unseen.saturating_add(CALL_BYTES);
        if self.unseen > LOOK_BYTES {
            self.unseen = 0;
            self.is_over = slice::is_over();
        }
        Ok(())
    }

    /// Enters any other function, after which the verdict of this call is not cached.
    pub(crate) fn enter(&mut self, bytes: usize) -> Result<()> {
        self.repeatable = false;
        self.enter_repeatable(bytes)
    }

    /// Enters a function that performs a lookup in a store or database.
    pub(crate) async fn enter_lookup(&mut self, bytes: usize) -> Result<()> {
        self.enter(bytes)?;
        slice::charge(LOOKUP);
        self.rest().await;
        Ok(())
    }

    /// Charges more bytes, such as those of a result, before they are copied to the guest.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.unseen = self.unseen.saturating_add(bytes);
        self.work.grow(LimitKind::HostWork, 0, bytes).map(drop)
    }

    /// Yields the thread if the call has used up its slice.
    pub(crate) async fn rest(&mut self) {
        if std::mem::take(&mut self.is_over) {
            slice::give_way().await;
        }
    }

    /// Returns whether the same call would have the same result all through this second.
    pub(crate) fn are_repeatable(&self) -> bool {
        self.repeatable
    }
}

/// The reason that the host stopped a call: an [`ErrorKind`] that wasmtime carries to the sandbox.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostError(pub(crate) ErrorKind);

impl HostError {
    pub(crate) fn limit(limit: LimitKind, used: u64, of: u64) -> wasmtime::Error {
        Self(ErrorKind::Limit(LimitExceeded { limit, used, of })).into()
    }

    pub(crate) fn forbidden(what: &'static str) -> wasmtime::Error {
        Self(ErrorKind::ForbiddenCall(what)).into()
    }
}

/// A limiter for the total size of a component's memories and of its tables.
///
/// Exceeding it stops the call. If the growth only failed, the guest could retry it millions of
/// times.
pub(crate) struct MemoryLimiter {
    memory: Quota,
    table: Quota,
}

/// An amount that may grow up to a maximum.
struct Quota {
    used: usize,
    of: usize,
}

impl Quota {
    fn grow(&mut self, limit: LimitKind, current: usize, desired: usize) -> Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.of {
            return Err(HostError::limit(limit, wanted as u64, self.of as u64));
        }
        self.used = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.memory.grow(LimitKind::Memory, current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.table.grow(LimitKind::Table, current, desired)
    }
}

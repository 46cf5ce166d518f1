//! The host functions that a handler can call. Each interface of `wit/` has a module with its
//! state, its `impl Host` and its link function.

pub(crate) mod clock;
pub(crate) mod digest;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod log;
mod output;
pub(crate) mod public_keys;
pub(crate) mod queries;
pub(crate) mod random;
pub(crate) mod secrets;
pub(crate) mod settings;
pub(crate) mod store;
pub(crate) mod wasi;

use crate::clock::UnixTime;
use crate::error::{ErrorKind, LimitExceeded};
use crate::grants::BoundGrants;
use crate::limits::{LimitKind, Limits};
use crate::session::SessionRequest;
use crate::slice;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{ComponentNamedList, Lift, Linker, LinkerInstance, Lower};
use wasmtime::{AsContext, ResourceLimiter, Result, StoreContext, StoreContextMut};

/// The data of a call's [`wasmtime::Store`].
pub(crate) struct State {
    pub(crate) bound: Arc<BoundGrants>,
    pub(crate) phase: Phase,
    pub(crate) now: UnixTime,
    pub(crate) calls: Calls,
    pub(crate) lines: log::Lines,
    pub(crate) growth: MemoryLimiter,
    /// The records of a handler with a store. Boxed, because few handlers have one.
    pub(crate) records: Option<Box<store::Records>>,
    pub(crate) asked: queries::Asked,
    pub(crate) sent: http::Sent,
    /// The inert world of WASI, if the component has used it. Boxed, because few do.
    pub(crate) world: Option<Box<wasi::World>>,
    /// In `identify`, the whole request, of which the guest sees only a part.
    pub(crate) session: Option<Arc<SessionRequest>>,
    /// The key that signed last or, in `verify`, that last verified a signature.
    pub(crate) key: Cell<Option<Arc<str>>>,
}

impl State {
    /// Creates the state of a call. The [`Limits`] that are enforced elsewhere are listed as `_`,
    /// so that a new limit cannot be forgotten here. `token` is the one under verification; empty
    /// in `create`.
    pub(crate) fn new(bound: Arc<BoundGrants>, mode: Mode, token: Arc<str>, now: UnixTime, spent: HostUse) -> Self {
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
            calls: Calls::new(mode, host_calls, host_work_bytes, spent),
            lines: log::Lines::new(bound.clone(), log_lines, message_bytes, token),
            growth: MemoryLimiter {
                memory: Quota { used: Cell::new(0), of: memory_bytes },
                table: Quota { used: Cell::new(0), of: table_elements },
            },
            records: bound.store.as_ref().map(|_| Box::default()),
            asked: queries::Asked::default(),
            sent: http::Sent::default(),
            world: None,
            session: None,
            key: Cell::new(None),
            bound,
        }
    }
}

impl State {
    /// Returns the use of memory, table elements, host calls and host work up to now.
    pub(crate) fn used(&self) -> [u64; 4] {
        let Self { growth, calls, .. } = self;
        [
            growth.memory.used.get() as u64,
            growth.table.used.get() as u64,
            calls.used.get().into(),
            calls.work.used.get() as u64,
        ]
    }
}

/// The phase of a call, which decides the rights of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Instantiate,
    Create,
    Verify,
    Identify,
}

/// The stack on which a call runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The caller's, without a switch of stacks. A call that has used up its slice fails with
    /// [`slice::Overrun`] instead of yielding.
    Direct,
    /// A fiber, which can yield its thread.
    Fiber,
}

/// Links the interfaces that the component may import: the five harmless ones, and those that the
/// operator granted.
pub(crate) fn link(linker: &mut Linker<State>, mode: Mode, bound: &BoundGrants) -> Result<()> {
    let mut linking = Linking { linker, mode };
    clock::link(&mut linking)?;
    digest::link(&mut linking)?;
    log::link(&mut linking)?;
    random::link(&mut linking)?;
    settings::link(&mut linking)?;
    if !bound.keys.is_empty() || !bound.public_keys.is_empty() {
        keys::link(&mut linking)?;
        public_keys::link(&mut linking)?;
    }
    if !bound.secrets.is_empty() {
        secrets::link(&mut linking)?;
    }
    if bound.store.is_some() {
        store::add_to_linker(linking.linker)?;
    }
    if !bound.queries.is_empty() {
        queries::add_to_linker(linking.linker)?;
    }
    if !bound.http.is_empty() {
        http::add_to_linker(linking.linker)?;
    }
    if bound.wasi {
        wasi::link(linking.linker)?;
    }
    Ok(())
}

/// A linker for calls of one [`Mode`].
///
/// The functions are linked by hand, because the generated traits copy every argument.
pub(crate) struct Linking<'a> {
    linker: &'a mut Linker<State>,
    mode: Mode,
}

impl Linking<'_> {
    fn interface(&mut self, name: &str) -> Result<Interface<'_>> {
        let instance = self.linker.instance(&format!("keyward:handler/{name}@0.1.0"))?;
        Ok(Interface { instance, mode: self.mode })
    }
}

/// An interface of `wit/` whose functions are linked.
struct Interface<'a> {
    instance: LinkerInstance<'a, State>,
    mode: Mode,
}

impl Interface<'_> {
    /// Links a function that only copies a few bytes, so it never has to yield the thread.
    fn quick<P, R>(&mut self, name: &str, body: fn(StoreContext<'_, State>, P) -> Result<R>) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.instance.func_wrap(name, move |store, params| body(store.as_context(), params))
    }

    /// Links a function like [`quick`](Self::quick) that changes the state.
    fn changing<P, R>(&mut self, name: &str, body: fn(StoreContextMut<'_, State>, P) -> Result<R>) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentNamedList + Lower + 'static,
    {
        self.instance.func_wrap(name, body)
    }

    /// Links a function with so much work that it yields the thread first if the slice is over.
    fn working<P, R>(&mut self, name: &str, body: fn(StoreContext<'_, State>, P) -> Result<R>) -> Result<()>
    where
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        match self.mode {
            Mode::Direct => self.quick(name, body),
            Mode::Fiber => self.instance.func_wrap_async(name, move |mut store, params| {
                Box::new(async move {
                    store.data_mut().calls.rest().await;
                    body(store.as_context(), params)
                })
            }),
        }
    }
}

/// The account of a call's host calls and of the host's work for them. Every host function enters
/// here first.
pub(crate) struct Calls {
    pub(crate) mode: Mode,
    used: Cell<u32>,
    of: u32,
    /// Work in bytes.
    work: Quota,
    /// Work in bytes since the slice was last checked.
    unseen: Cell<usize>,
    /// Set if the slice was over at the last check.
    is_over: Cell<bool>,
    repeatable: Cell<bool>,
}

/// The host calls and work of the earlier instances of a call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HostUse {
    used: u32,
    work: usize,
    unseen: usize,
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
    fn new(mode: Mode, of: u32, max_work: usize, spent: HostUse) -> Self {
        let HostUse { used, work, unseen } = spent;
        Self {
            mode,
            used: Cell::new(used),
            of,
            work: Quota { used: Cell::new(work), of: max_work },
            unseen: Cell::new(unseen),
            is_over: Cell::new(false),
            repeatable: Cell::new(true),
        }
    }

    /// Returns the account up to now, which the next instance of the same call continues.
    pub(crate) fn spent(&self) -> HostUse {
        HostUse { used: self.used.get(), work: self.work.used.get(), unseen: self.unseen.get() }
    }

    /// Enters a function without side effects that returns the same result all through a second.
    /// `bytes` is the amount of data that the host will process.
    ///
    /// The guest continues until its next epoch check, and straight-line code has none. On a fiber,
    /// functions with much work are therefore asynchronous and call [`rest`](Self::rest) first.
    ///
    /// # Errors
    /// Returns a [`HostError`] if the call exceeds its limit of host calls or host work, and
    /// [`slice::Overrun`] if a direct call has used up its slice.
    pub(crate) fn enter_repeatable(&self, bytes: usize) -> Result<()> {
        self.note();
        self.check()?;
        self.charge(bytes)?;
        self.unseen.set(self.unseen.get().saturating_add(CALL_BYTES));
        if self.unseen.get() > LOOK_BYTES {
            self.unseen.set(0);
            match self.mode {
                Mode::Direct if slice::is_over() => return Err(slice::overrun()),
                Mode::Direct => {}
                Mode::Fiber => self.is_over.set(slice::is_over()),
            }
        }
        Ok(())
    }

    /// Counts a host call.
    fn note(&self) {
        self.used.set(self.used.get().saturating_add(1));
    }

    /// Checks the number of host calls.
    ///
    /// # Errors
    /// Returns a [`HostError`] if there are too many.
    pub(crate) fn check(&self) -> Result<()> {
        let used = self.used.get();
        if used > self.of {
            return Err(HostError::limit(LimitKind::HostCalls, u64::from(used), u64::from(self.of)));
        }
        Ok(())
    }

    /// Enters any other function, after which the verdict of this call is not cached.
    pub(crate) fn enter(&self, bytes: usize) -> Result<()> {
        self.repeatable.set(false);
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
    pub(crate) fn charge(&self, bytes: usize) -> Result<()> {
        self.unseen.set(self.unseen.get().saturating_add(bytes));
        self.work.grow(LimitKind::HostWork, 0, bytes).map(drop)
    }

    /// Yields the thread if the call has used up its slice.
    pub(crate) async fn rest(&mut self) {
        if self.is_over.take() {
            slice::give_way().await;
        }
    }

    /// Notes an effect, after which the verdict of this call is not cached.
    pub(crate) fn note_effect(&self) {
        self.repeatable.set(false);
    }

    /// Returns whether the same call would have the same result all through this second.
    pub(crate) fn are_repeatable(&self) -> bool {
        self.repeatable.get()
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
    used: Cell<usize>,
    of: usize,
}

impl Quota {
    fn grow(&self, limit: LimitKind, current: usize, desired: usize) -> Result<bool> {
        let wanted = self.used.get().saturating_add(desired.saturating_sub(current));
        if wanted > self.of {
            return Err(HostError::limit(limit, wanted as u64, self.of as u64));
        }
        self.used.set(wanted);
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

//! What a handler can ask of its host. One interface of `wit/`, one module below: state, `impl Host`, link function.

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
use crate::error::{Fault, LimitHit, LimitName};
use crate::grants::Bound;
use crate::limits::Limits;
use crate::slice;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{ResourceLimiter, Result};

/// The data of one call's store.
pub(crate) struct State {
    pub(crate) bound: Arc<Bound>,
    pub(crate) phase: Phase,
    pub(crate) now: UnixTime,
    /// The token that is asked about, to keep it out of the log; empty in `create`.
    pub(crate) token: Arc<str>,
    pub(crate) calls: Calls,
    pub(crate) lines: log::Lines,
    pub(crate) growth: Growth,
    pub(crate) records: store::Records,
    pub(crate) asked: queries::Asked,
    /// The key that signed last or, in `verify`, whose signature was good last.
    pub(crate) key: Option<Arc<str>>,
}

impl State {
    /// For a call within `limits`; the fields that the store or the policy enforces are named and left to them.
    pub(crate) fn new(bound: Arc<Bound>, token: Arc<str>, now: UnixTime) -> Self {
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
            answer_bytes: _,
        } = bound.limits;
        Self {
            phase: Phase::Instantiate,
            now,
            token,
            calls: Calls::new(host_calls, host_work_bytes),
            lines: log::Lines::new(bound.name.clone(), log_lines, message_bytes),
            growth: Growth { memory: Sum { used: 0, of: memory_bytes }, table: Sum { used: 0, of: table_elements } },
            records: store::Records::default(),
            asked: queries::Asked::default(),
            key: None,
            bound,
        }
    }
}

/// What the guest is doing: its rights depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Instantiate,
    Create,
    Verify,
}

/// Links what the component may import: the five interfaces that do no harm, and what the operator granted.
pub(crate) fn link(linker: &mut Linker<State>, bound: &Bound) -> Result<()> {
    types::add_to_linker::<State, clock::Has>(linker, clock::view)?;
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

/// The host calls of one call, and the work that the host does for them. Every host function enters here before it does
/// anything.
pub(crate) struct Calls {
    used: u32,
    of: u32,
    work: Sum,
    /// Work since the slice was last looked at.
    unseen: usize,
    /// Set where the slice was over when it was last looked at.
    is_over: bool,
    repeatable: bool,
}

/// The weight of a host call beside its bytes: crossing the border costs about as much as hashing so many.
const CALL_BYTES: usize = 1 << 10;

/// How much work may go by until the slice is looked at. A verification by a well-behaved handler stays below it.
const LOOK_BYTES: usize = 16 << 10;

/// CPU time that a look-up takes on the threads of the store and the machine's own, about. Handlers that look up a lot are
/// held to it: see [`slice::charge`].
const LOOKUP: Duration = Duration::from_micros(70);

impl Calls {
    fn new(of: u32, work: usize) -> Self {
        Self { used: 0, of, work: Sum { used: 0, of: work }, unseen: 0, is_over: false, repeatable: true }
    }

    /// Continues the account of another instance, which worked for the same caller.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        self.used = before.used;
        self.work.used = before.work.used;
        self.unseen = before.unseen;
    }

    /// Enters a function that changes nothing, and answers the same however often it is called in a second. `bytes` is what
    /// the host will process.
    ///
    /// The guest runs on until it meets an epoch check, which straight-line code has none of: functions that work for long
    /// are asynchronous, and [`rest`](Self::rest) here first.
    pub(crate) fn enter_repeatable(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(1);
        if self.used > self.of {
            return Err(Stop::limit(LimitName::HostCalls, u64::from(self.used), u64::from(self.of)));
        }
        self.charge(bytes)?;
        self.unseen = self.unseen.saturating_add(CALL_BYTES);
        if self.unseen > LOOK_BYTES {
            self.unseen = 0;
            self.is_over = slice::is_over();
        }
        Ok(())
    }

    /// Enters any other function: the verdict of this call cannot be cached.
    pub(crate) fn enter(&mut self, bytes: usize) -> Result<()> {
        self.repeatable = false;
        self.enter_repeatable(bytes)
    }

    /// Enters a function that looks something up outside of this process.
    pub(crate) async fn enter_lookup(&mut self, bytes: usize) -> Result<()> {
        self.enter(bytes)?;
        slice::charge(LOOKUP);
        self.rest().await;
        Ok(())
    }

    /// Charges further bytes, such as those that a function gives back, before they are copied to the guest.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<()> {
        self.unseen = self.unseen.saturating_add(bytes);
        self.work.grow(LimitName::HostWork, 0, bytes).map(drop)
    }

    /// Gives the thread back where the call has used up its slice.
    pub(crate) async fn rest(&mut self) {
        if std::mem::take(&mut self.is_over) {
            slice::give_way().await;
        }
    }

    /// Returns whether the same call in the same second would end in the same way.
    pub(crate) fn are_repeatable(&self) -> bool {
        self.repeatable
    }
}

/// Why the host ended a call: our own error, carried through the engine and taken out again on the other side.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Stop(pub(crate) Fault);

impl Stop {
    pub(crate) fn limit(limit: LimitName, used: u64, of: u64) -> wasmtime::Error {
        Self(Fault::Limit(LimitHit { limit, used, of })).into()
    }

    pub(crate) fn forbidden(what: &'static str) -> wasmtime::Error {
        Self(Fault::ForbiddenCall(what)).into()
    }
}

/// What a component's memories and tables come to together. Too much ends the call: a guest that is only told "no" asks
/// again, millions of times.
pub(crate) struct Growth {
    memory: Sum,
    table: Sum,
}

struct Sum {
    used: usize,
    of: usize,
}

impl Sum {
    fn grow(&mut self, limit: LimitName, current: usize, desired: usize) -> Result<bool> {
        let wanted = self.used.saturating_add(desired.saturating_sub(current));
        if wanted > self.of {
            return Err(Stop::limit(limit, wanted as u64, self.of as u64));
        }
        self.used = wanted;
        Ok(true)
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.memory.grow(LimitName::Memory, current, desired)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        self.table.grow(LimitName::Table, current, desired)
    }
}

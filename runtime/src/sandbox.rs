//! Sandboxed calls: one call in one fresh instance. The only module that creates a [`Store`].

use crate::admission::{Full, Seat, Slot};
use crate::bindings::{self, Answer, Redactor, SessionRequest, Verdict, types};
use crate::breaker::{Breaker, Permit};
use crate::clock::UnixTime;
use crate::component::CheckedComponent;
use crate::conduct::Conduct;
use crate::counts::Granted;
use crate::engine::{HOST_STACK_BYTES, Ticking};
use crate::error::{Error, ErrorKind, LimitExceeded, LoadError, LoadErrorKind};
use crate::grants::BoundGrants;
use crate::host::log::Lines;
use crate::host::store::Records;
use crate::host::{self, HostError, HostUse, Mode, Phase, State};
use crate::limits::{LimitKind, Limits};
use crate::pool::Budget;
use crate::runtime::RuntimeInner;
use crate::sanitize::escape_untrusted;
use crate::session;
use crate::slice;
use crate::token::is_token_text;
use crate::verdict::{CreateRequest, Denial};
use async_trait::async_trait;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower};
use wasmtime::{CallHook, CallHookHandler, FrameInfo, Store, StoreContextMut, Trap, WasmBacktrace};

/// A [`CheckedComponent`] linked with its [`BoundGrants`], and the slots in which it may run.
pub(crate) struct Sandbox {
    shared: Arc<RuntimeInner>,
    pub(crate) bound: Arc<BoundGrants>,
    /// The component linked for calls on their caller's stack; `None` if its imports may wait.
    direct: Option<InstancePre<State>>,
    fiber: InstancePre<State>,
    /// `None` if it is no token handler.
    token: Option<TokenExports>,
    /// The function `identify`; `None` if it is no session handler.
    identify: Option<ComponentExportIndex>,
    /// Size of the stack of its code in bytes.
    stack: usize,
    /// The handler's part of the runtime's slots.
    seat: Seat,
    conduct: Conduct,
    pub(crate) breaker: Arc<Breaker>,
}

/// The functions of a token handler.
struct TokenExports {
    verify: ComponentExportIndex,
    create: ComponentExportIndex,
}

type VerifyResult = Result<Verdict, types::Failure>;
type CreateResult = Result<bindings::Created, types::CreateError>;

/// A handler's checked result of `verify`.
pub(crate) struct VerifyOutcome {
    pub(crate) answer: Answer,
    /// The records that it read and changed during the call.
    pub(crate) records: Option<Box<Records>>,
    /// The key of the signature that it verified last.
    pub(crate) key: Option<Arc<str>>,
    /// `true` if it would return the same verdict again in this second.
    pub(crate) repeatable: bool,
}

/// A handler's checked result of `create`.
pub(crate) enum IssueOutcome {
    /// A new token, with the key that signed last.
    Token(bindings::Created, Option<Arc<str>>),
    Denied(Denial, String),
}

/// The result of `create`, and of the verification of the new token in the same call.
pub(crate) struct Creating {
    pub(crate) made: IssueOutcome,
    /// The records that the handler read and changed.
    pub(crate) records: Option<Box<Records>>,
    /// The handler's verdict on its new token, if the token was verified.
    pub(crate) checked: Option<Result<VerifyOutcome, ErrorKind>>,
}

/// The resources of a running call. They move with the call, and are dropped with it on any thread.
struct CallGuards {
    _permit: Permit,
    _slot: Slot,
    _ticking: Ticking,
}

impl Sandbox {
    /// Links the component, whose imports must have been checked against its grants.
    pub(crate) fn new(
        shared: Arc<RuntimeInner>,
        component: &CheckedComponent,
        bound: BoundGrants,
    ) -> Result<Self, LoadError> {
        let stack = shared.engine.stack_bytes(!component.info.wasi.is_empty());
        let component = &component.component;
        let link = |mode| {
            let mut linker = Linker::new(component.engine());
            host::link(&mut linker, mode, &bound)?;
            linker.instantiate_pre(component)
        };
        let wrong = |error: wasmtime::Error| does_not_fit(&format!("{error:#}"));
        let fiber = link(Mode::Fiber).map_err(wrong)?;
        let may_wait = bound.store.is_some() || !bound.queries.is_empty() || !bound.http.is_empty() || bound.wasi;
        let direct = if may_wait { None } else { Some(link(Mode::Direct).map_err(wrong)?) };
        let export = |interface: &str, function| {
            let interface = component.get_export_index(None, format!("keyward:handler/{interface}@0.1.0"))?;
            component.get_export_index(Some(&interface), function)
        };
        let token = export("token-handler", "verify").zip(export("token-handler", "create"));
        let token = token.map(|(verify, create)| TokenExports { verify, create });
        let identify = export("session-handler", "identify");
        let max = bound.limits.concurrent_calls.unwrap_or(shared.limits.slots / 2).max(1);
        let now = Instant::now();
        let seat = shared.admission.seat(max, now);
        let breaker = Arc::new(Breaker::new(bound.name.clone()));
        let conduct = Conduct::new(now, bound.peaks.clone());
        Ok(Self { shared, bound: Arc::new(bound), direct, fiber, token, identify, stack, seat, conduct, breaker })
    }

    /// Instantiates the component once and calls no function: only this detects wrong types and
    /// faulty start functions.
    pub(crate) async fn try_out(self: &Arc<Self>, now: UnixTime) -> Result<(), ErrorKind> {
        let held = self.admit()?;
        let this = self.clone();
        let call = async move {
            let _held = held;
            let mut spent = HostUse::default();
            let state = State::new(this.bound.clone(), Mode::Fiber, Arc::default(), now, spent);
            let (mut store, instance) = this.instantiate(state, &mut spent).await?;
            let mut typed = Ok(());
            if let Some(TokenExports { verify, create }) = &this.token {
                let verify = instance.get_typed_func::<(&str,), (VerifyResult,)>(&mut store, verify);
                let create = instance.get_typed_func::<(&types::CreateRequest,), (CreateResult,)>(&mut store, create);
                typed = verify.and(create).map(drop);
            }
            if let Some(identify) = &this.identify {
                let identify = instance.get_typed_func::<(&SessionRequest,), (VerifyResult,)>(&mut store, identify);
                typed = typed.and_then(|()| identify.map(drop));
            }
            this.finish(&mut store, &mut spent, typed)
        };
        let begun = self.shared.pool.begin(self.budget(), &self.conduct);
        self.shared.pool.run(begun, &self.conduct, Box::pin(call)).await
    }

    /// Calls `verify` with a token.
    pub(crate) async fn verify(self: &Arc<Self>, token: &str, now: UnixTime) -> Result<VerifyOutcome, ErrorKind> {
        let token: Arc<str> = token.into();
        let direct = || completed(self.verify_in(Mode::Direct, token.clone(), now, None, &mut HostUse::default()));
        let fiber = || {
            let (this, token) = (self.clone(), token.clone());
            async move { this.verify_in(Mode::Fiber, token, now, None, &mut HostUse::default()).await }
        };
        self.run(direct, fiber).await
    }

    /// Calls `verify` in a fresh instance. Its log lines are added to those of `create`, if that
    /// was called before.
    async fn verify_in(
        &self,
        mode: Mode,
        token: Arc<str>,
        now: UnixTime,
        lines: Option<Lines>,
        spent: &mut HostUse,
    ) -> Result<VerifyOutcome, ErrorKind> {
        let mut state = State::new(self.bound.clone(), mode, token.clone(), now, *spent);
        match lines {
            Some(mut lines) => {
                lines.redact(token.clone());
                state.lines = lines;
            }
            None if mode == Mode::Direct => state.lines.hold(),
            None => {}
        }
        let (mut store, instance) = self.instantiate(state, spent).await?;
        store.data_mut().phase = Phase::Verify;
        let called: wasmtime::Result<VerifyResult> = call(&mut store, &instance, &self.tokens()?.verify, &*token).await;
        let result = self.finish(&mut store, spent, called)?;
        let State { calls, records, key, mut lines, .. } = store.into_data();
        lines.release();
        let words = self.words(&token, &[]);
        match result {
            Ok(verdict) => {
                let answer = bindings::answer(verdict, &words);
                Ok(VerifyOutcome { answer, records, key: key.into_inner(), repeatable: calls.are_repeatable() })
            }
            Err(failure) => Err(bindings::fault(failure, &words)),
        }
    }

    /// Calls `create`. With `check`, a second instance verifies the new token within the same
    /// budget, unless the handler inserted a record: that is not committed yet.
    pub(crate) async fn create(
        self: &Arc<Self>,
        request: &CreateRequest,
        now: UnixTime,
        check: bool,
    ) -> Result<Creating, ErrorKind> {
        let direct = || completed(self.create_in(Mode::Direct, request, now, check, &mut HostUse::default()));
        let fiber = || {
            let (this, request) = (self.clone(), request.clone());
            async move { this.create_in(Mode::Fiber, &request, now, check, &mut HostUse::default()).await }
        };
        self.run(direct, fiber).await
    }

    /// Calls `create` in a fresh instance, and with `check` then `verify` in another one.
    async fn create_in(
        &self,
        mode: Mode,
        request: &CreateRequest,
        now: UnixTime,
        check: bool,
        spent: &mut HostUse,
    ) -> Result<Creating, ErrorKind> {
        let mut state = State::new(self.bound.clone(), mode, Arc::default(), now, *spent);
        state.lines.hold();
        let (mut store, instance) = self.instantiate(state, spent).await?;
        let state = store.data_mut();
        state.phase = Phase::Create;
        if let Some(records) = &mut state.records {
            records.request = Some(request.clone());
        }
        let request = bindings::request_out(request);
        let called: wasmtime::Result<CreateResult> =
            call(&mut store, &instance, &self.tokens()?.create, &request).await;
        let result = self.finish(&mut store, spent, called)?;
        let State { records, key, mut lines, .. } = store.into_data();
        let created = match result {
            Ok(created) => created,
            Err(types::CreateError::Denied(denied)) => {
                let (denial, message) = bindings::denied(denied, &self.words("", &[]));
                let made = IssueOutcome::Denied(denial, message);
                return Ok(Creating { made, records: None, checked: None });
            }
            Err(types::CreateError::Failed(failure)) => return Err(bindings::fault(failure, &self.words("", &[]))),
        };
        let token = &created.token;
        let is_checked = check
            && records.as_ref().is_none_or(|records| records.changes.insert.is_none())
            && (1..=self.bound.limits.token_bytes).contains(&token.len())
            && is_token_text(token);
        let checked = if is_checked {
            Some(self.verify_in(mode, token.as_str().into(), now, Some(lines), spent).await)
        } else {
            lines.redact(token.as_str().into());
            lines.release();
            None
        };
        Ok(Creating { made: IssueOutcome::Token(created, key.into_inner()), records, checked })
    }

    /// Calls `identify` with the part of a request that the handler sees.
    pub(crate) async fn identify(
        self: &Arc<Self>,
        request: Arc<session::SessionRequest>,
        now: UnixTime,
    ) -> Result<Answer, ErrorKind> {
        let direct = || completed(self.identify_in(Mode::Direct, request.clone(), now));
        let fiber = || {
            let (this, request) = (self.clone(), request.clone());
            async move { this.identify_in(Mode::Fiber, request, now).await }
        };
        self.run(direct, fiber).await
    }

    async fn identify_in(
        &self,
        mode: Mode,
        request: Arc<session::SessionRequest>,
        now: UnixTime,
    ) -> Result<Answer, ErrorKind> {
        let missing = || ErrorKind::Runtime("it is no session handler".into());
        let identify = self.identify.as_ref().ok_or_else(missing)?;
        let mut spent = HostUse::default();
        let mut state = State::new(self.bound.clone(), mode, Arc::default(), now, spent);
        let secrets = request.secrets();
        state.lines.redact_values(secrets.clone());
        if mode == Mode::Direct {
            state.lines.hold();
        }
        let seen = bindings::session_out(request.seen_by(&self.bound.session));
        state.session = Some(request);
        let (mut store, instance) = self.instantiate(state, &mut spent).await?;
        store.data_mut().phase = Phase::Identify;
        let called: wasmtime::Result<VerifyResult> = call(&mut store, &instance, identify, &seen).await;
        let result = self.finish(&mut store, &mut spent, called)?;
        let State { mut lines, .. } = store.into_data();
        lines.release();
        let words = self.words("", &secrets);
        result.map(|verdict| bindings::answer(verdict, &words)).map_err(|failure| bindings::fault(failure, &words))
    }

    fn tokens(&self) -> Result<&TokenExports, ErrorKind> {
        self.token.as_ref().ok_or_else(|| ErrorKind::Runtime("it is no token handler".into()))
    }

    /// Runs a call in a slot: directly on this thread's stack if it is large enough, and on a fiber
    /// otherwise, or if it uses up its slice.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit), or the error of the call.
    async fn run<T, F>(
        &self,
        direct: impl FnOnce() -> Result<T, ErrorKind>,
        fiber: impl FnOnce() -> F,
    ) -> Result<T, ErrorKind>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + Send + 'static,
    {
        self.bound.counters.calls.count();
        let held = self.admit()?;
        let mut begun = self.shared.pool.begin(self.budget(), &self.conduct);
        if self.runs_directly()
            && let Some(result) = begun.run_direct(&self.conduct, direct)
        {
            return result;
        }
        let call = fiber();
        let call = Box::pin(async move {
            let _held = held;
            call.await
        });
        // Boxed, so that the futures of direct calls stay small.
        Box::pin(self.shared.pool.run(begun, &self.conduct, call)).await
    }

    /// Takes a slot for a call.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if no slot is free, or [`ErrorKind::BreakerOpen`] if another call runs
    /// and the breaker is not closed.
    fn admit(&self) -> Result<CallGuards, ErrorKind> {
        let permit = self.breaker.admit()?;
        let slot = self.seat.admit(Instant::now()).map_err(|full| match full {
            Full::Own(of) => ErrorKind::Busy { what: "its slots", of, setting: "limits.concurrent_calls" },
            Full::All(of) => ErrorKind::Busy { what: "the slots open to it", of, setting: "RuntimeLimits::slots" },
        })?;
        Ok(CallGuards { _permit: permit, _slot: slot, _ticking: self.shared.engine.ticking() })
    }

    /// Returns whether a call runs on this thread's stack: its imports never wait, and the stack
    /// cannot overflow, which would abort the process.
    fn runs_directly(&self) -> bool {
        // More than a thread has: this is not its stack, but that of a fiber of the caller.
        const MAX: usize = 1 << 30;
        let needed = self.shared.limits.wasm_stack_bytes.saturating_add(HOST_STACK_BYTES);
        self.direct.is_some() && stacker::remaining_stack().is_some_and(|left| (needed..=MAX).contains(&left))
    }

    fn budget(&self) -> Budget {
        Budget { cpu: self.bound.limits.cpu, wall: self.bound.limits.wall, may_wait: self.direct.is_none() }
    }

    /// Creates a fresh instance under every limit that the engine enforces.
    async fn instantiate(&self, state: State, spent: &mut HostUse) -> Result<(Store<State>, Instance), ErrorKind> {
        let mode = state.calls.mode;
        let mut store = Store::new(self.fiber.engine(), state);
        store.limiter(|state| &mut state.growth);
        store.set_hostcall_fuel(self.bound.limits.host_call_bytes);
        // The contract has no resources; a component that defines its own gets a few, and more for
        // those of WASI.
        store.set_max_component_handles(if self.bound.wasi { host::wasi::HANDLES } else { 64 });
        store.set_epoch_deadline(1);
        let instance = match (mode, &self.direct) {
            (Mode::Direct, Some(direct)) => {
                store.epoch_deadline_callback(|_| slice::on_direct_tick());
                direct.instantiate(&mut store)
            }
            (Mode::Direct, None) | (Mode::Fiber, _) => {
                store.epoch_deadline_callback(|_| Ok(slice::on_tick()));
                if self.bound.wasi {
                    store.call_hook_async(AfterHostCall);
                }
                self.fiber.instantiate_async(&mut store).await
            }
        };
        let instance = self.finish(&mut store, spent, instance)?;
        Ok((store, instance))
    }

    fn words<'a>(&'a self, token: &'a str, values: &'a [Arc<str>]) -> Redactor<'a> {
        let redactions = &self.bound.counters.redactions;
        Redactor { max: self.bound.limits.message_bytes, token, values, redactions }
    }

    /// Translates the engine's error, notes the use of limits, and reports dropped log lines.
    fn finish<T>(
        &self,
        store: &mut Store<State>,
        spent: &mut HostUse,
        result: wasmtime::Result<T>,
    ) -> Result<T, ErrorKind> {
        let state = store.data_mut();
        if state.lines.flush(false) {
            state.calls.note_effect();
        }
        if state.world.is_some() {
            self.bound.counters.called.note(Granted::Wasi);
        }
        *spent = state.calls.spent();
        self.bound.peaks.note(state.now.seconds, state.used());
        if slice::is_overrun(&result) {
            state.lines.discard();
        } else if result.is_err() {
            state.lines.release();
        }
        let dropped = state.lines.newly_dropped();
        if dropped > 0 {
            self.bound.counters.dropped_lines.add(dropped.into());
            tracing::warn!(target: "keyward::handler", handler = &*self.bound.name, dropped, "log lines dropped");
        }
        result.map_err(|error| fault(&error, &self.bound.limits, self.stack))
    }
}

/// The check after each host call of a component with WASI, whose functions are not ours.
/// Straight-line code meets no tick, and an argument may take long to read.
struct AfterHostCall;

#[async_trait]
impl CallHookHandler<State> for AfterHostCall {
    async fn handle_call_event(&self, store: StoreContextMut<'_, State>, hook: CallHook) -> wasmtime::Result<()> {
        if !matches!(hook, CallHook::ReturningFromHost) {
            return Ok(());
        }
        store.data().calls.check()?;
        if slice::is_over() {
            slice::give_way().await;
        }
        Ok(())
    }
}

/// Calls an export on the stack of the store's [`Mode`].
async fn call<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    export: &ComponentExportIndex,
    arguments: P,
) -> wasmtime::Result<R>
where
    P: Lower + Send + Sync,
    (P,): ComponentNamedList + Lower + Send + Sync,
    (R,): ComponentNamedList + Lift + Send + Sync + 'static,
{
    let function = instance.get_typed_func::<(P,), (R,)>(&mut *store, export)?;
    let (result,) = match store.data().calls.mode {
        Mode::Direct => function.call(store, (arguments,)),
        Mode::Fiber => function.call_async(store, (arguments,)).await,
    }?;
    Ok(result)
}

/// Returns the result of a direct call, which never waits.
fn completed<T>(call: impl Future<Output = Result<T, ErrorKind>>) -> Result<T, ErrorKind> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::Runtime("waits in a direct call".into())),
    }
}

fn fault(error: &wasmtime::Error, limits: &Limits, stack: usize) -> ErrorKind {
    let used_up = |limit, of: usize| ErrorKind::Limit(LimitExceeded { limit, used: of as u64, of: of as u64 });
    if let Some(HostError(fault)) = error.downcast_ref() {
        return fault.clone();
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::StackOverflow => used_up(LimitKind::Stack, stack),
            trap => ErrorKind::Trap(format!("{trap}{}", stack_of(error))),
        };
    }
    if let Some(ended) = host::wasi::ended(error) {
        return ErrorKind::Trap(format!("{ended}{}", stack_of(error)));
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return ErrorKind::Busy { what: "instances", of: 0, setting: "RuntimeLimits::slots" };
    }
    let text = format!("{error:#}");
    // The engine's type for this is private; a test checks the text.
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return used_up(LimitKind::HostBytes, limits.host_call_bytes);
    }
    ErrorKind::BadResult(escape_untrusted(&text, limits.message_bytes))
}

/// Returns the functions on the stack of a trap, with a separator before them. Nothing unless
/// [`RuntimeBuilder::backtraces`](crate::runtime::RuntimeBuilder::backtraces) enables them.
fn stack_of(error: &wasmtime::Error) -> String {
    /// Maximum number of bytes of the text.
    const MAX: usize = 600;
    /// The parts of Rust's library through which a panic passes.
    const PANIC: [&str; 5] = ["__rust", "std::", "core::panicking", "core::option", "core::result"];
    let Some(stack) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names = stack.frames().iter().filter_map(FrameInfo::func_name);
    let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let names: Vec<_> = names.skip_while(|name| PANIC.iter().any(|part| name.starts_with(part))).collect();
    if names.is_empty() {
        return "; its functions have no names: build it without stripping them to see where".to_owned();
    }
    format!("; in {}", escape_untrusted(&names.join(" < "), MAX))
}

/// Translates the error of a trial instantiation, which is the only place where a function of a
/// wrong type shows, into a [`LoadError`].
pub(crate) fn trial_error(error: &Error) -> LoadError {
    match error.kind() {
        ErrorKind::BadResult(text) => does_not_fit(text),
        fault => {
            LoadError::new(LoadErrorKind::Trial(error.code()), format!("its trial instantiation failed: it {fault}"))
        }
    }
}

fn does_not_fit(why: &str) -> LoadError {
    let missing = why.contains("implementation is missing");
    let kind = if missing { LoadErrorKind::UnknownImport } else { LoadErrorKind::WrongType };
    let why = escape_untrusted(why, 300);
    LoadError::new(kind, format!("the component does not match this host's contract (`wit/`, version 0.1.0): {why}"))
}

//! Sandboxed calls: one call in one fresh instance. The only module that creates a [`Store`].

use crate::admission::{Full, Seat, Slot};
use crate::bindings::{self, Answer, Instance, InstancePre, Redactor, types};
use crate::breaker::{Breaker, Permit};
use crate::clock::UnixTime;
use crate::component::CheckedComponent;
use crate::conduct::Conduct;
use crate::engine::Ticking;
use crate::error::{Error, ErrorKind, LimitExceeded, LoadError, LoadErrorKind};
use crate::grants::BoundGrants;
use crate::host::store::Records;
use crate::host::{self, HostError, Phase, State};
use crate::limits::{LimitKind, Limits};
use crate::pool::Budget;
use crate::runtime::RuntimeInner;
use crate::sanitize::escape_untrusted;
use crate::slice;
use crate::token::is_token_text;
use crate::verdict::{CreateRequest, Denial};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::Linker;
use wasmtime::{Store, Trap};

/// A [`CheckedComponent`] linked with its [`BoundGrants`], and the slots in which it may run.
pub(crate) struct Sandbox {
    shared: Arc<RuntimeInner>,
    pub(crate) bound: Arc<BoundGrants>,
    pre: InstancePre<State>,
    /// The handler's part of the runtime's slots.
    seat: Seat,
    conduct: Conduct,
    pub(crate) breaker: Arc<Breaker>,
}

/// A handler's checked result of `verify`.
pub(crate) struct VerifyOutcome {
    pub(crate) answer: Answer,
    /// The records that it read and changed during the call.
    pub(crate) records: Records,
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
    pub(crate) records: Records,
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
        let wrong = |error: wasmtime::Error| does_not_fit(&format!("{error:#}"));
        let mut linker = Linker::new(shared.engine.wasmtime());
        host::link(&mut linker, &bound).map_err(wrong)?;
        let pre = linker.instantiate_pre(&component.component).and_then(InstancePre::new).map_err(wrong)?;
        let max = bound.limits.concurrent_calls.unwrap_or(shared.limits.slots / 2).max(1);
        let now = Instant::now();
        let seat = shared.admission.seat(max, now);
        let breaker = Arc::new(Breaker::new(bound.name.clone()));
        let conduct = Conduct::new(now, bound.peaks.clone());
        Ok(Self { shared, bound: Arc::new(bound), pre, seat, conduct, breaker })
    }

    /// Instantiates the component once and calls no function: only this detects wrong types and
    /// faulty start functions.
    pub(crate) async fn try_out(self: &Arc<Self>, now: UnixTime) -> Result<(), ErrorKind> {
        let this = self.clone();
        self.run(async move |held| {
            let _held = held;
            this.instantiate(Arc::default(), now).await.map(drop)
        })
        .await
    }

    /// Calls `verify` with a token.
    pub(crate) async fn verify(self: &Arc<Self>, token: Arc<str>, now: UnixTime) -> Result<VerifyOutcome, ErrorKind> {
        self.bound.counters.calls.count();
        let this = self.clone();
        self.run(async move |held| {
            let _held = held;
            this.verify_in(token, now, None).await
        })
        .await
    }

    /// Calls `verify` in a fresh instance. Its host calls and log lines are added to those of
    /// `before`.
    async fn verify_in(
        &self,
        token: Arc<str>,
        now: UnixTime,
        before: Option<State>,
    ) -> Result<VerifyOutcome, ErrorKind> {
        let mut state = State::new(self.bound.clone(), token.clone(), now);
        if let Some(before) = before {
            state.calls.continue_from(&before.calls);
            state.lines.continue_from(&before.lines);
        }
        let (mut store, instance) = self.instantiate_with(state).await?;
        store.data_mut().phase = Phase::Verify;
        let called = instance.keyward_handler_token_handler().call_verify(&mut store, &token).await;
        let words = self.words(&token);
        match self.finish(&store, called)? {
            Ok(verdict) => {
                let State { calls, records, key, .. } = store.into_data();
                let repeatable = calls.are_repeatable();
                Ok(VerifyOutcome { answer: bindings::answer(verdict, &words), records, key, repeatable })
            }
            Err(failure) => Err(bindings::fault(failure, &words)),
        }
    }

    /// Calls `create`. With `check`, a second instance verifies the new token within the same
    /// budget, unless the handler inserted a record: that is not committed yet.
    pub(crate) async fn create(
        self: &Arc<Self>,
        request: CreateRequest,
        now: UnixTime,
        check: bool,
    ) -> Result<Creating, ErrorKind> {
        self.bound.counters.calls.count();
        let this = self.clone();
        self.run(async move |held| {
            let _held = held;
            let (mut store, instance) = this.instantiate(Arc::default(), now).await?;
            store.data_mut().phase = Phase::Create;
            store.data_mut().records.request = this.bound.store.is_some().then(|| request.clone());
            let request = bindings::request_out(request);
            store.data_mut().lines.hold();
            let called = instance.keyward_handler_token_handler().call_create(&mut store, &request).await;
            let token = if let Ok(Ok(created)) = &called { created.token.as_str() } else { "" };
            store.data_mut().lines.release(token);
            match this.finish(&store, called)? {
                Ok(created) => {
                    let mut state = store.into_data();
                    let (records, key) = (std::mem::take(&mut state.records), state.key.take());
                    let token = &created.token;
                    let is_asked = check
                        && records.changes.insert.is_none()
                        && (1..=this.bound.limits.token_bytes).contains(&token.len())
                        && is_token_text(token);
                    let checked = match is_asked {
                        true => Some(this.verify_in(token.as_str().into(), now, Some(state)).await),
                        false => None,
                    };
                    Ok(Creating { made: IssueOutcome::Token(created, key), records, checked })
                }
                Err(types::CreateError::Denied(denied)) => {
                    let (denial, message) = bindings::denied(denied, &this.words(""));
                    Ok(Creating {
                        made: IssueOutcome::Denied(denial, message),
                        records: Records::default(),
                        checked: None,
                    })
                }
                Err(types::CreateError::Failed(failure)) => Err(bindings::fault(failure, &this.words(""))),
            }
        })
        .await
    }

    /// Takes a slot for a call and runs it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if no slot is free, [`ErrorKind::BreakerOpen`] if another call runs and
    /// the breaker is not closed, or the error of the call.
    async fn run<T, C, F>(&self, call: C) -> Result<T, ErrorKind>
    where
        T: Send + 'static,
        C: FnOnce(CallGuards) -> F,
        F: Future<Output = Result<T, ErrorKind>> + Send + 'static,
    {
        let permit = self.breaker.admit()?;
        let slot = self.seat.admit(Instant::now()).map_err(|full| match full {
            Full::Own(of) => ErrorKind::Busy { what: "its slots", of, setting: "limits.concurrent_calls" },
            Full::All(of) => ErrorKind::Busy { what: "the slots open to it", of, setting: "RuntimeLimits::slots" },
        })?;
        let held = CallGuards { _permit: permit, _slot: slot, _ticking: self.shared.engine.ticking() };
        let may_wait = self.bound.store.is_some() || !self.bound.queries.is_empty();
        let budget = Budget { cpu: self.bound.limits.cpu, wall: self.bound.limits.wall, may_wait };
        // Boxed early: a call is large, and every future around it would contain it.
        self.shared.pool.run(budget, &self.conduct, Box::pin(call(held))).await
    }

    /// Creates a fresh instance under every limit that the engine enforces.
    async fn instantiate(&self, token: Arc<str>, now: UnixTime) -> Result<(Store<State>, Instance), ErrorKind> {
        self.instantiate_with(State::new(self.bound.clone(), token, now)).await
    }

    async fn instantiate_with(&self, state: State) -> Result<(Store<State>, Instance), ErrorKind> {
        let mut store = Store::new(self.shared.engine.wasmtime(), state);
        store.limiter(|state| &mut state.growth);
        store.set_hostcall_fuel(self.bound.limits.host_call_bytes);
        // The contract has no resources; a component that defines its own gets a few.
        store.set_max_component_handles(64);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(slice::on_tick()));
        let instance = self.pre.instantiate_async(&mut store).await;
        let instance = self.finish(&store, instance)?;
        Ok((store, instance))
    }

    fn words<'a>(&self, token: &'a str) -> Redactor<'a> {
        Redactor { max: self.bound.limits.message_bytes, token }
    }

    /// Translates the engine's error, notes the use of limits, and reports dropped log lines.
    fn finish<T>(&self, store: &Store<State>, result: wasmtime::Result<T>) -> Result<T, ErrorKind> {
        self.bound.peaks.note(store.data().now.seconds, store.data().used());
        let dropped = store.data().lines.dropped();
        if dropped > 0 {
            tracing::warn!(target: "keyward::handler", handler = &*self.bound.name, dropped, "log lines dropped");
        }
        result.map_err(|error| fault(&error, &self.bound.limits, self.shared.limits.wasm_stack_bytes))
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
            trap => ErrorKind::Trap(trap.to_string()),
        };
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

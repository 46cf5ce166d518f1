//! A handler under test, and a clock that moves.

use crate::CliError;
use crate::output::with_code;
use crate::trial::{Case, NAME, Setup, Trial};
use keyward_runtime::clock::{Clock, UnixTime};
use keyward_runtime::registry::LimitPeak;
use keyward_runtime::{Acceptance, CreateRequest, Created, Creation, Error, Reason, Registry, Verdict};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The time at which the checks begin: 2030-01-01T00:00:00Z.
pub(super) const START: u64 = 1_893_456_000;

/// The lifetime of the tokens, in seconds.
const LIFETIME: Option<NonZeroU32> = NonZeroU32::new(3_600);

pub(super) const ACTOR: &str = "ann";

/// A clock that moves in steps.
#[derive(Clone)]
pub(super) struct Steps(Arc<AtomicU64>);

impl Default for Steps {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }
}

impl Clock for Steps {
    fn now(&self) -> Option<UnixTime> {
        Some(UnixTime::from_seconds(self.0.load(Ordering::SeqCst)))
    }

    fn is_chosen(&self) -> bool {
        true
    }
}

/// Returns the time of a case in seconds.
pub(super) fn time_of(case: &Case) -> u64 {
    case.at.map_or(START, |at| at.seconds)
}

/// A handler with throw-away grants.
pub(super) struct Lab {
    pub(super) trial: Trial,
    pub(super) registry: Registry,
    /// The same handler under all checks of a daemon.
    pub(super) served: Registry,
    /// The same handler with other keys.
    pub(super) other: Registry,
    /// The lifetime of the tokens, in seconds; `None` if the handler denies one.
    pub(super) lifetime: Option<NonZeroU32>,
    clock: Steps,
}

impl Lab {
    pub(super) fn new(trial: Trial, clock: Steps) -> Result<Self, CliError> {
        let registry = trial.load(Setup::Believed)?;
        let (served, other) = (trial.load(Setup::AsServed)?, trial.load(Setup::OtherKeys)?);
        let mut lab = Self { trial, registry, served, other, lifetime: LIFETIME, clock };
        if let Ok(Err(_)) = lab.issue(CreateRequest::new(ACTOR)) {
            lab.lifetime = None;
        }
        Ok(lab)
    }

    /// Returns the highest use of the limits.
    pub(super) fn peaks(&self) -> Vec<LimitPeak> {
        self.registry.handlers().flat_map(|handler| handler.peaks).collect()
    }

    /// Returns the number of texts from which the host removed a token.
    pub(super) fn redactions(&self) -> u64 {
        self.registry.handlers().map(|handler| handler.counts.redactions).sum()
    }

    /// Issues a token, or returns the reason that there is none.
    pub(super) fn issue(&self, request: CreateRequest) -> Result<Result<Created, String>, String> {
        self.issue_by(&self.registry, request)
    }

    pub(super) fn issue_by(
        &self,
        registry: &Registry,
        mut request: CreateRequest,
    ) -> Result<Result<Created, String>, String> {
        request.expires_after = self.lifetime;
        match registry.create_blocking(request) {
            Ok(Creation::Created(created)) => Ok(Ok(created)),
            Ok(Creation::Denied(denied)) if denied.handler.is_none() => {
                Err(format!("the host refuses to issue its token: {}", denied.message))
            }
            Ok(Creation::Denied(denied)) => Ok(Err(format!("it denies this request: {}", denied.message))),
            Err(error) => Err(with_code(format_args!("issuing failed: {error}"), error.code())),
        }
    }

    /// Issues a token for an actor with all rights.
    pub(super) fn token(&self) -> Result<Created, String> {
        self.issue(CreateRequest::new(ACTOR))?.map_err(|denied| format!("it denies what it granted before: {denied}"))
    }

    /// Verifies a token that must be valid.
    pub(super) fn accepts(&self, token: &str) -> Result<Acceptance, String> {
        match self.registry.verify_blocking(token) {
            Ok(Verdict::Accepted(acceptance)) => Ok(acceptance),
            Ok(Verdict::NotMine) => Err("a new token gets `not-mine`".to_owned()),
            Ok(Verdict::Rejected(rejection)) => {
                let hint = match rejection.reason {
                    Reason::Unknown => ": each call has an instance of its own, which keeps nothing for the next one",
                    _ => "",
                };
                Err(format!("a new token is rejected as {}{hint}", rejection.reason))
            }
            Err(error) => Err(with_code(format_args!("verifying a new token failed: {error}"), error.code())),
        }
    }

    /// Checks that a token is not accepted, and that the answer is a verdict.
    pub(super) fn refuses(&self, token: &str, what: &str) -> Result<(), String> {
        match self.registry.verify_blocking(token) {
            Ok(Verdict::Accepted(_)) => Err(format!("accepts {what}")),
            Ok(Verdict::NotMine | Verdict::Rejected(_)) => Ok(()),
            Err(error) => {
                Err(with_code(format_args!("fails on {what}, instead of rejecting it: {error}"), error.code()))
            }
        }
    }

    /// Returns the verdict on a case, at its time.
    pub(super) fn verdict(&self, case: &Case) -> Result<Verdict, Error> {
        self.at(time_of(case), || match &case.token {
            Some(token) => self.registry.verify_blocking(token),
            None => self.registry.identify_blocking(NAME, &case.request()),
        })
    }

    /// Returns the time in seconds.
    pub(super) fn now(&self) -> u64 {
        self.clock.0.load(Ordering::SeqCst)
    }

    /// Calls `check` at another time.
    pub(super) fn at<T>(&self, seconds: u64, check: impl FnOnce() -> T) -> T {
        let before = self.clock.0.swap(seconds, Ordering::SeqCst);
        let checked = check();
        self.clock.0.store(before, Ordering::SeqCst);
        checked
    }
}

//! A handler under test, and a clock that moves.

use crate::CliError;
use crate::output::with_code;
use crate::trial::{Case, Keys, NAME, Trial};
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

/// A handler with throw-away grants, and the same one with other keys.
pub(super) struct Lab {
    pub(super) trial: Trial,
    pub(super) registry: Registry,
    pub(super) other: Registry,
    /// The lifetime of the tokens, in seconds; `None` if the handler denies one.
    pub(super) lifetime: Option<NonZeroU32>,
    clock: Steps,
}

impl Lab {
    pub(super) fn new(trial: Trial, clock: Steps) -> Result<Self, CliError> {
        let (registry, other) = (trial.load(Keys::First)?, trial.load(Keys::Other)?);
        let mut lab = Self { trial, registry, other, lifetime: LIFETIME, clock };
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
    pub(super) fn issue(&self, mut request: CreateRequest) -> Result<Result<Created, String>, String> {
        request.expires_after = self.lifetime;
        match self.registry.create_blocking(request) {
            Ok(Creation::Created(created)) => Ok(Ok(created)),
            Ok(Creation::Denied(denied)) if denied.handler.is_none() => {
                Err(format!("the host does not give its token away: {}", denied.message))
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
            Ok(Verdict::NotMine) => Err("a new token is not its own".to_owned()),
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
        self.at(case.at.map_or(START, |at| at.seconds), || match &case.token {
            Some(token) => self.registry.verify_blocking(token),
            None => self.registry.identify_blocking(NAME, &case.request()),
        })
    }

    /// Calls `check` at another time.
    pub(super) fn at<T>(&self, seconds: u64, check: impl FnOnce() -> T) -> T {
        let before = self.clock.0.swap(seconds, Ordering::SeqCst);
        let checked = check();
        self.clock.0.store(before, Ordering::SeqCst);
        checked
    }
}

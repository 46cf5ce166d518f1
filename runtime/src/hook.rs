//! Hooks of the embedder: a check of each verified token, and steps that must precede a change.

use crate::verdict::{Acceptance, Created};
use std::future::Future;
use std::pin::Pin;

/// A future of a hook. It must not need an executor, and must complete.
pub type HookFuture<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A check of the embedder's own of each token that is otherwise valid, such as whether the actor
/// still has an account.
pub trait VerifyHook: Send + Sync + 'static {
    /// Decides about a token that its handler, the policy and the revocations accept. Called at
    /// every verification: the result is not cached.
    ///
    /// # Errors
    /// Returns why no decision is possible, in a few words for the operator and without any token.
    /// The verification then returns an [`Error`](crate::Error), so that access is denied.
    fn check<'a>(&'a self, acceptance: &'a Acceptance) -> HookFuture<'a, HookDecision>;
}

/// The decision of a [`VerifyHook`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a hook can only accept or reject")]
pub enum HookDecision {
    /// The token stays accepted.
    Accept,
    /// The token is rejected as [`NotPermitted`](crate::Reason::NotPermitted), with this message
    /// for the caller.
    Reject(String),
}

/// A step before each new token becomes valid, which can prevent it.
pub trait IssueHook: Send + Sync {
    /// Called before the record of a token is committed and the token is returned. It must not need
    /// an executor, and must complete.
    ///
    /// # Errors
    /// Returns why the token must not be issued, in a few words for the operator.
    fn before_commit<'a>(&'a self, created: &'a Created) -> HookFuture<'a>;
}

/// A step that must precede a revocation that is retried.
pub trait RevocationHook: Send + Sync {
    /// Performs the step. Called from time to time until it succeeds, on a thread without an
    /// executor.
    ///
    /// # Errors
    /// The step failed, and the revocation must wait.
    fn before_write(&self) -> HookFuture<'_>;

    /// Returns a text from which the embedder can create the hook again after a restart. It must
    /// contain no token and no secret.
    fn note(&self) -> String {
        String::new()
    }
}

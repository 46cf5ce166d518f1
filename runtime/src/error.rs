//! Errors, and the party that is to blame for each.
//!
//! An invalid token is not an error: it is a [`Verdict`](crate::Verdict). An [`Error`] reports that
//! *no verdict is available*, a [`LoadError`] that a registry could not be built. Both name the
//! handler concerned and have a stable code.

use crate::limits::LimitKind;
use crate::store::error::StoreError;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The reason that a call returned no verdict.
///
/// An error neither accepts nor rejects the token: the caller must deny access, and may report the
/// failure instead of a rejection.
///
/// [`Display`](fmt::Display) is the text for the operator's log: it names the handler and the
/// limit, and contains no token or key. [`Error::public_message`] is the text for API clients.
#[derive(Debug, Clone)]
pub struct Error {
    handler: Option<Arc<str>>,
    fault: ErrorKind,
}

impl Error {
    pub(crate) fn new(handler: &Arc<str>, fault: ErrorKind) -> Self {
        Self { handler: Some(handler.clone()), fault }
    }

    /// Creates an [`Error`] that does not concern a handler.
    pub(crate) fn without_handler(fault: ErrorKind) -> Self {
        Self { handler: None, fault }
    }

    /// Creates the [`Error`] of a change that was not applied because its audit record could not be
    /// written. `why` is for the operator's log.
    pub fn audit_unavailable(why: impl Into<String>) -> Self {
        Self::without_handler(ErrorKind::AuditUnavailable(why.into()))
    }

    /// Returns the name of the handler that was called, or `None` if the call reached no handler.
    pub fn handler(&self) -> Option<&str> {
        self.handler.as_deref()
    }

    /// Returns the [`ErrorKind`].
    pub fn kind(&self) -> &ErrorKind {
        &self.fault
    }

    /// Returns the [`Blame`].
    pub fn blame(&self) -> Blame {
        self.fault.blame()
    }

    /// Returns a stable code for metrics and scripts, such as `limit-cpu`, `trap` or `busy`.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// Returns a message for the API client that presented the token. It reveals nothing about the
    /// handler's internals.
    pub fn public_message(&self) -> &'static str {
        match self.fault {
            ErrorKind::JustRevoked => "No token: a recent revocation still covers new tokens. Try again in a moment.",
            ErrorKind::JustIssued => "No token: the same token was issued in this second. Try again in one second.",
            ErrorKind::Busy { .. } | ErrorKind::BreakerOpen => "No verdict: the service is busy. Try again.",
            ErrorKind::NoSuchHandler { .. } => "No verdict: no handler has that name.",
            ErrorKind::NoHandler => "No verdict: no handler is configured.",
            ErrorKind::NoStore => "Tokens cannot be listed or revoked here.",
            ErrorKind::BadRevocation(text) => text,
            ErrorKind::Unavailable(_)
            | ErrorKind::Store(_)
            | ErrorKind::AuditUnavailable(_)
            | ErrorKind::HookFailed(_) => {
                "No verdict: something that the handler depends on is unavailable. Try again later."
            }
            _ => "No verdict: the handler of this token failed.",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.handler {
            Some(name) => write!(f, "handler `{name}` {}", self.fault),
            None => write!(f, "{}", self.fault),
        }
    }
}

/// The source is the cause that a store gave for its failure, if there is one.
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            ErrorKind::Store(failure) => failure.source(),
            _ => None,
        }
    }
}

/// The error of a store, outside of a handler's call.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::without_handler(error.into())
    }
}

/// The party to blame for an [`Error`]. It decides the log level and whom to alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The caller: the request is wrong.
    Caller,
    /// The handler: its component is at fault.
    Handler,
    /// The operator: the configuration, the store or the audit log is at fault.
    Operator,
    /// Keyward itself: an internal error, or too much load.
    Runtime,
}

/// The kinds of [`Error`]. [`Display`](fmt::Display) is a predicate for the subject "handler
/// `name`".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call exceeded a limit of [`Limits`](crate::Limits).
    #[error("{0}")]
    Limit(LimitExceeded),
    /// The component trapped, with the engine's description of the trap.
    #[error("trapped: {0}")]
    Trap(String),
    /// The component called a host function at a forbidden time or with a forbidden argument.
    #[error("made a forbidden call: {0}")]
    ForbiddenCall(&'static str),
    /// The result violates the contract.
    #[error("returned an invalid result: {0}")]
    BadResult(String),
    /// The handler accepted an issued token under a different id than that of its
    /// [`Record`](crate::store::Record).
    #[error("returned an invalid result: the token id differs from that of the token's record")]
    Renamed {
        /// The id that the handler returned, if any.
        named: Option<String>,
    },
    /// The issued token violates the contract.
    #[error("issued an invalid token: {0}")]
    BadToken(&'static str),
    /// The handler reported that a dependency does not respond.
    #[error("reports that it is unavailable: {0}")]
    Unavailable(String),
    /// The token records, or the rows of a query, could not be read or written.
    #[error("cannot access token records: {0}")]
    Store(#[from] StoreError),
    /// The change was not applied, because its audit record could not be written.
    #[error("cannot apply the change: the audit record could not be written: {0}")]
    AuditUnavailable(String),
    /// The revocation is not confirmed, and is not retried either: too many others wait to be
    /// written.
    #[error(
        "the revocation is not confirmed and not remembered, because too many others wait to be written; retry once the audit log and the store can be written"
    )]
    TooManyPending,
    /// The new token is covered by a revocation: one of the same second or, if the token has no
    /// record, possibly a later one.
    #[error("issued a token that a revocation still covers; retry in a moment")]
    JustRevoked,
    /// The handler, which is a built-in one, has issued the same token in the same second.
    #[error("issued the same token in this second; retry in one second, or set `unique_tokens = true`")]
    JustIssued,
    /// No [`TokenStore`](crate::store::TokenStore) is configured for token records and revocations.
    #[error("listing and revoking tokens requires a store: add a `[store]` section to the configuration")]
    NoStore,
    /// The [`Revocation`](crate::store::Revocation) is not valid. The text gives the reason,
    /// without any value from the request.
    #[error("nothing was revoked: {0}")]
    BadRevocation(&'static str),
    /// The embedder's [`VerifyHook`](crate::hook::VerifyHook) could not decide.
    #[error("vouches for the token, but the check of the embedder failed: {0}")]
    HookFailed(String),
    /// The handler reported that it is at fault.
    #[error("reports an internal error: {0}")]
    Internal(String),
    /// Too many calls are running.
    #[error("is busy: {what} ({of}) are all in use; retry, or raise `{setting}`")]
    Busy {
        /// The resource that is exhausted.
        what: &'static str,
        /// Number of units of the resource.
        of: usize,
        /// The setting that bounds the resource.
        setting: &'static str,
    },
    /// The breaker of the handler is open, because its calls on valid tokens failed, and its only
    /// call is running.
    #[error("is limited to one call at a time, because its calls on valid tokens failed; retry in a moment")]
    BreakerOpen,
    /// The caller named a handler that is not configured.
    #[error("no handler is named `{name}`; configured: {known}")]
    NoSuchHandler {
        /// The name in the request.
        name: String,
        /// The configured names.
        known: String,
    },
    /// The [`Registry`](crate::Registry) has no token handlers.
    #[error("no token handler is configured")]
    NoHandler,
    /// Keyward itself failed.
    #[error("could not be called: {0}")]
    Runtime(String),
}

impl ErrorKind {
    /// Returns the [`Blame`], for [`Error::blame`].
    pub fn blame(&self) -> Blame {
        match self {
            Self::Limit(_)
            | Self::Trap(_)
            | Self::ForbiddenCall(_)
            | Self::BadResult(_)
            | Self::Renamed { .. }
            | Self::BadToken(_)
            | Self::BreakerOpen
            | Self::Unavailable(_)
            | Self::Internal(_) => Blame::Handler,
            Self::Busy { .. } | Self::JustRevoked | Self::JustIssued | Self::Runtime(_) => Blame::Runtime,
            Self::NoSuchHandler { .. } | Self::BadRevocation(_) => Blame::Caller,
            Self::NoHandler
            | Self::Store(_)
            | Self::NoStore
            | Self::AuditUnavailable(_)
            | Self::TooManyPending
            | Self::HookFailed(_) => Blame::Operator,
        }
    }

    /// Returns a stable code for metrics and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit(hit) => hit.limit.code(),
            Self::Trap(_) => "trap",
            Self::ForbiddenCall(_) => "forbidden-call",
            Self::BadResult(_) | Self::Renamed { .. } => "bad-result",
            Self::BadToken(_) => "bad-token",
            Self::Unavailable(_) => "unavailable",
            Self::Store(_) => "store",
            Self::AuditUnavailable(_) => "audit-unavailable",
            Self::TooManyPending => "too-many-pending",
            Self::HookFailed(_) => "hook-failed",
            Self::JustRevoked => "just-revoked",
            Self::JustIssued => "just-issued",
            Self::NoStore => "no-store",
            Self::BadRevocation(_) => "bad-revocation",
            Self::Internal(_) => "internal",
            Self::Busy { .. } => "busy",
            Self::BreakerOpen => "breaker-open",
            Self::NoSuchHandler { .. } => "no-such-handler",
            Self::NoHandler => "no-handler",
            Self::Runtime(_) => "runtime",
        }
    }
}

/// A limit that a call exceeded, with the use that the call reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitExceeded {
    /// The [`LimitKind`].
    pub limit: LimitKind,
    /// The use that the call reached before it was stopped, in the unit of the limit.
    pub used: u64,
    /// The maximum use, in the unit of the limit.
    pub of: u64,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit) = self.limit.resource();
        let Self { limit, used, of } = self;
        write!(f, "exceeded the {what} limit: used {used} of {of} {unit} (`{}`)", limit.setting())
    }
}

/// The reason that a registry could not be built.
///
/// The operator can nearly always fix it, so each message names the problem, its place and the
/// remedy.
#[derive(Debug, Clone)]
pub struct LoadError {
    handler: Option<String>,
    kind: LoadErrorKind,
    text: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl LoadError {
    pub(crate) fn new(kind: LoadErrorKind, text: impl Into<String>) -> Self {
        Self { handler: None, kind, text: text.into(), source: None }
    }

    pub(crate) fn of_thread(which: &str, error: io::Error) -> Self {
        Self::new(LoadErrorKind::Runtime, format!("failed to start {which}: {error}")).with_source(error)
    }

    pub(crate) fn in_handler(mut self, name: &str) -> Self {
        self.handler = Some(name.to_owned());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// Returns the name of the handler, or `None` if the error does not concern one.
    pub fn handler(&self) -> Option<&str> {
        self.handler.as_deref()
    }

    /// Returns the [`LoadErrorKind`].
    pub fn kind(&self) -> LoadErrorKind {
        self.kind
    }

    /// Returns a stable code for scripts, such as `not-granted` or `digest-mismatch`. If the trial
    /// instantiation of a component fails, this is the code of the [`ErrorKind`].
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.handler {
            Some(name) => write!(f, "handler `{name}`: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// The source is the cause from the engine or the operating system, if there is one. Its text is
/// part of the message, escaped and truncated.
impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// The kinds of [`LoadError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// An action has no name, or a name that another one has.
    BadAction,
    /// The label of a key or query is not valid.
    BadLabel,
    /// A limit is outside its range.
    BadLimit,
    /// The name of a handler is not valid.
    BadName,
    /// The lifetimes contradict each other, or the policy needs records and there are none.
    BadPolicy,
    /// A prefix is not valid.
    BadPrefix,
    /// A secret could not be presented as a token.
    BadSecret,
    /// The value of a setting has the wrong type.
    BadSetting,
    /// The component does not have the pinned digest.
    DigestMismatch,
    /// Two handlers have the same name.
    DuplicateName,
    /// Two handlers claim the same prefix.
    DuplicatePrefix,
    /// A secret would be routed to another handler, or to none.
    ForeignSecret,
    /// The component is damaged.
    Invalid,
    /// The handler was granted a store that its component does not import.
    KeepsNoRecords,
    /// The component does not export the contract.
    MissingExport,
    /// The component imports something that was not granted.
    NotGranted,
    /// The component implements another version of the contract.
    OtherVersion,
    /// The engine or a thread could not be started.
    Runtime,
    /// Several handlers claim no prefix.
    SeveralUnprefixed,
    /// Two labels have the same key.
    SharedKey,
    /// The file is a core module instead of a component.
    CoreModule,
    /// The file is native code, which is never run.
    Precompiled,
    /// The file is not WebAssembly.
    NotAComponent,
    /// Compiling the component exceeds a limit of the compile worker.
    CompileLimit,
    /// The component is foreign, and the runtime has no compile worker.
    NoCompiler,
    /// The compile worker cannot be started, or is not one.
    Worker,
    /// The component exceeds a bound on what is compiled, or on the memories, tables and instances
    /// of a slot.
    TooComplex,
    /// The component is larger than allowed.
    TooLarge,
    /// The component imports something that does not exist.
    UnknownImport,
    /// The component does not declare the setting.
    UnknownSetting,
    /// A function of the component has another type than in the contract.
    WrongType,
    /// The component imports a part of WASI that is never granted.
    WasiImport,
    /// The trial instantiation failed, with the code of the [`ErrorKind`].
    Trial(&'static str),
}

impl LoadErrorKind {
    /// Returns a stable code for scripts.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadAction => "bad-action",
            Self::BadLabel => "bad-label",
            Self::BadLimit => "bad-limit",
            Self::BadName => "bad-name",
            Self::BadPolicy => "bad-policy",
            Self::BadPrefix => "bad-prefix",
            Self::BadSecret => "bad-secret",
            Self::BadSetting => "bad-setting",
            Self::DigestMismatch => "digest-mismatch",
            Self::DuplicateName => "duplicate-name",
            Self::DuplicatePrefix => "duplicate-prefix",
            Self::ForeignSecret => "foreign-secret",
            Self::Invalid => "invalid",
            Self::KeepsNoRecords => "keeps-no-records",
            Self::MissingExport => "missing-export",
            Self::NotGranted => "not-granted",
            Self::OtherVersion => "other-version",
            Self::Runtime => "runtime",
            Self::SeveralUnprefixed => "several-unprefixed",
            Self::SharedKey => "shared-key",
            Self::CoreModule => "core-module",
            Self::Precompiled => "precompiled",
            Self::NotAComponent => "not-a-component",
            Self::CompileLimit => "compile-limit",
            Self::NoCompiler => "no-compiler",
            Self::Worker => "compile-worker",
            Self::TooComplex => "too-complex",
            Self::TooLarge => "too-large",
            Self::UnknownImport => "unknown-import",
            Self::UnknownSetting => "unknown-setting",
            Self::WrongType => "wrong-type",
            Self::WasiImport => "wasi-import",
            Self::Trial(code) => code,
        }
    }
}

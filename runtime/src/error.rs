//! What can go wrong, and whose fault it is.
//!
//! A bad token is no error: it is a [`Verdict`](crate::Verdict). An [`Error`] says that *no verdict could be had*, a
//! [`LoadError`] that a registry could not be built. Both name the culprit, carry a stable code and have two texts.

use std::fmt;
use std::sync::Arc;

/// Why a call gave no answer. It is never a yes, and it is not a no either: the caller must deny, and may say "cannot
/// tell" instead of "no".
///
/// [`Display`](fmt::Display) is the text for the operator's log: it names the handler and the limit, and holds neither
/// token nor key. [`Error::caller_text`] is the text for whoever presented the token.
#[derive(Debug, Clone)]
pub struct Error {
    handler: Option<Arc<str>>,
    fault: Fault,
}

impl Error {
    pub(crate) fn new(handler: &Arc<str>, fault: Fault) -> Self {
        Self { handler: Some(handler.clone()), fault }
    }

    /// Of a call that no handler took part in.
    pub(crate) fn without_handler(fault: Fault) -> Self {
        Self { handler: None, fault }
    }

    /// Of a change that is not made because whoever was to be told of it before was not, such as an audit. `why` is for the
    /// operator.
    pub fn unwitnessed(why: impl Into<String>) -> Self {
        Self::without_handler(Fault::Unwitnessed(why.into()))
    }

    /// The name of the handler that was asked, if it came to that.
    pub fn handler(&self) -> Option<&str> {
        self.handler.as_deref()
    }

    /// What happened.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        self.fault.blame()
    }

    /// A stable word for metrics and scripts, such as `limit-cpu`, `trap` or `busy`.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// One sentence that may be shown to whoever presented the token. It tells nothing about the handler's insides.
    pub fn caller_text(&self) -> &'static str {
        match self.fault {
            Fault::JustRevoked => "No token: a revocation still covers what is made now. Try again in a moment.",
            Fault::Busy { .. } => "No verdict: the service is busy. Try again.",
            Fault::NoSuchHandler { .. } => "No verdict: there is no handler of that name.",
            Fault::NoHandler => "No verdict: there is no handler.",
            Fault::NoStore => "Tokens cannot be taken back here.",
            Fault::BadRevocation(text) => text,
            Fault::Unavailable(_) | Fault::Store(_) | Fault::Unwitnessed(_) => {
                "No verdict: something that the handler needs is out of order. Try again later."
            }
            _ => "No verdict: the handler of this token is out of order.",
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

impl std::error::Error for Error {}

/// Whose fault an error is: it decides the log level, and who is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// Whoever asked.
    Caller,
    /// The component.
    Handler,
    /// Whoever configured it.
    Operator,
    /// Keyward itself.
    Runtime,
}

/// What went wrong in a call. The texts are sentences that go on from "handler `name`".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A limit was hit.
    #[error("{0}")]
    Limit(LimitHit),
    /// The component trapped: the text is the engine's name for it.
    #[error("trapped: {0}")]
    Trap(String),
    /// A host function was called where it must not be, or with an argument that it must not have.
    #[error("made a forbidden call: {0}")]
    ForbiddenCall(&'static str),
    /// The answer breaks the contract.
    #[error("gave a bad result: {0}")]
    BadResult(String),
    /// Accepts an issued token under another id than that of the token's record.
    #[error("gave a bad result: the token id is not that of the token's record")]
    Renamed {
        /// The id that it named, if any.
        named: Option<String>,
    },
    /// The token it made breaks the contract.
    #[error("made a bad token: {0}")]
    BadToken(&'static str),
    /// It says that something it depends on does not answer.
    #[error("says that it is unavailable: {0}")]
    Unavailable(String),
    /// The records of tokens could not be read or written.
    #[error("cannot look up its tokens: {0}")]
    Store(String),
    /// Whoever was to be told of a change before it is made was not.
    #[error("is kept from a change that cannot be written down: {0}")]
    Unwitnessed(String),
    /// The token that it made is covered by a revocation: of the same second, or for want of a record also of a later one.
    #[error("made a token that a revocation still covers; ask again in a moment")]
    JustRevoked,
    /// There is no store in which records of tokens are kept, and what was revoked.
    #[error("tokens cannot be taken back or looked at without a store: add `[store]` to the configuration")]
    NoStore,
    /// What was to be revoked cannot be: the text says why, and repeats nothing of it.
    #[error("nothing is revoked: {0}")]
    BadRevocation(&'static str),
    /// It says that it is at fault itself.
    #[error("says that it failed: {0}")]
    Internal(String),
    /// Too many calls at once.
    #[error("is busy: {what} ({of}) are all in use; try again, or raise `{setting}`")]
    Busy {
        /// What has run out.
        what: &'static str,
        /// How many there are.
        of: usize,
        /// The setting that says so.
        setting: &'static str,
    },
    /// The caller named a handler that is not configured.
    #[error("no handler is named `{name}`; configured: {known}")]
    NoSuchHandler {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The registry holds no handler at all.
    #[error("no handler is configured")]
    NoHandler,
    /// Keyward itself failed.
    #[error("could not be asked: {0}")]
    Runtime(String),
}

impl Fault {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Limit(_)
            | Self::Trap(_)
            | Self::ForbiddenCall(_)
            | Self::BadResult(_)
            | Self::Renamed { .. }
            | Self::BadToken(_)
            | Self::Unavailable(_)
            | Self::Internal(_) => Blame::Handler,
            Self::Busy { .. } | Self::JustRevoked | Self::Runtime(_) => Blame::Runtime,
            Self::NoSuchHandler { .. } | Self::BadRevocation(_) => Blame::Caller,
            Self::NoHandler | Self::Store(_) | Self::NoStore | Self::Unwitnessed(_) => Blame::Operator,
        }
    }

    /// A stable word for metrics and scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit(hit) => hit.limit.code(),
            Self::Trap(_) => "trap",
            Self::ForbiddenCall(_) => "forbidden-call",
            Self::BadResult(_) | Self::Renamed { .. } => "bad-result",
            Self::BadToken(_) => "bad-token",
            Self::Unavailable(_) => "unavailable",
            Self::Store(_) => "store",
            Self::Unwitnessed(_) => "unwitnessed",
            Self::JustRevoked => "just-revoked",
            Self::NoStore => "no-store",
            Self::BadRevocation(_) => "bad-revocation",
            Self::Internal(_) => "internal",
            Self::Busy { .. } => "busy",
            Self::NoSuchHandler { .. } => "no-such-handler",
            Self::NoHandler => "no-handler",
            Self::Runtime(_) => "runtime",
        }
    }
}

/// A limit that was hit: how much was used, of how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitHit {
    /// Which one.
    pub limit: LimitName,
    /// What the call came to before it was stopped, in the unit of the limit.
    pub used: u64,
    /// What it may use.
    pub of: u64,
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, unit, setting) = self.limit.texts();
        let Self { used, of, .. } = self;
        write!(f, "used {used} of {of} {unit} of {what} (`{setting}`)")
    }
}

macro_rules! limit_names {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $what:literal in $unit:literal, $setting:literal;)*) => {
        /// The limits that a call can hit; each is a field of [`Limits`](crate::Limits).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum LimitName { $($(#[$doc])* $name,)* }

        impl LimitName {
            /// A stable word for metrics and scripts.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The setting that an operator changes.
            pub fn setting(self) -> &'static str {
                self.texts().2
            }

            fn texts(self) -> (&'static str, &'static str, &'static str) {
                match self { $(Self::$name => ($what, $unit, $setting),)* }
            }
        }
    };
}

limit_names! {
    /// `Limits::memory_bytes`
    Memory = "limit-memory", "memory" in "bytes", "limits.memory_mib";
    /// `Limits::table_elements`
    Table = "limit-table", "tables" in "elements", "limits.table_elements";
    /// `Limits::cpu`
    Cpu = "limit-cpu", "CPU time" in "µs", "limits.cpu_ms";
    /// `Limits::wall`
    Wall = "limit-wall", "wall time" in "µs", "limits.wall_ms";
    /// `Limits::host_calls`
    HostCalls = "limit-host-calls", "host calls" in "calls", "limits.host_calls";
    /// `Limits::host_call_bytes`
    HostBytes = "limit-host-bytes", "data for the host" in "bytes", "limits.host_call_bytes";
    /// `Limits::host_work_bytes`
    HostWork = "limit-host-work", "the host's work" in "bytes", "limits.host_work_bytes";
    /// `RuntimeLimits::wasm_stack_bytes`
    Stack = "limit-stack", "stack" in "bytes", "RuntimeLimits::wasm_stack_bytes";
    /// `Limits::actor_bytes`
    ActorBytes = "limit-actor-bytes", "actor JSON" in "bytes", "limits.actor_bytes";
    /// `Limits::actor_depth`
    ActorDepth = "limit-actor-depth", "nesting in the actor" in "levels", "limits.actor_depth";
    /// `Limits::actor_id_bytes`
    ActorId = "limit-actor-id", "actor id" in "bytes", "limits.actor_id_bytes";
}

/// Why a registry could not be built. Nearly always the operator's to mend, so each text says what was wrong, where, and
/// what to do.
#[derive(Debug, Clone)]
pub struct LoadError {
    handler: Option<String>,
    code: &'static str,
    text: String,
}

impl LoadError {
    pub(crate) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { handler: None, code, text: text.into() }
    }

    pub(crate) fn in_handler(mut self, name: &str) -> Self {
        self.handler = Some(name.to_owned());
        self
    }

    /// The handler it is about, if it is about one.
    pub fn handler(&self) -> Option<&str> {
        self.handler.as_deref()
    }

    /// A stable word for scripts, such as `not-granted` or `digest-mismatch`. A component whose trial instantiation goes
    /// wrong has the code of the call error.
    pub fn code(&self) -> &'static str {
        self.code
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

impl std::error::Error for LoadError {}

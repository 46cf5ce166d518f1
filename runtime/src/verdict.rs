//! What is asked of a registry, and what it answers.

use crate::actor::VerifiedActor;
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

/// The three answers about a token. A failure to answer is none of them: that is an
/// [`Error`](crate::Error).
#[derive(Debug, Clone)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is nearly always the large one")]
pub enum Verdict {
    /// Good.
    Accepted(Acceptance),
    /// No handler owns this token. The caller may look for other credentials.
    NotMine,
    /// It belongs to a handler, or to nobody who could, and is bad.
    Rejected(Rejection),
}

/// A good token.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The name of the handler that vouches.
    pub handler: Arc<str>,
    /// Whom the token speaks for. Only the registry makes these.
    pub actor: VerifiedActor,
    /// What the token narrows the actor's rights to, in the names that the token carries; `None`
    /// leaves the actor all of them. [`Registry::allows`](crate::Registry::allows) applies it.
    pub restrictions: Option<Restrictions>,
    /// What revocation and audit name this token by.
    pub token_id: Option<String>,
    /// When it was made, in unix seconds.
    pub issued_at: Option<u64>,
    /// The last second in which it is good, in unix seconds.
    pub expires_at: Option<u64>,
    /// The key whose signature its handler found good, as `ring/id`, if it asked for one.
    pub key: Option<Arc<str>>,
    /// Where `issued_at` comes from.
    pub(crate) issue_time: IssueTime,
}

/// The source of a token's issue time, which says how far it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssueTime {
    /// The host wrote it down when the token was issued.
    Recorded,
    /// A first-party handler reports it.
    FirstParty,
    /// A third-party handler reports it, and there is no record to compare it with.
    Claimed,
}

/// A bad token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The handler that owns the token; `None` where the host itself refused it.
    pub handler: Option<Arc<str>>,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people: one line of printable text. It may be shown to the caller.
    pub message: String,
}

impl Rejection {
    /// A verdict about a token of this handler.
    pub(crate) fn of(handler: &Arc<str>, reason: Reason, message: impl Into<String>) -> Verdict {
        Verdict::Rejected(Self { handler: Some(handler.clone()), reason, message: message.into() })
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word for it in JSON and in `wit/`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Why a token is refused.
    Reason {
        /// Not of the form that its handler makes.
        Malformed = "malformed",
        /// The signature does not fit the key.
        BadSignature = "bad-signature",
        /// Its time has passed.
        Expired = "expired",
        /// Its time has not come: it says that it was issued in the future.
        NotYetValid = "not-yet-valid",
        /// Withdrawn.
        Revoked = "revoked",
        /// The operator's settings switch these tokens off.
        Disabled = "disabled",
        /// Well formed, but there is no such token.
        Unknown = "unknown",
        /// The handler may not vouch for this actor or for so long. Only the host's policy says so.
        NotPermitted = "not-permitted",
    }
}

words! {
    /// Why no token is made.
    Denial {
        /// The operator's settings switch creation off.
        Disabled = "disabled",
        /// The request asks for what cannot be had.
        InvalidRequest = "invalid-request",
        /// Such a token may not be made.
        NotPermitted = "not-permitted",
    }
}

/// What to make a token of.
///
/// ```
/// # use keyward_runtime::{CreateRequest, Restrictions};
/// # use std::num::NonZeroU32;
/// let mut request = CreateRequest::new("root");
/// request.expires_after = NonZeroU32::new(3600);
/// request.restrictions = Some(Restrictions::new().allow_all("view-instance"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRequest {
    /// Whom the token speaks for: not blank, no control characters.
    pub actor_id: String,
    /// Seconds from now until it ends; `None` asks for one that does not end.
    pub expires_after: Option<NonZeroU32>,
    /// What the token narrows the actor's rights to; full action names, which the registry
    /// abbreviates. `None` leaves the actor its rights, an empty list allows nothing.
    pub restrictions: Option<Restrictions>,
    /// A note for handlers that keep one.
    pub description: Option<String>,
    /// The token that whoever asks has presented. What is made is never wider than it and ends no
    /// later.
    pub parent: Option<Parent>,
    /// The caller of a daemon that asks, for the record of the token.
    pub client: Option<String>,
}

/// A good token with which another one is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub(crate) actor: VerifiedActor,
    pub(crate) restrictions: Option<Restrictions>,
    pub(crate) expires_at: Option<u64>,
}

impl Parent {
    /// What a registry has accepted.
    pub fn of(acceptance: &Acceptance) -> Self {
        let Acceptance { actor, restrictions, expires_at, .. } = acceptance.clone();
        Self { actor, restrictions, expires_at }
    }
}

/// Is told of each token that is made before it is good, and can keep it from being so.
pub trait IssueHook: Send + Sync {
    /// A token is about to be kept and given away. It must not need an executor, and must come to
    /// an end.
    ///
    /// # Errors
    /// Why the token must not be given away, in a few words for the operator.
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
}

/// What comes of telling a [`IssueHook`].
pub type HookFuture<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

impl CreateRequest {
    /// A token for `actor_id` that does not end and is not restricted.
    pub fn new(actor_id: impl Into<String>) -> Self {
        let actor_id = actor_id.into();
        Self { actor_id, expires_after: None, restrictions: None, description: None, parent: None, client: None }
    }
}

/// The answer to a request for a token.
#[derive(Debug, Clone)]
#[must_use]
pub enum Creation {
    /// Here it is.
    Created(Created),
    /// No.
    Denied(Denied),
}

/// A token that was made. `Debug` does not show it.
#[derive(Clone)]
pub struct Created {
    /// The handler that made it.
    pub handler: Arc<str>,
    /// The token.
    pub token: String,
    /// What revocation and audit will name it by.
    pub token_id: Option<String>,
    /// When it ends, in unix seconds.
    pub expires_at: Option<u64>,
    /// The key that signed for it, as `ring/id`, if one did.
    pub key: Option<Arc<str>>,
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handler, token: _, token_id, expires_at, key } = self;
        f.debug_struct("Created")
            .field("handler", handler)
            .field("token_id", token_id)
            .field("expires_at", expires_at)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

/// A refusal to make a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The handler that refused; `None` where the host itself did.
    pub handler: Option<Arc<str>>,
    /// Why, for programs.
    pub denial: Denial,
    /// Why, for people.
    pub message: String,
}

/// An allow-list of actions that only narrows what an actor may do. An empty one allows nothing.
///
/// The order of first mention is kept; a database or resource named twice is one entry. Its JSON is
/// Datasette's `_r`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    pub(crate) all: Vec<String>,
    pub(crate) database: IndexMap<String, Vec<String>>,
    pub(crate) resource: IndexMap<String, IndexMap<String, Vec<String>>>,
}

impl Restrictions {
    /// Allows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows an action on everything.
    pub fn allow_all(mut self, action: impl Into<String>) -> Self {
        self.all.push(action.into());
        self
    }

    /// Allows an action on a database and all that is in it.
    pub fn allow_database(mut self, database: impl Into<String>, action: impl Into<String>) -> Self {
        self.database.entry(database.into()).or_default().push(action.into());
        self
    }

    /// Allows an action on one resource of a database.
    pub fn allow_resource(
        mut self,
        database: impl Into<String>,
        resource: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        self.resource.entry(database.into()).or_default().entry(resource.into()).or_default().push(action.into());
        self
    }

    /// The entries: an action, and the database and the resource that it is allowed on.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>, Option<&str>)> {
        let all = self.all.iter().map(|action| (action.as_str(), None, None));
        let databases = self.database.iter().flat_map(|(database, actions)| {
            actions.iter().map(|action| (action.as_str(), Some(database.as_str()), None))
        });
        let resources = self.resource.iter().flat_map(|(database, resources)| {
            resources.iter().flat_map(|(resource, actions)| {
                actions.iter().map(|action| (action.as_str(), Some(database.as_str()), Some(resource.as_str())))
            })
        });
        all.chain(databases).chain(resources)
    }

    /// Whether every entry of the other one is literally one of these. Having no restrictions is
    /// more than any list.
    pub(crate) fn lists_all_of(&self, other: Option<&Self>) -> bool {
        // Whoever makes long lists makes others wait no longer than it takes to read them.
        let listed: HashSet<_> = self.iter().collect();
        other.is_some_and(|other| other.iter().all(|entry| listed.contains(&entry)))
    }

    /// With every action replaced by what `abbreviate` says.
    pub(crate) fn map_actions(mut self, abbreviate: impl Fn(&str) -> Option<String>) -> Self {
        let actions = self
            .all
            .iter_mut()
            .chain(self.database.values_mut().flatten())
            .chain(self.resource.values_mut().flat_map(IndexMap::values_mut).flatten());
        for action in actions {
            if let Some(short) = abbreviate(action) {
                *action = short;
            }
        }
        self
    }
}

/// Writes Datasette's `_r`: `a`, `d` and `r`, empty ones left out.
impl Serialize for Restrictions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        if !self.all.is_empty() {
            members.serialize_entry("a", &self.all)?;
        }
        if !self.database.is_empty() {
            members.serialize_entry("d", &self.database)?;
        }
        if !self.resource.is_empty() {
            members.serialize_entry("r", &self.resource)?;
        }
        members.end()
    }
}

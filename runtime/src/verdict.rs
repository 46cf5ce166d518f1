//! Requests to a [`Registry`](crate::Registry), and its responses.

use crate::actor::VerifiedActor;
use crate::clock::UnixTime;
use crate::token::TokenId;
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The three decisions about a token. A failure to decide is an [`Error`](crate::Error) instead.
#[derive(Debug, Clone)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "only one exists at a time, nearly always the large variant")]
#[expect(clippy::exhaustive_enums, reason = "no caller may miss a decision")]
pub enum Verdict {
    /// Valid.
    Accepted(Acceptance),
    /// Not a token of any handler. The caller may look for other credentials.
    NotMine,
    /// Not valid: a token of a handler, or a text that cannot be a token of any.
    Rejected(Rejection),
}

/// A valid token. Only a [`Registry`](crate::Registry) creates these.
///
/// Its actor is only available together with a decision about its restrictions:
///
/// ```compile_fail
/// fn admit(token: &keyward_runtime::Acceptance) -> &str {
///     token.actor.json()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acceptance {
    /// The name of the handler that vouches for the token.
    pub handler: Arc<str>,
    /// The [`VerifiedActor`] that the token speaks for.
    pub(crate) actor: VerifiedActor,
    /// [`Restrictions`] of the actor's rights, in the names that the token carries; `None` leaves
    /// the actor all of them. [`Registry::authorize`](crate::Registry::authorize) evaluates them.
    pub restrictions: Option<Restrictions>,
    /// The id of the token for revocation and audit.
    pub token_id: Option<String>,
    /// When the token was issued.
    pub issued_at: Option<UnixTime>,
    /// The last second in which the token is valid.
    pub expires_at: Option<UnixTime>,
    /// The key whose signature the handler verified, as `ring/id`; `None` if it verified none.
    pub key: Option<Arc<str>>,
    /// The source of [`issued_at`](Self::issued_at).
    pub(crate) issue_time: IssueTime,
}

impl Acceptance {
    /// Returns the [`VerifiedActor`] of the token, or `None` if the token is restricted: then
    /// [`Registry::authorize`](crate::Registry::authorize) decides about each permission.
    pub fn unrestricted_actor(&self) -> Option<&VerifiedActor> {
        self.restrictions.is_none().then_some(&self.actor)
    }

    /// Returns the actor that the token speaks for, even if the token is restricted. For
    /// identification in logs and for services that check the restrictions themselves, never for a
    /// decision about access.
    pub fn actor_ignoring_restrictions(&self) -> &VerifiedActor {
        &self.actor
    }
}

/// The source of a token's issue time, which determines how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssueTime {
    /// The host recorded it when the token was issued.
    Recorded,
    /// A first-party handler reports it.
    FirstParty,
    /// A third-party handler reports it, and the host has no record to compare it with.
    Claimed,
}

/// A token that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The handler of the token; `None` if the host itself rejected it.
    pub handler: Option<Arc<str>>,
    /// The [`Reason`], for programs.
    pub reason: Reason,
    /// The reason, for humans: one line of printable text. It may be shown to the caller.
    pub message: String,
}

impl Rejection {
    /// Creates a [`Verdict`] that rejects a token of this handler.
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
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the name in JSON and in `wit/`.
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
    /// The reason of a [`Rejection`].
    Reason {
        /// Not in a format of its handler.
        Malformed = "malformed",
        /// The signature does not match the key.
        BadSignature = "bad-signature",
        /// The expiry has passed.
        Expired = "expired",
        /// The issue time is in the future.
        NotYetValid = "not-yet-valid",
        /// Revoked.
        Revoked = "revoked",
        /// The operator's settings disable these tokens.
        Disabled = "disabled",
        /// Well formed, but no such token exists.
        Unknown = "unknown",
        /// The handler may not vouch for this actor or for this lifetime. Only the host's policy
        /// gives this reason.
        NotPermitted = "not-permitted",
    }
}

words! {
    /// The reason that a [`CreateRequest`] is denied.
    Denial {
        /// The operator's settings disable creation.
        Disabled = "disabled",
        /// The request has terms that are not supported.
        InvalidRequest = "invalid-request",
        /// The caller or the handler may not create such a token.
        NotPermitted = "not-permitted",
    }
}

/// A request to create a token.
///
/// ```
/// # use keyward_runtime::{CreateRequest, Restrictions};
/// # use std::num::NonZeroU32;
/// # let hour = NonZeroU32::new(3600).unwrap();
/// let view = Restrictions::new().allow_all("view-instance");
/// let request = CreateRequest::new("root").handler("signed").expires_after(hour).restrictions(view);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateRequest {
    /// The name of the handler that issues the token; `None` for the first one of the registry.
    pub handler: Option<String>,
    /// The actor that the token speaks for: a visible character, no control characters.
    pub actor_id: String,
    /// Seconds from now until the token expires; `None` requests a token without expiry.
    pub expires_after: Option<NonZeroU32>,
    /// [`Restrictions`] of the actor's rights, in full action names, which the registry
    /// abbreviates. `None` leaves the actor its rights, an empty list allows nothing.
    pub restrictions: Option<Restrictions>,
    /// A note for handlers that keep one.
    pub description: Option<String>,
    /// The token that the requester has presented. The new token is never wider and never expires
    /// later.
    pub parent: Option<Parent>,
    /// The API client that requests the token, for its record.
    pub client: Option<String>,
}

/// A valid token with which another one is requested, and with which that one is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent(pub(crate) Acceptance);

impl Parent {
    /// Creates a parent from the [`Acceptance`] of a token.
    pub fn of(acceptance: &Acceptance) -> Self {
        Self(acceptance.clone())
    }

    /// Returns the [`TokenId`] of the token, or `None` if it has no id.
    pub fn token(&self) -> Option<TokenId> {
        let Acceptance { handler, token_id, .. } = &self.0;
        token_id.clone().map(|id| TokenId { handler: handler.to_string(), id })
    }
}

impl CreateRequest {
    /// Creates a request for a token without expiry or restrictions.
    pub fn new(actor_id: impl Into<String>) -> Self {
        let actor_id = actor_id.into();
        Self {
            handler: None,
            actor_id,
            expires_after: None,
            restrictions: None,
            description: None,
            parent: None,
            client: None,
        }
    }

    /// Names the handler that issues the token.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>) -> Self {
        self.handler = Some(name.into());
        self
    }

    /// Sets the lifetime, in seconds.
    #[must_use]
    pub fn expires_after(mut self, seconds: NonZeroU32) -> Self {
        self.expires_after = Some(seconds);
        self
    }

    /// Sets the [`Restrictions`] of the actor's rights.
    #[must_use]
    pub fn restrictions(mut self, restrictions: Restrictions) -> Self {
        self.restrictions = Some(restrictions);
        self
    }

    /// Adds a note for handlers that keep one.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Requests the token with a valid one, which the new token never exceeds.
    #[must_use]
    pub fn parent(mut self, token: &Acceptance) -> Self {
        self.parent = Some(Parent::of(token));
        self
    }

    /// Names the API client that requests the token.
    #[must_use]
    pub fn client(mut self, id: impl Into<String>) -> Self {
        self.client = Some(id.into());
        self
    }
}

/// The response to a [`CreateRequest`].
#[derive(Debug, Clone)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "no caller may miss an outcome")]
pub enum Creation {
    /// The token was [`Created`].
    Created(Created),
    /// The request was [`Denied`].
    Denied(Denied),
}

/// A created token. `Debug` does not show it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Created {
    /// The handler that created the token.
    pub handler: Arc<str>,
    /// The token.
    pub token: String,
    /// The id of the token for revocation and audit.
    pub token_id: Option<String>,
    /// When the token expires; `None` if it does not.
    pub expires_at: Option<UnixTime>,
    /// The key that signed the token, as `ring/id`; `None` if no key did.
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

/// A refusal of a [`CreateRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// The handler that refused; `None` if the host itself did.
    pub handler: Option<Arc<str>>,
    /// The reason, for programs.
    pub denial: Denial,
    /// The reason, for humans.
    pub message: String,
}

/// An allow-list of actions that only narrows what an actor may do. An empty one allows nothing.
///
/// The entries keep their order of first occurrence; a database or resource named twice is one
/// entry. The JSON form is Datasette's `_r`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    pub(crate) all: Vec<String>,
    pub(crate) database: IndexMap<String, Vec<String>>,
    pub(crate) resource: IndexMap<String, IndexMap<String, Vec<String>>>,
}

impl Restrictions {
    /// Creates restrictions that allow nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows an action on everything.
    pub fn allow_all(mut self, action: impl Into<String>) -> Self {
        self.all.push(action.into());
        self
    }

    /// Allows an action on a database and everything in it.
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

    /// Returns the entries: an action, and the database and resource that it is allowed on.
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

    /// Returns the number of bytes that a handler passes to the host with these restrictions, as
    /// [`Limits::host_call_bytes`](crate::Limits::host_call_bytes) counts them: the text, and the
    /// elements of the lists.
    pub(crate) fn passed_bytes(&self) -> usize {
        let list = |actions: &Vec<String>| {
            actions.iter().map(|action| size_of::<String>().saturating_add(action.len())).sum::<usize>()
        };
        let all = list(&self.all);
        let database = self.database.iter().map(|(database, actions)| {
            [size_of::<(String, Vec<String>)>(), database.len(), list(actions)].into_iter().sum::<usize>()
        });
        let resource = self.resource.iter().flat_map(|(database, resources)| {
            resources.iter().map(|(resource, actions)| {
                let element = size_of::<(String, String, Vec<String>)>();
                [element, database.len(), resource.len(), list(actions)].into_iter().sum::<usize>()
            })
        });
        database.chain(resource).fold(all, usize::saturating_add)
    }

    /// Returns whether `self` literally contains every entry of `other`; not if `other` is `None`,
    /// which has no restrictions.
    pub(crate) fn lists_all_of(&self, other: Option<&Self>) -> bool {
        // Linear in the lengths: a long list must not delay other requests.
        let listed: HashSet<_> = self.iter().collect();
        other.is_some_and(|other| other.iter().all(|entry| listed.contains(&entry)))
    }

    /// Replaces every action for which `abbreviate` returns a short name.
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

/// Serializes as Datasette's `_r`: `a`, `d` and `r`, without the empty ones.
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

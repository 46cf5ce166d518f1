//! The actor that a token authenticates.

use std::fmt;

/// An actor that a handler vouched for and the host's policy accepted. Only this crate can create
/// one.
///
/// ```compile_fail
/// let forged = keyward_runtime::VerifiedActor { json: r#"{"id":"root"}"#.to_owned(), id: None };
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedActor {
    json: String,
    id: Option<ActorId>,
}

/// The id of an actor. `{"id": 5}` and `{"id": "5"}` are two actors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an id of another kind must not be taken for a text")]
pub enum ActorId {
    /// A string. Tokens that are issued here always have such an id.
    Text(String),
    /// An integer, by its digits. Patterns of actors never match it, and it cannot be the actor of
    /// a new token; revocation by these digits covers it.
    Integer(String),
}

impl ActorId {
    /// Returns the text or the digits.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(id) | Self::Integer(id) => id,
        }
    }

    /// Returns the text, or `None` for an integer.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(id) => Some(id),
            Self::Integer(_) => None,
        }
    }
}

impl VerifiedActor {
    /// Creates an actor that has passed every check of the policy. `cargo xtask tidy` ensures that
    /// only the policy calls it.
    pub(crate) fn new_verified(json: String, id: Option<ActorId>) -> Self {
        Self { json, id }
    }

    /// Returns the actor as a JSON object on one line.
    ///
    /// This is the handler's object plus, as in Datasette, `_r` (the restrictions, if any) and
    /// `token_expires` (Unix seconds, if the token expires).
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Returns whether the id is the string `id`. An integer with the same digits does not match.
    pub fn has_text_id(&self, id: &str) -> bool {
        self.id.as_ref().and_then(ActorId::as_text) == Some(id)
    }

    /// Returns the [`ActorId`], or `None` if the actor has no id.
    pub fn id(&self) -> Option<&ActorId> {
        self.id.as_ref()
    }
}

impl fmt::Debug for VerifiedActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedActor").field("id", &self.id).finish_non_exhaustive()
    }
}

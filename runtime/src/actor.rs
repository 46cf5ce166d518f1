//! The actor that a token authenticates.

use serde::Deserialize;
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
    id: Option<String>,
}

impl VerifiedActor {
    /// Creates an actor that has passed every check of the policy. `cargo xtask tidy` ensures that
    /// only the policy calls it.
    pub(crate) fn new_verified(json: String, id: Option<String>) -> Self {
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
    pub(crate) fn has_text_id(&self, id: &str) -> bool {
        #[derive(Deserialize)]
        struct Actor {
            id: String,
        }
        serde_json::from_str::<Actor>(&self.json).is_ok_and(|actor| actor.id == id)
    }

    /// Returns the id: the string, or the digits of the integer; `None` if the actor has no id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl fmt::Debug for VerifiedActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedActor").field("id", &self.id).finish_non_exhaustive()
    }
}

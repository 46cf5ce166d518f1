//! Whom a token speaks for.

use serde::Deserialize;
use std::fmt;

/// An actor that a handler vouched for and the host's policy let through. Nothing outside this crate can make one.
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
    /// For the policy, when it has checked everything; `cargo xtask tidy` holds that nobody else calls it.
    pub(crate) fn let_through(json: String, id: Option<String>) -> Self {
        Self { json, id }
    }

    /// The actor as a JSON object on one line: the handler's, with `_r` (the restrictions, where there are any) and
    /// `token_expires` (unix seconds, where the token ends) in Datasette's terms.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Whether its id is this text, and no number that looks like it.
    pub(crate) fn has_text_id(&self, id: &str) -> bool {
        #[derive(Deserialize)]
        struct Actor {
            id: String,
        }
        serde_json::from_str::<Actor>(&self.json).is_ok_and(|actor| actor.id == id)
    }

    /// Its id, if it has one: the string, or the digits of the integer.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl fmt::Debug for VerifiedActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedActor").field("id", &self.id).finish_non_exhaustive()
    }
}

//! Names of what is revoked, for logs and the audit log.

use keyward_runtime::registry::Requested;
use keyward_runtime::store::Revocation;

/// Replaces a text that looks like a token where an id should be.
const REDACTED: &str = "[redacted: looks like a token]";

/// The names of what is revoked. They never hold a token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// The actor whose tokens are revoked.
    pub actor: Option<&'a str>,
    /// The id of the token.
    pub token_id: Option<&'a str>,
    /// More for the operator.
    pub note: Option<&'a str>,
}

impl<'a> Named<'a> {
    /// Names what a client or an operator has requested.
    #[must_use]
    pub fn of(requested: &'a Requested) -> Self {
        let Requested { revocation: Revocation { actor_id, token_id, .. }, is_like_a_token, .. } = requested;
        if *is_like_a_token {
            // The digest replaces the id.
            let token_id = actor_id.is_none().then_some(REDACTED);
            return Self { actor: actor_id.as_ref().map(|_| REDACTED), token_id, note: None };
        }
        Self { actor: actor_id.as_deref(), token_id: token_id.as_deref(), note: None }
    }
}

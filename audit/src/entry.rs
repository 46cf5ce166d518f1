//! Entries: the members that the caller of the audit log can set.

use serde::Serialize;
use std::time::Duration;

/// Maximum length of a text in the file, in bytes.
const MAX_TEXT: usize = 1 << 10;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A process started to serve requests.
    Start,
    /// A process stopped in an orderly way.
    Stop,
    /// The configuration was reloaded.
    Reload,
    /// A token is issued.
    Create,
    /// Tokens are revoked.
    Revoke,
    /// The record of a token is edited.
    Edit,
    /// A token is rotated: a new one replaces it.
    Rotate,
    /// Tokens of another program are imported.
    Import,
    /// An operator accepts the store, or the clock, as it is.
    Accept,
    /// A token was verified.
    Verify,
    /// The public keys of an issuer changed, or can no longer be used.
    KeySet,
    /// A link that signs in a person is created.
    SignInLink,
    /// A person signs in with a link.
    SignIn,
    /// The change announced by an earlier record was not made.
    Failed,
}

impl Event {
    /// Returns the name that is written to the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Create => "create",
            Self::Revoke => "revoke",
            Self::Edit => "edit",
            Self::Rotate => "rotate",
            Self::Import => "import",
            Self::Accept => "accept",
            Self::Verify => "verify",
            Self::KeySet => "key-set",
            Self::SignInLink => "sign-in-link",
            Self::SignIn => "sign-in",
            Self::Failed => "failed",
        }
    }

    /// Returns `true` if notes of this event are never dropped. Clients control how many other
    /// notes there are, but there are never more of these than records that were written.
    pub(crate) fn is_always_noted(self) -> bool {
        matches!(self, Self::Start | Self::Stop | Self::Failed)
    }
}

/// The content of a record. Must not contain a secret, a token, or a digest of either.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The kind of the event.
    pub event: Event,
    /// The number of the earlier record that this one refers to.
    #[serde(rename = "of", skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<u64>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The name of the API client that requested it; `None` for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The id of the token's actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The id of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The token that a new one replaces, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The token with which a new one was requested, as `handler/id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The name of the handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The SHA-256 of the handler's component, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler_sha256: Option<String>,
    /// The id of the key that signed the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The code of the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Further details for the operator, in the host's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The duration of the operation.
    #[serde(rename = "duration_us", skip_serializing_if = "Option::is_none", serialize_with = "micros")]
    pub duration: Option<Duration>,
}

impl Entry {
    /// Creates an entry without optional members.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self {
            event,
            refers_to: None,
            request: None,
            client: None,
            actor: None,
            token_id: None,
            replaces: None,
            parent: None,
            handler: None,
            handler_sha256: None,
            key: None,
            outcome: None,
            reason: None,
            detail: None,
            duration: None,
        }
    }

    /// Truncates each text to its maximum length.
    pub(crate) fn cut(mut self) -> Self {
        let texts = [
            &mut self.request,
            &mut self.client,
            &mut self.actor,
            &mut self.token_id,
            &mut self.replaces,
            &mut self.parent,
            &mut self.handler,
            &mut self.handler_sha256,
            &mut self.key,
            &mut self.outcome,
            &mut self.reason,
            &mut self.detail,
        ];
        for text in texts.into_iter().flatten() {
            cut(text, MAX_TEXT);
        }
        self
    }
}

fn micros<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = duration.map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    micros.serialize(serializer)
}

/// Truncates `text`, with an ellipsis, if it is longer than `max` bytes in the file.
pub(crate) fn cut(text: &mut String, max: usize) {
    let mut length = 0_usize;
    // The last position at which the ellipsis still fits.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if length.saturating_add(written_as('…')) <= max {
            end = at;
        }
        length = length.saturating_add(written_as(c));
        if length > max {
            text.truncate(end);
            text.push('…');
            // Many records may wait in memory.
            text.shrink_to_fit();
            return;
        }
    }
}

/// Returns the maximum number of bytes that a character takes in the file.
fn written_as(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        _ => c.len_utf16().saturating_mul(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_in_the_file_is_truncated() {
        for (text, max, wanted) in [
            ("", 6, ""),
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "…"),
            ("abcdefgh", 7, "a…"),
            ("ab\"\"\"\"", 9, "ab…"),
            ("é", 6, "é"),
            ("éa", 6, "…"),
            ("a😀b", 14, "a😀b"),
            ("a😀bc", 14, "a…"),
        ] {
            let mut cut_text = text.to_owned();
            cut(&mut cut_text, max);
            assert_eq!(cut_text, wanted, "{text} at {max}");
        }
    }
}

//! What is written down: members that are named here, and no other.

use crate::head::Head;
use crate::losses::Loss;
use serde::Serialize;
use std::time::Duration;

/// How long a text may be in the file, in bytes.
const MAX_TEXT: usize = 1 << 10;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A process began to answer.
    Start,
    /// A process ended in order.
    Stop,
    /// A configuration was loaded anew.
    Reload,
    /// A token is made.
    Create,
    /// Tokens are taken back.
    Revoke,
    /// A record of a token is changed.
    Edit,
    /// A token is made in the place of another.
    Rotate,
    /// Tokens of another program are taken over.
    Import,
    /// An operator accepts the store, or the clock, as it is.
    Accept,
    /// A token was judged.
    Verify,
    /// What an earlier record says did not come about.
    Failed,
}

impl Event {
    /// The word that stands in the file.
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
            Self::Failed => "failed",
        }
    }
}

/// What is known of it. Nothing in it may be a secret, a token, or a digest of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What happened.
    pub event: Event,
    /// The number of the earlier record that this one is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who asked for it: a caller of the daemon, by its name. None: the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Whom the token speaks for, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The token, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// The handler, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// The SHA-256 of its component, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler_sha256: Option<String>,
    /// The key that signed, by the name that its operator gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, by its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What else an operator should know, in the words of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it took.
    #[serde(rename = "duration_us", skip_serializing_if = "Option::is_none", serialize_with = "micros")]
    pub duration: Option<Duration>,
}

impl Entry {
    /// One of which nothing else is known yet.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self {
            event,
            of: None,
            request: None,
            caller: None,
            actor: None,
            token_id: None,
            handler: None,
            handler_sha256: None,
            key: None,
            outcome: None,
            reason: None,
            detail: None,
            duration: None,
        }
    }

    /// The same with no text longer than it may be.
    pub(crate) fn cut(mut self) -> Self {
        let texts = [
            &mut self.request,
            &mut self.caller,
            &mut self.actor,
            &mut self.token_id,
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

/// What the file has besides entries: what the audit says of itself.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Entry(Box<Entry>),
    /// So many of these were not written.
    Lost(Vec<Loss>),
    /// So many were written later than they should have been, the first of them so long after 1970.
    Late(u64, Duration),
    /// The lines up to this one are kept no longer.
    Removed(Head),
    /// The last line was found unfinished: so many bytes of it are gone.
    Cut(u64),
    /// The lines up to this one should be there, and are not.
    Missing(Head),
}

fn micros<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    let micros = duration.map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    micros.serialize(serializer)
}

/// Cuts a text where it would be longer than `max` bytes in the file, with an ellipsis.
pub(crate) fn cut(text: &mut String, max: usize) {
    let mut length = 0_usize;
    // The last place where the ellipsis still fits.
    let mut end = 0;
    for (at, c) in text.char_indices() {
        if length.saturating_add(written_as('…')) <= max {
            end = at;
        }
        length = length.saturating_add(written_as(c));
        if length > max {
            text.truncate(end);
            text.push('…');
            return;
        }
    }
}

/// How many bytes a character takes at most.
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
    fn a_text_is_cut_where_it_is_too_long_in_the_file() {
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

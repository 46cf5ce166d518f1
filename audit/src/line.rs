//! Lines of the file: written as printable ASCII, and parsed as untrusted input.

use crate::body::Body;
use crate::dropped::Loss;
use crate::entry::Entry;
use crate::head::{Head, unhex};
use crate::time::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// Maximum length of a line in bytes, including its line feed.
pub(crate) const MAX_LINE: usize = 32 << 10;

/// The start of each line.
pub(crate) const BEGIN: &[u8] = b"{\"seq\":";

/// The separator between the hashed text and the hash.
const HASH: &str = ",\"hash\":\"";

/// Appends the line that follows `before`, and returns its position in the chain.
pub(crate) fn push(to: &mut Vec<u8>, before: &Head, at: Duration, node: &str, body: &Body) -> io::Result<Head> {
    let mut members = Members { seq: before.seq.saturating_add(1), time: rfc3339(at), node, ..Members::default() };
    match body {
        Body::Entry(entry) | Body::Note(entry) => members.entry = Some(entry),
        Body::Lost(losses) => (members.event, members.lost) = (Some("lost"), Some(losses.as_slice())),
        Body::Late(count, since) => {
            (members.event, members.count, members.since) = (Some("late"), Some(*count), Some(rfc3339(*since)));
        }
        Body::Removed(head) => (members.event, members.up_to) = (Some("removed"), Some(head.to_string())),
        Body::Cut(bytes) => (members.event, members.bytes) = (Some("cut"), Some(*bytes)),
        Body::Missing(head) => (members.event, members.up_to) = (Some("missing"), Some(head.to_string())),
    }
    let mut text = Vec::with_capacity(512);
    members.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Ascii))?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let text = text.strip_suffix('}').unwrap_or(&text);
    let head = Head { seq: members.seq, hash: before.next(text) };
    to.extend_from_slice(text.as_bytes());
    to.extend_from_slice(format!("{HASH}{}\"}}\n", hex::encode(head.hash)).as_bytes());
    Ok(head)
}

#[derive(Default, Serialize)]
struct Members<'a> {
    seq: u64,
    time: String,
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(flatten)]
    entry: Option<&'a Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'a [Loss]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<String>,
}

/// A JSON formatter without whitespace that writes printable ASCII only.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut escaped = String::new();
        for c in fragment.chars() {
            if matches!(c, ' '..='~') {
                escaped.push(c);
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").map_err(io::Error::other)?;
                }
            }
        }
        writer.write_all(escaped.as_bytes())
    }
}

/// The members of a line that was read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// The number of the record, from 1.
    pub seq: u64,
    /// The time in RFC 3339 format, in UTC with milliseconds.
    pub time: String,
    /// The process that wrote it.
    pub node: String,
    /// The kind of the event: a name of an [`Event`](crate::Event), or `lost`, `late`, `removed`,
    /// `cut` or `missing`.
    pub event: String,
    /// The number of the earlier record that it refers to.
    #[serde(rename = "of")]
    pub refers_to: Option<u64>,
    /// The id of the request.
    pub request: Option<String>,
    /// The API client that requested it.
    #[serde(alias = "caller")]
    pub client: Option<String>,
    /// The id of the token's actor.
    pub actor: Option<String>,
    /// The id of the token.
    pub token_id: Option<String>,
    /// The token that a new one replaces.
    pub replaces: Option<String>,
    /// The token with which a new one was requested, as `handler/id`.
    pub parent: Option<String>,
    /// The name of the handler.
    pub handler: Option<String>,
    /// The SHA-256 of the handler's component.
    pub handler_sha256: Option<String>,
    /// The id of the key that signed the token.
    pub key: Option<String>,
    /// The outcome.
    pub outcome: Option<String>,
    /// The code of the reason.
    pub reason: Option<String>,
    /// Further details.
    pub detail: Option<String>,
    /// The duration of the operation in microseconds.
    pub duration_us: Option<u64>,
    /// Counts of records that were not written.
    pub lost: Option<Vec<Loss>>,
    /// Number of records that were written late.
    pub count: Option<u64>,
    /// The time of the first late record.
    pub since: Option<String>,
    /// Number of bytes cut from an unfinished line.
    pub bytes: Option<u64>,
    /// The last line that was removed or is missing, as `SEQ:HASH`.
    pub up_to: Option<String>,
}

impl Record {
    /// Returns the last removed line, if this record reports a removal.
    pub(crate) fn removed(&self) -> Option<Head> {
        self.up_to.as_deref().filter(|_| self.event == "removed")?.parse().ok()
    }
}

/// A parsed line, whose hash has not been checked.
pub(crate) struct Line<'a> {
    /// The hashed text, without the closing brace.
    text: &'a str,
    pub(crate) record: Record,
    pub(crate) hash: [u8; 32],
}

impl<'a> Line<'a> {
    /// Parses a line without its line feed. Returns `None` if it is not an audit record.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let line =
            std::str::from_utf8(line).ok().filter(|line| line.bytes().all(|byte| matches!(byte, b' '..=b'~')))?;
        let (text, hash) = line.strip_suffix("\"}")?.rsplit_once(HASH)?;
        let hash = unhex(hash)?;
        let record: Record = serde_json::from_str(line).ok()?;
        (record.seq > 0).then_some(Self { text, record, hash })
    }

    /// Returns the position that the line claims in the chain.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.record.seq, hash: self.hash }
    }

    /// Returns `true` if its hash follows from `before`.
    pub(crate) fn follows(&self, before: &Head) -> bool {
        before.next(self.text) == self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of earlier versions are read as before.
    #[test]
    fn the_earlier_name_of_a_member_is_read() {
        let text = r#"{"seq":7,"time":"2026-01-01T00:00:00.000Z","node":"n","event":"rotate","caller":"app"}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        assert_eq!(record.client.as_deref(), Some("app"));
    }
}

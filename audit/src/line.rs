//! One line of the file: written as printable ASCII, read with no trust in it.

use crate::entry::{Body, Entry};
use crate::head::{Head, hex, unhex};
use crate::losses::Loss;
use crate::time::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// No line is longer, its line feed included.
pub(crate) const MAX_LINE: usize = 32 << 10;

/// How each line begins.
pub(crate) const BEGIN: &[u8] = b"{\"seq\":";

/// What stands between the text that is hashed and the hash.
const HASH: &str = ",\"hash\":\"";

/// Adds a line behind another, and gives its place in the chain.
pub(crate) fn push(to: &mut Vec<u8>, before: &Head, at: Duration, node: &str, body: &Body) -> io::Result<Head> {
    let mut members = Members { seq: before.seq.saturating_add(1), time: rfc3339(at), node, ..Members::default() };
    match body {
        Body::Entry(entry) => members.entry = Some(entry),
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
    to.extend_from_slice(format!("{HASH}{}\"}}\n", hex(&head.hash)).as_bytes());
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

/// JSON without white space and with nothing in it but printable ASCII.
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

/// The members of a line, as they were read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// When, as RFC 3339 has it, in UTC with milliseconds.
    pub time: String,
    /// The process that wrote it.
    pub node: String,
    /// What happened: a word of [`Event`](crate::Event), or `lost`, `late`, `removed`, `cut` or `missing`.
    pub event: String,
    /// The number of the record that it is about.
    pub of: Option<u64>,
    /// The id of the request.
    pub request: Option<String>,
    /// Who asked for it.
    pub caller: Option<String>,
    /// Whom the token speaks for.
    pub actor: Option<String>,
    /// The token.
    pub token_id: Option<String>,
    /// The handler.
    pub handler: Option<String>,
    /// The SHA-256 of its component.
    pub handler_sha256: Option<String>,
    /// The key that signed.
    pub key: Option<String>,
    /// What came of it.
    pub outcome: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What else there is to know.
    pub detail: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
    /// What was counted instead of being written.
    pub lost: Option<Vec<Loss>>,
    /// How many records were late.
    pub count: Option<u64>,
    /// Since when.
    pub since: Option<String>,
    /// How much of an unfinished line was cut.
    pub bytes: Option<u64>,
    /// Up to which line others were removed or are missing.
    pub up_to: Option<String>,
}

impl Record {
    /// Up to which line it says that others were removed.
    pub(crate) fn removed(&self) -> Option<Head> {
        self.up_to.as_deref().filter(|_| self.event == "removed")?.parse().ok()
    }
}

/// A line that was read, and could be one of ours.
pub(crate) struct Line<'a> {
    /// What is hashed, but for the brace at its end.
    text: &'a str,
    pub(crate) record: Record,
    pub(crate) hash: [u8; 32],
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let line =
            std::str::from_utf8(line).ok().filter(|line| line.bytes().all(|byte| matches!(byte, b' '..=b'~')))?;
        let (text, hash) = line.strip_suffix("\"}")?.rsplit_once(HASH)?;
        let hash = unhex(hash)?;
        let record: Record = serde_json::from_str(line).ok()?;
        (record.seq > 0).then_some(Self { text, record, hash })
    }

    /// Its place in the chain, if it is to be believed.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.record.seq, hash: self.hash }
    }

    /// Whether its hash is the one that follows.
    pub(crate) fn follows(&self, before: &Head) -> bool {
        before.next(self.text) == self.hash
    }
}

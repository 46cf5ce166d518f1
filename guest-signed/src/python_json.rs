//! A reader for JSON as Python's `json.loads` accepts it.
//!
//! The language is RFC 8259 plus `NaN`, `Infinity` and `-Infinity`, integers of up to 4,300 digits
//! (Python's own limit), and escapes of lone surrogates. The last of several equal names wins.
//! Whitespace is as in the RFC; a byte order mark, a control character in a string and text after
//! the value are errors.
//!
//! The text is read once, without recursion, into a flat list of nodes: a value, then the values
//! inside it, then its successor.

use std::borrow::Cow;

/// Maximum nesting depth. Restrictions, the deepest value that is used, have four levels. Python's
/// own limit is about a thousand.
const MAX_DEPTH: u32 = 64;

/// Maximum number of digits of an integer that Python converts.
const MAX_DIGITS: usize = 4_300;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number, `NaN` and the infinities among them.
    Float,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A parsed JSON text.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    kind: Kind,
    /// `true` if the value is a string with escapes.
    escaped: bool,
    /// Offset of the first byte; of a string, without the quotes.
    start: u32,
    end: u32,
    /// Index of the node after this value and everything inside it. While the value is open: the
    /// enclosing value.
    next: u32,
}

impl<'a> Document<'a> {
    /// Parses a text. Returns `None` if Python would reject it or it is nested too deeply.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0, nodes: Vec::with_capacity(text.len() / 8 + 4) };
        parser.document()?;
        Some(Self { text, nodes: parser.nodes })
    }

    /// Returns the outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value { document: self, at: 0 }
    }
}

/// A value in a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    at: u32,
}

impl<'d> Value<'d> {
    /// Returns the type of the value.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.node().map_or(Kind::Null, |node| node.kind)
    }

    /// Returns the source text: the digits of a number, `true`, the part of a string between its
    /// quotes.
    #[must_use]
    pub fn text(self) -> &'d str {
        self.node().and_then(|node| self.document.text.get(node.start as usize..node.end as usize)).unwrap_or_default()
    }

    /// Returns the string with escapes resolved, or `None` if the value is not a string or has a
    /// lone surrogate.
    #[must_use]
    pub fn string(self) -> Option<Cow<'d, str>> {
        let node = self.node().filter(|node| node.kind == Kind::String)?;
        if node.escaped { unescape(self.text()).map(Cow::Owned) } else { Some(Cow::Borrowed(self.text())) }
    }

    /// Returns the values of an array in order, or `None` if the value is not an array.
    #[must_use]
    pub fn items(self) -> Option<impl Iterator<Item = Value<'d>>> {
        (self.kind() == Kind::Array).then(|| self.inner())
    }

    /// Returns the names and values of an object in order, including duplicate names, or `None` if
    /// the value is not an object.
    #[must_use]
    pub fn members(self) -> Option<impl Iterator<Item = (Value<'d>, Value<'d>)>> {
        if self.kind() != Kind::Object {
            return None;
        }
        let mut inner = self.inner();
        Some(std::iter::from_fn(move || Some((inner.next()?, inner.next()?))))
    }

    /// Returns whether the value is this string.
    #[must_use]
    pub fn is(self, string: &str) -> bool {
        self.string().is_some_and(|own| own == string)
    }

    fn inner(self) -> impl Iterator<Item = Value<'d>> {
        let end = self.next();
        let mut at = self.at + 1;
        std::iter::from_fn(move || {
            let value = Value { document: self.document, at };
            (at < end).then(|| {
                at = value.next();
                value
            })
        })
    }

    fn next(self) -> u32 {
        self.node().map_or(u32::MAX, |node| node.next)
    }

    fn node(self) -> Option<&'d Node> {
        self.document.nodes.get(self.at as usize)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
}

/// Marks the root, which has no enclosing value.
const OUTSIDE: u32 = u32::MAX;

impl Parser<'_> {
    fn document(&mut self) -> Option<()> {
        // Offsets are stored in 32 bits.
        u32::try_from(self.bytes.len()).ok()?;
        let mut around = OUTSIDE;
        let mut depth = 0;
        loop {
            self.space();
            let opened = self.value(around)?;
            if let Some(container) = opened {
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
                around = container;
            }
            // Close the containers that end here, up to the next value.
            let mut first = opened.is_some();
            loop {
                self.space();
                let Some(node) = self.nodes.get(around as usize).copied() else {
                    return (self.at == self.bytes.len()).then_some(());
                };
                let object = node.kind == Kind::Object;
                if self.eat(if object { b'}' } else { b']' }) {
                    self.close(around);
                    around = node.next;
                    depth -= 1;
                    first = false;
                    continue;
                }
                if !first && !self.eat(b',') {
                    return None;
                }
                if object {
                    self.space();
                    self.string()?;
                    self.space();
                    if !self.eat(b':') {
                        return None;
                    }
                }
                break;
            }
        }
    }

    /// Reads a scalar, or opens a container and returns its node.
    #[expect(clippy::option_option, reason = "an error, a complete value, or an opened container")]
    fn value(&mut self, around: u32) -> Option<Option<u32>> {
        let start = self.at;
        let kind = match self.peek()? {
            b'"' => return self.string().map(|()| None),
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' if self.eat_word(b"true") => Kind::Bool,
            b'f' if self.eat_word(b"false") => Kind::Bool,
            b'n' if self.eat_word(b"null") => Kind::Null,
            b'N' if self.eat_word(b"NaN") => Kind::Float,
            b'I' if self.eat_word(b"Infinity") => Kind::Float,
            b'-' if self.eat_word(b"-Infinity") => Kind::Float,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return None,
        };
        let open = matches!(kind, Kind::Object | Kind::Array);
        let index = self.nodes.len() as u32;
        if open {
            self.at += 1;
            self.push(kind, false, start, start, around);
            return Some(Some(index));
        }
        self.push(kind, false, start, self.at, index + 1);
        Some(None)
    }

    fn number(&mut self) -> Option<Kind> {
        self.eat(b'-');
        let digits = self.at;
        if !self.eat(b'0') {
            self.digits()?;
        }
        let integer_digits = self.at - digits;
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
            kind = Kind::Float;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
            kind = Kind::Float;
        }
        (kind == Kind::Float || integer_digits <= MAX_DIGITS).then_some(kind)
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            hex(self.bytes.get(self.at + 1..self.at + 5)?)?;
                            self.at += 5;
                        }
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        let next = self.nodes.len() as u32 + 1;
        self.push(Kind::String, escaped, start, self.at, next);
        self.at += 1;
        Some(())
    }

    fn push(&mut self, kind: Kind, escaped: bool, start: usize, end: usize, next: u32) {
        self.nodes.push(Node { kind, escaped, start: start as u32, end: end as u32, next });
    }

    fn close(&mut self, container: u32) {
        let next = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(container as usize) {
            node.end = self.at as u32;
            node.next = next;
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if found {
            self.at += word.len();
        }
        found
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

/// Returns the value of four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Resolves the escapes of a string. Returns `None` if one is a lone surrogate.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = escape.chars();
        plain.push(match chars.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = hex(escape.as_bytes().get(1..5)?)?;
                chars = escape.get(5..)?.chars();
                if (0xd800..0xdc00).contains(&unit) {
                    let low = chars.as_str().strip_prefix("\\u").and_then(|low| hex(low.as_bytes().get(..4)?))?;
                    chars = chars.as_str().get(6..)?.chars();
                    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low)?
                } else {
                    // `None` for a lone low surrogate.
                    char::from_u32(unit)?
                }
            }
            same => same,
        });
        rest = chars.as_str();
    }
    plain.push_str(rest);
    Some(plain)
}

/// Writes a string as Python's `json.dumps(…, ensure_ascii=False)` does.
pub fn write_string(to: &mut String, string: &str) {
    to.push('"');
    let mut rest = string;
    while let Some(at) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // The byte found is ASCII, so both cuts are on character boundaries.
        let (before, from) = rest.split_at(at);
        to.push_str(before);
        let byte = from.bytes().next().unwrap_or_default();
        match byte {
            b'"' => to.push_str("\\\""),
            b'\\' => to.push_str("\\\\"),
            b'\n' => to.push_str("\\n"),
            b'\r' => to.push_str("\\r"),
            b'\t' => to.push_str("\\t"),
            0x08 => to.push_str("\\b"),
            0x0c => to.push_str("\\f"),
            control => {
                to.push_str("\\u00");
                to.extend([control >> 4, control & 15].map(hex_digit));
            }
        }
        rest = from.get(1..).unwrap_or_default();
    }
    to.push_str(rest);
    to.push('"');
}

/// Returns the lower-case hexadecimal digit of a number from 0 to 15.
pub fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 })
}

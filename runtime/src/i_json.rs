//! A strict reader of JSON objects: it only accepts text that all JSON parsers read alike.
//!
//! RFC 8259 restricted by I-JSON (RFC 7493): an object, unique names after unescaping, integers
//! within 64 bits, other numbers finite, no lone surrogates, no byte order mark, no trailing text.
//! The result is the same text without the whitespace between its tokens.

use std::borrow::Cow;

/// A JSON object that passed the checks.
#[derive(Debug, PartialEq)]
pub(crate) struct Object {
    /// The original text on one line, without insignificant whitespace.
    pub(crate) text: String,
    /// The member `id`; `None` if there is none.
    pub(crate) id: Option<Scalar>,
    /// `true` if the object has no members.
    pub(crate) is_empty: bool,
}

/// The value of an `id`.
#[derive(Debug, PartialEq, Clone)]
pub(crate) enum Scalar {
    /// A string, unescaped.
    String(String),
    /// A number without fraction and exponent, as written.
    Integer(String),
    /// Anything else.
    Other,
}

/// The reason that a text is refused.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Defect {
    /// Not acceptable JSON, with a predicate for the subject "the actor".
    Broken(&'static str),
    /// Nested too deeply, with the depth that was reached.
    TooDeep(usize),
}

/// Checks `text` and returns it as an [`Object`].
///
/// `reserved` are names that the top level must not have; `max_depth` is the maximum nesting (`{}`
/// has depth 1).
///
/// # Errors
/// Returns a [`Defect`] if the text is refused.
pub(crate) fn check(text: &str, max_depth: usize, reserved: &[&str]) -> Result<Object, Defect> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        copied: 0,
        out: String::with_capacity(text.len().saturating_add(128)),
        depth: 0,
        max_depth,
        reserved,
        id: None,
        names: Vec::new(),
    };
    reader.space();
    if reader.peek() != Some(b'{') {
        return Err(Defect::Broken("is not a JSON object"));
    }
    let members = reader.object()?;
    reader.space();
    if reader.peek().is_some() {
        return Err(Defect::Broken("has text after the JSON object"));
    }
    reader.copy();
    Ok(Object { text: reader.out, id: reader.id, is_empty: members == 0 })
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// The read position.
    at: usize,
    /// The position up to which the text was copied to `out`.
    copied: usize,
    out: String,
    depth: usize,
    max_depth: usize,
    reserved: &'a [&'a str],
    id: Option<Scalar>,
    /// The names of all open objects, innermost last.
    names: Vec<Cow<'a, str>>,
}

const BROKEN: Defect = Defect::Broken("is not valid JSON");

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Defect> {
        if self.next() == Some(wanted) { Ok(()) } else { Err(BROKEN) }
    }

    /// Returns the text from `start` to the read position. Both are character boundaries, because
    /// they are next to ASCII bytes.
    fn since(&self, start: usize) -> Result<&'a str, Defect> {
        self.text.get(start..self.at).ok_or(BROKEN)
    }

    /// Copies the text that was read since the last whitespace to `out`.
    fn copy(&mut self) {
        self.out.push_str(self.text.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
    }

    fn space(&mut self) {
        if let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.copy();
            while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
                self.at = self.at.saturating_add(1);
            }
            self.copied = self.at;
        }
    }

    fn open(&mut self) -> Result<(), Defect> {
        self.at = self.at.saturating_add(1);
        self.depth = self.depth.saturating_add(1);
        if self.depth > self.max_depth { Err(Defect::TooDeep(self.depth)) } else { Ok(()) }
    }

    fn close(&mut self) {
        self.at = self.at.saturating_add(1);
        self.depth = self.depth.saturating_sub(1);
    }

    /// Reads an object, and returns its number of members. `max_depth` bounds the recursion.
    fn object(&mut self) -> Result<usize, Defect> {
        self.open()?;
        let top = self.depth == 1;
        let first = self.names.len();
        self.space();
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(0);
        }
        loop {
            self.space();
            let name = self.string()?;
            if top && self.reserved.contains(&&*name) {
                return Err(Defect::Broken("has a member that is reserved for the host (`_r` or `token_expires`)"));
            }
            let is_id = top && name == "id";
            self.names.push(name);
            self.space();
            self.expect(b':')?;
            self.space();
            let value = self.value()?;
            if is_id {
                self.id = Some(value);
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at = self.at.saturating_add(1),
                Some(b'}') => break,
                _ => return Err(BROKEN),
            }
        }
        self.close();
        let names = self.names.get_mut(first..).unwrap_or_default();
        let members = names.len();
        // Sort, so that a handler that returns thousands of names does not cost quadratic time.
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            return Err(Defect::Broken("has a duplicate name in an object"));
        }
        self.names.truncate(first);
        Ok(members)
    }

    fn array(&mut self) -> Result<(), Defect> {
        self.open()?;
        self.space();
        if self.peek() != Some(b']') {
            loop {
                self.space();
                self.value()?;
                self.space();
                match self.peek() {
                    Some(b',') => self.at = self.at.saturating_add(1),
                    Some(b']') => break,
                    _ => return Err(BROKEN),
                }
            }
        }
        self.close();
        Ok(())
    }

    fn value(&mut self) -> Result<Scalar, Defect> {
        match self.peek() {
            Some(b'"') => self.string().map(|text| Scalar::String(text.into_owned())),
            Some(b'{') => self.object().map(|_| Scalar::Other),
            Some(b'[') => self.array().map(|()| Scalar::Other),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(BROKEN),
        }
    }

    fn word(&mut self, word: &str) -> Result<Scalar, Defect> {
        let end = self.at.saturating_add(word.len());
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) {
            return Err(BROKEN);
        }
        self.at = end;
        Ok(Scalar::Other)
    }

    fn number(&mut self) -> Result<Scalar, Defect> {
        const BEYOND: Defect = Defect::Broken("has a number that exceeds 64 bits");
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at = self.at.saturating_add(1);
        }
        if self.peek() == Some(b'0') {
            self.at = self.at.saturating_add(1);
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.peek() == Some(b'.') {
            self.at = self.at.saturating_add(1);
            self.digits()?;
            integer = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at = self.at.saturating_add(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.at = self.at.saturating_add(1);
            }
            self.digits()?;
            integer = false;
        }
        let text = self.since(start)?;
        if integer {
            if text.parse::<u64>().is_err() && text.parse::<i64>().is_err() {
                return Err(BEYOND);
            }
            return Ok(Scalar::Integer(text.to_owned()));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Scalar::Other),
            _ => Err(BEYOND),
        }
    }

    fn digits(&mut self) -> Result<(), Defect> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at = self.at.saturating_add(1);
        }
        if self.at == start { Err(BROKEN) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Defect> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.next() {
                Some(b'"') => {
                    let text = self.text.get(start..self.at.saturating_sub(1)).ok_or(BROKEN)?;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(0..=0x1f) | None => return Err(BROKEN),
                Some(_) => {}
            }
        }
        self.at = self.at.saturating_sub(1);
        let mut unescaped = self.since(start)?.to_owned();
        loop {
            let from = self.at;
            match self.next() {
                Some(b'"') => return Ok(Cow::Owned(unescaped)),
                Some(b'\\') => unescaped.push(self.escape()?),
                Some(0..=0x1f) | None => return Err(BROKEN),
                Some(_) => {
                    while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                        self.at = self.at.saturating_add(1);
                    }
                    unescaped.push_str(self.since(from)?);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, Defect> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                const LONE: Defect = Defect::Broken("has a lone surrogate");
                let first = self.hex4()?;
                if (0xd800..0xdc00).contains(&first) {
                    if self.next() != Some(b'\\') || self.next() != Some(b'u') {
                        return Err(LONE);
                    }
                    let second = self.hex4()?;
                    return char::decode_utf16([first, second]).next().and_then(Result::ok).ok_or(LONE);
                }
                char::from_u32(u32::from(first)).ok_or(LONE)?
            }
            _ => return Err(BROKEN),
        })
    }

    fn hex4(&mut self) -> Result<u16, Defect> {
        let start = self.at;
        self.at = self.at.saturating_add(4);
        let digits = self.text.get(start..self.at).ok_or(BROKEN)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BROKEN);
        }
        u16::from_str_radix(digits, 16).map_err(|_| BROKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(given: &str) -> Result<String, Defect> {
        check(given, 32, &["_r"]).map(|object| object.text)
    }

    #[test]
    fn returns_the_same_text_without_whitespace() {
        for given in ["{\"id\":\"a\"}", "{}", "{\"a\":[1,-2.5e3,true,null,{\"b\":\"\\u00e9\\n\"}]}"] {
            assert_eq!(text(given).as_deref(), Ok(given));
        }
        assert_eq!(text(" { \"a\" : [ 1 , \"x y\" ] }\r\n").as_deref(), Ok("{\"a\":[1,\"x y\"]}"));
    }

    #[test]
    fn finds_the_id() {
        let id = |given| check(given, 32, &[]).unwrap().id;
        assert_eq!(id(r#"{"id":"b\u00f6b"}"#), Some(Scalar::String("böb".into())));
        assert_eq!(id(r#"{"x":{"id":1},"\u0069d":-5}"#), Some(Scalar::Integer("-5".into())));
        assert_eq!(id(r#"{"id":1.0}"#), Some(Scalar::Other));
        assert_eq!(id(r#"{"x":{"id":1}}"#), None);
    }

    #[test]
    fn refuses_text_that_parsers_may_read_differently() {
        for given in [
            "",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{",
            "{}{}",
            "{} x",
            "\u{feff}{}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{'a':1}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"x\":{\"b\":1,\"c\":1,\"b\":1}}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":18446744073709551616}",
            "{\"a\":-9223372036854775809}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\ud800\\u0041\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u+123\"}",
            "{\"a\":1}//",
            "{\"_r\":1}",
            "{\"a\":[1 2]}",
            "{\"a\":[1,]}",
            "{\"a\":tru}",
            "{\"a\"",
        ] {
            assert!(text(given).is_err(), "{given}");
        }
        assert!(text("{\"x\":{\"_r\":1}}").is_ok(), "reserved at the top level only");
    }

    #[test]
    fn bounds_nesting() {
        let nested = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(text(&nested(32)).is_ok());
        assert_eq!(text(&nested(33)), Err(Defect::TooDeep(33)));
        assert_eq!(text(&nested(5_000)), Err(Defect::TooDeep(33)));
    }
}

//! The strict reading of an actor's JSON, through the host: a guest returns any bytes as the actor.

use crate::area::Area;
use crate::boundary::free_answer;
use keyward_runtime::{Reason, Verdict};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Reads the bytes as the text of an actor, and as a recipe for one.
///
/// A text passes if and only if an independent reader accepts it as a strict JSON object. It is
/// passed on without its whitespace.
pub fn strict_json(data: &[u8]) {
    actor(data);
    actor(recipe(data).as_bytes());
}

/// Builds a text that is JSON, strictly or nearly so, from parts that the bytes select.
fn recipe(data: &[u8]) -> String {
    let mut text = String::new();
    object(&mut data.iter().copied(), &mut text, 1);
    text
}

fn object(bytes: &mut impl Iterator<Item = u8>, to: &mut String, depth: usize) {
    const NAMES: [&str; 12] =
        ["a", "b", "c", "\\u0061", "id", "i\\u0064", "_r", "token_expires", "", "é", "\\u00e9", "\\ud83d\\ude00"];
    to.push('{');
    let members = bytes.next().unwrap_or(0) % 5;
    for at in 0..members {
        let name = bytes.next().unwrap_or(at);
        // Equal names and reserved names are few among many.
        let name = if name < 0x40 { NAMES[usize::from(name) % NAMES.len()].to_owned() } else { format!("{at}{name}") };
        to.push_str(&format!("{}\"{name}\":", if at > 0 { ", " } else { "" }));
        value(bytes, to, depth);
    }
    to.push('}');
}

fn value(bytes: &mut impl Iterator<Item = u8>, to: &mut String, depth: usize) {
    const PLAIN: [&str; 22] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "7",
        "-1",
        "0.5",
        "1E5",
        "-2e-3",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "1e308",
        "1e309",
        "\"\"",
        "\"a\"",
        "\"\\u0000\"",
        "\"\\\"}\\\\\"",
        "\"\\ud800\"",
        " \"é\" ",
    ];
    let kind = bytes.next().unwrap_or(0);
    match kind {
        0x80..0xb0 if depth < 40 => object(bytes, to, depth + 1),
        0xb0..0xe0 if depth < 40 => {
            to.push('[');
            for at in 0..kind % 4 {
                to.push_str(if at > 0 { " ,\n" } else { "" });
                value(bytes, to, depth + 1);
            }
            to.push(']');
        }
        // Deeply nested.
        0xe0.. => {
            let levels = usize::from(kind - 0xe0) + 2;
            to.push_str(&format!("{}1{}", "[".repeat(levels), "]".repeat(levels)));
        }
        _ => to.push_str(PLAIN[usize::from(kind) % PLAIN.len()]),
    }
}

fn actor(data: &[u8]) {
    // Limited to the memory that the guest has.
    let data = &data[..data.len().min(20 << 10)];
    let passed = match free_answer(&Area::verify().text(16, data).0) {
        Ok(Verdict::Accepted(acceptance)) => Some(acceptance.actor_ignoring_restrictions().clone()),
        // The limits of the actor's size and depth.
        Ok(Verdict::Rejected(rejection)) if rejection.reason == Reason::NotPermitted => None,
        Ok(other) => panic!("expected an acceptance, not {other:?}"),
        Err(_) => None,
    };
    let Ok(text) = std::str::from_utf8(data) else {
        return assert!(passed.is_none(), "not UTF-8");
    };
    let wanted = wanted(text);
    let Some(actor) = passed else {
        return assert_ne!(wanted, Wanted::Accepted, "{text}");
    };
    assert_ne!(wanted, Wanted::Refused, "{text}");
    assert_eq!(actor.json(), compact(text));
    assert_eq!(serde_json::from_str::<Node>(actor.json()).unwrap(), serde_json::from_str(text).unwrap());
}

/// The expected outcome for a text.
#[derive(Debug, PartialEq)]
enum Wanted {
    Accepted,
    Refused,
    /// Undecidable for the other reader: it cannot tell `1e20`, which passes, from the digits of
    /// the same number, which do not; nor `-0`, which is an integer, from `-0.0`.
    Either,
}

fn wanted(text: &str) -> Wanted {
    let Ok(Node::Object(members)) = serde_json::from_str(text) else { return Wanted::Refused };
    let of_the_host = |(name, _): &(String, Node)| name == "_r" || name == "token_expires";
    let id = members.iter().find(|(name, _)| name == "id").map(|(_, id)| id.clone());
    let id_is_good = match &id {
        None | Some(Node::Integer(_)) => true,
        Some(Node::String(id)) => (1..=1_024).contains(&id.len()) && !id.contains(char::is_control),
        Some(Node::Float(bits)) if f64::from_bits(*bits) == 0.0 => return Wanted::Either,
        Some(_) => false,
    };
    if members.is_empty() || members.iter().any(of_the_host) || !id_is_good || text.len() > 64 << 10 {
        return Wanted::Refused;
    }
    let object = Node::Object(members);
    if object.depth() > 32 || object.names_twice() {
        return Wanted::Refused;
    }
    if object.has_huge() { Wanted::Either } else { Wanted::Accepted }
}

/// A JSON value as serde_json reads it, including duplicate names. Floats are compared by their
/// bits.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Float(u64),
    String(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Node {
    fn inner(&self) -> Vec<&Self> {
        match self {
            Self::Array(items) => items.iter().collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        }
    }

    fn depth(&self) -> usize {
        let own = usize::from(matches!(self, Self::Array(_) | Self::Object(_)));
        own + self.inner().into_iter().map(Self::depth).max().unwrap_or(0)
    }

    fn names_twice(&self) -> bool {
        let mut names = HashSet::new();
        let here = matches!(self, Self::Object(members) if !members.iter().all(|(name, _)| names.insert(name)));
        here || self.inner().into_iter().any(Self::names_twice)
    }

    /// Returns whether the value has a number that could be an integer beyond 64 bits.
    fn has_huge(&self) -> bool {
        matches!(self, Self::Float(bits) if f64::from_bits(*bits).abs() >= 9.2e18)
            || self.inner().into_iter().any(Self::has_huge)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E: Error>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bool(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Integer(value.into()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Integer(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Float(value.to_bits()))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
                Ok(Node::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Node::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Object(members))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Returns the text without whitespace between its tokens. Integers in it must fit into 64 bits.
fn compact(text: &str) -> String {
    let mut out = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string || !matches!(c, ' ' | '\t' | '\n' | '\r') {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    check_integers(&out);
    out
}

/// Asserts that no integer of a compact text is beyond 64 bits. Digits in strings are between
/// quotes.
fn check_integers(compact: &str) {
    let outside = compact.replace("\\\\", "").replace("\\\"", "");
    for part in outside.split('"').step_by(2) {
        for number in part.split([',', ':', '[', ']', '{', '}']) {
            let digits = number.strip_prefix('-').unwrap_or(number);
            if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
                assert!(number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok(), "beyond 64 bits: {number}");
            }
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"id":"a"}"#,
        r#" { "id" : 7 , "x" : [ 1 , -2.5e3 , 1E-7, true , null , { "b" : "\u00e9\n\ud83d\ude00" } ] } "#,
        r#"{"a":{"b":{"c":[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}}"#,
        r#"{"a":1,"b":2,"\u0061b":3,"\u0061":4}"#,
        r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":1e308,"d":-0,"e":1e-400}"#,
        r#"{"id":"\ud800","_\u0072":1,"\u0069d":"x","token_expires":0}"#,
        r#"{"a":"\"\\\/\b\f\n\r\t 	é日😀","":{"":""},"b":"}{,\"a\":1"}"#,
        "{}",
        "[{\"id\":\"a\"}]",
        "\u{feff}{\"id\":\"a\"}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An oracle that always returns "either" or "refused" would find nothing.
    #[test]
    fn the_other_reader_is_strict() {
        for (text, outcome) in [
            (r#"{"a":[1,2.5,"x"]}"#, Wanted::Accepted),
            (r#"{"id":"a"}"#, Wanted::Accepted),
            (r#"{"a":1,"\u0061":1}"#, Wanted::Refused),
            (r#"{"x":[{"a":1,"a":1}]}"#, Wanted::Refused),
            (r#"{"a":"\ud800"}"#, Wanted::Refused),
            (r#"{"id":""}"#, Wanted::Refused),
            (r#"{"_r":1}"#, Wanted::Refused),
            ("{}", Wanted::Refused),
            (r#"{"a":18446744073709551616}"#, Wanted::Either),
        ] {
            assert_eq!(wanted(text), outcome, "{text}");
        }
        assert_eq!(compact(" { \"a \\\" b\" : [ 1 , 2 ] } "), r#"{"a \" b":[1,2]}"#);
    }

    #[test]
    fn recipes_come_out_both_ways() {
        let mut stream = crate::Stream::new(1);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..1_000 {
            match wanted(&recipe(&stream.input(&[]))) {
                Wanted::Accepted => accepted += 1,
                Wanted::Refused => refused += 1,
                Wanted::Either => {}
            }
        }
        assert!(accepted > 100 && refused > 100, "{accepted} and {refused}");
    }

    #[test]
    #[should_panic(expected = "beyond 64 bits")]
    fn an_integer_beyond_64_bits_is_seen() {
        check_integers(r#"{"a\"":[1,18446744073709551616]}"#);
    }
}

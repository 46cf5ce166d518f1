//! The JSON reader, compared with serde_json and Python's rules.

use proptest::prelude::*;
use serde_json::Value as Serde;

use crate::python_json::{Document, Kind, Value, write_string};

fn kind(text: &str) -> Option<Kind> {
    Document::parse(text).map(|document| document.root().kind())
}

#[test]
fn accepts_pythons_extensions_of_the_rfc() {
    for (text, kind_of) in [
        ("NaN", Kind::Float),
        ("Infinity", Kind::Float),
        ("-Infinity", Kind::Float),
        ("[NaN,-Infinity]", Kind::Array),
        (r#""\ud800""#, Kind::String),
        (r#"{"a":1,"a":2}"#, Kind::Object),
        ("\u{20}\t\r\n1\n", Kind::Integer),
        ("-0", Kind::Integer),
        ("1e9", Kind::Float),
        ("1.0", Kind::Float),
        ("\"\u{7f}\u{2028}\"", Kind::String),
    ] {
        assert_eq!(kind(text), Some(kind_of), "{text}");
    }
}

#[test]
fn rejects_what_python_rejects() {
    for text in [
        "",
        " ",
        "nan",
        "+1",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "1e+",
        "- 1",
        "-NaN",
        "infinity",
        "tru",
        "True",
        "None",
        "'a'",
        "\"a",
        "\"\u{1f}\"",
        "\"\t\"",
        r#""\x41""#,
        r#""\u12""#,
        r#""\u+123""#,
        r#""\""#,
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "]",
        "{",
        "{}}",
        "{a:1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{1:2}"#,
        r#"{"a":1]"#,
        "[1}",
        "1 1",
        "{}[]",
        "\u{feff}1",
        "1\u{a0}",
        "/**/1",
        "1//",
        "1\0",
        r#"{"a",1}"#,
        r#"["a":1]"#,
    ] {
        assert_eq!(kind(text), None, "{text}");
    }
}

#[test]
fn integers_end_at_4300_digits_as_in_python() {
    assert_eq!(kind(&"9".repeat(4_300)), Some(Kind::Integer));
    assert_eq!(kind(&format!("-{}", "9".repeat(4_300))), Some(Kind::Integer));
    assert_eq!(kind(&"9".repeat(4_301)), None);
    assert_eq!(kind(&format!("{}.0", "9".repeat(4_301))), Some(Kind::Float));
}

#[test]
fn depth_ends_at_64() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(kind(&nested(64)).is_some());
    assert!(kind(&nested(65)).is_none());
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(kind(&nested(64)).is_some());
    assert!(kind(&nested(65)).is_none());
    // Siblings do not add depth.
    assert!(kind(&format!("[{}1]", "[[]],".repeat(1_000))).is_some());
}

#[test]
fn escapes_are_resolved_and_lone_surrogates_are_not_text() {
    let string = |text: &str| Document::parse(text).unwrap().root().string().map(String::from);
    assert_eq!(string(r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u2028""#).unwrap(), "\"\\/\u{8}\u{c}\n\r\tAé\u{2028}");
    assert_eq!(string(r#""\ud83d\ude00!""#).unwrap(), "😀!");
    assert_eq!(string(r#""\uD83D\uDE00""#).unwrap(), "😀");
    for lone in
        [r#""\ud83d""#, r#""\ude00""#, r#""\ud83dx""#, r#""\ud83d\u0041""#, r#""\ud83d\ud83d""#, r#""\ud83d\n""#]
    {
        assert_eq!(string(lone), None, "{lone}");
    }
}

#[test]
fn strings_are_written_as_python_writes_them() {
    let mut text = String::new();
    write_string(&mut text, "\"\\/\u{8}\u{c}\n\r\t\0\u{1b}\u{1f}\u{7f}é\u{2028}😀");
    assert_eq!(text, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001b\\u001f\u{7f}é\u{2028}😀\"");
}

/// Returns whether a value reads the same as serde_json's.
fn same(ours: Value<'_>, theirs: &Serde) -> bool {
    match theirs {
        Serde::Null => ours.kind() == Kind::Null,
        Serde::Bool(value) => ours.kind() == Kind::Bool && ours.text() == value.to_string(),
        Serde::Number(number) => {
            matches!(ours.kind(), Kind::Integer | Kind::Float)
                && ours.text().parse::<f64>().unwrap() == number.as_f64().unwrap()
                && (ours.kind() == Kind::Integer || number.is_f64())
        }
        Serde::String(string) => ours.is(string),
        Serde::Array(items) => {
            let own: Vec<_> = ours.items().unwrap().collect();
            own.len() == items.len() && own.into_iter().zip(items).all(|(ours, theirs)| same(ours, theirs))
        }
        Serde::Object(members) => {
            let own: Vec<_> = ours.members().unwrap().collect();
            own.len() == members.len()
                && own.into_iter().zip(members).all(|((name, ours), (key, theirs))| name.is(key) && same(ours, theirs))
        }
    }
}

fn any_json() -> impl Strategy<Value = Serde> {
    let leaf = prop_oneof![
        Just(Serde::Null),
        any::<bool>().prop_map(Serde::from),
        any::<i64>().prop_map(Serde::from),
        any::<u64>().prop_map(Serde::from),
        (-1e9..1e9).prop_map(Serde::from),
        any::<String>().prop_map(Serde::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Serde::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_json(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert!(same(Document::parse(&text).unwrap().root(), &value), "{}", text);
    }

    /// Nearly-JSON text: the reader accepts everything that serde_json accepts, and beyond that
    /// only Python's additions.
    #[test]
    fn agrees_with_serde_json_on_almost_json(
        text in r#"([\[\]{}:, \n"]|"a"|"b":|\\|-|0|1|E-2|\.5|true|null|"\\u00e9"|"\\n"|é|\u{1}){0,14}"#,
    ) {
        let ours = Document::parse(&text);
        let theirs = serde_json::from_str::<Serde>(&text).ok();
        prop_assert_eq!(ours.is_some(), theirs.is_some(), "{}", text);
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && (text.matches("\"a\"").count() < 2 && text.matches("\"b\"").count() < 2)
        {
            prop_assert!(same(ours.root(), &theirs), "{}", text);
        }
    }

    /// Any text parses or fails, and every part of a parsed value can be read.
    #[test]
    fn never_panics(text in any::<String>(), nearly in r#"[\[\]{}:,"\\u0-9a-f.eE+-]{0,40}"#) {
        for text in [text.clone(), nearly.clone(), format!("\"{nearly}\""), format!("[{nearly}]"), format!("\"\\ud8{text}\"")] {
            let Some(document) = Document::parse(&text) else { continue };
            let mut pending = vec![document.root()];
            while let Some(value) = pending.pop() {
                let _ = (value.text(), value.string());
                pending.extend(value.items().into_iter().flatten());
                pending.extend(value.members().into_iter().flatten().flat_map(|(name, value)| [name, value]));
            }
        }
    }

    #[test]
    fn strings_survive_writing_and_reading(string in any::<String>()) {
        let mut text = String::new();
        write_string(&mut text, &string);
        prop_assert!(Document::parse(&text).unwrap().root().is(&string));
        prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), string);
    }
}

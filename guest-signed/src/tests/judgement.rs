//! The verdicts of the handler, rule by rule.

use keyward_sdk::{CreateDenied, CreateError, Denial, Failure};
use proptest::prelude::*;

use super::*;
use crate::payload::LAST_SECOND;
use crate::python_json::Document;
use crate::restrictions::{read, write};

const DISABLED: &str = "Signed tokens are not enabled for this Datasette instance";

/// Returns the reason that a payload is rejected under a cap on the lifetime, or `None` if it is
/// accepted.
fn refused(json: &str, longest: u64) -> Option<(Reason, String)> {
    let host = host().setting("max_signed_tokens_ttl", &longest.to_string());
    match verify(&host, &sign(json)) {
        Verdict::Accepted(_) => None,
        verdict => Some(rejection(verdict).unwrap()),
    }
}

fn malformed(sentence: &str) -> Option<(Reason, String)> {
    Some((Reason::Malformed, sentence.to_owned()))
}

fn is_malformed(json: &str, longest: u64) -> bool {
    refused(json, longest).is_some_and(|(reason, _)| reason == Reason::Malformed)
}

#[test]
fn a_token_is_valid_until_its_last_second_and_no_nanosecond_longer() {
    let token = create(&host(), CreateRequest { expires_after: Some(60), ..request("root") }).token;
    let at = |seconds, nanoseconds| verify(&host().at(NOW + seconds, nanoseconds), &token);
    assert!(matches!(at(59, 999_999_999), Verdict::Accepted(_)));
    assert!(matches!(at(60, 0), Verdict::Accepted(_)));
    for (seconds, nanoseconds) in [(60, 1), (61, 0), (100_000, 0)] {
        let expired = Some((Reason::Expired, "Token has expired".to_owned()));
        assert_eq!(rejection(at(seconds, nanoseconds)), expired);
    }
}

#[test]
fn the_cap_holds_for_tokens_of_any_lifetime() {
    let expires = |json: &str, longest: u64| {
        let host = host().setting("max_signed_tokens_ttl", &longest.to_string());
        let Verdict::Accepted(acceptance) = verify(&host, &sign(json)) else { panic!("{json}") };
        acceptance.expires_at
    };
    let json = |rest: &str| format!(r#"{{"a":"root","t":{NOW}{rest}}}"#);
    for (rest, longest, end) in [
        ("", 0, None),
        ("", 100, Some(NOW + 100)),
        (r#","d":null"#, 100, Some(NOW + 100)),
        (r#","d":0"#, 0, None),
        (r#","d":0"#, 100, Some(NOW + 100)),
        (r#","d":99"#, 100, Some(NOW + 99)),
        (r#","d":101"#, 100, Some(NOW + 100)),
        (r#","d":101"#, 0, Some(NOW + 101)),
        ("", u64::MAX, Some(LAST_SECOND)),
    ] {
        assert_eq!(expires(&json(rest), longest), end, "{rest} under {longest}");
    }
}

#[test]
fn creation_predicts_verification() {
    for expires_after in [None, Some(1), Some(99), Some(101), Some(u32::MAX)] {
        for longest in ["0", "100"] {
            let host = host().setting("max_signed_tokens_ttl", longest);
            let created = create(&host, CreateRequest { expires_after, ..request("root") });
            let Verdict::Accepted(acceptance) = verify(&host, &created.token) else { panic!() };
            assert_eq!(acceptance.expires_at, created.expires_at);
            assert_eq!(acceptance.token_id, created.token_id);
            assert_eq!(acceptance.issued_at, Some(NOW));
        }
    }
}

#[test]
fn times_are_whole_seconds_between_1970_and_9999() {
    for t in ["1.0", "1e9", "\"1\"", "null", "[1]", "{}", "NaN", "Infinity", "true", "false"] {
        let json = format!(r#"{{"a":"root","t":{t}}}"#);
        assert_eq!(refused(&json, 0), malformed("Invalid token: invalid timestamp"), "{t}");
    }
    for json in ["{}", r#"{"a":"root"}"#, "[]", r#"["t","a"]"#, "1", "null", "\"t\""] {
        assert_eq!(refused(json, 0), malformed("Invalid token: no timestamp"), "{json}");
    }
    for d in ["1.0", "1e1", "\"\"", "[]", "{}", "NaN", "true", "false"] {
        for longest in [0, 100] {
            let json = format!(r#"{{"a":"root","t":{NOW},"d":{d}}}"#);
            assert_eq!(refused(&json, longest), malformed("Invalid token: invalid duration"), "{d}");
        }
    }
    for t in ["-1", "253402300800", "9223372036854775808", "-9223372036854775809", &"9".repeat(400)] {
        assert!(is_malformed(&format!(r#"{{"a":"root","t":{t}}}"#), 0), "{t}");
    }
    for d in ["-1", "253402300799", "18446744073709551616", &"9".repeat(400)] {
        assert!(is_malformed(&format!(r#"{{"a":"root","t":{NOW},"d":{d}}}"#), 0), "{d}");
        assert!(is_malformed(&format!(r#"{{"a":"root","t":{NOW},"d":{d}}}"#), 100), "{d} under a cap");
    }
    assert_eq!(refused(r#"{"a":"root","t":253402300799}"#, 0), None);
    assert_eq!(refused(r#"{"a":"root","t":0}"#, 0), None);
    assert_eq!(refused(r#"{"a":"root","t":-0}"#, 0), None);
}

#[test]
fn an_id_is_a_name_or_an_integer() {
    let json = |a: &str| format!(r#"{{"a":{a},"t":{NOW}}}"#);
    for (a, actor) in [
        ("5", r#"{"id":5,"token":"dstok"}"#),
        ("-7", r#"{"id":-7,"token":"dstok"}"#),
        ("-0", r#"{"id":0,"token":"dstok"}"#),
        ("18446744073709551615", r#"{"id":18446744073709551615,"token":"dstok"}"#),
        ("-9223372036854775808", r#"{"id":-9223372036854775808,"token":"dstok"}"#),
        (r#""q\"\\\u00e9""#, "{\"id\":\"q\\\"\\\\é\",\"token\":\"dstok\"}"),
    ] {
        let Verdict::Accepted(acceptance) = verify(&host(), &sign(&json(a))) else { panic!("{a}") };
        assert_eq!(acceptance.actor, actor);
    }
    let long = format!("\"{}\"", "x".repeat(1_024));
    assert_eq!(refused(&json(&long), 0), None);
    let too_long = format!("\"{}\"", "x".repeat(1_025));
    for a in [
        "\"\"",
        "null",
        "true",
        "1.5",
        "1e3",
        "NaN",
        "[]",
        "{}",
        r#"{"id":"q"}"#,
        "18446744073709551616",
        "-9223372036854775809",
        r#""\n""#,
        r#""a\u0000""#,
        r#""\u0085""#,
        "\"\u{7f}\"",
        r#""\ud800""#,
        &too_long,
    ] {
        assert!(is_malformed(&json(a), 0), "{a}");
    }
    assert!(is_malformed(&format!(r#"{{"t":{NOW}}}"#), 0));
}

#[test]
fn restrictions_have_one_shape() {
    let json = |r: &str| format!(r#"{{"a":"root","t":{NOW},"_r":{r}}}"#);
    for r in [
        "null",
        "[]",
        "\"all\"",
        "1",
        "true",
        r#"{"a":null}"#,
        r#"{"a":"vi"}"#,
        r#"{"a":[1]}"#,
        r#"{"a":[["vi"]]}"#,
        r#"{"a":{}}"#,
        r#"{"d":[]}"#,
        r#"{"d":{"x":"vi"}}"#,
        r#"{"d":{"x":{}}}"#,
        r#"{"r":{"x":["vi"]}}"#,
        r#"{"r":{"x":{"y":"vi"}}}"#,
        r#"{"r":[]}"#,
        r#"{"x":[]}"#,
        r#"{"a":["vi"],"x":1}"#,
        r#"{"a":["\ud800"]}"#,
        r#"{"d":{"\udc00":["vi"]}}"#,
        r#"{"\ud800":[]}"#,
    ] {
        assert!(is_malformed(&json(r), 0), "{r}");
        // Expiry is checked first.
        let expired = json(r).replace(&NOW.to_string(), "1");
        assert_eq!(refused(&expired, 1).unwrap().0, Reason::Expired, "{r}");
    }
    let own = |r: &str| {
        let Verdict::Accepted(acceptance) = verify(&host(), &sign(&json(r))) else { panic!("{r}") };
        acceptance.restrictions.unwrap()
    };
    assert_eq!(own("{}"), restrictions(&[], &[], &[]));
    assert_eq!(own(r#"{"a":[]}"#), restrictions(&[], &[], &[]));
    assert_eq!(own(r#"{"a":["vi","vi",""]}"#), restrictions(&["vi", "vi", ""], &[], &[]));
    // The last of several equal names counts, at the position of the first; the ignored ones have
    // no effect.
    assert_eq!(
        own(r#"{"d":{"x":5,"y":["b"],"x":["a"]},"a":null,"\u0061":["vi"],"r":{"z":{"t":0,"t":["c"]}}}"#),
        restrictions(&["vi"], &[("x", &["a"]), ("y", &["b"])], &[("z", "t", &["c"])])
    );
}

#[test]
fn an_object_of_thousands_of_names_is_read_like_a_small_one() {
    let names: Vec<String> = (0..3_000).map(|at| format!(r#""{}":["v{at}"]"#, at % 1_000)).collect();
    let json = format!(r#"{{"a":"root","t":{NOW},"_r":{{"d":{{{}}}}}}}"#, names.join(","));
    let Verdict::Accepted(acceptance) = verify(&host(), &sign(&json)) else { panic!() };
    let own = acceptance.restrictions.unwrap().database;
    assert_eq!(own.len(), 1_000);
    assert!(own.iter().enumerate().all(|(at, own)| *own == (at.to_string(), vec![format!("v{}", at + 2_000)])));
}

#[test]
fn the_last_of_equal_members_counts_and_unknown_ones_are_ignored() {
    let json = format!(
        r#"{{"a":null,"t":"x","_r":5,"d":true,"token":"dstok","\ud800":[NaN],"a":"b","t":{NOW},"d":null,"_r":{{}}}}"#
    );
    let Verdict::Accepted(acceptance) = verify(&host(), &sign(&json)) else { panic!() };
    assert_eq!(acceptance.actor, r#"{"id":"b","token":"dstok"}"#);
    assert_eq!((acceptance.issued_at, acceptance.expires_at), (Some(NOW), None));
}

#[test]
fn a_value_that_is_not_a_payload_is_malformed_once_the_signature_is_valid() {
    for value in ["", ".", "e30=", "e31", "e+", "e\n30", "aGVsbG8", "_w", ".aGVsbG8", "e30.e30", "ä", "7u-_e30"] {
        let (reason, _) = rejection(verify(&host(), &sign_value(value))).unwrap();
        assert_eq!(reason, Reason::Malformed, "{value}");
    }
}

#[test]
fn other_prefixes_are_not_mine_even_when_disabled() {
    let host = host().setting("allow_signed_tokens", "false");
    for token in ["", "dstok", "dstok-x", "DSTOK_x", " dstok_x", "dsatok_x", "dst\u{43e}k_x"] {
        assert_eq!(verify(&host, token), Verdict::NotMine, "{token}");
    }
    for token in ["dstok_", &sign("{}"), "dstok_x.y"] {
        assert_eq!(rejection(verify(&host, token)), Some((Reason::Disabled, DISABLED.to_owned())));
    }
    let answer = host.run(|| Signed::create(request("root")));
    let denied = CreateDenied { denial: Denial::Disabled, message: DISABLED.to_owned() };
    assert_eq!(answer, Err(CreateError::Denied(denied)));
}

#[test]
fn a_setting_of_the_wrong_type_fails_closed_and_is_named() {
    let token = sign(&format!(r#"{{"a":"root","t":{NOW}}}"#));
    for (name, values) in [
        ("allow_signed_tokens", ["\"yes\"", "1", "null", "\"true\"", "True"]),
        ("max_signed_tokens_ttl", ["-1", "1.5", "\"60\"", "null", "+1"]),
    ] {
        for value in values {
            let host = host().setting(name, value);
            let Err(Failure::Internal(text)) = host.run(|| Signed::verify(&token)) else { panic!("{name} = {value}") };
            assert!(text.contains(name), "{text}");
            let answer = host.run(|| Signed::create(request("root")));
            assert!(matches!(answer, Err(CreateError::Failed(Failure::Internal(_)))), "{name} = {value}");
        }
    }
}

#[test]
fn a_missing_key_is_a_failure_and_not_a_verdict() {
    let token = sign(&format!(r#"{{"a":"root","t":{NOW}}}"#));
    let keyless = Host::new().at(NOW, 0);
    assert!(matches!(keyless.run(|| Signed::verify(&token)), Err(Failure::Internal(_))));
    let answer = keyless.run(|| Signed::create(request("root")));
    assert!(matches!(answer, Err(CreateError::Failed(Failure::Internal(_)))));
}

#[test]
fn a_token_that_could_not_be_verified_is_not_created() {
    let far = CreateRequest { expires_after: Some(2), ..request("root") };
    let answer = host().at(LAST_SECOND - 1, 0).run(|| Signed::create(far));
    assert!(matches!(answer, Err(CreateError::Denied(CreateDenied { denial: Denial::InvalidRequest, .. }))));
    let long = restrictions(&["vi"; 14_000], &[], &[]);
    let answer = host().run(|| Signed::create(CreateRequest { restrictions: Some(long), ..request("root") }));
    assert!(matches!(answer, Err(CreateError::Denied(CreateDenied { denial: Denial::InvalidRequest, .. }))));
}

#[test]
fn the_token_id_depends_only_on_the_signed_value() {
    let long = host_with(SECRET, sha256_mac).at(NOW, 0);
    let (short, long) = (create(&host(), request("root")), create(&long, request("root")));
    assert_ne!(short.token, long.token);
    assert_eq!(short.token_id, long.token_id);
    // SHA-256 of `eyJhIjoicm9vdCIsInQiOjE3NjcyMjU2MDB9`, as Python's hashlib gives it.
    assert_eq!(short.token_id.as_deref(), Some("4a21f30ef896d578147bb4f457e5fdff"));
}

#[test]
fn changing_any_character_or_bit_invalidates_a_token() {
    for mac in [sha1_mac as Mac, sha256_mac] {
        let host = host_with(SECRET, mac).at(NOW, 0);
        let many = restrictions(&["vi", "vd"], &[("docs", &["vt"]), ("docs2", &["vt"])], &[("docs", "d", &["vt"])]);
        for restrictions in [None, Some(many)] {
            let token = create(&host, CreateRequest { restrictions, ..request("root") }).token;
            assert!(matches!(verify(&host, &token), Verdict::Accepted(_)));
            let accepted = |text: &str| matches!(verify(&host, text), Verdict::Accepted(_));
            for at in 0..token.len() {
                for byte in 0..128_u8 {
                    let mut changed = token.clone().into_bytes();
                    changed[at] = byte;
                    let changed = String::from_utf8(changed).unwrap();
                    assert!(changed == token || !accepted(&changed), "{changed}");
                }
                assert!(!accepted(&token[..at]) && !accepted(&[&token[..at], &token[at + 1..]].concat()));
            }
            for end in ["=", "==", "A", ".", " ", "\n", "\0", "é"] {
                assert!(!accepted(&[&token, end].concat()));
            }
        }
    }
}

fn any_restrictions() -> impl Strategy<Value = Restrictions> {
    let actions = || prop::collection::vec("\\PC{0,6}", 0..4);
    let databases = prop::collection::btree_map("\\PC{0,5}", actions(), 0..4);
    let resources = prop::collection::btree_map(("[ab\"é]{0,2}", "\\PC{0,4}"), actions(), 0..6);
    (actions(), databases, resources).prop_map(|(all, database, resource)| Restrictions {
        all,
        database: database.into_iter().collect(),
        resource: resource.into_iter().map(|((db, resource), actions)| (db, resource, actions)).collect(),
    })
}

proptest! {
    #[test]
    fn restrictions_survive_writing_and_reading(own in any_restrictions()) {
        let mut json = String::new();
        write(&mut json, &own);
        prop_assert_eq!(read(Document::parse(&json).unwrap().root()), Some(own));
    }

    #[test]
    fn created_tokens_verify(id in "[^\\p{Cc}]{1,40}", own in prop::option::of(any_restrictions()), expires_after in prop::option::of(1..u32::MAX)) {
        let request = CreateRequest { expires_after, restrictions: own.clone(), ..request(&id) };
        let created = create(&host(), request);
        let Verdict::Accepted(acceptance) = verify(&host(), &created.token) else { panic!("{}", created.token) };
        let actor: serde_json::Value = serde_json::from_str(&acceptance.actor).unwrap();
        prop_assert_eq!(actor, serde_json::json!({"id": id, "token": "dstok"}));
        prop_assert_eq!(acceptance.restrictions, own);
        prop_assert_eq!(acceptance.expires_at, expires_after.map(|seconds| NOW + u64::from(seconds)));
    }

    #[test]
    fn any_signed_json_gets_a_verdict(json in "\\PC{0,80}", value in "[A-Za-z0-9_.-]{0,60}") {
        verify(&host(), &sign(&json));
        verify(&host(), &sign_value(&value));
        verify(&host(), &format!("dstok_{json}"));
    }
}

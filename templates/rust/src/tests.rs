//! Tests of the handler without WebAssembly: `cargo test`.

use keyward_sdk::testing::Host;

use super::*;
use keyward_sdk::Restrictions;

const NOW: u64 = 1_800_000_000;

/// A host with a key whose "signature" is the message backwards. Its random bytes are 0, 1, 2, …
fn host_at(seconds: u64) -> Host {
    fn backwards(message: &[u8]) -> Vec<u8> {
        message.iter().rev().copied().collect()
    }
    Host::new().at(seconds, 0).key("token", backwards, |message, signature| backwards(message) == signature)
}

fn request(actor_id: &str, expires_after: Option<u32>, restrictions: Option<Restrictions>) -> CreateRequest {
    CreateRequest { actor_id: actor_id.to_owned(), expires_after, restrictions, description: None }
}

fn create(request: CreateRequest) -> Created {
    host_at(NOW).create::<Handler>(request).unwrap()
}

fn verify_at(seconds: u64, token: &str) -> Verdict {
    host_at(seconds).run(|| Handler::verify(token)).unwrap()
}

/// Returns a token with a valid signature over any payload.
fn signed(json: &str) -> String {
    let text = BASE64URL.encode(json);
    let signature: Vec<u8> = text.bytes().rev().collect();
    format!("my_{text}.{}", BASE64URL.encode(signature))
}

fn reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Rejected(rejection) => rejection.reason,
        other => panic!("not rejected: {other:?}"),
    }
}

#[test]
fn a_token_has_the_documented_form() {
    let created = create(request("ann", Some(60), None));
    assert_eq!(created.token, signed(r#"{"a":"ann","t":1800000000,"d":60,"j":"AAECAwQFBgcICQoLDA0ODw"}"#));
    assert_eq!(created.token_id.as_deref(), Some("AAECAwQFBgcICQoLDA0ODw"));
    assert_eq!(created.expires_at, Some(NOW + 60));
}

#[test]
fn a_created_token_is_accepted_until_it_expires() {
    let actor = "\"ann\\\" <ü🙂>";
    let token = create(request(actor, Some(60), None)).token;
    let Verdict::Accepted(acceptance) = verify_at(NOW + 60, &token) else { panic!() };
    assert_eq!(acceptance.actor, serde_json::json!({ "id": actor }).to_string());
    assert_eq!(acceptance.token_id.as_deref(), Some("AAECAwQFBgcICQoLDA0ODw"));
    assert_eq!((acceptance.issued_at, acceptance.expires_at), (Some(NOW), Some(NOW + 60)));
    assert_eq!(reason(verify_at(NOW + 61, &token)), Reason::Expired);

    let endless = create(request("ann", None, None)).token;
    let Verdict::Accepted(acceptance) = verify_at(NOW * 2, &endless) else { panic!() };
    assert_eq!(acceptance.expires_at, None);
}

#[test]
fn restrictions_return_as_they_were_requested() {
    let actions = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let full = Restrictions {
        all: actions(&["vi"]),
        database: vec![("z".to_owned(), actions(&["vd", "es"])), ("a".to_owned(), vec![])],
        resource: vec![
            ("z".to_owned(), "t\"2".to_owned(), actions(&["vt"])),
            ("z".to_owned(), "t1".to_owned(), actions(&["vt", "ir"])),
        ],
    };
    let empty = Restrictions { all: vec![], database: vec![], resource: vec![] };
    for restrictions in [None, Some(empty), Some(full)] {
        let token = create(request("ann", None, restrictions.clone())).token;
        let Verdict::Accepted(acceptance) = verify_at(NOW, &token) else { panic!() };
        assert_eq!(acceptance.restrictions, restrictions);
    }
}

#[test]
fn every_other_spelling_is_rejected() {
    let token = create(request("ann", None, None)).token;
    let (start, signature) = token.split_once('.').unwrap();
    assert_eq!(verify_at(NOW, "Another-token"), Verdict::NotMine);
    for rest in ["", "a.b", "YQ", "YR.YQ", "YQ==.YQ", "Y Q.YQ", "YQ.YQ.YQ", "Y/.YQ", "é.YQ"] {
        let text = format!("my_{rest}");
        assert_eq!(reason(verify_at(NOW, &text)), Reason::Malformed, "{text}");
    }
    let other_payload = format!("my_YQ.{signature}");
    for text in [format!("{start}."), other_payload, format!("{start}.YQ")] {
        assert_eq!(reason(verify_at(NOW, &text)), Reason::BadSignature, "{text}");
    }
}

#[test]
fn a_signed_payload_of_another_shape_is_malformed() {
    for json in [
        "",
        "[]",
        r#"{"a":"ann","t":1800000000}"#,
        r#"{"a":7,"t":1800000000,"j":"x"}"#,
        r#"{"a":"ann","t":1.5,"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"d":null,"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"_r":null,"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"_r":[],"j":"x"}"#,
        r#"["ann",1800000000,60,{},"x"]"#,
        r#"{"a":"ann","t":1800000000,"_r":{"x":[]},"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"_r":{"d":["vi"]},"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"j":"x","new":true}"#,
        r#"{"a":"ann","t":1800000000,"d":4294967296,"j":"x"}"#,
        r#"{"a":"ann","t":253402300800,"j":"x"}"#,
        r#"{"a":"ann","t":253402300799,"d":1,"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"_r":{"d":{"db":["vd"],"db":[]}},"j":"x"}"#,
        r#"{"a":"ann","t":1800000000,"_r":{"a":[],"a":[]},"j":"x"}"#,
    ] {
        assert_eq!(reason(verify_at(NOW, &signed(json))), Reason::Malformed, "{json}");
    }
    let deep = format!(r#"{{"a":"ann","t":1800000000,"_r":{{"a":{}1{}}},"j":"x"}}"#, "[".repeat(100), "]".repeat(100));
    assert_eq!(reason(verify_at(NOW, &signed(&deep))), Reason::Malformed);
}

#[test]
fn a_missing_key_is_a_failure_and_no_verdict() {
    let host = Host::new().at(NOW, 0);
    let failed = host.create::<Handler>(request("ann", None, None));
    assert!(matches!(failed, Err(CreateError::Failed(Failure::Internal(_)))));
    let failed = host.run(|| Handler::verify("my_YQ.YQ"));
    assert!(matches!(failed, Err(Failure::Internal(_))));
}

#[test]
fn an_expiry_after_the_year_9999_is_denied() {
    let host = host_at(253_402_300_799);
    assert!(matches!(host.create::<Handler>(request("ann", Some(1), None)), Err(CreateError::Denied(_))));
}

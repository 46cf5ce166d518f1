//! The handler on a test host, checked against tokens and responses recorded from Datasette 1.0a41
//! and datasette-auth-tokens 0.4a13.

use super::*;
use hmac::{Hmac, KeyInit as _, Mac as _};
use keyward_sdk::store::Token;
use keyward_sdk::testing::Host;
use keyward_sdk::{Denial, Restrictions};
use proptest::prelude::*;
use serde_json::Value;
use sha1::{Digest as _, Sha1};

const SECRET: &str = "s3cr3t-C-managed";
const NOW: u64 = 1_767_225_600;
/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Computes the plugin's signature, whose key is the SHA-1 of the salt, the word `signer` and the
/// secret.
fn mac(secret: &str, message: &[u8]) -> Vec<u8> {
    let key = Sha1::new().chain_update("dsatok").chain_update("signer").chain_update(secret).finalize();
    Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn host_with(secret: &'static str) -> Host {
    Host::new().at(NOW, 0).key("token", move |m| mac(secret, m), move |m, signature| mac(secret, m) == signature)
}

/// Creates a host with the three records of the recorded exchanges: one without expiry, one that
/// lives five minutes, one with restrictions.
fn host() -> Host {
    host_with(SECRET)
        .record(token("1"), None)
        .record(Token { expires_at: Some(NOW + 300), ..token("2") }, None)
        .record(Token { restrictions: Some(some_restrictions()), ..token("3") }, None)
}

fn token(id: &str) -> Token {
    Token {
        id: id.to_owned(),
        actor_id: "owner".to_owned(),
        restrictions: None,
        issued_at: NOW,
        expires_at: None,
        ended: None,
    }
}

fn some_restrictions() -> Restrictions {
    Restrictions {
        all: vec!["vi".to_owned()],
        database: vec![("demo".to_owned(), vec!["vt".to_owned()])],
        resource: vec![("demo".to_owned(), "foo".to_owned(), vec!["ir".to_owned()])],
    }
}

fn request(id: &str) -> CreateRequest {
    CreateRequest { actor_id: id.to_owned(), expires_after: None, restrictions: None, description: None }
}

fn verify(host: &Host, token: &str) -> Verdict {
    host.run(|| Dsatok::verify(token)).unwrap()
}

/// Returns the actor, or the reason that the token was rejected.
fn answer(host: &Host, token: &str) -> Result<String, Option<Reason>> {
    match verify(host, token) {
        Verdict::Accepted(acceptance) => Ok(acceptance.actor),
        Verdict::Rejected(rejection) => Err(Some(rejection.reason)),
        Verdict::NotMine => Err(None),
    }
}

/// Signs arbitrary bytes, as only the holder of the key can.
fn sign(payload: impl AsRef<[u8]>) -> String {
    sign_value(&URL_SAFE_NO_PAD.encode(payload))
}

fn sign_value(value: &str) -> String {
    format!("dsatok_{value}.{}", URL_SAFE_NO_PAD.encode(mac(SECRET, value.as_bytes())))
}

#[test]
fn tokens_equal_the_plugins_byte_for_byte() {
    for (secret, last, id, token) in [
        ("mysecret", None, "1", "dsatok_MQ.MFkYPjtTFT1Mq--jPlLpOjmuRqs"),
        ("mysecret", Some("1"), "2", "dsatok_Mg.waGJC7jPY7W8nzUMVeLsYOuygs8"),
        ("mysecret", Some("1233"), "1234", "dsatok_MTIzNA.rZMvFBMsV4SMWJ-Qs7pnBTceNfU"),
        (SECRET, Some("6"), "7", "dsatok_Nw.5xYc03rkYc_ee1tiJHr4ySQ-X1g"),
        (SECRET, Some("7"), "8", "dsatok_OA.lt8ZO4OllubPGG6wKG8FUooMbyg"),
        (SECRET, Some("10"), "11", "dsatok_MTE.FGOkpORsbRPQbpOusZdwNr12ZOo"),
    ] {
        let mut host = host_with(secret);
        if let Some(last) = last {
            host = host.record(self::token(last), None);
        }
        let created = host.create::<Dsatok>(request("api-user")).unwrap();
        assert_eq!((created.token.as_str(), created.token_id.as_deref()), (token, Some(id)));
        let actor = format!(r#"{{"id":"api-user","token":"dsatok","token_id":{id}}}"#);
        assert_eq!(answer(&host, token), Ok(actor));
    }
}

#[test]
fn recorded_exchanges_get_these_verdicts() {
    let owner = |id: u32| Ok(format!(r#"{{"id":"owner","token":"dsatok","token_id":{id}}}"#));
    let no = |reason| Err(Some(reason));
    for (token, want) in [
        ("dsatok_MQ.HLq7bDqux7_papQ4DtwF-rrvG-Q", owner(1)),
        ("dsatok_Mg.n7xdL7wUt3qw_krysRp0bozEd5k", owner(2)),
        ("dsatok_Mw.ryEJvF0vsWEYjeeU1Sg5W3lkwK8", owner(3)),
        // Changed signatures (the plugin accepts the one with padding), and one of another
        // namespace.
        ("dsatok_MQ.HLq7bDqux7_papQ4DtwF-rrvG-Qx", no(Reason::BadSignature)),
        ("dsatok_MQ.HLq7bDqux7_papQ4DtwF-rrvG-Q====", no(Reason::BadSignature)),
        ("dsatok_MQ.HLq7bDqux7_papQ4DtwF-rrvAAA", no(Reason::BadSignature)),
        ("dsatok_MQ.REg62mEZxYKCRsjrY0PJXZrRgCI", no(Reason::BadSignature)),
        ("dsatok_OTk5.joXfu0QK6yaHVABtVhuFo5THXGQ", no(Reason::Unknown)),
        // 0, -1.
        ("dsatok_MA.SGTKnRGWWUOBhk0AfpXuh25zlyI", no(Reason::Malformed)),
        ("dsatok_LTE.dkbOureuiQnqz0GR3YC-McLRNC4", no(Reason::Malformed)),
        // "1", 1.0 and true: the plugin accepts each as 1.
        ("dsatok_IjEi.wbYDK9a53DCpbOMzQIcXTmwXwMU", no(Reason::Malformed)),
        ("dsatok_MS4w.5-AeljInOu3_3CF4lgrcVxWNQuE", no(Reason::Malformed)),
        ("dsatok_dHJ1ZQ.WF-EK5t-LrgkA9mrY6PgHDqsQjE", no(Reason::Malformed)),
        // null, a list, an object, "x" and 2^63: the plugin fails with an internal error on the
        // list, the object and 2^63.
        ("dsatok_bnVsbA.DEhHhqz-dNUHs9UIZoaWkPMTbAg", no(Reason::Malformed)),
        ("dsatok_WzFd.Me5wmzEJzYGk2ZMnzG1hxCCaRfE", no(Reason::Malformed)),
        ("dsatok_eyJpZCI6MX0.WcShAZdy-aUcmAcq-HRtYzHPo4U", no(Reason::Malformed)),
        ("dsatok_Ingi.659-KfU-x0hmaBfM82T6ltkmekY", no(Reason::Malformed)),
        ("dsatok_OTIyMzM3MjAzNjg1NDc3NTgwOA.EF0G_quISr7E35hte93nidnfFI4", no(Reason::Malformed)),
        ("dsatok_", no(Reason::BadSignature)),
        ("MQ.HLq7bDqux7_papQ4DtwF-rrvG-Q", Err(None)),
        ("DSATOK_MQ.HLq7bDqux7_papQ4DtwF-rrvG-Q", Err(None)),
        ("dstok_garbage", Err(None)),
    ] {
        assert_eq!(answer(&host(), token), want, "{token}");
    }
    let Verdict::Accepted(acceptance) = verify(&host(), &sign("3")) else { panic!() };
    assert_eq!(acceptance.restrictions, Some(some_restrictions()));
    assert_eq!((acceptance.token_id.as_deref(), acceptance.issued_at), (Some("3"), Some(NOW)));
}

#[test]
fn a_token_expires_after_its_last_second_or_is_revoked() {
    let five_minutes = "dsatok_Mg.n7xdL7wUt3qw_krysRp0bozEd5k";
    for nanoseconds in [0, 999_999_999] {
        assert!(answer(&host().at(NOW + 300, nanoseconds), five_minutes).is_ok());
    }
    let host = host().at(NOW + 301, 0);
    assert_eq!(answer(&host, five_minutes), Err(Some(Reason::Expired)));
    host.run(|| ["1", "2"].map(store::end));
    for token in [sign("1"), sign("2")] {
        assert_eq!(answer(&host, &token), Err(Some(Reason::Revoked)));
    }
    assert!(answer(&host, &sign("3")).is_ok());
}

#[test]
fn the_signature_is_checked_first_and_an_invalid_token_costs_no_lookup() {
    let host = host();
    for payload in [
        "01",
        "+1",
        "-0",
        "00",
        "1 ",
        " 1",
        "1\n",
        "1e0",
        "",
        "١",
        "9223372036854775808",
        "-9223372036854775809",
        "0x1",
    ] {
        assert_eq!(answer(&host, &sign(payload)), Err(Some(Reason::Malformed)), "{payload}");
    }
    assert_eq!(answer(&host, &sign([0xff, b'1'])), Err(Some(Reason::Malformed)));
    // Other spellings of the value: padding, unused bits, stray characters, a zlib stream of `1`.
    for value in ["MQ==", "MR", "MQ\n", "M Q", "ä", "", ".", ".eJwzBAAAMgAy", "MQ.MQ"] {
        assert_eq!(answer(&host, &sign_value(value)), Err(Some(Reason::Malformed)), "{value}");
        let unsigned = format!("dsatok_{value}.{}", "A".repeat(27));
        assert_eq!(answer(&host, &unsigned), Err(Some(Reason::BadSignature)), "{value}");
    }
    assert_eq!(host.lookups(), 0);
    assert_eq!(answer(&host, &sign("9223372036854775807")), Err(Some(Reason::Unknown)));
}

#[test]
fn changing_any_character_invalidates_a_token() {
    let (host, token) = (host(), sign("1"));
    for at in 0..token.len() {
        for byte in 0..128_u8 {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || answer(&host, &changed).is_err(), "{changed}");
        }
        assert!(answer(&host, &token[..at]).is_err());
        assert!(answer(&host, &[&token[..at], &token[at + 1..]].concat()).is_err());
    }
    for end in ["=", "==", "A", ".", " ", "\n", "\0", "é"] {
        assert!(answer(&host, &[&token, end].concat()).is_err());
    }
}

#[test]
fn without_a_key_nothing_is_issued_and_there_is_no_verdict() {
    let host = Host::new().at(NOW, 0);
    assert!(matches!(host.create::<Dsatok>(request("ann")), Err(CreateError::Failed(Failure::Internal(_)))));
    assert_eq!(host.records(), []);
    assert!(matches!(host.run(|| Dsatok::verify(&sign("1"))), Err(Failure::Internal(_))));
}

#[test]
fn a_token_that_would_expire_after_the_year_9999_is_not_issued() {
    let ask = |seconds, expires_after| {
        let request = CreateRequest { expires_after: Some(expires_after), ..request("ann") };
        host().at(seconds, 0).create::<Dsatok>(request)
    };
    assert_eq!(ask(LAST_SECOND - 1, 1).unwrap().expires_at, Some(LAST_SECOND));
    for (seconds, expires_after) in [(LAST_SECOND, 1), (u64::MAX, u32::MAX)] {
        let Err(CreateError::Denied(denied)) = ask(seconds, expires_after) else { panic!("{seconds}") };
        assert_eq!(denied.denial, Denial::InvalidRequest);
    }
}

proptest! {
    #[test]
    fn created_tokens_verify(id in "[^\\p{Cc}]{1,40}", tied in any::<bool>(), expires_after in prop::option::of(1..u32::MAX)) {
        let host = host();
        let restrictions = tied.then(some_restrictions);
        let created = host.create::<Dsatok>(CreateRequest { expires_after, restrictions, ..request(&id) }).unwrap();
        let Verdict::Accepted(acceptance) = verify(&host, &created.token) else { panic!("{}", created.token) };
        let actor: Value = serde_json::from_str(&acceptance.actor).unwrap();
        prop_assert_eq!(actor, serde_json::json!({"id": id, "token": "dsatok", "token_id": 4}));
        prop_assert_eq!(acceptance.restrictions.is_some(), tied);
        prop_assert_eq!(acceptance.expires_at, expires_after.map(|seconds| NOW + u64::from(seconds)));
        prop_assert_eq!((acceptance.expires_at, acceptance.token_id), (created.expires_at, created.token_id));
    }

    #[test]
    fn any_text_gets_a_verdict(text in "\\PC{0,40}", value in "[A-Za-z0-9_.-]{0,40}") {
        verify(&host(), &sign(&text));
        verify(&host(), &sign_value(&value));
        verify(&host(), &format!("dsatok_{text}"));
    }
}

//! The handler on a test host.

use super::*;
use keyward_sdk::store::{Ending, Token};
use keyward_sdk::testing::Host;
use keyward_sdk::{Acceptance, Denial, Rejection, Restrictions};
use proptest::prelude::*;

const NOW: u64 = 1_767_225_600;
/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;
const PREFIX: &str = "kwt_live_";

fn host() -> Host {
    Host::new().at(NOW, 0).setting("prefix", "\"kwt_live_\"")
}

fn request(id: &str) -> CreateRequest {
    CreateRequest { actor_id: id.to_owned(), expires_after: None, restrictions: None, description: None }
}

fn create(host: &Host, request: CreateRequest) -> Created {
    host.create::<Stored>(request).unwrap()
}

fn verify(host: &Host, token: &str) -> Verdict {
    host.run(|| Stored::verify(token)).unwrap()
}

fn reason(verdict: Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Rejected(rejection) => Some(rejection.reason),
        _ => None,
    }
}

/// Appends the checksum of `text`.
fn with_crc(text: &str) -> String {
    let mut token = text.to_owned();
    push_number(&mut token, crc32(text.as_bytes()).to_be_bytes().to_vec(), CRC);
    token
}

#[test]
fn a_token_follows_the_documented_format() {
    // Computed by another program: bytes 0 to 31 as a number, zlib's CRC-32.
    let token = "kwt_live_Random0000000000000001003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2Fw3De";
    let created = create(&host(), request("ann"));
    assert_eq!(created.token, token);
    assert_eq!(created.token_id.as_deref(), Some("Random0000000000000001"));
    // A checksum with leading zeros, and the greatest numbers.
    let text = "kwt_live_0000000000000000000044003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf";
    assert_eq!(with_crc(text), format!("{text}00dqII"));
    let (mut secret, mut crc) = (String::new(), String::new());
    push_number(&mut secret, vec![255; 32], SECRET);
    push_number(&mut crc, vec![255; 4], CRC);
    assert_eq!(secret, "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    assert_eq!(crc, "4gfFC3");
    // The check value of CRC-32.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn created_tokens_verify_as_requested() {
    let host = host();
    let own = Restrictions {
        all: vec!["vi".to_owned()],
        database: vec![("docs".to_owned(), vec!["vt".to_owned()])],
        resource: vec![("docs".to_owned(), "d".to_owned(), vec![])],
    };
    let asked = CreateRequest {
        expires_after: Some(60),
        restrictions: Some(own.clone()),
        description: Some("for CI".to_owned()),
        ..request("q\"\\é")
    };
    let created = create(&host, asked);
    assert_eq!(created.expires_at, Some(NOW + 60));
    let accepted = Acceptance {
        actor: r#"{"id":"q\"\\é"}"#.to_owned(),
        restrictions: Some(own),
        token_id: created.token_id,
        issued_at: Some(NOW),
        expires_at: Some(NOW + 60),
    };
    assert_eq!(verify(&host, &created.token), Verdict::Accepted(accepted));

    let (first, second) = (create(&host, request("ann")), create(&host, request("ann")));
    assert!(first.token != second.token && first.token_id != second.token_id);
    for token in [first.token, second.token] {
        assert!(matches!(
            verify(&host, &token),
            Verdict::Accepted(Acceptance { restrictions: None, expires_at: None, .. })
        ));
    }
}

#[test]
fn a_token_expires_after_its_last_second_or_is_revoked() {
    let host = host();
    let created = create(&host, CreateRequest { expires_after: Some(60), ..request("ann") });
    let host = host.at(NOW + 60, 0);
    assert_eq!(reason(verify(&host, &created.token)), None);
    let host = host.at(NOW + 61, 0);
    assert_eq!(reason(verify(&host, &created.token)), Some(Reason::Expired));
    // Revocation takes precedence over expiry.
    host.run(|| store::end(created.token_id.as_deref().unwrap()));
    assert_eq!(reason(verify(&host, &created.token)), Some(Reason::Revoked));
    assert_eq!(host.records()[0].ended, Some(Ending::Revoked));
}

#[test]
fn an_unknown_id_and_a_wrong_secret_are_rejected_alike() {
    let host = host();
    let [first, second] = ["ann", "bob"].map(|id| create(&host, request(id)));
    let [first, second] = [&first.token, &second.token].map(|token| token.strip_prefix(PREFIX).unwrap());
    let unknown = Verdict::Rejected(Rejection { reason: Reason::Unknown, message: "Invalid token".to_owned() });
    for (id, secret) in [
        (&first[..ID], &second[ID..ID + SECRET]),
        (&second[..ID], &first[ID..ID + SECRET]),
        ("Random0000000000000009", &first[ID..ID + SECRET]),
        (&first[..ID], &"z".repeat(SECRET)),
    ] {
        assert_eq!(verify(&host, &with_crc(&[PREFIX, id, secret].concat())), unknown);
    }
    assert_eq!(host.lookups(), 4);
    // A record without a secret has no valid token.
    let token = Token {
        id: "Random0000000000000007".to_owned(),
        actor_id: "ann".to_owned(),
        restrictions: None,
        issued_at: 0,
        expires_at: None,
        ended: None,
    };
    let text = [PREFIX, &token.id, &"0".repeat(SECRET)].concat();
    assert_eq!(verify(&host.record(token, None), &with_crc(&text)), unknown);
}

#[test]
fn malformed_tokens_are_rejected_without_a_lookup() {
    let host = host();
    let token = create(&host, request("ann")).token;
    for at in PREFIX.len()..token.len() {
        for byte in 1..128_u8 {
            let mut changed = token.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed == token || reason(verify(&host, &changed)) == Some(Reason::Malformed), "{changed}");
        }
        for cut in [&token[..at], &[&token[..at], &token[at + 1..]].concat()] {
            assert_eq!(reason(verify(&host, cut)), Some(Reason::Malformed), "{cut}");
            // Cut, and with the checksum of the remaining text: one of them is the token itself.
            let longer = with_crc(cut);
            assert!(longer == token || reason(verify(&host, &longer)) == Some(Reason::Malformed), "{longer}");
        }
    }
    for end in ["=", "0", " ", "\n", "\0", "é"] {
        assert_eq!(reason(verify(&host, &[&token, end].concat())), Some(Reason::Malformed));
    }
    // A correct checksum does not help, and neither does the correct number of bytes.
    for rest in ["_".repeat(65), "é".repeat(32) + "0", "-".repeat(65), String::new()] {
        assert_eq!(reason(verify(&host, &with_crc(&[PREFIX, &rest].concat()))), Some(Reason::Malformed), "{rest}");
    }
    assert_eq!(host.lookups(), 0);
    // The checksum covers the prefix too.
    let other = Host::new().setting("prefix", "\"kwt_test_\"");
    assert_eq!(reason(verify(&other, &token.replace("live", "test"))), Some(Reason::Malformed));
    assert_eq!(other.lookups(), 0);
}

#[test]
fn another_prefix_is_not_mine() {
    let host = host();
    let token = create(&host, request("ann")).token;
    for token in
        ["", "kwt_live", &token[1..], &token.to_uppercase(), &format!(" {token}"), &token.replace("live", "test")]
    {
        assert_eq!(verify(&host, token), Verdict::NotMine, "{token}");
    }
    assert_eq!(host.lookups(), 0);
}

#[test]
fn an_invalid_prefix_fails_closed_and_is_named() {
    let long = format!("\"{}_\"", "k".repeat(40));
    for json in ["\"abcde_\"", "\"A0_b1_\"", "\"______\"", &long] {
        let host = Host::new().setting("prefix", json);
        let created = create(&host, request("ann"));
        assert!(matches!(verify(&host, &created.token), Verdict::Accepted(_)), "{json}");
    }
    for json in [
        "\"abcd_\"",
        "\"abcdef\"",
        "\"abc-d_\"",
        "\"äbcd_\"",
        "\"abcd\\u005f_\"",
        "\"\"",
        "\"",
        "null",
        "1",
        "kwt_live_",
    ] {
        let host = Host::new().setting("prefix", json);
        let Err(Failure::Internal(text)) = host.run(|| Stored::verify("kwt_live_x")) else { panic!("{json}") };
        assert!(text.contains("`prefix`"), "{text}");
        assert!(matches!(host.create::<Stored>(request("ann")), Err(CreateError::Failed(_))), "{json}");
        assert_eq!(host.records(), []);
    }
    assert!(matches!(Host::new().run(|| Stored::verify("")), Err(Failure::Internal(_))));
}

#[test]
fn a_token_that_would_expire_after_the_year_9999_is_not_issued() {
    let ask = |seconds, expires_after| {
        let request = CreateRequest { expires_after: Some(expires_after), ..request("ann") };
        host().at(seconds, 0).create::<Stored>(request)
    };
    assert_eq!(ask(LAST_SECOND - 1, 1).unwrap().expires_at, Some(LAST_SECOND));
    for (seconds, expires_after) in [(LAST_SECOND, 1), (u64::MAX, u32::MAX)] {
        let Err(CreateError::Denied(denied)) = ask(seconds, expires_after) else { panic!("{seconds}") };
        assert_eq!(denied.denial, Denial::InvalidRequest);
    }
}

proptest! {
    #[test]
    fn numbers_are_written_in_base_62(number in any::<u128>()) {
        let mut text = String::new();
        push_number(&mut text, number.to_be_bytes().to_vec(), 22);
        prop_assert_eq!(text.len(), 22);
        let value = |digit: u8| u128::from(match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            _ => digit - b'a' + 36,
        });
        prop_assert_eq!(text.bytes().fold(0_u128, |sum, digit| sum * 62 + value(digit)), number);
    }

    #[test]
    fn any_text_gets_a_verdict(rest in "\\PC{0,80}", alphanumeric in "[0-9A-Za-z]{65}") {
        verify(&host(), &format!("kwt_live_{rest}"));
        prop_assert_eq!(reason(verify(&host(), &with_crc(&format!("kwt_live_{alphanumeric}")))), Some(Reason::Unknown));
    }
}

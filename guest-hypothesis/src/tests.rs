//! The handler on a test host, with tokens as h created them.

use super::*;
use keyward_sdk::Restrictions;
use keyward_sdk::store::Token;
use keyward_sdk::testing::Host;
use proptest::prelude::*;
use serde_json::Value;

const NOW: u64 = 1_767_225_600;
const OLD: &str = "6879-31d62c13b0099456de5379de90f90395";
const NEW: &str = "6879-J7DgQIotsvtslmFzQESF0kQISimzd6o5UWWuRgyWYAY";

fn token(id: &str, actor_id: &str) -> Token {
    Token {
        id: id.to_owned(),
        actor_id: actor_id.to_owned(),
        restrictions: None,
        issued_at: NOW - 9,
        expires_at: None,
        ended: None,
    }
}

/// Creates a host with the records that h may have in its table.
fn host() -> Host {
    Host::new()
        .at(NOW, 0)
        .record(token("a", "acct:old@hypothes.is"), Some(OLD))
        .record(token("b", "acct:new@hypothes.is"), Some(NEW))
        .record(token("c", "acct:dev@hypothes.is"), Some("6879-0123456789abcdef0123456789abcdef"))
        .record(token("d", "acct:emptysuffix@hypothes.is"), Some("6879-"))
        .record(token("e", "acct:url@hypothes.is"), Some("6879-Zz_-9"))
        .record(token("f", "acct:never@hypothes.is"), Some("other-prefix"))
        .record(Token { expires_at: Some(NOW - 1), ..token("g", "acct:late@hypothes.is") }, Some("6879-late"))
        .record(Token { expires_at: Some(NOW), ..token("h", "acct:last@hypothes.is") }, Some("6879-last"))
}

fn request(id: &str) -> CreateRequest {
    CreateRequest { actor_id: id.to_owned(), expires_after: None, restrictions: None, description: None }
}

fn verify(host: &Host, token: &str) -> Verdict {
    host.run(|| Opaque::verify(token)).unwrap()
}

/// Returns the actor, or the reason that the token was rejected.
fn answer(host: &Host, token: &str) -> Result<String, Option<Reason>> {
    match verify(host, token) {
        Verdict::Accepted(acceptance) => Ok(acceptance.actor),
        Verdict::Rejected(rejection) => Err(Some(rejection.reason)),
        Verdict::NotMine => Err(None),
    }
}

#[test]
fn tokens_in_the_table_speak_for_their_users() {
    for (token, user) in [
        (OLD, "acct:old@hypothes.is"),
        (NEW, "acct:new@hypothes.is"),
        ("6879-0123456789abcdef0123456789abcdef", "acct:dev@hypothes.is"),
        ("6879-", "acct:emptysuffix@hypothes.is"),
        ("6879-Zz_-9", "acct:url@hypothes.is"),
        ("6879-last", "acct:last@hypothes.is"),
    ] {
        assert_eq!(answer(&host(), token), Ok(format!(r#"{{"id":"{user}"}}"#)), "{token}");
    }
    let Verdict::Accepted(acceptance) = verify(&host(), NEW) else { panic!() };
    assert_eq!((acceptance.token_id.as_deref(), acceptance.issued_at), (Some("b"), Some(NOW - 9)));
    assert_eq!(answer(&host(), "6879-late"), Err(Some(Reason::Expired)));
}

#[test]
fn a_token_that_is_not_in_the_table_is_refused() {
    let host = host();
    for token in ["6879-zZ_-9", "6879-Zz_-", &OLD.to_uppercase(), &NEW.to_lowercase(), &NEW[..47]] {
        assert_eq!(answer(&host, token), Err(Some(Reason::Unknown)), "{token}");
    }
    assert_eq!(host.lookups(), 5);
}

#[test]
fn malformed_tokens_are_rejected_without_a_lookup() {
    let host = host();
    let jwt = "6879-eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJpZCJ9.jO2pltgtuOLbYCY80EpXn0TU37g2mCptBMQR3rCaO50";
    for token in
        [jwt, &format!("{NEW}="), &format!("{NEW}A"), "6879-a b", "6879-é", "6879- ", "6879-\0", "6879-a.b", "6879-+/"]
    {
        assert_eq!(answer(&host, token), Err(Some(Reason::Malformed)), "{token}");
    }
    for token in [
        "",
        "6879",
        "6878-",
        "5768-mfoPT52ogx0Si7NkU8QFicj183Wz1O4OQmbNIvBhjTQ",
        "other-prefix",
        &NEW[1..],
        &format!(" {NEW}"),
    ] {
        assert_eq!(answer(&host, token), Err(None), "{token}");
    }
    assert_eq!(host.lookups(), 0);
}

#[test]
fn a_user_has_at_most_one_token() {
    let host = Host::new().at(NOW, 0);
    let create = |id: &str| host.create::<Opaque>(request(id)).unwrap();
    let (first, other) = (create("acct:ann@h"), create("acct:bob@h"));
    assert_eq!(first.token, "6879-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    assert_eq!(first.expires_at, None);
    assert_eq!(answer(&host, &first.token), Ok(r#"{"id":"acct:ann@h"}"#.to_owned()));
    let second = create("acct:ann@h");
    let verdict = verify(&host, &first.token);
    let message = "Token has been replaced by a newer one".to_owned();
    assert_eq!(verdict, Verdict::rejected(Reason::Revoked, message));
    for (created, user) in [(&second, "acct:ann@h"), (&other, "acct:bob@h")] {
        let Verdict::Accepted(acceptance) = verify(&host, &created.token) else { panic!("{user}") };
        assert_eq!(acceptance.actor, format!(r#"{{"id":"{user}"}}"#));
        assert_eq!(acceptance.token_id, created.token_id);
    }
    host.run(|| store::end(second.token_id.as_deref().unwrap()));
    let verdict = verify(&host, &second.token);
    let message = "Token has been revoked".to_owned();
    assert_eq!(verdict, Verdict::rejected(Reason::Revoked, message));
}

#[test]
fn unsupported_terms_are_refused_and_a_note_is_kept() {
    let host = Host::new().at(NOW, 0);
    let nothing = Restrictions { all: vec![], database: vec![], resource: vec![] };
    for request in [
        CreateRequest { expires_after: Some(60), ..request("ann") },
        CreateRequest { restrictions: Some(nothing), ..request("ann") },
    ] {
        let Err(CreateError::Denied(denied)) = host.create::<Opaque>(request) else { panic!() };
        assert_eq!(denied.denial, Denial::InvalidRequest);
    }
    assert_eq!(host.records(), []);
    let noted = CreateRequest { description: Some("for the importer".to_owned()), ..request("ann") };
    assert!(host.create::<Opaque>(noted).is_ok());
}

proptest! {
    #[test]
    fn any_text_gets_a_verdict(rest in "\\PC{0,60}", shaped in "[A-Za-z0-9_-]{6,43}") {
        verify(&host(), &format!("6879-{rest}"));
        prop_assert_eq!(answer(&host(), &format!("6879-{shaped}")), Err(Some(Reason::Unknown)));
    }

    #[test]
    fn an_id_is_written_as_json(id in "[^\\p{Cc}]{1,40}") {
        let host = Host::new();
        let created = host.create::<Opaque>(request(&id)).unwrap();
        let actor: Value = serde_json::from_str(&answer(&host, &created.token).unwrap()).unwrap();
        prop_assert_eq!(actor, serde_json::json!({"id": id}));
    }
}

//! The handler on a test host.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::public_keys::Algorithm;
use keyward_sdk::testing::Host;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: u64 = 1_767_225_600;

/// A host whose ring `hs` signs with the text `hs`, and whose key set `idp` has one key `1`, for
/// ES256, that signs with the text `es`.
fn host(issuers: &Value) -> Host {
    Host::new()
        .at(NOW, 0)
        .setting("issuers", &issuers.to_string())
        .key("hs", |_| b"hs".to_vec(), |_, signature| signature == b"hs")
        .public_keys("idp", |key_id, algorithm, _, signature| match (key_id, algorithm) {
            (Some("away"), _) => Err(PublicKeyError::Unavailable),
            (None | Some("1"), Algorithm::Es256) => Ok(signature == b"es"),
            (None | Some("1"), _) => Err(PublicKeyError::WrongAlgorithm),
            _ => Err(PublicKeyError::NoSuchKey),
        })
}

fn issuers() -> Value {
    json!([
        { "iss": "https://idp", "public_keys": "idp", "algorithms": ["ES256", "RS256"], "aud": "api" },
        { "iss": "hs", "key": "hs", "algorithms": ["HS256"], "aud": ["api", "other"] },
    ])
}

fn claims() -> Value {
    json!({ "iss": "https://idp", "aud": "api", "sub": "ann", "exp": NOW + 600, "iat": NOW - 60 })
}

fn encoded(header: &str, payload: &str, signature: &[u8]) -> String {
    [header.as_bytes(), payload.as_bytes(), signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

/// Returns a token that the key `1` has signed.
fn token(claims: &Value) -> String {
    encoded(r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#, &claims.to_string(), b"es")
}

fn verify(token: &str) -> Result<Verdict, Failure> {
    host(&issuers()).run(|| Jwt::verify(token))
}

fn accepted(verdict: Result<Verdict, Failure>) -> keyward_sdk::Acceptance {
    match verdict {
        Ok(Verdict::Accepted(acceptance)) => acceptance,
        other => panic!("{other:?}"),
    }
}

fn reason(verdict: Result<Verdict, Failure>) -> Reason {
    match verdict {
        Ok(Verdict::Rejected(rejection)) => rejection.reason,
        other => panic!("{other:?}"),
    }
}

/// Returns the claims with some of them changed; null removes one.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

#[test]
fn a_valid_token_is_accepted() {
    let acceptance = accepted(verify(&token(&claims())));
    assert_eq!(acceptance.actor, r#"{"id":"ann"}"#);
    assert_eq!((acceptance.issued_at, acceptance.expires_at), (Some(NOW - 60), Some(NOW + 600 + 59)));
    assert_eq!(acceptance.restrictions, None);
}

#[test]
fn text_without_the_prefix_is_not_a_token() {
    for text in ["", "ey", "6879-x", "dstok_eyJ", " eyJ"] {
        assert!(matches!(verify(text), Ok(Verdict::NotMine)), "{text}");
    }
}

/// Each line: a header, or a whole token.
#[test]
fn forms_that_parsers_read_differently_are_rejected() {
    let payload = claims().to_string();
    let valid = token(&claims());
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let mut wrong: Vec<String> = [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":"ES256","kid":1}"#,
        r#"{"alg":"ES256","typ":["JWT"]}"#,
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"ES256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"ES256","b64":false}"#,
        r#"{"alg":"ES256","enc":"A256GCM"}"#,
        r#"{"alg":"ES256","zip":"DEF"}"#,
        r#"{"alg":"ES256","cty":"jwt"}"#,
        r#"{"alg":"ES256","typ":"dpop+jwt"}"#,
        r#"{"alg":"ES256","typ":"logout+jwt"}"#,
        r#"{"alg":"ES256"} x"#,
        "{\"alg\":\"ES256\"\u{0}}",
    ]
    .map(|header| encoded(header, &payload, b"es"))
    .to_vec();
    wrong.extend(
        ["[]", "1", "\"x\"", "null", "", "{", r#"{"iss":"https://idp","iss":"https://idp"}"#]
            .map(|payload| encoded(r#"{"alg":"ES256"}"#, payload, b"es")),
    );
    wrong.extend([
        signed.to_owned(),
        format!("{signed}."),
        format!("{valid}."),
        format!("{valid}.x.y"),
        format!("{signed}.{signature}="),
        format!("{signed}.{signature} "),
        format!("{signed}.A"),
        "eyJ".to_owned(),
        "eyJ..".to_owned(),
    ]);
    for token in wrong {
        assert_eq!(reason(verify(&token)), Reason::Malformed, "{token}");
    }
}

#[test]
fn objects_are_nested_at_most_ten_levels_deep() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |levels: usize| {
            let claims = claims().to_string();
            let value = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            // Brackets in a string do not nest.
            let more = format!(r#"{{"x":{value},"y":"[[[[[[[[[[[[\"[[[[","#);
            verify(&encoded(r#"{"alg":"ES256"}"#, &claims.replacen('{', &more, 1), b"es"))
        };
        accepted(nested(9));
        for levels in [10, 11, 30, 1_000] {
            assert_eq!(reason(nested(levels)), Reason::Malformed, "{levels}");
        }
    }
}

#[test]
fn a_key_signs_with_its_own_algorithm_only() {
    let payload = claims().to_string();
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256", "RS256", "ES256K", "es256", "ES384", "EdDSA"] {
        for signature in [&b"es"[..], b"hs", b"\0"] {
            let token = encoded(&format!(r#"{{"alg":"{algorithm}","kid":"1"}}"#), &payload, signature);
            assert_eq!(reason(verify(&token)), Reason::BadSignature, "{algorithm}");
        }
    }
    // The header's own keys are ignored.
    for header in [
        r#"{"alg":"ES256","jwk":{"kty":"oct","k":"AAAA"},"jku":"https://evil","x5u":"https://evil","x5c":["AAAA"]}"#,
        r#"{"alg":"ES256","kid":"1"}"#,
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"ES256","typ":"application/at+JWT"}"#,
    ] {
        assert!(matches!(verify(&encoded(header, &payload, b"es")), Ok(Verdict::Accepted(_))), "{header}");
        assert_eq!(reason(verify(&encoded(header, &payload, b"xx"))), Reason::BadSignature);
    }
    for id in ["2", "", "../../dev/null", "' OR 1=1 --", "1\\u0000"] {
        let token = encoded(&format!(r#"{{"alg":"ES256","kid":"{id}"}}"#), &payload, b"es");
        assert_eq!(reason(verify(&token)), Reason::BadSignature, "{id}");
    }
}

#[test]
fn the_issuer_decides_which_keys_verify() {
    let signed = |iss: &str, header: &str, signature: &[u8]| {
        encoded(header, &with(json!({ "iss": iss })).to_string(), signature)
    };
    let (es, hs) = (r#"{"alg":"ES256"}"#, r#"{"alg":"HS256"}"#);
    assert!(matches!(verify(&signed("hs", hs, b"hs")), Ok(Verdict::Accepted(_))));
    // A key of the other issuer.
    for (iss, header, signature) in [("hs", es, &b"es"[..]), ("https://idp", hs, b"hs"), ("hs", hs, b"es")] {
        assert_eq!(reason(verify(&signed(iss, header, signature))), Reason::BadSignature);
    }
    for iss in ["https://idp/", "HTTPS://IDP", "https://other", ""] {
        assert_eq!(reason(verify(&signed(iss, es, b"es"))), Reason::Unknown, "{iss}");
    }
    assert_eq!(reason(verify(&token(&with(json!({ "iss": null }))))), Reason::Unknown);
    assert_eq!(reason(verify(&token(&with(json!({ "iss": ["https://idp"] }))))), Reason::Malformed);
}

#[test]
fn an_unavailable_key_set_is_no_verdict() {
    let token = encoded(r#"{"alg":"ES256","kid":"away"}"#, &claims().to_string(), b"es");
    assert!(matches!(verify(&token), Err(Failure::Unavailable(_))));
}

#[test]
fn times_are_compared_with_the_leeway() {
    let at = |changes| verify(&token(&with(changes)));
    for (changes, wanted) in [
        (json!({ "exp": NOW - 59 }), None),
        (json!({ "exp": NOW as f64 - 59.5 }), None),
        (json!({ "exp": NOW - 60 }), Some(Reason::Expired)),
        (json!({ "exp": 0 }), Some(Reason::Expired)),
        (json!({ "exp": 253_402_300_799_u64 }), None),
        (json!({ "exp": 253_402_300_800_u64 }), Some(Reason::Malformed)),
        (json!({ "exp": 1e300 }), Some(Reason::Malformed)),
        (json!({ "exp": -1 }), Some(Reason::Malformed)),
        (json!({ "exp": (NOW + 600).to_string() }), Some(Reason::Malformed)),
        (json!({ "exp": [NOW + 600] }), Some(Reason::Malformed)),
        (json!({ "exp": true }), Some(Reason::Malformed)),
        (json!({ "exp": null }), Some(Reason::Malformed)),
        (json!({ "nbf": NOW + 60 }), None),
        (json!({ "nbf": NOW as f64 + 60.5 }), Some(Reason::NotYetValid)),
        (json!({ "nbf": "x" }), Some(Reason::Malformed)),
        (json!({ "iat": NOW + 60 }), None),
        (json!({ "iat": NOW + 61 }), Some(Reason::NotYetValid)),
        (json!({ "iat": "x" }), Some(Reason::Malformed)),
        (json!({ "iat": null }), None),
    ] {
        match wanted {
            None => drop(accepted(at(changes))),
            Some(wanted) => assert_eq!(reason(at(changes.clone())), wanted, "{changes}"),
        }
    }
    assert_eq!(accepted(at(json!({ "iat": NOW + 30 }))).issued_at, Some(NOW), "the issuer's clock is ahead");
    assert_eq!(accepted(at(json!({ "exp": NOW as f64 + 0.5 }))).expires_at, Some(NOW + 60));
}

#[test]
fn the_audience_and_the_subject_are_required() {
    let at = |changes| verify(&token(&with(changes)));
    accepted(at(json!({ "aud": ["x", "api"] })));
    for (changes, wanted) in [
        (json!({ "aud": null }), Reason::Unknown),
        (json!({ "aud": "other" }), Reason::Unknown),
        (json!({ "aud": "api " }), Reason::Unknown),
        (json!({ "aud": [] }), Reason::Unknown),
        (json!({ "aud": ["api", 5] }), Reason::Malformed),
        (json!({ "aud": { "api": true } }), Reason::Malformed),
        (json!({ "sub": null }), Reason::Malformed),
        (json!({ "sub": "" }), Reason::Malformed),
        (json!({ "sub": ["ann"] }), Reason::Malformed),
        (json!({ "sub": 7 }), Reason::Malformed),
        (json!({ "jti": 7 }), Reason::Malformed),
    ] {
        assert_eq!(reason(at(changes.clone())), wanted, "{changes}");
    }
}

#[test]
fn claims_may_be_optional_if_the_operator_says_so() {
    let issuer = json!([{
        "iss": "https://idp", "public_keys": "idp", "algorithms": ["ES256"], "actor": "email",
        "dangerous_optional": ["iss", "aud", "exp", "sub"],
    }]);
    let run = |claims: Value| host(&issuer).run(|| Jwt::verify(&token(&claims)));
    let acceptance = accepted(run(json!({ "email": "ann@example.com" })));
    assert_eq!((acceptance.actor.as_str(), acceptance.expires_at), (r#"{"id":"ann@example.com"}"#, None));
    assert_eq!(reason(run(json!({ "email": "ann@example.com", "aud": "any" }))), Reason::Unknown);
    assert_eq!(reason(run(json!({ "sub": "ann" }))), Reason::Malformed, "without the actor's claim");
    assert_eq!(reason(run(json!({ "email": "", "sub": "ann" }))), Reason::Malformed);
}

#[test]
fn lifetimes_and_types_may_be_bounded() {
    let mut list = issuers();
    list[0]["max_lifetime"] = 660.into();
    list[0]["typ"] = "at+jwt".into();
    let run = |header: &str, changes: Value| {
        host(&list).run(|| Jwt::verify(&encoded(header, &with(changes).to_string(), b"es")))
    };
    let typed = r#"{"alg":"ES256","typ":"AT+jwt"}"#;
    accepted(run(typed, json!({})));
    for changes in [json!({ "exp": NOW + 601 }), json!({ "iat": null })] {
        assert_eq!(reason(run(typed, changes)), Reason::Malformed);
    }
    for header in [r#"{"alg":"ES256","typ":"JWT"}"#, r#"{"alg":"ES256"}"#, r#"{"alg":"ES256","typ":"xat+jwt"}"#] {
        assert_eq!(reason(run(header, json!({}))), Reason::Malformed);
    }
}

#[test]
fn claims_are_copied_and_scopes_restrict() {
    let mut list = issuers();
    list[0]["claims"] = json!(["name", "groups", "id", "absent"]);
    list[0]["scopes"] = json!({ "actions": { "read": ["vi", "vt"], "write": ["vt", "ir"] } });
    let run = |changes| accepted(host(&list).run(|| Jwt::verify(&token(&with(changes)))));
    let acceptance =
        run(json!({ "name": "Ann \u{1f600}", "groups": ["a"], "id": "root", "scope": "read  write other" }));
    let actor: Value = serde_json::from_str(&acceptance.actor).unwrap();
    assert_eq!(actor, json!({ "id": "ann", "name": "Ann \u{1f600}", "groups": ["a"] }));
    assert_eq!(acceptance.restrictions.unwrap().all, ["vi", "vt", "ir"]);
    for scope in [Value::Null, json!(""), json!("other"), json!([]), json!("Read")] {
        let restrictions = run(json!({ "scope": scope })).restrictions.unwrap();
        assert_eq!((restrictions.all.len(), restrictions.database.len(), restrictions.resource.len()), (0, 0, 0));
    }
    assert_eq!(run(json!({ "scope": ["write"] })).restrictions.unwrap().all, ["vt", "ir"]);
    let verdict = host(&list).run(|| Jwt::verify(&token(&with(json!({ "scope": { "read": true } })))));
    assert_eq!(reason(verdict), Reason::Malformed);
}

#[test]
fn a_token_id_names_what_is_signed() {
    let id = |token: &str| accepted(verify(token)).token_id.unwrap();
    let signed = |header: &str, changes: Value| encoded(header, &with(changes).to_string(), b"es");
    let (one, two) = (r#"{"alg":"ES256"}"#, r#"{"alg":"ES256","kid":"1"}"#);
    assert_ne!(id(&signed(one, json!({}))), id(&signed(two, json!({}))));
    assert_eq!(id(&signed(one, json!({ "jti": "a" }))), id(&signed(two, json!({ "jti": "a", "x": 1 }))));
    assert_ne!(id(&signed(one, json!({ "jti": "a" }))), id(&signed(one, json!({ "jti": "b" }))));
    assert_eq!(id(&signed(one, json!({}))).len(), 43);
}

fn request(expires_after: Option<u32>) -> CreateRequest {
    CreateRequest { actor_id: "ann".to_owned(), expires_after, restrictions: None, description: None }
}

#[test]
fn an_issued_token_verifies_until_its_requested_end() {
    let mut list = issuers();
    list[1]["issues"] = true.into();
    for (lifetime, seconds) in [(None, 3_600), (Some(1), 1), (Some(86_400), 86_400)] {
        let host = host(&list).signing_key("hs", "2026-11", "HS256");
        let Ok(created) = host.create::<Jwt>(request(lifetime)) else { panic!("{lifetime:?}") };
        let acceptance = accepted(host.run(|| Jwt::verify(&created.token)));
        assert_eq!(acceptance.actor, r#"{"id":"ann"}"#);
        assert_eq!((acceptance.token_id, acceptance.expires_at), (created.token_id, created.expires_at));
        assert_eq!((acceptance.issued_at, created.expires_at), (Some(NOW), Some(NOW + seconds - 1)));
        let part = |at| {
            let part = created.token.split('.').nth(at).unwrap();
            serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(part(0), json!({ "alg": "HS256", "kid": "2026-11", "typ": "JWT" }));
        let mut claims = part(1);
        assert_eq!(claims["jti"].take().as_str().unwrap().len(), 22);
        let wanted = json!({ "iss": "hs", "sub": "ann", "iat": NOW, "exp": NOW + seconds, "jti": null, "aud": "api" });
        assert_eq!(claims, wanted);
    }
}

#[test]
fn what_a_token_cannot_carry_is_refused() {
    let create = |list: &Value, request, algorithm| host(list).signing_key("hs", "1", algorithm).create::<Jwt>(request);
    let denial = |result: Result<Created, CreateError>| match result {
        Err(CreateError::Denied(denied)) => denied.denial,
        other => panic!("{other:?}"),
    };
    assert_eq!(denial(create(&issuers(), request(None), "HS256")), Denial::Disabled);
    let mut list = issuers();
    list[1]["issues"] = true.into();
    let restrictions = keyward_sdk::Restrictions { all: Vec::new(), database: Vec::new(), resource: Vec::new() };
    let restricted = CreateRequest { restrictions: Some(restrictions), ..request(None) };
    assert_eq!(denial(create(&list, restricted, "HS256")), Denial::InvalidRequest);
    assert!(matches!(create(&list, request(None), "HS512"), Err(CreateError::Failed(_))), "another algorithm");
}

#[test]
fn wrong_settings_are_the_operators_mistake() {
    let good = issuers();
    let mut wrong = vec![json!({}), json!([1]), json!("x")];
    for (name, value) in [
        ("algorithms", json!([])),
        ("algorithms", json!(["none"])),
        ("algorithms", json!(["HS256"])),
        ("algorithms", json!(["ES256", "ES512"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("key", json!("hs")),
        ("public_keys", Value::Null),
        ("leeway", json!(-1)),
        ("iss", json!("hs")),
        ("unknown", json!(1)),
        ("dangerous_optional", json!(["nbf"])),
        ("issues", json!(true)),
    ] {
        let mut list = good.clone();
        list[0][name] = value;
        wrong.push(list);
    }
    let mut ring = good.clone();
    ring[1]["algorithms"] = json!(["ES256"]);
    wrong.push(ring);
    let mut two = good.clone();
    two[1]["algorithms"] = json!(["HS256", "HS512"]);
    wrong.push(two);
    for list in wrong {
        let verdict = host(&list).run(|| Jwt::verify(&token(&claims())));
        assert!(matches!(&verdict, Err(Failure::Internal(text)) if text.contains("issuers")), "{list}: {verdict:?}");
    }
    assert!(matches!(Host::new().run(|| Jwt::verify(&token(&claims()))), Err(Failure::Internal(_))));
}

proptest! {
    #[test]
    fn no_text_is_accepted_or_panics(text in "eyJ[0-9A-Za-z_.-]{0,200}") {
        prop_assert!(matches!(verify(&text), Ok(Verdict::Rejected(_))));
    }

    #[test]
    fn no_other_character_makes_a_valid_token(at in 0..300_usize, with in "[0-9A-Za-z_.=+/ -]") {
        let valid = token(&claims());
        let mut changed: Vec<char> = valid.chars().collect();
        let at = at % changed.len();
        let with = with.chars().next().unwrap();
        prop_assume!(changed[at] != with);
        changed[at] = with;
        let changed: String = changed.into_iter().collect();
        // The test's signature does not cover the text; what is accepted is a token in its one
        // spelling.
        if let Ok(Verdict::Accepted(_)) = verify(&changed) {
            for part in changed.split('.') {
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(part).unwrap()), part);
            }
        }
    }
}

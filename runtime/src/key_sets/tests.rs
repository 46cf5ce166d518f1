use super::*;

/// RFC 7638 section 3.1.
const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
/// RFC 8037 appendix A.2.
const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn jwks(text: &str) -> Result<KeySet, KeySetError> {
    KeySet::new("idp").with_jwks(text, None)
}

fn error(text: &str) -> String {
    jwks(text).unwrap_err().to_string()
}

#[test]
fn keys_have_their_id_or_their_thumbprint() {
    let ids = |text: &str| jwks(text).unwrap().keys().map(|(id, _)| id.to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(RSA), ["2011-04-29"]);
    let without = RSA.replace(r#","kid":"2011-04-29""#, "");
    assert_eq!(ids(&without), ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]);
    // RFC 8037 appendix A.3.
    assert_eq!(ids(ED25519), ["kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"]);
    assert_eq!(ids(&format!(r#"{{"keys":[{RSA},{ED25519}]}}"#)).len(), 2);
}

#[test]
fn each_key_has_one_algorithm() {
    let algorithms = |set: KeySet| set.keys().map(|(_, algorithm)| algorithm).collect::<Vec<_>>();
    assert_eq!(algorithms(jwks(RSA).unwrap()), [Algorithm::Rs256]);
    assert_eq!(algorithms(jwks(ED25519).unwrap()), [Algorithm::EdDsa]);
    let unnamed = RSA.replace(r#""alg":"RS256","#, "");
    assert!(error(&unnamed).contains("names no algorithm"));
    let set = KeySet::new("idp").with_jwks(&unnamed, Some(Algorithm::Ps384)).unwrap();
    assert_eq!(algorithms(set), [Algorithm::Ps384]);
    for wrong in ["ES256", "EdDSA"] {
        assert!(error(&RSA.replace("RS256", wrong)).contains("does not match its type"));
    }
    for unknown in ["HS256", "none", "RS1", "rs256", ""] {
        assert!(error(&RSA.replace("RS256", unknown)).contains("not supported"), "{unknown}");
    }
}

#[test]
fn only_public_keys_for_signatures_are_used() {
    for (from, to) in [
        (r#""kty""#, r#""use":"enc","kty""#),
        (r#""kty""#, r#""key_ops":["sign"],"kty""#),
        ("RSA", "oct"),
        (r#""AQAB""#, r#""AQ""#),
        (r#""AQAB""#, r#""AQAA""#),
        (r#""AQAB""#, r#""AQAB=""#),
        (r#""0vx7"#, r#""AAAA"#),
        (r#""0vx7agoe"#, r#""0vx7agoe+"#),
        (r#""2011-04-29""#, "7"),
    ] {
        let text = RSA.replace(from, to);
        assert!(matches!(jwks(&text), Err(KeySetError::NoneUsable(_))), "{to}");
        // Beside another key, such a key is left out.
        assert_eq!(jwks(&format!(r#"{{"keys":[{text},{ED25519}]}}"#)).unwrap().keys().count(), 1, "{to}");
    }
    for (member, kind) in [("d", "private"), ("k", "symmetric")] {
        let text = RSA.replace(r#""kty""#, &format!(r#""{member}":"AQAB","kty""#));
        let unreadable = text.replace("RSA", "oct").replace(r#""kty""#, r#""kind""#);
        for text in [text.clone(), unreadable, format!(r#"{{"keys":[{ED25519},{text}]}}"#)] {
            assert!(matches!(jwks(&text), Err(KeySetError::NotPublic(found)) if found == kind));
        }
    }
}

/// The key ids of a set tell its keys apart, unless a key occurs twice.
#[test]
fn an_id_belongs_to_one_key() {
    let other = ED25519.replace("11qY", "22qY");
    let named = |key: &str| key.replace('{', r#"{"kid":"a","#);
    let set = |keys: &[&str]| jwks(&format!(r#"{{"keys":[{}]}}"#, keys.join(",")));
    assert_eq!(set(&[&named(ED25519), &named(&other)]).unwrap_err(), KeySetError::SameId("a".to_owned()));
    assert_eq!(set(&[&named(ED25519), &named(ED25519)]).unwrap().keys().count(), 1);
    assert_eq!(set(&[ED25519, &other]).unwrap().keys().count(), 2);
    let of_two_types = RSA.replace("2011-04-29", "a");
    assert_eq!(set(&[&named(ED25519), &of_two_types]).unwrap().keys().count(), 2, "the algorithm tells them apart");
}

#[test]
fn short_rsa_keys_are_refused() {
    let key = |n: &[u8]| {
        use base64::Engine as _;
        let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(n);
        jwks(&format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256"}}"#))
    };
    assert!(key(&[&[0x7f], &[1; 255][..]].concat()).unwrap_err().to_string().contains("2047 bits"));
    assert!(key(&[0x80; 256]).is_ok());
    assert!(key(&[0x80; 1024]).is_ok());
    assert!(key(&[&[1], &[1; 1024][..]].concat()).unwrap_err().to_string().contains("8193 bits"));
    assert!(key(&[]).is_err());
}

#[test]
fn a_set_is_json_that_has_one_reading() {
    for text in ["", "[]", "null", "{", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[1]}"#, "{}"] {
        assert!(jwks(text).is_err(), "{text}");
    }
    let twice = RSA.replace(r#""kty""#, r#""n":"AQAB","kty""#);
    assert!(matches!(jwks(&twice), Err(KeySetError::NotJwk(_))));
    let many: Vec<_> = (0..65).map(|id| ED25519.replace('{', &format!(r#"{{"kid":"{id}","#))).collect();
    let many = many.join(",");
    assert!(matches!(jwks(&format!(r#"{{"keys":[{many}]}}"#)), Err(KeySetError::TooMany(65))));
}

#[test]
fn a_key_verifies_only_with_its_own_algorithm_and_id() {
    let set = Arc::new(jwks(&format!(r#"{{"keys":[{RSA},{ED25519}]}}"#)).unwrap());
    let grant = KeySetGrant::new(set, [Algorithm::Rs256, Algorithm::Rs512]);
    let found = |id, algorithm| grant.candidates(id, algorithm, Instant::now()).map(|keys| keys.len());
    assert_eq!(found(None, Algorithm::Rs256), Ok(1));
    assert_eq!(found(Some("2011-04-29"), Algorithm::Rs256), Ok(1));
    assert_eq!(found(Some("2011-04-30"), Algorithm::Rs256), Err(NoKey::NoSuchKey));
    assert_eq!(found(Some(""), Algorithm::Rs256), Err(NoKey::NoSuchKey));
    assert_eq!(found(Some("2011-04-29"), Algorithm::Rs512), Err(NoKey::WrongAlgorithm));
    assert_eq!(found(None, Algorithm::Rs512), Err(NoKey::WrongAlgorithm));
    assert_eq!(found(None, Algorithm::EdDsa), Err(NoKey::WrongAlgorithm), "it is not granted");
    let none = KeySetGrant::new(Arc::new(KeySet::new("empty")), Algorithm::ALL);
    assert_eq!(none.candidates(None, Algorithm::Rs256, Instant::now()).map(|keys| keys.len()), Err(NoKey::NoSuchKey));
}

/// RFC 8037 appendix A.4.
#[test]
fn the_example_of_rfc_8037_verifies() {
    let set = jwks(ED25519).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    use base64::Engine as _;
    let mut signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(set.keys[0].verify(message, &signature));
    signature[0] ^= 1;
    assert!(!set.keys[0].verify(message, &signature));
    assert!(!set.keys[0].verify(message, &[]));
}

const PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

#[test]
fn pem_and_jwk_of_a_key_are_the_same() {
    let pem = KeySet::new("idp").with_pem(PEM, None).unwrap();
    let jwk = jwks(ED25519).unwrap();
    assert_eq!(pem.keys().collect::<Vec<_>>(), jwk.keys().collect::<Vec<_>>());
    assert_eq!(pem.keys[0].material, jwk.keys[0].material);
    let both = KeySet::new("idp").with_pem(&format!("{PEM}{PEM}"), Some(Algorithm::Rs256)).unwrap();
    assert_eq!(
        both.keys().map(|(_, algorithm)| algorithm).collect::<Vec<_>>(),
        [Algorithm::EdDsa],
        "a key is added once"
    );
}

#[test]
fn other_sections_of_pem_are_refused() {
    let pem = |text: &str| KeySet::new("idp").with_pem(text, None).unwrap_err();
    assert_eq!(pem(""), KeySetError::NotPem);
    assert_eq!(pem(RSA), KeySetError::NotPem);
    assert_eq!(pem(&PEM.replace("PUBLIC KEY", "CERTIFICATE")), KeySetError::NotPem);
    assert_eq!(pem(&PEM.replace("PUBLIC KEY", "PRIVATE KEY")), KeySetError::NotPublic("private"));
    assert_eq!(pem(&PEM.replace("PUBLIC KEY", "RSA PRIVATE KEY")), KeySetError::NotPublic("private"));
    assert!(matches!(pem(&PEM.replace("MCow", "MCkw")), KeySetError::NoneUsable(_)));
    assert_eq!(pem(&PEM.replace("MCow", "!!!!")), KeySetError::NotPem);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}", at in 0..400_usize, with in "\\PC{0,3}") {
        let _ = (jwks(&text), KeySet::new("").with_pem(&text, None));
        let mut changed = RSA.to_owned();
        changed.insert_str(at.min(RSA.len()), &with);
        let _ = jwks(&changed);
        let mut changed = PEM.to_owned();
        changed.insert_str(at.min(PEM.len()), &with);
        let _ = KeySet::new("").with_pem(&changed, None);
    }
}

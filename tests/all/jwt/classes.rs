//! The classes of Project Wycheproof's JOSE files, `json_web_signature` and `json_web_key`, each
//! with a token or a key of our own. Signatures that are altered as numbers or in their padding are
//! in `wycheproof.rs`, which runs every case of the files for RSA, ECDSA, EdDSA and HMAC.

use super::incidents::{ES256, Issuer, SECRET, World, claims, encode, hs256, token};
use super::{NOW, handler, registry, ring, set};
use keyward_runtime::key_sets::KeySet;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Registry, RuntimeLimits, Verdict};
use serde_json::{Value, json};
use std::sync::Arc;

/// The three parts of a valid token.
#[derive(Clone)]
struct Parts {
    header: String,
    payload: String,
    signature: String,
}

impl Parts {
    fn of(token: &str) -> Self {
        let [header, payload, signature] = token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        Self { header, payload, signature }
    }
}

/// Replaces the character at a place.
fn at(text: &str, place: usize, with: &str) -> String {
    format!("{}{with}{}", &text[..place], &text[place + 1..])
}

/// Adds 1 to the last character, which changes only bits that are not part of a byte.
fn unused_bits(text: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    assert_ne!(text.len() % 4, 0, "no bits are unused");
    format!("{rest}{}", &DIGITS[DIGITS.find(last).unwrap() + 1..][..1])
}

/// A class of altered tokens, with the change.
type Class = (&'static str, fn(&Parts) -> String);

const TOKENS: &[Class] = &[
    ("rejectsModifiedSignature", |p| {
        format!(
            "{}.{}.{}",
            p.header,
            p.payload,
            at(&p.signature, 0, if p.signature.starts_with('A') { "B" } else { "A" })
        )
    }),
    ("rejectsMissingSignature", |p| format!("{}.{}.", p.header, p.payload)),
    ("rejectsMissingSignatureAndSeparator", |p| format!("{}.{}", p.header, p.payload)),
    ("rejectsModifiedPayload", |p| {
        format!(
            "{}.{}.{}",
            p.header,
            encode(json!({ "iss": "https://one", "aud": "api", "sub": "bob", "exp": NOW + 600 }).to_string()),
            p.signature
        )
    }),
    ("rejectsMissingPayload", |p| format!("{}..{}", p.header, p.signature)),
    ("rejectsMissingPayloadAndSeparator", |p| format!("{}.{}", p.header, p.signature)),
    ("rejectsModifiedHeader", |p| {
        format!("{}.{}.{}", encode(r#"{"alg":"ES256","kid":"1","x":1}"#), p.payload, p.signature)
    }),
    ("rejectsMissingHeader", |p| format!(".{}.{}", p.payload, p.signature)),
    ("rejectsMissingHeaderAndSeparator", |p| format!("{}.{}", p.payload, p.signature)),
    ("rejectsMissingHeaderAndSignature", |p| format!(".{}.", p.payload)),
    ("rejectsMissingHeaderSignatureAndSeparators", |p| p.payload.clone()),
    ("rejectsEmptyString", |_| String::new()),
    ("rejectsExtraEmptyComponent", |p| format!("{}.{}.{}.", p.header, p.payload, p.signature)),
    ("rejectsExtraComponent", |p| format!("{}.{}.{}.foo", p.header, p.payload, p.signature)),
    ("rejectsNoneAlgorithmAndMissingSignature", |p| {
        format!("{}.{}.", encode(r#"{"alg":"none","kid":"1"}"#), p.payload)
    }),
    ("algIsNone", |p| format!("{}.{}.{}", encode(r#"{"alg":"none"}"#), p.payload, p.signature)),
    ("rejectsValidJsonSerialization", |p| {
        json!({ "payload": p.payload, "signatures": [{ "protected": p.header, "signature": p.signature }] }).to_string()
    }),
    ("rejectsSpacesInMac", |p| format!("{}.{}.{}", p.header, p.payload, at(&p.signature, 4, " "))),
    ("rejectsInvalidCharacterInsertedInMac", |p| {
        format!("{}.{}.{}?{}", p.header, p.payload, &p.signature[..4], &p.signature[4..])
    }),
    ("rejectsInvalidCharacters", |p| format!("{}.{}.{}", p.header, p.payload, at(&p.signature, 4, "\u{0}"))),
    ("theOtherAlphabetInMac", |p| format!("{}.{}.{}", p.header, p.payload, at(&p.signature, 4, "+"))),
    ("spacesInHeader", |p| format!("{} {}.{}.{}", &p.header[..8], &p.header[8..], p.payload, p.signature)),
    ("invalidCharactersInHeader", |p| format!("{}!{}.{}.{}", &p.header[..8], &p.header[8..], p.payload, p.signature)),
    ("invalidBase64Padding", |p| format!("{}=.{}.{}", p.header, p.payload, p.signature)),
    ("paddedMac", |p| format!("{}.{}.{}==", p.header, p.payload, p.signature)),
    ("spacesInPayload", |p| format!("{}.{} {}.{}", p.header, &p.payload[..8], &p.payload[8..], p.signature)),
    ("invalidCharactersInPayload", |p| {
        format!("{}.{}\u{7f}{}.{}", p.header, &p.payload[..8], &p.payload[8..], p.signature)
    }),
    ("invalidBase64PaddingInPayload", |p| format!("{}.{}==.{}", p.header, p.payload, p.signature)),
    ("ModifiedUnusedBitsInMac", |p| format!("{}.{}.{}", p.header, p.payload, unused_bits(&p.signature))),
    ("SignatureTooLong", |p| format!("{}.{}.{}AAAA", p.header, p.payload, p.signature)),
    ("truncatedSignature", |p| format!("{}.{}.{}", p.header, p.payload, &p.signature[..p.signature.len() - 4])),
];

/// Returns the id of the actor of a valid token, or `None`.
fn accepted(registry: &Registry, token: &str) -> Option<String> {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(token)) => Some(token.actor_ignoring_restrictions().id().unwrap().as_str().to_owned()),
        Ok(_) => None,
        Err(error) => panic!("{error}: {token}"),
    }
}

#[test]
fn every_class_of_altered_tokens_is_rejected() {
    let world = World::new();
    let of_secret = json!({ "iss": "https://hs", "aud": "api", "sub": "ann", "exp": NOW + 600 });
    let signed = token(ES256, &claims(), |message| world.one.sign(message));
    let mac = token(r#"{"alg":"HS256"}"#, &of_secret, |message| hs256(SECRET.as_bytes(), message));
    for valid in [signed, mac] {
        assert_eq!(accepted(&world.registry, &valid).as_deref(), Some("ann"), "acceptsValid");
        for (class, alter) in TOKENS {
            let altered = alter(&Parts::of(&valid));
            assert_ne!(altered, valid, "{class}");
            assert_eq!(accepted(&world.registry, &altered), None, "{class}: {altered}");
        }
    }
}

/// Signatures over what the altered token says, so that only the encoding or the header is wrong.
#[test]
fn signed_tokens_of_a_wrong_form_are_rejected() {
    let world = World::new();
    let signed = |message: &str| format!("{message}.{}", encode(world.one.sign(message)));
    let (header, payload) = (encode(ES256), encode(claims().to_string()));
    let es256 = |more: &str| encode(ES256.replace('}', more));
    let embedded = world.two.jwk();
    let by_two = |header: &str| {
        let message = format!("{header}.{payload}");
        format!("{message}.{}", encode(world.two.sign(&message)))
    };
    // Of a length that leaves bits unused.
    let mut padded = claims().to_string();
    padded += if padded.len().is_multiple_of(3) { " " } else { "" };
    let cases = [
        ("ModifiedUnusedBitsInPayload", signed(&format!("{header}.{}", unused_bits(&encode(&padded))))),
        ("InvalidCharacterInPayload", signed(&format!("{header}.{}", at(&payload, 8, "$")))),
        ("InvalidCharacterInsertedInHeader", signed(&format!("{}${}.{payload}", &header[..8], &header[8..]))),
        ("MacOfIncorrectlyEncodedMessage", signed(&format!("{header}=.{payload}"))),
        ("rejectsAttackerProvidedEmbeddedJwk", by_two(&es256(&format!(r#","jwk":{embedded}}}"#)))),
        (
            "rejectsSymmetryConfusionAttacks",
            token(r#"{"alg":"HS256","kid":"1"}"#, &claims(), |message| hs256(&world.one.point, message)),
        ),
        ("UsingRS256", signed(&format!("{}.{payload}", encode(r#"{"alg":"RS256","kid":"1"}"#)))),
        ("UsingPS384", signed(&format!("{}.{payload}", encode(r#"{"alg":"PS384","kid":"1"}"#)))),
        ("UsingES384", signed(&format!("{}.{payload}", encode(r#"{"alg":"ES384","kid":"1"}"#)))),
        ("unknownCriticalHeader", signed(&format!("{}.{payload}", es256(r#","crit":["exp"],"exp":1}"#)))),
        ("unencodedPayload", signed(&format!("{}.{payload}", es256(r#","b64":false}"#)))),
        ("emptyPayload", signed(&format!("{header}."))),
    ];
    for (class, token) in cases {
        assert_eq!(accepted(&world.registry, &token), None, "{class}: {token}");
    }
    // JSON may have white space. A token whose header begins with some lacks the prefix `eyJ`, and
    // belongs to no handler.
    for (class, header, wanted) in [
        ("ValidSpacesInJsonHeader", "{\"alg\" : \"ES256\" , \"kid\" : \"1\" } ", Some("ann")),
        ("ValidWhiteSpaceInJsonHeader", "{\"kid\":\n\t\"1\",\r\n\"alg\":\"ES256\"}", Some("ann")),
        ("white space before the first name", "{ \"alg\":\"ES256\"}", None),
    ] {
        let token = signed(&format!("{}.{payload}", encode(header)));
        assert_eq!(accepted(&world.registry, &token).as_deref(), wanted, "{class}");
    }
}

/// Signatures of ECDSA whose numbers are 0, 1, the order of the curve, or one less.
#[test]
fn special_numbers_are_no_signature() {
    let world = World::new();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let below = order.replace("551", "550");
    let numbers = [&"0".repeat(64), &format!("{}1", "0".repeat(63)), order, &below, &"f".repeat(64)];
    for r in numbers {
        for s in numbers {
            let token = token(ES256, &claims(), |_| hex::decode(format!("{r}{s}")).unwrap());
            assert_eq!(accepted(&world.registry, &token), None, "{r} {s}");
        }
    }
}

/// Returns 65537 to the power of `exponent`, which has the form of a weak modulus, big-endian.
fn power_of_65537(exponent: usize) -> Vec<u8> {
    let mut digits = vec![1_u8];
    for _ in 0..exponent {
        // The digits twice, the second time 16 bits further.
        let mut carry = 0_u16;
        digits = (0..digits.len() + 3)
            .map(|place| {
                let digit =
                    |place: Option<usize>| place.and_then(|place| digits.get(place)).copied().map_or(0, u16::from);
                let sum = digit(Some(place)) + digit(place.checked_sub(2)) + carry;
                carry = sum >> 8;
                (sum & 0xff) as u8
            })
            .collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
    }
    digits.reverse();
    digits
}

/// Returns the error of a key set, or an empty text.
fn refused(keys: &Value) -> String {
    KeySet::new("k").with_jwks(&keys.to_string(), None).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn every_class_of_wrong_keys_is_refused() {
    let key = Issuer::new().jwk();
    let with = |member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        key
    };
    assert_eq!(refused(&key), "");
    let secret = json!({ "kty": "oct", "alg": "HS256", "k": encode([7; 32]), "kid": "2" });
    let rsa = |n: &str, e: &str| json!({ "kty": "RSA", "alg": "RS256", "n": n, "e": e });
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    assert_eq!(refused(&rsa(n, "AQAB")), "");
    for (class, keys, error) in [
        ("jws_mixedSymmetryKeyset", json!({ "keys": [key, secret] }), "a symmetric key"),
        ("jws_duplicate_kid", json!({ "keys": [key, Issuer::new().jwk()] }), "two keys with the id `1`"),
        ("rejectsWrongUse", with("use", "enc".into()), "not for signatures"),
        ("rejectWrongKeyOps", with("key_ops", json!(["encrypt"])), "not for signatures"),
        ("rejects1024bitRsaKey", rsa(&encode([0xff; 128]), "AQAB"), "1024 bits"),
        ("rejectsKeyWithRocaVulnerability", rsa(&encode(power_of_65537(128)), "AQAB"), "CVE-2017-15361"),
        ("rejectsPublicExponent1", rsa(n, "AQ"), "exponent"),
        ("mismatchedAlgAndCurve", with("alg", "ES384".into()), "does not match its type"),
        ("invalid_algorithm", with("alg", "ES224".into()), "not supported"),
        ("wrong_curve", with("crv", "P-384".into()), "does not have 48 bytes"),
        ("wrong_kty", with("kty", "RSA".into()), "no member `n`"),
        ("invalid_aes_key", json!({ "kty": "oct", "alg": "A256GCM", "k": encode([7; 32]) }), "a symmetric key"),
        ("privateKey", with("d", encode([7; 32]).into()), "a private key"),
    ] {
        let seen = refused(&keys);
        assert!(seen.contains(error), "{class}: {seen}");
    }
}

/// A point that is not on the curve verifies nothing.
#[test]
fn an_invalid_point_verifies_nothing() {
    let issuer = Issuer::new();
    let issuers = json!([{ "iss": "https://one", "public_keys": "one", "algorithms": ["ES256"], "aud": "api" }]);
    let token = token(ES256, &claims(), |message| issuer.sign(message));
    let mut jwk = issuer.jwk();
    let with = |jwk: &Value| registry(handler(&issuers).public_keys("one", set(&jwk.to_string())), NOW);
    assert_eq!(accepted(&with(&jwk), &token).as_deref(), Some("ann"));
    jwk["y"] = jwk["x"].clone();
    assert_eq!(accepted(&with(&jwk), &token), None);
}

/// A secret is at least as long as the hash (RFC 7518 section 3.2), unless the operator allows it.
#[test]
fn short_secrets_are_refused() {
    for (scheme, algorithm, min) in [
        (Scheme::RawHmacSha256, "HS256", 32),
        (Scheme::RawHmacSha384, "HS384", 48),
        (Scheme::RawHmacSha512, "HS512", 64),
    ] {
        let issuers = json!([{ "iss": "https://hs", "key": "hs", "algorithms": [algorithm], "aud": "api" }]);
        let loads = |grant: KeyGrant| {
            let runtime =
                super::support::runtime(RuntimeLimits::default(), keyward_runtime::clock::UnixTime::from_seconds(NOW));
            Registry::builder(&runtime).handler(handler(&issuers).key("hs", grant)).build().map(drop)
        };
        let secret = |bytes: usize| Secret::new("s".repeat(bytes));
        assert!(loads(ring(&"s".repeat(min), scheme)).is_ok(), "{algorithm}");
        if min == 32 {
            assert!(KeyRing::new("short", secret(min - 1), vec![]).is_err());
        } else {
            let error = loads(ring(&"s".repeat(min - 1), scheme)).unwrap_err().to_string();
            assert!(
                error.contains(&format!("has {} bytes, fewer than the {min} of `{}`", min - 1, scheme.as_str())),
                "{error}"
            );
        }
        assert!(KeyRing::dangerous_allow_short("empty", secret(0), vec![]).is_err());
        let allowed = KeyRing::dangerous_allow_short("short", secret(1), vec![]).unwrap();
        assert!(loads(KeyGrant::new(Arc::new(allowed)).scheme(scheme)).is_ok(), "{algorithm}");
    }
}

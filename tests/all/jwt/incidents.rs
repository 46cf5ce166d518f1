//! Incidents of other verifiers, by name: each token was accepted somewhere, and is rejected here.

use super::{NOW, handler, outcome, registry, ring, set};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keyward_runtime::keys::{KeyRing, KeyRingError, Scheme, Secret};
use keyward_runtime::{Limits, Reason, Registry};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::Sha256;

pub(super) const SECRET: &str = "a secret of the issuer that is shared with this service";

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An issuer with a P-256 key.
pub(super) struct Issuer {
    pub(super) pkcs8: Vec<u8>,
    pub(super) point: Vec<u8>,
}

impl Issuer {
    pub(super) fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pkcs8: pkcs8.as_ref().to_vec(), point: pair.public_key().as_ref().to_vec() }
    }

    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": "1" })
    }

    fn sign_as(&self, form: &'static ring::signature::EcdsaSigningAlgorithm, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(form, &self.pkcs8, &random).unwrap();
        pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec()
    }

    pub(super) fn sign(&self, message: &str) -> Vec<u8> {
        self.sign_as(&ECDSA_P256_SHA256_FIXED_SIGNING, message)
    }
}

pub(super) fn hs256(key: &[u8], message: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

pub(super) fn claims() -> Value {
    json!({ "iss": "https://one", "aud": "api", "sub": "ann", "exp": NOW + 600 })
}

pub(super) fn token(header: &str, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
    let signature = sign(&signed);
    format!("{signed}.{}", encode(signature))
}

pub(super) const ES256: &str = r#"{"alg":"ES256","kid":"1"}"#;

/// Two issuers with a key each, of the same id, and one with a secret.
pub(super) struct World {
    pub(super) one: Issuer,
    pub(super) two: Issuer,
    pub(super) registry: Registry,
}

impl World {
    pub(super) fn new() -> Self {
        let (one, two) = (Issuer::new(), Issuer::new());
        let issuers = json!([
            { "iss": "https://one", "public_keys": "one", "algorithms": ["ES256"], "aud": "api" },
            { "iss": "https://two", "public_keys": "two", "algorithms": ["ES256"], "aud": "api" },
            { "iss": "https://hs", "key": "hs", "algorithms": ["HS256"], "aud": "api" },
        ]);
        let mut config = handler(&issuers)
            .public_keys("one", set(&one.jwk().to_string()))
            .public_keys("two", set(&two.jwk().to_string()))
            .key("hs", ring(SECRET, Scheme::RawHmacSha256));
        config.limits.verdict_cache_bytes = Limits::default().verdict_cache_bytes;
        Self { one, two, registry: registry(config, NOW) }
    }

    /// Asserts that a token of the first issuer verifies, and that none of these does.
    fn reject(&self, incident: &str, reason: Reason, tokens: &[String]) {
        let valid = token(ES256, &claims(), |message| self.one.sign(message));
        assert_eq!(outcome(&self.registry, &valid), Ok("ann".to_owned()));
        for token in tokens {
            assert_eq!(outcome(&self.registry, token), Err(reason), "{incident}: {token}");
        }
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let world = World::new();
    let jwk = world.one.jwk().to_string();
    let spki: Vec<u8> =
        [&hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap()[..], &world.one.point].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(spki)
    );
    let header = r#"{"alg":"HS256","kid":"1"}"#;
    let with = |key: &str| token(header, &claims(), |message| hs256(key.as_bytes(), message));
    world.reject("CVE-2015-9235 (RS256 to HS256)", Reason::BadSignature, &[with(&pem), with(pem.trim())]);
    world.reject("CVE-2026-48526 (a JWK as secret)", Reason::BadSignature, &[with(&jwk)]);
    world.reject("GHSA-mvf2-f6gm-w987 (space before PEM)", Reason::BadSignature, &[with(&format!("\n {pem}"))]);
    world.reject("CVE-2026-45363 (an empty secret)", Reason::BadSignature, &[with("")]);
    let empty = KeyRing::dangerous_allow_short("main", Secret::new(""), vec![]);
    assert!(matches!(empty, Err(KeyRingError::ShortSecret { len: 0, .. })));
}

#[test]
fn the_signature_is_checked() {
    let world = World::new();
    let none: Vec<_> = ["none", "None", "NONE", "nOnE"]
        .iter()
        .flat_map(|name| [Vec::new(), vec![0]].map(|signature| (name, signature)))
        .map(|(name, signature)| token(&format!(r#"{{"alg":"{name}"}}"#), &claims(), |_| signature.clone()))
        .collect();
    world.reject("CVE-2015-2951 (`none`)", Reason::Malformed, &none);
    let long = ["none", "NONE"].map(|name| token(&format!(r#"{{"alg":"{name}"}}"#), &claims(), |_| vec![0; 64]));
    world.reject("`none` with a signature", Reason::BadSignature, &long);
    let zeros = token(ES256, &claims(), |_| vec![0; 64]);
    world.reject("CVE-2022-21449 (psychic signatures)", Reason::BadSignature, &[zeros]);
    let der = token(ES256, &claims(), |message| world.one.sign_as(&ECDSA_P256_SHA256_ASN1_SIGNING, message));
    world.reject("DER instead of r and s", Reason::BadSignature, &[der]);
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    let (world, attacker) = (World::new(), Issuer::new());
    let jwk = attacker.jwk();
    let headers = [
        json!({ "alg": "ES256", "jwk": jwk }),
        json!({ "alg": "ES256", "jku": "https://attacker/jwks.json", "kid": "1" }),
        json!({ "alg": "ES256", "x5u": "http://169.254.169.254/", "kid": "1" }),
        json!({ "alg": "ES256", "x5c": ["MIIB"], "kid": "1" }),
    ];
    let tokens = headers.map(|header| token(&header.to_string(), &claims(), |message| attacker.sign(message)));
    world.reject("CVE-2018-0114 (`jwk`), `jku`, `x5u`, `x5c`", Reason::BadSignature, &tokens);
    let ids = ["/dev/null", "../../../../dev/null", "x' UNION SELECT 'key", "1\\u0000", "", "2"];
    let tokens =
        ids.map(|id| token(&format!(r#"{{"alg":"HS256","kid":"{id}"}}"#), &claims(), |message| hs256(b"", message)));
    world.reject("kid injection", Reason::BadSignature, &tokens);
    let tokens = ids
        .map(|id| token(&format!(r#"{{"alg":"ES256","kid":"{id}"}}"#), &claims(), |message| world.one.sign(message)));
    world.reject("an unknown kid", Reason::BadSignature, &tokens);
}

#[test]
fn issuers_do_not_share_keys_or_verdicts() {
    let world = World::new();
    let of = |iss: &str| {
        let mut claims = claims();
        claims["iss"] = iss.into();
        claims
    };
    let crossed = [
        token(ES256, &of("https://one"), |message| world.two.sign(message)),
        token(ES256, &of("https://two"), |message| world.one.sign(message)),
        token(r#"{"alg":"HS256"}"#, &of("https://one"), |message| hs256(SECRET.as_bytes(), message)),
        token(ES256, &of("https://hs"), |message| world.one.sign(message)),
    ];
    world.reject("another issuer's key of the same id", Reason::BadSignature, &crossed);
    let unknown = ["https://three", "https://one/", "https://ONE"]
        .map(|iss| token(ES256, &of(iss), |message| world.one.sign(message)));
    world.reject("nodedb#61 (`iss` ignored)", Reason::Unknown, &unknown);

    // GHSA-rp9m-7r4c-75qg: a cached verdict was returned for another token.
    let subjects = ["ann", "bob", "anm", "ann "];
    let tokens = subjects.map(|subject| {
        let mut claims = claims();
        claims["sub"] = subject.into();
        token(ES256, &claims, |message| world.one.sign(message))
    });
    for _ in 0..3 {
        for (token, subject) in tokens.iter().zip(subjects) {
            assert_eq!(outcome(&world.registry, token), Ok(subject.to_owned()));
        }
    }
    let (header, rest) = tokens[0].split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let (_, other) = tokens[1].split_once('.').unwrap();
    let mixed = format!("{header}.{}.{signature}", other.split_once('.').unwrap().0);
    world.reject("the header and signature of one, the payload of another", Reason::BadSignature, &[mixed]);
}

#[test]
fn claims_have_their_types() {
    let world = World::new();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        token(ES256, &claims, |message| world.one.sign(message))
    };
    let texts = ["99999999999", "never", ""].map(|text| with("exp", text.into()));
    world.reject("CVE-2026-25537 (`exp` as text)", Reason::Malformed, &texts);
    let others = [json!(null), json!({}), json!([NOW + 600]), json!(true), json!(1e30), json!(-1)];
    world.reject("`exp` of another type", Reason::Malformed, &others.map(|value| with("exp", value)));
    world.reject("a list as `sub`", Reason::Malformed, &[with("sub", json!(["ann"])), with("sub", json!({}))]);
    let audiences = [json!("other"), json!([]), json!("")].map(|audience| with("aud", audience));
    world.reject("another audience", Reason::Unknown, &audiences);
    let none = {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("aud");
        token(ES256, &claims, |message| world.one.sign(message))
    };
    world.reject("jsonwebtoken#493 (no `aud`)", Reason::Unknown, &[none]);
}

#[test]
fn a_token_has_one_reading() {
    let world = World::new();
    let payload = claims().to_string();
    let sign = |header: &str, payload: &str| {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = world.one.sign(&signed);
        format!("{signed}.{}", encode(signature))
    };
    let twice = payload.replacen('{', r#"{"sub":"root","#, 1);
    world.reject("a claim twice", Reason::Malformed, &[sign(ES256, &twice)]);
    let headers = [
        r#"{"alg":"ES256","alg":"none"}"#,
        r#"{"alg":"ES256","crit":["x"],"x":1}"#,
        r#"{"alg":"ES256","b64":false}"#,
        r#"{"alg":"ES256","cty":"JWT"}"#,
        r#"{"alg":"ES256","enc":"A128GCM"}"#,
    ];
    world.reject("extensions, nested and encrypted", Reason::Malformed, &headers.map(|header| sign(header, &payload)));
    let nested = [10, 30, 100, 1_000].map(|levels| {
        let value = format!(r#"{{"x":{}1{},"#, "[".repeat(levels), "]".repeat(levels));
        sign(ES256, &payload.replacen('{', &value, 1))
    });
    world.reject("deep nesting", Reason::Malformed, &nested);
    let valid = sign(ES256, &payload);
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    // The last of 86 characters has four unused bits.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let spellings = [
        format!("{signed}.{rest}{other}"),
        format!("{valid}=="),
        format!("{valid}."),
        format!("{valid}.AAAA.AAAA"),
        format!("{signed}.{}", signature.replace(['-', '_'], "+")).replace("++", "+"),
    ];
    let spellings: Vec<_> = spellings.into_iter().filter(|text| *text != valid).collect();
    world.reject("other spellings", Reason::Malformed, &spellings);
    // JSON serialisation, with `alg` outside of what is signed (GHSA-jc38-x7x8-2xc8).
    let (header, payload) = signed.split_once('.').unwrap();
    let json = json!({ "payload": payload, "protected": header, "header": { "alg": "none" }, "signature": signature });
    let encoded = format!("{}.{}.{signature}", encode(json.to_string()), payload);
    world.reject("GHSA-jc38-x7x8-2xc8", Reason::Malformed, &[encoded]);
}

//! Project Wycheproof's signatures, through a handler: every case of the algorithms that JWS has.
//! And the examples of RFC 7520, whose payloads are not JSON.

use crate::support;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySetGrant};
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, RuntimeLimits, Verdict};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use wycheproof::{ecdsa, eddsa, mac, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// The sets of public keys, by algorithm.
fn public_sets() -> Vec<(Algorithm, &'static str)> {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    use pkcs1::TestName as Pkcs1;
    use pss::TestName as Pss;
    vec![
        (Rs256, Pkcs1::Rsa2048Sha256.json_data()),
        (Rs384, Pkcs1::Rsa2048Sha384.json_data()),
        (Rs512, Pkcs1::Rsa2048Sha512.json_data()),
        (Rs256, Pkcs1::Rsa3072Sha256.json_data()),
        (Rs384, Pkcs1::Rsa3072Sha384.json_data()),
        (Rs512, Pkcs1::Rsa3072Sha512.json_data()),
        (Rs256, Pkcs1::Rsa4096Sha256.json_data()),
        (Rs384, Pkcs1::Rsa4096Sha384.json_data()),
        (Rs512, Pkcs1::Rsa4096Sha512.json_data()),
        (Rs256, Pkcs1::Rsa8192Sha256.json_data()),
        (Rs384, Pkcs1::Rsa8192Sha384.json_data()),
        (Rs512, Pkcs1::Rsa8192Sha512.json_data()),
        (Ps256, Pss::RsaPss2048Sha256Mgf1SaltLen32.json_data()),
        (Ps256, Pss::RsaPss3072Sha256Mgf1SaltLen32.json_data()),
        (Ps256, Pss::RsaPss4096Sha256Mgf1SaltLen32.json_data()),
        (Ps384, Pss::RsaPss2048Sha384Mgf1SaltLen48.json_data()),
        (Ps384, Pss::RsaPss4096Sha384Mgf1SaltLen48.json_data()),
        (Ps512, Pss::RsaPss4096Sha512Mgf1SaltLen64.json_data()),
        (Es256, ecdsa::TestName::EcdsaSecp256r1Sha256P1363.json_data()),
        (Es384, ecdsa::TestName::EcdsaSecp384r1Sha384P1363.json_data()),
        (EdDsa, eddsa::TestName::Ed25519.json_data()),
    ]
}

struct Verifier {
    runtime: Runtime,
    component: Arc<[u8]>,
    /// Keeps the component compiled.
    _held: Registry,
}

impl Verifier {
    /// Builds the handler of `tests/verifier`.
    fn new() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
        let component: Arc<[u8]> = keyward_guests::build("keyward-tests-verifier", &target).unwrap().into();
        let runtime = support::runtime(RuntimeLimits::default(), UnixTime::from_seconds(1_767_225_600));
        let held = registry(&runtime, &component, secret(&[1; 32], Scheme::HmacSha256), no_keys());
        Self { runtime, component, _held: held }
    }

    fn registry(&self, key: KeyGrant, public: KeySetGrant) -> Registry {
        registry(&self.runtime, &self.component, key, public)
    }
}

fn registry(runtime: &Runtime, component: &Arc<[u8]>, key: KeyGrant, public: KeySetGrant) -> Registry {
    let config = HandlerConfig::new("verifier", component.to_vec(), Actors::Any);
    let config = config.prefix("sig_").key("k", key).public_keys("k", public);
    Registry::builder(runtime).handler(config).build().unwrap()
}

fn secret(secret: &[u8], scheme: Scheme) -> KeyGrant {
    let ring = KeyRing::dangerous_allow_short("main", Secret::new(secret), vec![]).unwrap();
    KeyGrant::new(Arc::new(ring)).scheme(scheme)
}

fn no_keys() -> KeySetGrant {
    KeySetGrant::new(Arc::new(KeySet::new("none")), [Algorithm::Rs256])
}

fn is_valid(registry: &Registry, algorithm: &str, message: &Value, signature: &Value) -> bool {
    let [message, signature] =
        [message, signature].map(|hex| URL_SAFE_NO_PAD.encode(hex::decode(hex.as_str().unwrap()).unwrap()));
    match registry.verify_blocking(&format!("sig_{algorithm}.{message}.{signature}")) {
        Ok(Verdict::Accepted(_)) => true,
        Ok(Verdict::Rejected(_)) => false,
        other => panic!("{algorithm}: {other:?}"),
    }
}

#[test]
fn every_case_of_a_public_key_has_its_outcome() {
    let verifier = Verifier::new();
    let (mut cases, mut valid) = (0, 0);
    for (algorithm, set) in public_sets() {
        let set: Value = serde_json::from_str(set).unwrap();
        for group in set["testGroups"].as_array().unwrap() {
            let pem = group["publicKeyPem"].as_str().unwrap();
            let keys = KeySet::new("wycheproof").with_pem(pem, Some(algorithm)).unwrap();
            let grant = KeySetGrant::new(Arc::new(keys), [algorithm]);
            let registry = verifier.registry(secret(&[1; 32], Scheme::HmacSha256), grant);
            for test in group["tests"].as_array().unwrap() {
                let found = is_valid(&registry, algorithm.as_str(), &test["msg"], &test["sig"]);
                // A signature whose encoding a verifier may accept or not is not accepted.
                let wanted = test["result"] == "valid";
                assert_eq!(found, wanted, "{} {test}", algorithm.as_str());
                (cases, valid) = (cases + 1, valid + usize::from(wanted));
            }
        }
    }
    println!("{cases} cases, {valid} of them valid");
    assert!(cases > 4_000 && valid > 1_000, "{cases} {valid}");
}

#[test]
fn every_case_of_a_mac_has_its_outcome() {
    let verifier = Verifier::new();
    let mut cases = 0;
    for (scheme, name) in [
        (Scheme::RawHmacSha256, mac::TestName::HmacSha256),
        (Scheme::RawHmacSha384, mac::TestName::HmacSha384),
        (Scheme::RawHmacSha512, mac::TestName::HmacSha512),
    ] {
        let set: Value = serde_json::from_str(name.json_data()).unwrap();
        let full = set["testGroups"].as_array().unwrap().iter().filter_map(|group| group["tagSize"].as_u64()).max();
        for group in set["testGroups"].as_array().unwrap() {
            for test in group["tests"].as_array().unwrap() {
                let key = hex::decode(test["key"].as_str().unwrap()).unwrap();
                let registry = verifier.registry(secret(&key, scheme), no_keys());
                // A truncated signature is none.
                let wanted = test["result"] == "valid" && group["tagSize"].as_u64() == full;
                assert_eq!(is_valid(&registry, "HMAC", &test["msg"], &test["tag"]), wanted, "{name:?} {test}");
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 400, "{cases}");
}

/// RFC 7520 sections 4.1, 4.2 and 4.4: RS256, PS384 and HS256 over a text. ES512 (4.3) is not
/// supported.
const RFC_7520: [(&str, &str); 3] = [
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    ),
    (
        "PS384",
        "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
    ),
    (
        "HMAC",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
    ),
];

/// The modulus of RFC 7520 section 3.3, and the key of section 3.5.
const RFC_7520_MODULUS: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
const RFC_7520_SECRET: &str = "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg";

#[test]
fn the_examples_of_rfc_7520_verify() {
    let verifier = Verifier::new();
    let key = URL_SAFE_NO_PAD.decode(RFC_7520_SECRET).unwrap();
    for (algorithm, token) in RFC_7520 {
        let algorithms = Algorithm::named(algorithm).into_iter();
        let keys = algorithms.clone().fold(KeySet::new("rfc"), |set, algorithm| {
            let jwk = format!(r#"{{"kty":"RSA","n":"{RFC_7520_MODULUS}","e":"AQAB"}}"#);
            set.with_jwks(&jwk, Some(algorithm)).unwrap()
        });
        let grant = KeySetGrant::new(Arc::new(keys), algorithms.chain([Algorithm::Es256]));
        let registry = verifier.registry(secret(&key, Scheme::RawHmacSha256), grant);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let message = URL_SAFE_NO_PAD.encode(signed);
        let ask = |signature: &str| registry.verify_blocking(&format!("sig_{algorithm}.{message}.{signature}"));
        assert!(matches!(ask(signature), Ok(Verdict::Accepted(_))), "{algorithm}");
        assert!(matches!(ask(&signature.replacen(char::is_alphanumeric, "_", 1)), Ok(Verdict::Rejected(_))));
    }
}

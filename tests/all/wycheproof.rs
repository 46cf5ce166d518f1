//! Project Wycheproof's signatures, through a handler: every case of the algorithms that JWS has.

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
        let component: Arc<[u8]> = keyward_componentize::build_guest("keyward-tests-verifier", &target).unwrap().into();
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
    let [message, signature] = [message, signature].map(|hex| {
        let hex = hex.as_str().unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        URL_SAFE_NO_PAD.encode((0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>())
    });
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
                let hex = test["key"].as_str().unwrap();
                let key: Vec<u8> =
                    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
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

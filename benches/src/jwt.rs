//! JSON Web Tokens: the sandbox beside the signature that the host verifies for it.

use crate::setup::{SECRET, accepted, plain_request, signed, token};
use crate::stats::{at_most, median, nanos};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySetGrant};
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime};
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::Sha256;
use std::hint::black_box;
use std::sync::Arc;

const ROUNDS: usize = 101;
const CALLS: u32 = 200;

/// The second before the RSA token of RFC 7515 appendix A.2 expires.
const NOW: u64 = 1_300_819_379;

/// The modulus and the token of RFC 7515 appendix A.2.
const RSA_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// Its payload.
const PAYLOAD: &str = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";

/// Verifies the message and the signature natively.
type Check = Box<dyn Fn(&[u8], &[u8]) -> bool>;

struct Row {
    algorithm: &'static str,
    token: String,
    registry: Registry,
    native: Check,
}

/// Compares tokens that public keys verify with the native check of the signature and a sandboxed
/// HS256, and HS256 with `builtin:signed`.
pub(crate) fn run() {
    let plain = Registry::builder(&crate::setup::runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let plain_token = token(&plain, plain_request());
    let rows = [hs256(), rs256(), es256(), eddsa()];
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let signed = nanos(CALLS, || accepted(plain.verify_blocking(black_box(&plain_token))));
        let each = rows.each_ref().map(|row| {
            let (message, signature) = row.token.rsplit_once('.').unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let native = nanos(CALLS, || assert!((row.native)(black_box(message.as_bytes()), &signature)));
            (native, nanos(CALLS, || accepted(row.registry.verify_blocking(black_box(&row.token)))))
        });
        rounds.push((signed, each));
    }
    println!("| token | bytes | native signature, µs | Registry::verify, µs |");
    println!("| --- | --- | --- | --- |");
    for (at, row) in rows.iter().enumerate() {
        let column =
            |of: fn(&(f64, f64)) -> f64| median(rounds.iter().filter_map(|(_, each)| each.get(at)).map(of)) / 1e3;
        println!(
            "| {} | {} | {:.1} | {:.1} |",
            row.algorithm,
            row.token.len(),
            column(|row| row.0),
            column(|row| row.1)
        );
    }
    let ratios: Vec<_> = rounds.iter().map(|(signed, [(_, hs256), ..])| hs256 / signed).collect();
    at_most("HS256, relative to `builtin:signed`", &ratios, 1.3);
    for (at, row) in rows.iter().enumerate().skip(1) {
        let ratio = |(_, each): &(f64, [(f64, f64); 4])| {
            let [(_, hs256), ..] = each;
            each.get(at).map(|(native, sandboxed)| sandboxed / (native + hs256))
        };
        let ratios: Vec<_> = rounds.iter().filter_map(ratio).collect();
        at_most(&format!("{}, relative to its native signature and HS256", row.algorithm), &ratios, 1.3);
    }
}

fn registry(algorithm: &str, source: &str, with: impl FnOnce(HandlerConfig) -> HandlerConfig) -> Registry {
    let mut issuer = json!({
        "iss": "joe", "algorithms": [algorithm], "actor": "iss", "dangerous_optional": ["aud", "sub"],
    });
    if let Some(members) = issuer.as_object_mut() {
        members.insert(source.to_owned(), "k".into());
    }
    let mut config = HandlerConfig::new("jwt", keyward_handlers::JWT, Actors::Any)
        .prefix("eyJ")
        .setting("issuers", json!([issuer]).to_string());
    config.limits.verdict_cache_bytes = 0;
    let runtime = Runtime::builder().clock(UnixTime::from_seconds(NOW)).build().unwrap();
    Registry::builder(&runtime).handler(with(config)).build().unwrap()
}

fn public(algorithm: &'static str, jwk: &Value) -> Registry {
    let set = Arc::new(KeySet::new("joe").with_jwks(&jwk.to_string(), Algorithm::named(algorithm)).unwrap());
    registry(algorithm, "public_keys", |config| config.public_keys("k", KeySetGrant::new(set, Algorithm::ALL)))
}

fn issued(algorithm: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let header = format!(r#"{{"alg":"{algorithm}"}}"#);
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(PAYLOAD));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
}

fn hs256() -> Row {
    let mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
    let token = issued("HS256", |message| mac.clone().chain_update(message).finalize().into_bytes().to_vec());
    let ring = Arc::new(KeyRing::new("joe", Secret::new(SECRET), vec![]).unwrap());
    let grant = KeyGrant::new(ring).scheme(Scheme::RawHmacSha256);
    Row {
        algorithm: "HS256",
        token,
        registry: registry("HS256", "key", |config| config.key("k", grant)),
        native: Box::new(move |message, signature| mac.clone().chain_update(message).verify_slice(signature).is_ok()),
    }
}

fn rs256() -> Row {
    let n = URL_SAFE_NO_PAD.decode(RSA_MODULUS).unwrap();
    Row {
        algorithm: "RS256",
        token: RSA_TOKEN.to_owned(),
        registry: public("RS256", &json!({ "kty": "RSA", "n": RSA_MODULUS, "e": "AQAB" })),
        native: Box::new(move |message, signature| {
            let key = RsaPublicKeyComponents { n: n.as_slice(), e: [1, 0, 1].as_slice() };
            key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
        }),
    }
}

fn es256() -> Row {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = point.get(1..).unwrap().split_at(32);
    let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    Row {
        algorithm: "ES256",
        token: issued("ES256", |message| pair.sign(&random, message).unwrap().as_ref().to_vec()),
        registry: public("ES256", &json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })),
        native: Box::new(move |message, signature| {
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &point).verify(message, signature).is_ok()
        }),
    }
}

fn eddsa() -> Row {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SECRET).unwrap();
    let key = pair.public_key().as_ref().to_vec();
    Row {
        algorithm: "EdDSA",
        token: issued("EdDSA", |message| pair.sign(message).as_ref().to_vec()),
        registry: public("EdDSA", &json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&key) })),
        native: Box::new(move |message, signature| {
            UnparsedPublicKey::new(&signature::ED25519, &key).verify(message, signature).is_ok()
        }),
    }
}

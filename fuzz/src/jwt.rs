//! JSON Web Tokens, natively on a test host, and the public keys that verify them.

use crate::boundary::NOW;
use crate::itsdangerous::with_change;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use keyward_guest_jwt::Jwt;
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySetError};
use keyward_sdk::testing::Host;
use keyward_sdk::{Acceptance, TokenHandler as _, Verdict};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

const KEY: &[u8] = b"a key for tests";
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const LEEWAY: u64 = 60;
const ISSUERS: &str = r#"[{"iss":"us","key":"k","algorithms":["HS256"],"aud":["api","web"],"claims":["name"],"scopes":{"actions":{"read":["vi"]}}}]"#;

/// Uses the bytes in four roles: as a token, as a signed payload, as a signed header, and as a
/// change to a valid token.
pub fn jwt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(acceptance) = accepted(&text) {
        let parts: Vec<_> = text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
        let [header, payload, _] = parts.as_slice() else { panic!("{text}") };
        assert_eq!(text, token(header, payload), "a token has one spelling");
        agrees(payload, &acceptance);
    }
    if let Some(acceptance) = accepted(&token(HEADER.as_bytes(), data)) {
        agrees(data, &acceptance);
    }
    if accepted(&token(data, payload().as_bytes())).is_some() {
        let header: Header = serde_json::from_slice(data).unwrap();
        assert_eq!((header.alg.as_str(), header.crit, header.b64), ("HS256", None, None));
    }
    changed_token(data);
}

/// The members of a header that are never ignored. A name that occurs twice does not parse.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// The claims that are checked. A name that occurs twice does not parse.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    scope: Option<Value>,
}

/// Checks that an acceptance follows from the payload, as another parser reads it.
fn agrees(payload: &[u8], acceptance: &Acceptance) {
    let Claims { iss, aud, sub, exp, nbf, iat, scope } = serde_json::from_slice(payload).unwrap();
    let actor: Value = serde_json::from_str(&acceptance.actor).unwrap();
    assert_eq!((iss.as_str(), &actor["id"]), ("us", &Value::from(sub)));
    let audiences = aud.as_array().cloned().unwrap_or_else(|| vec![aud]);
    assert!(audiences.iter().any(|name| name == "api" || name == "web"));
    let expires_at = exp.ceil() as u64 + LEEWAY - 1;
    assert_eq!(acceptance.expires_at, Some(expires_at));
    assert!(expires_at >= NOW && [nbf, iat].into_iter().flatten().all(|time| time <= (NOW + LEEWAY) as f64));
    let restrictions = acceptance.restrictions.as_ref().unwrap();
    let is_read = scope.is_some_and(|scope| scope.to_string().contains("read"));
    assert!(restrictions.all.is_empty() || is_read);
}

/// Checks that a valid token with one change is never accepted.
fn changed_token(data: &[u8]) {
    let [kind, place, byte, ..] = data else { return };
    let valid = token(HEADER.as_bytes(), payload().as_bytes());
    let changed = with_change(&valid, [*kind, *place, *byte]);
    assert!(changed == valid || accepted(&changed).is_none(), "{changed} is accepted");
}

fn accepted(token: &str) -> Option<Acceptance> {
    let host = Host::new().at(NOW, 0).setting("issuers", ISSUERS);
    match host.key("k", mac, |message, signature| mac(message) == signature).run(|| Jwt::verify(token)) {
        Ok(Verdict::Accepted(acceptance)) => Some(acceptance),
        Ok(_) => None,
        Err(failure) => panic!("every text has a verdict, not {failure:?}"),
    }
}

fn mac(message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(KEY).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn token(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac(signed.as_bytes())))
}

fn payload() -> String {
    format!(r#"{{"iss":"us","aud":"api","sub":"ann","exp":{},"iat":{NOW},"scope":"read"}}"#, NOW + 60)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let payloads = [
        payload(),
        format!(r#"{{"iss":"us","aud":["x","web"],"sub":"é","exp":{NOW}.5,"nbf":0,"jti":"1","name":{{"a":[1e3]}}}}"#),
    ];
    let headers = [HEADER, r#"{"alg":"HS256","kid":"1","jwk":{"kty":"oct"}}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#];
    let tokens = payloads.iter().map(|payload| token(HEADER.as_bytes(), payload.as_bytes()));
    let texts = headers.iter().map(|header| (*header).to_owned());
    payloads.iter().cloned().chain(texts).chain(tokens).map(String::into_bytes).collect()
}

/// Reads the bytes as a JWK Set and as PEM: a set that is read has keys, and each one algorithm.
pub fn key_sets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let check = |set: Result<KeySet, KeySetError>| match set {
        Ok(set) => {
            let keys: Vec<_> = set.keys().collect();
            assert!((1..=KeySet::MAX_KEYS).contains(&keys.len()));
            assert!(keys.iter().all(|(_, algorithm)| Algorithm::ALL.contains(algorithm)));
        }
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(char::is_control) && error.len() < 4_096, "{error}");
        }
    };
    check(KeySet::new("set").with_jwks(text, Some(Algorithm::Ps256)));
    check(KeySet::new("set").with_pem(text, Some(Algorithm::Rs256)));
    // Private and symmetric keys are refused, wherever they are in a set.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let keys = value["keys"].as_array().cloned().unwrap_or_else(|| vec![value]);
        let has_private = keys.iter().any(|key| key["d"].is_string() || key["k"].is_string());
        assert!(!has_private || KeySet::new("set").with_jwks(text, None).is_err(), "{text}");
    }
}

pub(crate) fn key_seeds() -> Vec<Vec<u8>> {
    let okp = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AA"}"#;
    let ec = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"1"}"#;
    let rsa = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB","alg":"RS256","use":"sig"}}"#, "w".repeat(342));
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let set = format!(r#"{{"keys":[{},{ec},{rsa}]}}"#, okp.replace(r#","d":"AA""#, ""));
    [okp, ec, &rsa, pem, &set].iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are all rejected would test nothing.
    #[test]
    fn seeds_are_valid() {
        let as_payload = seeds().into_iter().filter(|seed| accepted(&token(HEADER.as_bytes(), seed)).is_some());
        assert_eq!(as_payload.count(), 2);
        let as_header = seeds().into_iter().filter(|seed| accepted(&token(seed, payload().as_bytes())).is_some());
        assert_eq!(as_header.count(), 3);
        let as_token = seeds().into_iter().filter(|seed| accepted(&String::from_utf8_lossy(seed)).is_some());
        assert_eq!(as_token.count(), 2);
        let texts: Vec<_> = key_seeds().into_iter().map(|seed| String::from_utf8(seed).unwrap()).collect();
        let sets = texts.iter().filter(|text| KeySet::new("").with_jwks(text, None).is_ok());
        assert_eq!(sets.count(), 3);
        assert_eq!(texts.iter().filter(|text| KeySet::new("").with_pem(text, None).is_ok()).count(), 1);
    }
}

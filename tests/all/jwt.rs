//! `builtin:jwt` with real keys: the examples of the RFCs, tokens of other libraries, and incidents
//! of other verifiers.

mod classes;
mod incidents;
mod remote;

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySetGrant};
use keyward_runtime::keys::{Key, KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::registry::IdKind;
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Reason, Registry, RuntimeLimits, Verdict};
use keyward_tests::cli::Folder;
use keyward_tests::peers;
use serde_json::{Value, json};
use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

const NOW: u64 = 1_767_225_600;

/// Returns a handler with these issuers, which has no keys yet.
fn handler(issuers: &Value) -> HandlerConfig {
    HandlerConfig::new("jwt", keyward_handlers::JWT, Actors::Any).prefix("eyJ").setting("issuers", issuers.to_string())
}

fn registry(config: HandlerConfig, now: u64) -> Registry {
    let runtime = support::runtime(RuntimeLimits::default(), UnixTime::from_seconds(now));
    Registry::builder(&runtime).handler(config).build().unwrap()
}

fn set(jwks: &str) -> KeySetGrant {
    KeySetGrant::new(Arc::new(KeySet::new("issuer").with_jwks(jwks, None).unwrap()), Algorithm::ALL)
}

fn ring(secret: &str, scheme: Scheme) -> KeyGrant {
    KeyGrant::new(Arc::new(KeyRing::new("shared", Secret::new(secret), vec![]).unwrap())).scheme(scheme)
}

/// Returns the id of the actor, or the reason of a rejection.
fn outcome(registry: &Registry, token: &str) -> Result<String, Reason> {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => {
            Ok(acceptance.actor_ignoring_restrictions().id().unwrap().as_str().to_owned())
        }
        Ok(Verdict::Rejected(rejection)) => Err(rejection.reason),
        other => panic!("{other:?}: {token}"),
    }
}

/// RFC 7515 appendix A: HS256, RS256 and ES256 over the same payload. ES512 (A.4) is not supported,
/// and the payload of A.5 is not signed.
const RFC_7515: [(&str, &str, &str); 3] = [
    (
        "HS256",
        r#"{"kty":"oct"}"#,
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    ),
    (
        "RS256",
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB","alg":"RS256"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    (
        "ES256",
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
];

#[test]
fn the_examples_of_rfc_7515_verify_until_they_expire() {
    use base64::Engine as _;
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).unwrap();
    for (algorithm, key, token) in RFC_7515 {
        let is_hmac = algorithm == "HS256";
        let (kind, label) = if is_hmac { ("key", "k") } else { ("public_keys", "k") };
        let mut issuer = json!({
            "iss": "joe", "algorithms": [algorithm], "actor": "iss", "leeway": 0, "dangerous_optional": ["aud", "sub"],
        });
        issuer[kind] = label.into();
        let config = || {
            let config = handler(&json!([issuer]));
            if !is_hmac {
                return config.public_keys("k", set(key));
            }
            let ring = KeyRing::new("rfc", Secret::new(secret.clone()), vec![]).unwrap();
            config.key("k", KeyGrant::new(Arc::new(ring)).scheme(Scheme::RawHmacSha256))
        };
        assert_eq!(outcome(&registry(config(), 1_300_819_379), token), Ok("joe".to_owned()), "{algorithm}");
        assert_eq!(outcome(&registry(config(), 1_300_819_380), token), Err(Reason::Expired), "{algorithm}");
    }
}

/// A key of the set that signs with another algorithm of the same type does not verify the token.
#[test]
fn a_key_has_one_algorithm() {
    let (_, key, token) = RFC_7515[1];
    let issuer = json!([{
        "iss": "joe", "algorithms": ["RS256", "PS256"], "actor": "iss", "public_keys": "k",
        "dangerous_optional": ["aud", "sub"],
    }]);
    let at = |key: &str| registry(handler(&issuer).public_keys("k", set(key)), 1_300_819_379);
    assert_eq!(outcome(&at(key), token), Ok("joe".to_owned()));
    assert_eq!(outcome(&at(&key.replace("RS256", "PS256")), token), Err(Reason::BadSignature));
}

/// The prefix `eyJ` is part of many names: only the shape of a JWT tells one.
#[test]
fn a_token_is_recognized_by_its_shape_not_its_prefix() {
    let registry = registry(handler(&json!([])).public_keys("k", set(RFC_7515[1].1)), NOW);
    for (_, _, token) in RFC_7515 {
        let path = format!("/download/{token}/report.pdf?x=1");
        assert_eq!(registry.redact_path(&path), "/download/[token]/report.pdf?x=1");
        assert_eq!(registry.redact(&format!("a token: {token}.")), "a token: [token]");
        for kind in [IdKind::Token, IdKind::Actor] {
            assert!(pollster::block_on(registry.is_token(token, kind)), "{token}");
        }
    }
    for name in ["eyJohn", "eyJ", "eyJohn@example.com", "eyJohn.of.example"] {
        assert_eq!(registry.redact(name), name);
        assert_eq!(registry.redact_path(&format!("/users/{name}")), format!("/users/{name}"));
        for kind in [IdKind::Token, IdKind::Actor] {
            assert!(!pollster::block_on(registry.is_token(name, kind)), "{name}");
        }
    }
}

/// Returns a registry for a token that a library issued, with the key that it printed.
fn for_issued(issued: &Value) -> Registry {
    let algorithm = issued["algorithm"].as_str().unwrap();
    let mut issuer = json!({ "iss": "https://issuer", "algorithms": [algorithm], "aud": "api" });
    let is_hmac = algorithm.starts_with("HS");
    issuer[if is_hmac { "key" } else { "public_keys" }] = "k".into();
    let config = handler(&json!([issuer]));
    let scheme = match algorithm {
        "HS256" => Scheme::RawHmacSha256,
        "HS384" => Scheme::RawHmacSha384,
        _ => Scheme::RawHmacSha512,
    };
    let config = match (issued["secret"].as_str(), issued["pem"].as_str()) {
        (Some(secret), _) => config.key("k", ring(secret, scheme)),
        (None, Some(pem)) => {
            let set = KeySet::new("issuer").with_pem(pem, Algorithm::named(algorithm)).unwrap();
            config.public_keys("k", KeySetGrant::new(Arc::new(set), Algorithm::ALL))
        }
        (None, None) => config.public_keys("k", set(&issued["jwk"].to_string())),
    };
    registry(config, NOW)
}

fn check_issued(mut program: Command) -> usize {
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    for line in lines.lines() {
        let issued: Value = serde_json::from_str(line).unwrap();
        let token = issued["token"].as_str().unwrap();
        let registry = for_issued(&issued);
        assert_eq!(outcome(&registry, token), Ok("ann".to_owned()), "{line}");
        // Another payload, and another signature.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, payload) = signed.split_once('.').unwrap();
        let changed = [
            format!("{header}.{}.{signature}", payload.replacen('J', "K", 1)),
            format!("{signed}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]),
        ];
        for changed in changed {
            assert!(outcome(&registry, &changed).is_err(), "{line}");
        }
    }
    lines.lines().count()
}

#[test]
fn tokens_of_four_python_libraries_verify() {
    let Some(python) = peers::python_with("joserfc") else {
        return peers::skip("JWTs of Python libraries", "joserfc is not installed");
    };
    let mut program = Command::new(python);
    program.args([concat!(env!("CARGO_MANIFEST_DIR"), "/clients/issue_jwt.py"), &NOW.to_string()]);
    assert_eq!(check_issued(program), 4 * 12);
}

/// Returns a registry that issues tokens with an Ed25519 key, of a ring with a pending one, and a
/// token for a minute.
fn with_ed25519() -> (Registry, String) {
    let key = || {
        let random = ring::rand::SystemRandom::new();
        Secret::new(ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref())
    };
    let keys = vec![Key::active("2026-11", key()), Key::pending("2026-12", key()), Key::retired("2026-10")];
    let ring = Arc::new(KeyRing::with_keys("us", keys).unwrap());
    let issuers = json!([{ "iss": "us", "key": "k", "algorithms": ["EdDSA"], "aud": "api", "issues": true }]);
    let registry = registry(handler(&issuers).key("k", KeyGrant::new(ring).scheme(Scheme::Ed25519)), NOW);
    let mut request = CreateRequest::new("ann");
    request.expires_after = NonZeroU32::new(60);
    let Ok(Creation::Created(created)) = registry.create_blocking(request) else { panic!("no token") };
    (registry, created.token)
}

/// A service that only has the public half verifies tokens, also those of the key that is pending.
#[test]
fn the_public_keys_verify_what_the_private_ones_sign() {
    let (registry, token) = with_ed25519();
    assert_eq!(outcome(&registry, &token), Ok("ann".to_owned()));
    let jwks = registry.jwk_set();
    let set = set(&jwks);
    assert_eq!(set.set.status().keys.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ["2026-11", "2026-12"]);
    assert!(!jwks.contains("\"d\""), "{jwks}");
    let issuers = json!([{ "iss": "us", "public_keys": "us", "algorithms": ["EdDSA"], "aud": "api" }]);
    let other = self::registry(handler(&issuers).public_keys("us", set), NOW);
    assert_eq!(outcome(&other, &token), Ok("ann".to_owned()));
    assert_eq!(other.jwk_set(), "{\"keys\":[]}");
}

/// h's chain: the prefix decides, whatever the order of the handlers. A JWT never costs a lookup,
/// and a developer token no signature.
#[test]
fn both_kinds_of_tokens_of_hypothesis_cost_only_their_own_handler() {
    let secret = "a secret of sixty-four bytes, which is long enough for HS512 .....";
    let issuers = json!([{ "iss": "us", "key": "k", "algorithms": ["HS256"], "aud": "api", "issues": true }]);
    for order in [[0, 1], [1, 0]] {
        let store = Arc::new(MemoryStore::new());
        let developers = || {
            HandlerConfig::new("developers", keyward_handlers::HYPOTHESIS, Actors::Any)
                .prefix("6879-")
                .store(store.clone(), 100)
        };
        let jwt = || handler(&issuers).key("k", ring(secret, Scheme::RawHmacSha256));
        let runtime = support::runtime(RuntimeLimits::default(), UnixTime::from_seconds(NOW));
        let builder = order.into_iter().fold(Registry::builder(&runtime), |builder, which| {
            builder.handler(if which == 0 { developers() } else { jwt() })
        });
        let registry = builder.build().unwrap();
        let created = |handler| match registry.create_blocking(CreateRequest::new("ann").handler(handler)) {
            Ok(Creation::Created(created)) => created.token,
            other => panic!("{other:?}"),
        };
        let tokens = [created("developers"), created("jwt")];
        let counts = |name| registry.handlers().find(|handler| handler.name == name).unwrap().counts;
        for (token, own, other) in [(&tokens[0], "developers", "jwt"), (&tokens[1], "jwt", "developers")] {
            let before = [counts(own), counts(other)];
            assert_eq!(outcome(&registry, token), Ok("ann".to_owned()));
            let after = [counts(own), counts(other)];
            assert_eq!(after[0].calls, before[0].calls + 1);
            assert_eq!(after[0].lookups - before[0].lookups, u64::from(own == "developers"));
            assert_eq!((after[1].calls, after[1].lookups), (before[1].calls, before[1].lookups));
        }
    }
}

/// The commands of docs/jwt.md.
#[test]
fn a_token_is_issued_and_verified_by_the_program() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("jwt"));
    let ran = folder.run(&["keygen", "--ed25519", "issuer.pem"], "");
    assert_eq!((ran.status, ran.stdout.as_str()), (0, "issuer.pem: a new private key, readable by its owner only\n"));
    let config = r#"
[keys.us]
secret = { file = "issuer.pem" }
[[handlers]]
name = "jwt"
component = "builtin:jwt"
prefixes = ["eyJ"]
keys.us = { ring = "us", scheme = "ed25519" }
settings.issuers = [{ iss = "us", key = "us", algorithms = ["EdDSA"], aud = "api", issues = true }]
"#;
    folder.write("keyward.toml", config, 0o644);
    let issued = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann"], "");
    assert_eq!(issued.status, 0, "{}", issued.stderr);
    let verified = folder.run(&["verify", "--config", "keyward.toml"], &issued.stdout);
    assert_eq!(verified.status, 0, "{}", verified.stderr);
    let checked = folder.run(&["check", "builtin:jwt", "--config", "keyward.toml"], "");
    assert!(checked.stdout.contains("  public-keys: not granted, and not required\n"), "{}", checked.stdout);
    let refused = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann", "--all", "vi"], "");
    assert_eq!(refused.status, 1, "{}", refused.stderr);
}

/// Issues a token with each algorithm, verifies it here, and returns a line for each, with the key.
fn issued_here() -> String {
    let secret = "a secret of sixty-four bytes, which is long enough for HS512 .....";
    let mut lines = String::new();
    for (algorithm, scheme) in
        [("HS256", Scheme::RawHmacSha256), ("HS384", Scheme::RawHmacSha384), ("HS512", Scheme::RawHmacSha512)]
    {
        let issuers = json!([{ "iss": "us", "key": "k", "algorithms": [algorithm], "aud": "api", "issues": true }]);
        let registry = registry(handler(&issuers).key("k", ring(secret, scheme)), NOW);
        let mut request = CreateRequest::new("ann");
        request.expires_after = NonZeroU32::new(60);
        let Ok(Creation::Created(created)) = registry.create_blocking(request) else { panic!("{algorithm}") };
        assert_eq!(outcome(&registry, &created.token), Ok("ann".to_owned()));
        assert_eq!(created.key.as_deref(), Some("shared/active"));
        let case = json!({ "algorithm": algorithm, "token": created.token, "secret": secret });
        lines += &format!("{case}\n");
    }
    let (registry, token) = with_ed25519();
    let jwks: Value = serde_json::from_str(&registry.jwk_set()).unwrap();
    lines + &json!({ "algorithm": "EdDSA", "token": token, "jwks": jwks }).to_string()
}

/// Runs a program that verifies what was issued here, and returns the number that it prints.
fn verified_by(mut program: Command) -> String {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(issued_here().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn issued_tokens_verify_in_four_python_libraries() {
    let Some(python) = peers::python_with("joserfc") else {
        return peers::skip("JWTs in Python libraries", "joserfc is not installed");
    };
    let mut program = Command::new(python);
    program.args([concat!(env!("CARGO_MANIFEST_DIR"), "/clients/verify_jwt.py"), &NOW.to_string()]);
    assert_eq!(verified_by(program), "16");
}

#[test]
fn issued_tokens_verify_in_jose() {
    let (Some(node), Some(package)) = (peers::program("node"), peers::node_package("jose")) else {
        return peers::skip("JWTs in jose", "jose is not installed");
    };
    let mut program = Command::new(node);
    program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/verify_jwt.mjs")).arg(package).arg(NOW.to_string());
    assert_eq!(verified_by(program), "4");
}

#[test]
fn tokens_of_jose_verify() {
    let (Some(node), Some(package)) = (peers::program("node"), peers::node_package("jose")) else {
        return peers::skip("JWTs of jose", "jose is not installed");
    };
    let mut program = Command::new(node);
    program.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/issue_jwt.mjs")).arg(package).arg(NOW.to_string());
    assert_eq!(check_issued(program), 12);
}

//! JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037), and their thumbprints (RFC 7638).

use super::{Algorithm, KeySetError, Material, PublicKey, RSA_BITS, roca, rsa_parameters};
use crate::i_json;
use crate::sanitize::{MAX_NAME, escape_untrusted, list_items};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Maximum nesting of a JWK Set.
const MAX_DEPTH: usize = 16;

/// The members of a JWK that matter for verification. Others are ignored (RFC 7517 section 4).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Returns the usable keys of a JWK or a JWK Set. `algorithm` is that of RSA keys that name none.
pub(super) fn parse(set: &str, text: &str, algorithm: Option<Algorithm>) -> Result<Vec<PublicKey>, KeySetError> {
    let not_jwk = |why: &str| KeySetError::NotJwk(escape_untrusted(why, MAX_NAME));
    // JSON that parsers read differently could be another set for the operator than for us.
    i_json::check(text, MAX_DEPTH, &[]).map_err(|defect| match defect {
        i_json::Defect::Broken(why) => not_jwk(&format!("it {why}")),
        i_json::Defect::TooDeep(_) => not_jwk("it is nested too deeply"),
    })?;
    let mut document: Value = serde_json::from_str(text).map_err(|error| not_jwk(&error.to_string()))?;
    let keys = match document.get_mut("keys").map(Value::take) {
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(not_jwk("its member `keys` is not an array")),
        None => vec![document],
    };
    let (mut usable, mut left_out) = (Vec::new(), Vec::new());
    for key in keys {
        // Also of a key that is left out: the operator must learn that it is in the wrong file.
        for (member, kind) in [("d", "private"), ("k", "symmetric")] {
            if key.get(member).is_some() {
                return Err(KeySetError::NotPublic(kind));
            }
        }
        let key = Jwk::deserialize(key).map_err(|error| error.to_string());
        match key.and_then(|key| key.checked(set, algorithm)) {
            Ok(key) => usable.push(key),
            Err(why) => left_out.push(escape_untrusted(&why, MAX_NAME)),
        }
    }
    if usable.is_empty() {
        let why = if left_out.is_empty() { "it is empty".to_owned() } else { list_items(&left_out) };
        return Err(KeySetError::NoneUsable(why));
    }
    Ok(usable)
}

impl Jwk {
    /// Returns the key, or the reason that it is left out.
    fn checked(self, set: &str, default: Option<Algorithm>) -> Result<PublicKey, String> {
        let Self { kty, usage, key_ops, alg, kid, crv, n, e, x, y } = self;
        if usage.is_some_and(|usage| usage != "sig") || key_ops.is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err("a key is not for signatures".to_owned());
        }
        let named = alg.map(|alg| {
            Algorithm::named(&alg).ok_or_else(|| format!("the algorithm `{alg}` of a key is not supported"))
        });
        let named = named.transpose()?;
        let member = |name: &str, value: Option<String>| {
            let text = value.ok_or_else(|| format!("a key has no member `{name}`"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("the member `{name}` of a key is not base64url"))
        };
        let material = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: member("n", n)?, e: member("e", e)? },
            ("EC", Some("P-256")) => Material::P256(point(&member("x", x)?, &member("y", y)?, 32)?),
            ("EC", Some("P-384")) => Material::P384(point(&member("x", x)?, &member("y", y)?, 48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(member("x", x)?),
            (kty, None) => return Err(format!("the type `{kty}` of a key is not supported")),
            (kty, Some(crv)) => return Err(format!("the type `{kty}` with the curve `{crv}` is not supported")),
        };
        PublicKey::new(set, kid, named.or(if kty == "RSA" { default } else { None }), material)
    }
}

/// Returns an uncompressed point. Coordinates have their full length (RFC 7518 section 6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Result<Vec<u8>, String> {
    if x.len() != length || y.len() != length {
        return Err(format!("a coordinate of a key does not have {length} bytes"));
    }
    Ok([&[4], x, y].concat())
}

impl PublicKey {
    /// Checks that a key fits its algorithm. Without an id, it is named by its thumbprint.
    pub(super) fn new(
        set: &str,
        id: Option<String>,
        algorithm: Option<Algorithm>,
        material: Material,
    ) -> Result<Self, String> {
        let only = material.only_algorithm()?;
        let algorithm = match (algorithm, only) {
            (Some(algorithm), only)
                if only.map_or_else(|| rsa_parameters(algorithm).is_some(), |only| only == algorithm) =>
            {
                algorithm
            }
            (None, Some(only)) => only,
            (Some(algorithm), _) => {
                return Err(format!("the algorithm `{}` of a key does not match its type", algorithm.as_str()));
            }
            (None, None) => {
                return Err("an RSA key names no algorithm: set `algorithm`, such as `RS256`".to_owned());
            }
        };
        let id = id.unwrap_or_else(|| material.thumbprint());
        let name = format!("{set}/{}", escape_untrusted(&id, MAX_NAME)).into();
        Ok(Self { id: id.into(), name, algorithm, material })
    }
}

impl Material {
    /// Returns the only algorithm of the key, or `None` for an RSA key, which has several.
    ///
    /// # Errors
    /// Describes a key of a wrong size.
    fn only_algorithm(&self) -> Result<Option<Algorithm>, String> {
        match self {
            Self::Rsa { n, e } => {
                if n.first() == Some(&0) || e.first() == Some(&0) {
                    return Err("an RSA key has leading zeros".to_owned());
                }
                let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
                if !RSA_BITS.contains(&bits) {
                    return Err(format!("an RSA key has {bits} bits, not {} to {}", RSA_BITS.start(), RSA_BITS.end()));
                }
                if roca::is_weak(n) {
                    return Err("an RSA key is of a generator whose keys can be factored (CVE-2017-15361)".to_owned());
                }
                if e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || *e == [1] {
                    return Err("an RSA key has an exponent that is not an odd number of 3 to 2^32".to_owned());
                }
                Ok(None)
            }
            Self::P256(_) => Ok(Some(Algorithm::Es256)),
            Self::P384(_) => Ok(Some(Algorithm::Es384)),
            Self::Ed25519(key) if key.len() == 32 => Ok(Some(Algorithm::EdDsa)),
            Self::Ed25519(_) => Err("an Ed25519 key does not have 32 bytes".to_owned()),
        }
    }

    /// Returns the SHA-256 thumbprint of the key in base64url (RFC 7638, RFC 8037 section 2).
    fn thumbprint(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let elliptic = |curve: &str, point: &[u8]| {
            let coordinates = point.get(1..).unwrap_or_default();
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y))
        };
        let canonical = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
            Self::P256(point) => elliptic("P-256", point),
            Self::P384(point) => elliptic("P-384", point),
            Self::Ed25519(key) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(key)),
        };
        text(&Sha256::digest(canonical))
    }
}

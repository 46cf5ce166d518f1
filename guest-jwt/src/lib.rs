//! JSON Web Tokens (RFC 7519) of other issuers: signed (RFC 7515), verified as RFC 8725 advises,
//! with keys that stay in the host.
//!
//! ```toml
//! [key_sets.idp]
//! files = ["idp.jwks.json"]
//!
//! [[handlers]]
//! name = "sso"
//! component = "builtin:jwt"
//! prefixes = ["eyJ"]
//! public_keys.idp = { set = "idp", algorithms = ["RS256", "ES256"] }
//! settings.issuers = [{ iss = "https://idp.example", public_keys = "idp", algorithms = ["RS256", "ES256"], aud = "api" }]
//! ```
//!
//! The issuer of a token is the one whose `iss` equals the token's, and only its keys and
//! algorithms verify the token. See [`Issuer`] for the settings. The actor is `{"id": SUBJECT}` and
//! the claims that the setting `claims` names.
//!
//! # Format
//!
//! The compact form only: three parts in base64url, without padding and with unused bits of zero.
//! Header and payload are nested at most ten levels deep.
//! Header and payload are JSON objects in which no name occurs twice. These are rejected: `alg` of
//! `none` or any other algorithm that the issuer does not have, `crit`, `b64`, encrypted and nested
//! tokens, a `kid` or `sub` that is no string, and times that are no numbers or after the year
//! 9999. `jku`, `jwk`, `x5u` and `x5c` are ignored: a token does not bring its own key.
//!
//! An issuer with `issues = true` is this handler itself: it creates tokens for the subject, with
//! `iss`, the first `aud`, `iat`, `exp`, `jti`, and the `kid` and `alg` of the signing key. A token
//! without a requested lifetime lives an hour, as hypothesis' did.
//!
//! The token id is the SHA-256 of `iss` and `jti` in base64url, or that of the signed part if there
//! is no `jti`.

mod claims;
mod issue;
mod issuer;
mod json;
mod jws;
#[cfg(test)]
mod tests;

use keyward_sdk::keys::KeyError;
use keyward_sdk::public_keys::{Algorithm, PublicKeyError};
use keyward_sdk::{
    CreateError, CreateRequest, Created, Denial, Failure, Reason, Rejection, TokenHandler, Verdict, keys, public_keys,
};

pub use issuer::{Claim, Issuer, Scopes};
use issuer::{Method, Source};
use jws::Jws;

/// The handler for JSON Web Tokens.
#[derive(Debug)]
pub struct Jwt;

keyward_sdk::handler!(
    Jwt,
    settings: ["issuers: json"],
    // The shortest signature is that of HS256, 32 bytes.
    patterns: ["[0-9A-Za-z_-]{9,8192}[.]{1}[0-9A-Za-z_-]{3,8192}[.]{1}[0-9A-Za-z_-]{43,8192}"]
);

/// The beginning of every token: `{"` in base64url.
const PREFIX: &str = "eyJ";

impl TokenHandler for Jwt {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        let issuers = issuer::configured().map_err(CreateError::Failed)?;
        let Some(issuer) = issuers.iter().find(|issuer| issuer.issues) else {
            return Err(CreateError::denied(Denial::Disabled, "this handler only verifies tokens of other issuers"));
        };
        issue::issue(issuer, request)
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        if !token.starts_with(PREFIX) {
            return Ok(Verdict::NotMine);
        }
        match judge(token) {
            Ok(verdict) => Ok(verdict),
            Err(Stop::Rejected(rejection)) => Ok(Verdict::Rejected(rejection)),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }
}

/// The end of a verification without an acceptance.
enum Stop {
    Rejected(Rejection),
    Failed(Failure),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn rejection(reason: Reason, message: &str) -> Rejection {
    Rejection { reason, message: message.to_owned() }
}

fn judge(token: &str) -> Result<Verdict, Stop> {
    let issuers = issuer::configured()?;
    let jws = Jws::parse(token).map_err(|message| rejection(Reason::Malformed, message))?;
    // The payload is not trusted yet: it only names the keys to verify it with.
    let issuer = match jws.payload.get("iss") {
        Some(serde_json::Value::String(iss)) => issuers.iter().find(|issuer| issuer.iss == *iss),
        Some(_) => return Err(rejection(Reason::Malformed, "Invalid token: the claim `iss` is not text").into()),
        None => issuers.iter().find(|issuer| issuer.may_lack(Claim::Iss)),
    };
    let issuer = issuer.ok_or_else(|| rejection(Reason::Unknown, "Token of an unknown issuer"))?;
    let Some(method) = issuer.method(&jws.algorithm) else {
        return Err(rejection(Reason::BadSignature, "Token with an algorithm that its issuer does not use").into());
    };
    if !is_signed(&jws, issuer.source()?, method)? {
        return Err(rejection(Reason::BadSignature, "Invalid token signature").into());
    }
    Ok(Verdict::Accepted(claims::accept(&jws, issuer)?))
}

/// Returns whether the signature is the issuer's.
fn is_signed(jws: &Jws<'_>, source: Source<'_>, method: Method) -> Result<bool, Failure> {
    let message = jws.signed.as_bytes();
    let not_granted = |label: &str| Failure::Internal(["the label `", label, "` is not granted"].concat());
    match (source, method) {
        (Source::Ring(label), Method::Hmac | Method::Public(Algorithm::Eddsa)) => {
            keys::verify(label, message, &jws.signature).map_err(|error| match error {
                KeyError::NotGranted | KeyError::NotPermittedNow => not_granted(label),
            })
        }
        (Source::Set(label), Method::Public(algorithm)) => {
            match public_keys::verify(label, jws.key_id.as_deref(), algorithm, message, &jws.signature) {
                Ok(is_valid) => Ok(is_valid),
                Err(PublicKeyError::NoSuchKey | PublicKeyError::WrongAlgorithm) => Ok(false),
                Err(PublicKeyError::NotGranted) => Err(not_granted(label)),
                Err(PublicKeyError::Unavailable) => {
                    Err(Failure::Unavailable(["the key set of `", label, "` is not available"].concat()))
                }
            }
        }
        // The settings are checked: a ring has no other algorithm, and a set no HMAC.
        (Source::Ring(_), Method::Public(_)) | (Source::Set(_), Method::Hmac) => Ok(false),
    }
}

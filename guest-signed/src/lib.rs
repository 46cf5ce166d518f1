//! Datasette's signed tokens: `dstok_` followed by a small JSON object that itsdangerous signed.
//! Uncompressed tokens are byte for byte those of Datasette; compressed ones differ, because
//! another library compresses them.
//!
//! Compatible in both directions: this handler verifies what Datasette 1.0 signs and vice versa,
//! given the same secret, the scheme `itsdangerous` and the namespace `token` behind the key label
//! `token`. With the scheme `hmac-sha256` the same handler creates tokens that need no SHA-1.
//!
//! Settings: `allow_signed_tokens` (true or false, default true); `max_signed_tokens_ttl` (whole
//! seconds, default 0: no cap), which caps the lifetime of every token at verification, whenever it
//! was issued; and `unique_tokens` (true or false, default false). With it, each token has a random
//! member that Datasette ignores; without it, two tokens for one actor with the same restrictions
//! and lifetime are the same token if they are issued in the same second, as in Datasette.
//!
//! Datasette accepts several spellings of a token, lifetimes that escape the cap, and actor ids
//! that are not names. This handler rejects all three.

pub mod itsdangerous;
pub mod payload;
pub mod python_json;
pub mod restrictions;
#[cfg(test)]
mod tests;

use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, clock, digest,
    keys, random, settings,
};

use payload::{LAST_SECOND, MAX_ID, Payload};
use python_json::Document;

/// The handler for `dstok_` tokens.
#[derive(Debug)]
pub struct Signed;

keyward_sdk::handler!(Signed, settings: ["allow_signed_tokens: bool", "max_signed_tokens_ttl: u64", "unique_tokens: bool"]);

const PREFIX: &str = "dstok_";
const KEY: &str = "token";
const DISABLED: &str = "Signed tokens are not enabled for this Datasette instance";

impl TokenHandler for Signed {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        if !is_true("allow_signed_tokens", true).map_err(CreateError::Failed)? {
            return Err(CreateError::denied(Denial::Disabled, DISABLED));
        }
        // The operator's limit may be higher, but such a token would be rejected.
        if request.actor_id.len() > MAX_ID {
            return Err(CreateError::denied(Denial::InvalidRequest, "the actor id is too long for a signed token"));
        }
        let made = clock::now().seconds;
        if made.saturating_add(request.expires_after.map_or(0, u64::from)) > LAST_SECOND {
            return Err(CreateError::denied(Denial::InvalidRequest, "the token would expire after the year 9999"));
        }
        let unique = is_true("unique_tokens", false).map_err(CreateError::Failed)?.then(unique);
        let restrictions = request.restrictions.as_ref();
        let json = payload::write(&request.actor_id, made, request.expires_after, restrictions, unique.as_deref());
        if json.len() > itsdangerous::MAX_JSON {
            return Err(CreateError::denied(Denial::InvalidRequest, "the restrictions are too long for a token"));
        }
        let mut token = String::with_capacity(PREFIX.len() + json.len() * 4 / 3 + 48);
        token.push_str(PREFIX);
        itsdangerous::push_value(&mut token, &json);
        let value = token.get(PREFIX.len()..).unwrap_or_default().as_bytes();
        let token_id = token_id(value);
        let signature = keys::sign(KEY, value).map_err(|error| CreateError::Failed(key_failure(error)))?;
        itsdangerous::push_signature(&mut token, &signature);
        let expires_at = expiry(made, request.expires_after.map(u64::from), longest().map_err(CreateError::Failed)?);
        Ok(Created { token, token_id: Some(token_id), expires_at })
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(signed) = token.strip_prefix(PREFIX) else { return Ok(Verdict::NotMine) };
        if !is_true("allow_signed_tokens", true)? {
            return Ok(Verdict::rejected(Reason::Disabled, DISABLED));
        }
        let Some(value) = signed_value(signed)? else {
            return Ok(Verdict::rejected(Reason::BadSignature, "Invalid token signature"));
        };
        Ok(judge(value, longest()?).unwrap_or_else(|sentence| Verdict::rejected(Reason::Malformed, sentence)))
    }
}

/// Returns the value of a signed text, or `None` if the signature is not valid.
fn signed_value(signed: &str) -> Result<Option<&str>, Failure> {
    let Some((value, signature)) = itsdangerous::split(signed) else { return Ok(None) };
    let good = keys::verify(KEY, value.as_bytes(), &signature).map_err(key_failure)?;
    Ok(good.then_some(value))
}

/// Checks a signed value in Datasette's order: the times, then the expiry, then the rest.
fn judge(value: &str, longest: u64) -> Result<Verdict, payload::Malformed> {
    const NO_JSON: payload::Malformed = "Invalid token: not a JSON payload";
    let json = itsdangerous::json(value).ok_or(NO_JSON)?;
    let document = Document::parse(&json).ok_or(NO_JSON)?;
    let payload = Payload::read(&document)?;
    let expires_at = expiry(payload.made, payload.lifetime, longest);
    if expires_at.is_some_and(has_passed) {
        return Ok(Verdict::rejected(Reason::Expired, "Token has expired"));
    }
    Ok(Verdict::Accepted(Acceptance {
        actor: payload.actor()?,
        restrictions: payload.restrictions()?,
        token_id: Some(token_id(value.as_bytes())),
        issued_at: Some(payload.made),
        expires_at,
    }))
}

/// Returns when a token expires: after its lifetime, or after the operator's cap if that is sooner
/// or the token has no lifetime.
fn expiry(made: u64, lifetime: Option<u64>, longest: u64) -> Option<u64> {
    let cap = (longest > 0).then_some(longest);
    let seconds = lifetime.into_iter().chain(cap).min()?;
    // Only a cap of thousands of years exceeds the last second.
    Some(made.saturating_add(seconds).min(LAST_SECOND))
}

/// Returns whether a second has passed. The second itself is still valid; a nanosecond later is
/// not.
fn has_passed(second: u64) -> bool {
    let now = clock::now();
    (now.seconds, now.nanoseconds) > (second, 0)
}

/// Returns half of the SHA-256 of the signed value, in hexadecimal. A value has one spelling, so a
/// token has one id, whichever key signed it.
fn token_id(value: &[u8]) -> String {
    let digest = digest::sha256(value);
    digest.iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).map(python_json::hex_digit).collect()
}

/// Returns 96 random bits in base64url.
fn unique() -> String {
    let mut text = String::with_capacity(16);
    itsdangerous::push_base64(&mut text, &random::bytes(12));
    text
}

/// Returns a setting of the type `bool`.
///
/// # Errors
/// Fails if it has another type, which the host refuses when it loads the configuration.
fn is_true(name: &str, default: bool) -> Result<bool, Failure> {
    match settings::get(name).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Failure::Internal(["the setting `", name, "` must be true or false"].concat())),
    }
}

/// Returns the setting `max_signed_tokens_ttl`; 0 means no cap.
///
/// # Errors
/// Fails if it is not a whole number, which the host refuses when it loads the configuration.
fn longest() -> Result<u64, Failure> {
    let Some(text) = settings::get("max_signed_tokens_ttl") else { return Ok(0) };
    // `parse` alone would accept a leading plus sign, which is not JSON.
    text.parse().ok().filter(|_| !text.starts_with('+')).ok_or_else(|| {
        Failure::Internal("the setting `max_signed_tokens_ttl` must be a whole number, 0 for no cap".to_owned())
    })
}

fn key_failure(error: keys::KeyError) -> Failure {
    let cause = match error {
        keys::KeyError::NotGranted => "is not granted to this handler",
        keys::KeyError::NotPermittedNow => "may not be used in this phase",
    };
    Failure::Internal(["the key `", KEY, "` ", cause].concat())
}

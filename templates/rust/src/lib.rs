//! Signed tokens: `my_PAYLOAD.SIGNATURE`, both parts in base64url.
//!
//! The payload is a small JSON object: see [`Payload`]. The signature is that of its base64url
//! text, so a token has exactly one spelling.

mod payload;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use keyward_sdk::{Acceptance, CreateError, CreateRequest, Created, Failure, Reason, TokenHandler, Verdict};
use keyward_sdk::{clock, keys, random};

use payload::Payload;

/// The handler for `my_` tokens.
struct Handler;

keyward_sdk::handler!(Handler);

/// The beginning of every token. The operator lists it in `prefixes`.
const PREFIX: &str = "my_";

/// The label of the key. The operator binds it to a key ring, and this handler never sees the key.
const KEY: &str = "token";

impl TokenHandler for Handler {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        // Denies a request whose expiry the contract cannot express. These tokens carry everything
        // else: refuse here what yours cannot, instead of dropping it.
        let expires_at = request.expires_at()?;
        let id = BASE64URL.encode(random::bytes(16));
        let payload = Payload {
            actor: request.actor_id,
            issued_at: clock::now().seconds,
            lifetime: request.expires_after,
            restrictions: request.restrictions.map(Into::into),
            id: id.clone(),
        };
        let text = BASE64URL.encode(payload.to_json());
        let signature = keys::sign(KEY, text.as_bytes()).map_err(|error| CreateError::Failed(no_key(error)))?;
        let token = format!("{PREFIX}{text}.{}", BASE64URL.encode(signature));
        Ok(Created { token, token_id: Some(id), expires_at })
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(signed) = token.strip_prefix(PREFIX) else {
            return Ok(Verdict::NotMine);
        };
        let Some((text, json, signature)) = split(signed) else {
            return Ok(malformed());
        };
        // Nothing is read from a payload that this handler did not sign.
        if !keys::verify(KEY, text.as_bytes(), &signature).map_err(no_key)? {
            return Ok(Verdict::rejected(Reason::BadSignature, "Invalid token signature"));
        }
        let Some(payload) = Payload::from_json(&json) else {
            return Ok(malformed());
        };
        let expires_at = payload.expires_at();
        if expires_at.is_some_and(|last| clock::now().seconds > last) {
            return Ok(Verdict::rejected(Reason::Expired, "Token has expired"));
        }
        Ok(Verdict::Accepted(Acceptance {
            actor: serde_json::json!({ "id": payload.actor }).to_string(),
            restrictions: payload.restrictions.map(Into::into),
            token_id: Some(payload.id),
            issued_at: Some(payload.issued_at),
            expires_at,
        }))
    }
}

/// Splits a token without its prefix into the text of the payload, its JSON, and the signature.
/// Returns `None` if a part is not base64url, or not the only spelling of its bytes.
fn split(signed: &str) -> Option<(&str, Vec<u8>, Vec<u8>)> {
    let (text, signature) = signed.split_once('.')?;
    // This decoder rejects padding, a second dot, and unused bits that are not zero.
    Some((text, BASE64URL.decode(text).ok()?, BASE64URL.decode(signature).ok()?))
}

fn malformed() -> Verdict {
    Verdict::rejected(Reason::Malformed, "Invalid token: wrong format")
}

/// Describes a missing key to the operator. It says nothing about the token: no verdict.
fn no_key(error: keys::KeyError) -> Failure {
    Failure::Internal(format!("the key `{KEY}`: {error}"))
}

//! Tokens that this handler issues.

use crate::claims::named_id;
use crate::issuer::Issuer;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::{CreateError, CreateRequest, Created, Denial, Failure, clock, keys, random};
use serde_json::json;

/// The lifetime of a token for which none is requested, in seconds: that of hypothesis' tokens.
const LIFETIME: u32 = 3_600;

/// Issues a token.
pub(crate) fn issue(issuer: &Issuer, mut request: CreateRequest) -> Result<Created, CreateError> {
    let refused = |message: &str| Err(CreateError::denied(Denial::InvalidRequest, message));
    if request.restrictions.is_some() {
        return refused("these tokens cannot be restricted: request one without restrictions");
    }
    let now = clock::now().seconds;
    request.expires_after.get_or_insert(LIFETIME);
    let expiry = request.expires_at()?.unwrap_or(now);
    let Some(label) = &issuer.key else { return refused("this issuer has no key that signs") };
    let failed = |error: &keys::KeyError| {
        CreateError::Failed(Failure::Internal(["the key `", label, "`: ", &error.to_string()].concat()))
    };
    let (key_id, algorithm) = keys::signing_key(label).map_err(|error| failed(&error))?;
    // A token that this handler would reject.
    if issuer.method(&algorithm).is_none() {
        let text = ["the key `", label, "` signs with ", &algorithm, ", which `algorithms` does not name"].concat();
        return Err(CreateError::Failed(Failure::Internal(text)));
    }
    let jti = URL_SAFE_NO_PAD.encode(random::bytes(16));
    let header = json!({ "alg": algorithm, "kid": key_id, "typ": issuer.typ.as_deref().unwrap_or("JWT") });
    let mut claims = json!({
        "iss": issuer.iss,
        "sub": request.actor_id,
        "iat": now,
        "exp": expiry,
        "jti": jti,
    });
    if let (Some(members), Some(audience)) = (claims.as_object_mut(), issuer.aud.first()) {
        members.insert("aud".to_owned(), audience.as_str().into());
    }
    let mut token = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = keys::sign(label, token.as_bytes()).map_err(|error| failed(&error))?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    let expires_at = (expiry + u64::from(issuer.leeway())).saturating_sub(1);
    Ok(Created { token, token_id: Some(named_id(&issuer.iss, &jti)), expires_at: Some(expires_at) })
}

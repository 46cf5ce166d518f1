//! The claims of a token whose signature is valid.

use crate::issuer::{Claim, Issuer, Scopes};
use crate::jws::{Jws, is_media_type};
use crate::rejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::{Acceptance, Reason, Rejection, Restrictions, clock, digest};
use serde_json::{Map, Value};

/// The last second of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Returns the acceptance of a token.
pub(crate) fn accept(jws: &Jws<'_>, issuer: &Issuer) -> Result<Acceptance, Rejection> {
    let claims = &jws.payload;
    check_type(jws.media_type.as_deref(), issuer)?;
    check_audience(claims.get("aud"), issuer)?;
    let (issued_at, expires_at) = times(claims, issuer)?;
    let subject = text(claims, "sub")?;
    if subject.is_none_or(str::is_empty) && !issuer.may_lack(Claim::Sub) {
        return Err(malformed("Invalid token: there is no claim `sub`"));
    }
    Ok(Acceptance {
        actor: actor(claims, issuer)?,
        restrictions: issuer.scopes.as_ref().map(|scopes| restrictions(claims, scopes)).transpose()?,
        token_id: Some(token_id(jws)?),
        issued_at,
        expires_at,
    })
}

fn malformed(message: &str) -> Rejection {
    rejection(Reason::Malformed, message)
}

/// Returns a claim that is text, if present.
fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<Option<&'c str>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed("Invalid token: a claim has a wrong type")),
    }
}

/// Checks the media type, which tells an access token from other tokens of the same issuer (RFC
/// 8725 section 3.11).
fn check_type(media_type: Option<&str>, issuer: &Issuer) -> Result<(), Rejection> {
    let fits = match (media_type, issuer.typ.as_deref()) {
        (Some(found), Some(wanted)) => is_media_type(found, wanted),
        (None, Some(_)) => false,
        (Some(found), None) => ["JWT", "at+jwt"].iter().any(|wanted| is_media_type(found, wanted)),
        (None, None) => true,
    };
    if fits { Ok(()) } else { Err(malformed("Invalid token: its type is not accepted")) }
}

fn check_audience(audience: Option<&Value>, issuer: &Issuer) -> Result<(), Rejection> {
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| issuer.aud.iter().any(|ours| ours == name));
    let fits = match audience {
        None => issuer.may_lack(Claim::Aud),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => names.iter().any(is_ours),
        Some(name @ Value::String(_)) => is_ours(name),
        Some(_) => return Err(malformed("Invalid token: a claim has a wrong type")),
    };
    if fits { Ok(()) } else { Err(rejection(Reason::Unknown, "Token for another audience")) }
}

/// Checks `exp`, `nbf` and `iat`. Returns when the token was issued, and the last second in which
/// it is valid.
fn times(claims: &Map<String, Value>, issuer: &Issuer) -> Result<(Option<u64>, Option<u64>), Rejection> {
    let now = clock::now();
    let leeway = u64::from(issuer.leeway());
    let limit = now.seconds as f64 + f64::from(now.nanoseconds) / 1e9 + f64::from(issuer.leeway());
    let (expiry, start, issued) = (time(claims, "exp")?, time(claims, "nbf")?, time(claims, "iat")?);
    let expires_at = match expiry {
        None if issuer.may_lack(Claim::Exp) => None,
        None => return Err(malformed("Invalid token: there is no claim `exp`")),
        // It is invalid from `exp` on (RFC 7519 section 4.1.4).
        Some(expiry) => Some((whole(expiry.ceil()) + leeway).saturating_sub(1)),
    };
    if expires_at.is_some_and(|last| (now.seconds, now.nanoseconds) > (last, 0)) {
        return Err(rejection(Reason::Expired, "Token has expired"));
    }
    if start.is_some_and(|start| start > limit) {
        return Err(rejection(Reason::NotYetValid, "Token is not yet valid"));
    }
    if issued.is_some_and(|issued| issued > limit) {
        return Err(rejection(Reason::NotYetValid, "Token was issued in the future"));
    }
    if let Some(max) = issuer.max_lifetime {
        match (issued, expiry) {
            (Some(issued), Some(expiry)) if expiry - issued <= max as f64 => {}
            _ => return Err(malformed("Invalid token: its lifetime is too long or unknown")),
        }
    }
    // Within the leeway, the issuer's clock is ahead.
    Ok((issued.map(|issued| whole(issued.floor()).min(now.seconds)), expires_at))
}

/// Returns a NumericDate, which may have a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(time) if (0.0..=LAST_SECOND).contains(&time) => Ok(Some(time)),
            _ => Err(malformed("Invalid token: a time is not a number, before 1970 or after 9999")),
        },
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to LAST_SECOND")]
fn whole(time: f64) -> u64 {
    time as u64
}

/// Returns the actor as JSON text.
fn actor(claims: &Map<String, Value>, issuer: &Issuer) -> Result<String, Rejection> {
    let id = match claims.get(&issuer.actor) {
        Some(Value::String(id)) if !id.is_empty() => Value::from(id.as_str()),
        Some(Value::Number(id)) if issuer.actor != "sub" && !id.is_f64() => Value::Number(id.clone()),
        _ => return Err(malformed("Invalid token: it names no actor")),
    };
    let mut actor = Map::new();
    for name in &issuer.claims {
        if let Some(value) = claims.get(name) {
            actor.insert(name.clone(), value.clone());
        }
    }
    actor.insert("id".to_owned(), id);
    Ok(Value::Object(actor).to_string())
}

/// Returns the restrictions of the scopes. No scope, or none that is mapped, allows nothing.
fn restrictions(claims: &Map<String, Value>, scopes: &Scopes) -> Result<Restrictions, Rejection> {
    let named: Vec<&str> = match claims.get(&scopes.claim) {
        None => Vec::new(),
        Some(Value::String(text)) => text.split(' ').collect(),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            names.iter().filter_map(Value::as_str).collect()
        }
        Some(_) => return Err(malformed("Invalid token: a claim has a wrong type")),
    };
    let mut all: Vec<String> = Vec::new();
    for action in named.into_iter().filter_map(|scope| scopes.actions.get(scope)).flatten() {
        if !all.contains(action) {
            all.push(action.clone());
        }
    }
    Ok(Restrictions { all, database: Vec::new(), resource: Vec::new() })
}

/// Returns the SHA-256 of `iss` and `jti`, which together are unique (RFC 7519 section 4.1.7), or
/// that of the signed part, in base64url.
fn token_id(jws: &Jws<'_>) -> Result<String, Rejection> {
    Ok(match text(&jws.payload, "jti")? {
        None => URL_SAFE_NO_PAD.encode(digest::sha256(jws.signed.as_bytes())),
        Some(jti) => named_id(text(&jws.payload, "iss")?.unwrap_or_default(), jti),
    })
}

/// Returns the token id of a `jti`.
pub(crate) fn named_id(iss: &str, jti: &str) -> String {
    // The length keeps `a` and `bc` apart from `ab` and `c`.
    let length = (iss.len() as u64).to_be_bytes();
    URL_SAFE_NO_PAD.encode(digest::sha256(&[&length, iss.as_bytes(), jti.as_bytes()].concat()))
}

//! Managed tokens of datasette-auth-tokens: `dsatok_` followed by the signed number of a record.
//!
//! ```toml
//! [[handlers]]
//! name = "managed"
//! component = "builtin:auth-tokens"
//! prefixes = ["dsatok_"]
//! keys.token = { ring = "datasette", scheme = "itsdangerous", namespace = "dsatok" }
//! store = true                            # or: store = { tokens = 100000 }, at most this many valid tokens
//! ```
//!
//! The ring `datasette` holds the secret of the Datasette instance that the tokens come from
//! (`DATASETTE_SECRET`). With the same secret, either side accepts a token that the other signed
//! for a record that both have. The actor is `{"id": "ann", "token": "dsatok", "token_id": 12}`.
//!
//! # Format
//!
//! `dsatok_`, the record number in decimal digits as base64url without padding, `.`, and the
//! signature in base64url: the output of itsdangerous' `URLSafeSerializer` for a bare integer. The
//! signature is the only secret in it: the holder of the key can forge the token of any record.
//!
//! # Differences from datasette-auth-tokens
//!
//! * **An invalid token is rejected** with a reason. The plugin treats an invalid, unknown, revoked
//!   or expired token as no token, and the request continues as anonymous.
//! * **A token has one spelling.** Signature and payload must be canonical base64url, and the
//!   payload a whole number from 1 to 2^63 - 1 without a sign or leading zeros; everything else is
//!   rejected. The plugin allows padding after the signature, also reads `"1"`, `1.0`, `true`, ` 1`
//!   and a compressed `1` as record 1, and fails with an internal error on a list, an object or
//!   2^63. Only the holder of the key can sign any of these, and the plugin does not.
//! * **Numbers are never reused.** The plugin reuses the number of the newest record once that
//!   record is deleted: an old token then speaks for another actor.
//! * **A record is valid unless it was revoked, replaced or has expired.** The plugin treats every
//!   state except `R` and `E` as valid.
//! * **Restrictions that allow nothing allow nothing.** The plugin treats an empty allow-list as no
//!   restrictions.
//! * **Expiry depends on the clock alone.** The plugin marks an expired token at the first lookup,
//!   so that it stays expired if the clock goes back; here the clock of a process never does. The
//!   last second is `created + lifetime` in both, but the plugin accepts the token until the end of
//!   that second. Keyward accepts it until the second begins, by the host's rule for all handlers.
//! * **`token_expires`** is in the actor of a token that expires, as with every handler. The plugin
//!   does not add it.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::store::{self, IdForm};
use keyward_sdk::{CreateError, CreateRequest, Created, Failure, Reason, TokenHandler, Verdict, keys};

/// The handler for `dsatok_` tokens.
#[derive(Debug)]
pub struct Dsatok;

keyward_sdk::handler!(Dsatok);

const PREFIX: &str = "dsatok_";
const KEY: &str = "token";

impl TokenHandler for Dsatok {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        let expires_at = request.expires_at()?;
        let id = store::insert(IdForm::Serial, None, expires_at);
        let value = URL_SAFE_NO_PAD.encode(&id);
        let signature = keys::sign(KEY, value.as_bytes()).map_err(|error| CreateError::Failed(key_failure(error)))?;
        let token = [PREFIX, &value, ".", &URL_SAFE_NO_PAD.encode(signature)].concat();
        Ok(Created { token, token_id: Some(id), expires_at })
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(signed) = token.strip_prefix(PREFIX) else { return Ok(Verdict::NotMine) };
        let Some(value) = signed_value(signed)? else {
            return Ok(Verdict::rejected(Reason::BadSignature, "Invalid token signature"));
        };
        let Some(id) = number(value) else {
            return Ok(Verdict::rejected(Reason::Malformed, "Invalid token: not the number of a token"));
        };
        Ok(match store::find(&id) {
            Some(record) => {
                let actor = actor(&record);
                record.verdict(actor)
            }
            None => Verdict::rejected(Reason::Unknown, "Invalid token"),
        })
    }
}

/// Returns the value of a signed text, or `None` if the signature is not valid.
fn signed_value(signed: &str) -> Result<Option<&str>, Failure> {
    let Some((value, signature)) = signed.rsplit_once('.') else { return Ok(None) };
    // Non-canonical base64 does not decode.
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(None) };
    let good = keys::verify(KEY, value.as_bytes(), &signature).map_err(key_failure)?;
    Ok(good.then_some(value))
}

/// Returns the record number as digits, or `None` if `value` is not its canonical spelling.
fn number(value: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
    let number: i64 = text.parse().ok()?;
    // `parse` alone would accept signs and leading zeros.
    (number > 0 && !text.starts_with(['+', '0'])).then_some(text)
}

/// Returns the actor that a record speaks for, as JSON.
fn actor(record: &store::Token) -> String {
    // Writing a string cannot fail; if it did, the host would reject the result as an actor.
    let id = serde_json::to_string(&record.actor_id).unwrap_or_default();
    ["{\"id\":", &id, ",\"token\":\"dsatok\",\"token_id\":", &record.id, "}"].concat()
}

fn key_failure(error: keys::KeyError) -> Failure {
    let cause = match error {
        keys::KeyError::NotGranted => "is not granted to this handler",
        keys::KeyError::NotPermittedNow => "may not be used in this phase",
    };
    Failure::Internal(["the key `", KEY, "` ", cause].concat())
}

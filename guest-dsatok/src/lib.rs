//! Managed tokens of datasette-auth-tokens: `dsatok_` and the signed number of a record.
//!
//! ```toml
//! [[handlers]]
//! name = "managed"
//! component = "builtin:dsatok"
//! prefixes = ["dsatok_"]
//! keys.token = { ring = "datasette", scheme = "itsdangerous", namespace = "dsatok" }
//! store = true                            # or: store = { tokens = 100000 }, so many may be good at once
//! ```
//!
//! The ring `datasette` has the secret of the Datasette that the tokens come from (`DATASETTE_SECRET`); then what either signs
//! for a record that both have is a token to both. The actor is `{"id": "ann", "token": "dsatok", "token_id": 12}`.
//!
//! # Format
//!
//! `dsatok_`, the number in decimal digits as base64url without padding, `.`, and its signature in base64url: the text of
//! itsdangerous' `URLSafeSerializer` over a bare integer. There is no secret in it but the signature: whoever has the key can
//! make the token of any record.
//!
//! # Differences from datasette-auth-tokens
//!
//! * **A bad token is refused**, and the reason told. There a bad, unknown, revoked or expired one is the same as none, and
//!   the request goes on as anonymous.
//! * **A token has one spelling.** Signature and payload must be canonical base64url, and the payload a whole number from 1 to
//!   2^63 - 1 without sign and leading zeros; all else is refused. There a signature may have padding behind it, `"1"`,
//!   `1.0`, `true`, ` 1` and a compressed `1` are record 1 as well, and a list, an object or 2^63 is an internal error. Only the
//!   holder of the key can sign any of these, and the plugin does not.
//! * **No number is given twice.** There the number of the newest record is, once that is deleted: an old token then speaks
//!   for somebody else.
//! * **A record is good unless it has ended.** There any state but `R` and `E` counts as good.
//! * **Restrictions that allow nothing allow nothing.** There an empty allow-list is the same as none.
//! * **Expiry is a matter of the clock alone.** There the first look at a token that is over marks it, so that it stays expired
//!   if the clock goes back; here the clock of a process does not. The last second is `created + lifetime` as there; but
//!   there it is good to its end, and here, by the host's rule for all handlers, up to the moment when it begins.
//! * **`token_expires`** is in the actor of a token that ends, as with every handler. There it is not.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::store::{self, IdForm};
use keyward_sdk::{CreateError, CreateRequest, Created, Failure, Reason, TokenHandler, Verdict, keys};

/// The handler.
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

/// The value of a signed text whose signature is good.
fn signed_value(signed: &str) -> Result<Option<&str>, Failure> {
    let Some((value, signature)) = signed.rsplit_once('.') else { return Ok(None) };
    // Base64 of another spelling than the canonical one does not decode.
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(None) };
    let good = keys::verify(KEY, value.as_bytes(), &signature).map_err(key_failure)?;
    Ok(good.then_some(value))
}

/// The number of a record, as digits. `None`: it is anything else, or another spelling.
fn number(value: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
    let number: i64 = text.parse().ok()?;
    // `parse` alone would take signs and leading zeros.
    (number > 0 && !text.starts_with(['+', '0'])).then_some(text)
}

/// Whom a record speaks for. Its id is the number that was signed.
fn actor(record: &store::Token) -> String {
    // To write a string cannot fail; if it did, the host would not take this for an actor.
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

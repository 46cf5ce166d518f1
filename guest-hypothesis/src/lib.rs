//! Developer tokens of hypothesis (`h`): `6879-` followed by random text, of which the host keeps a
//! digest. A user has at most one.
//!
//! ```toml
//! [[handlers]]
//! name = "developers"
//! component = "builtin:hypothesis"
//! prefixes = ["6879-"]
//! store = true                            # or: store = { tokens = 100000 }, at most this many valid tokens
//! ```
//!
//! The actor is `{"id": "acct:seanh@hypothes.is"}`, the user for whom the token was created.
//! Creating another token for a user revokes the previous one.
//!
//! # Format
//!
//! New tokens have 48 characters, as in today's h: `6879-` and 32 random bytes in base64url without
//! padding. The early format of h, `6879-` and 32 hexadecimal digits, is also valid if it was
//! recorded. Nothing is parsed out of a token, so neither format is required: the prefix may be
//! followed by 0 to 43 characters `0-9 A-Z a-z - _`, and the token is looked up whole. Anything
//! else is rejected without a lookup.
//!
//! # Differences from h
//!
//! * The host keeps a digest of the token. h keeps its text, and shows it again.
//! * A token that is longer or has other characters is rejected without a lookup. The first version
//!   of h looked up everything with the prefix, and today's h looks up everything: a flood of
//!   garbage is a flood of queries.
//! * An unknown token with the prefix is rejected. h passed it to its JWT parser, which could never
//!   accept it: the first three bytes that `6879-` decodes to are not UTF-8, and so not JSON. h
//!   then treats the request as one without a token; here the client gets the rejection.
//! * The host enforces at most one token per user: it revokes the previous record in the same
//!   transaction. In h this is a rule of the code, and two concurrent requests can create two
//!   tokens.
//! * A revoked token remains on record and is rejected with that reason.
//! * A note (`description`) is kept with the token. A lifetime and restrictions are refused: h's
//!   tokens have neither.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::store::{self, IdForm};
use keyward_sdk::{CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, random};

/// The handler for `6879-` tokens.
#[derive(Debug)]
pub struct Opaque;

keyward_sdk::handler!(Opaque, patterns: ["[0-9A-Za-z_-]{0,43}"]);

const PREFIX: &str = "6879-";
/// Length of 32 bytes in base64url.
const SECRET: usize = 43;

impl TokenHandler for Opaque {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        if request.expires_after.is_some() {
            return Err(unheard_of("these tokens do not expire: request one without a lifetime"));
        }
        if request.restrictions.is_some() {
            return Err(unheard_of("these tokens cannot be restricted: request one without restrictions"));
        }
        let mut token = String::with_capacity(PREFIX.len() + SECRET);
        token.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(random::bytes(32), &mut token);
        let id = store::replace(IdForm::Random, Some(&token), None);
        Ok(Created { token, token_id: Some(id), expires_at: None })
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(rest) = token.strip_prefix(PREFIX) else { return Ok(Verdict::NotMine) };
        if rest.len() > SECRET || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            return Ok(Verdict::rejected(Reason::Malformed, "Invalid token: wrong length or characters"));
        }
        Ok(match store::find_secret(token) {
            Some(record) => {
                let actor = actor(&record);
                record.verdict(actor)
            }
            None => Verdict::rejected(Reason::Unknown, "Invalid token"),
        })
    }
}

/// Returns the actor that a record speaks for, as JSON.
fn actor(record: &store::Token) -> String {
    // Writing a string cannot fail; if it did, the host would reject the result as an actor.
    let id = serde_json::to_string(&record.actor_id).unwrap_or_default();
    ["{\"id\":", &id, "}"].concat()
}

fn unheard_of(message: &str) -> CreateError {
    CreateError::denied(Denial::InvalidRequest, message)
}

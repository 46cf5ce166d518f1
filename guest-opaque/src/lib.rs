//! Developer tokens of hypothesis (`h`): `6879-` and a random text that the host knows the digest of. A user has one or none.
//!
//! ```toml
//! [[handlers]]
//! name = "developers"
//! component = "builtin:opaque"
//! prefixes = ["6879-"]
//! store = true                            # or: store = { tokens = 100000 }, so many may be good at once
//! ```
//!
//! The actor is `{"id": "acct:seanh@hypothes.is"}`, the user for whom the token was made. Making another token for a user ends
//! the former one.
//!
//! # Format
//!
//! Made are 48 characters, as by h today: `6879-` and 32 random bytes in base64url without padding. Those of h's first years,
//! `6879-` and 32 hexadecimal digits, are as good if they were recorded. Nothing is read out of a token, so it has to have
//! neither form: after the prefix it may have up to 43 characters `0-9 A-Z a-z - _`, none included, and is looked up whole.
//! Anything else is refused before the host is asked.
//!
//! # Differences from h
//!
//! * The host keeps a digest of the token. h keeps its text, and shows it again.
//! * What is longer or has other characters is refused without a look-up. h's first version looked for everything with the
//!   prefix, h today looks for everything: a flood of rubbish is a flood of queries.
//! * A token with the prefix that is not known is refused. In h it went on to the reader of JWTs, which could never take it:
//!   the first three bytes of what `6879-` decodes to are no UTF-8, and so no JSON. h then treats the request as one without a
//!   token; here whoever presents a bad token is told.
//! * None or one for each user is kept by the host, which ends the former record in the same transaction. In h it is a rule
//!   of the code, and two requests at once can make two tokens.
//! * A token that ended stays known as such, and is refused with that reason.
//! * A note (`description`) is kept with the token. A lifetime and restrictions are refused: h's tokens have neither.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::store::{self, IdForm};
use keyward_sdk::{CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, random};

/// The handler.
#[derive(Debug)]
pub struct Opaque;

keyward_sdk::handler!(Opaque, forms: ["[0-9A-Za-z_-]{0,43}"]);

const PREFIX: &str = "6879-";
/// 32 bytes in base64url.
const SECRET: usize = 43;

impl TokenHandler for Opaque {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        if request.expires_after.is_some() {
            return Err(unheard_of("these tokens do not end: ask for one without a lifetime"));
        }
        if request.restrictions.is_some() {
            return Err(unheard_of("these tokens cannot be restricted: ask for one without restrictions"));
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

/// Whom a record speaks for.
fn actor(record: &store::Token) -> String {
    // To write a string cannot fail; if it did, the host would not take this for an actor.
    let id = serde_json::to_string(&record.actor_id).unwrap_or_default();
    ["{\"id\":", &id, "}"].concat()
}

fn unheard_of(message: &str) -> CreateError {
    CreateError::denied(Denial::InvalidRequest, message)
}

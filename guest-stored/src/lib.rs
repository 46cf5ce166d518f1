//! Keyward's own tokens: a random name and a random secret. The host keeps a record of each, so
//! that it can be revoked, and only a digest of the secret.
//!
//! ```toml
//! [[handlers]]
//! name = "tokens"
//! component = "builtin:stored"
//! prefixes = ["kwt_live_"]
//! settings = { prefix = "kwt_live_" }
//! store = true                            # or: store = { tokens = 100000 }, at most this many valid tokens
//! ```
//!
//! # Format
//!
//! `<prefix><id><secret><crc>`, all characters `0-9 A-Z a-z _`, so that a double click selects a
//! whole token:
//!
//! | part | characters | description |
//! | --- | --- | --- |
//! | prefix | 6 or more | the setting `prefix`, which ends in `_`; name the environment in it (`_live_`, `_test_`) |
//! | id | 22 | the name of the record, 128 random bits: the token id for revocation and audit |
//! | secret | 43 | 256 random bits |
//! | crc | 6 | CRC-32 (IEEE) of **everything before it**, prefix and all |
//!
//! Secret and crc are base-62 numbers with digits `0-9A-Za-z`, most significant first, with leading
//! zeros. For secret scanners:
//!
//! ```text
//! \bkwt_live_[0-9A-Za-z]{71}\b            with any prefix: \b[0-9A-Za-z_]{5,}_[0-9A-Za-z]{71}\b
//! ```
//!
//! # Verdicts
//!
//! Length, characters and crc are checked before any host call: a truncated or mistyped token costs
//! no lookup. An unknown id and a wrong secret get the same verdict after the same time.

#[cfg(test)]
mod tests;

use keyward_sdk::store::{self, IdForm};
use keyward_sdk::{CreateError, CreateRequest, Created, Failure, Reason, TokenHandler, Verdict, random, settings};

/// The handler for Keyward's own tokens.
#[derive(Debug)]
pub struct Stored;

keyward_sdk::handler!(Stored, settings: ["prefix: text"], patterns: ["[0-9A-Za-z]{71}"]);

/// Length of 128 bits as the host writes them.
const ID: usize = 22;
/// Length of 256 bits in base 62.
const SECRET: usize = 43;
/// Length of 32 bits in base 62.
const CRC: usize = 6;

impl TokenHandler for Stored {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        let mut token = prefix().map_err(CreateError::Failed)?;
        let expires_at = request.expires_at()?;
        let mut secret = String::with_capacity(SECRET);
        push_number(&mut secret, random::bytes(32), SECRET);
        let id = store::insert(IdForm::Random, Some(&secret), expires_at);
        token.reserve_exact(ID + SECRET + CRC);
        token.push_str(&id);
        token.push_str(&secret);
        let crc = crc32(token.as_bytes());
        push_number(&mut token, crc.to_be_bytes().to_vec(), CRC);
        Ok(Created { token, token_id: Some(id), expires_at })
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(rest) = token.strip_prefix(prefix()?.as_str()) else { return Ok(Verdict::NotMine) };
        let (id, secret) = match read(token, rest) {
            Ok(parts) => parts,
            Err(sentence) => return Ok(Verdict::rejected(Reason::Malformed, sentence)),
        };
        Ok(match store::check_secret(id, secret) {
            Some(record) => {
                let actor = actor(&record);
                record.verdict(actor)
            }
            None => Verdict::rejected(Reason::Unknown, "Invalid token"),
        })
    }
}

/// Returns the id and the secret of a token. `rest` is `token` without its prefix.
fn read<'a>(token: &str, rest: &'a str) -> Result<(&'a str, &'a str), &'static str> {
    const FORM: &str = "Invalid token: wrong length or characters";
    if rest.len() != ID + SECRET + CRC || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(FORM);
    }
    let (id, rest) = rest.split_at_checked(ID).ok_or(FORM)?;
    let (secret, crc) = rest.split_at_checked(SECRET).ok_or(FORM)?;
    let covered = token.strip_suffix(crc).unwrap_or_default();
    let mut right = String::with_capacity(CRC);
    push_number(&mut right, crc32(covered.as_bytes()).to_be_bytes().to_vec(), CRC);
    if crc == right { Ok((id, secret)) } else { Err("Invalid token: wrong checksum") }
}

/// Returns the actor that a record speaks for, as JSON.
fn actor(record: &store::Token) -> String {
    // Writing a string cannot fail; if it did, the host would reject the result as an actor.
    let id = serde_json::to_string(&record.actor_id).unwrap_or_default();
    ["{\"id\":", &id, "}"].concat()
}

/// Returns the setting `prefix`.
fn prefix() -> Result<String, Failure> {
    let json = settings::get("prefix");
    // Allowed prefixes need no escapes in JSON.
    let text = json.as_deref().and_then(|json| json.strip_prefix('"')?.strip_suffix('"'));
    let is_good = |text: &&str| {
        text.len() >= 6 && text.ends_with('_') && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    text.filter(is_good).map(str::to_owned).ok_or_else(|| {
        let wanted = "must be text of at least 6 characters 0-9 A-Z a-z _ with _ as the last one, as in `prefixes`";
        Failure::Internal(["the setting `prefix` ", wanted].concat())
    })
}

/// Appends a number, given as big-endian bytes, as exactly `digits` digits in base 62.
fn push_number(to: &mut String, mut number: Vec<u8>, digits: usize) {
    let mut least_first = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut rest = 0;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            // Less than 256, because the remainder is less than 62.
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        least_first.push(digit(rest as u8));
    }
    to.extend(least_first.iter().rev());
}

/// Returns the digit for a number below 62.
fn digit(number: u8) -> char {
    char::from(match number {
        0..10 => b'0' + number,
        10..36 => b'A' + (number - 10),
        _ => b'a' + (number - 36),
    })
}

/// Computes CRC-32 (IEEE 802.3) bit by bit: a library's tables would take a quarter of the memory
/// that a call has, and a token is a hundred bytes.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

//! The payload of a token: `{"a":ACTOR,"t":MADE[,"d":LIFETIME][,"_r":RESTRICTIONS][,"j":UNIQUE]}`.
//! Datasette ignores `j`.

use keyward_sdk::Restrictions;

use crate::python_json::{Document, Kind, Value, write_string};
use crate::restrictions;

/// The last second of the year 9999.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// Maximum length of an actor id, in bytes.
pub const MAX_ID: usize = 1_024;

/// Writes the payload of a new token. `unique` is a text in base64url that no other token has.
#[must_use]
pub fn write(
    id: &str,
    made: u64,
    lifetime: Option<u32>,
    restrictions: Option<&Restrictions>,
    unique: Option<&str>,
) -> String {
    let mut json = String::with_capacity(id.len() + 48);
    json.push_str("{\"a\":");
    write_string(&mut json, id);
    json.push_str(",\"t\":");
    push_number(&mut json, made);
    if let Some(lifetime) = lifetime {
        json.push_str(",\"d\":");
        push_number(&mut json, u64::from(lifetime));
    }
    if let Some(restrictions) = restrictions {
        json.push_str(",\"_r\":");
        restrictions::write(&mut json, restrictions);
    }
    if let Some(unique) = unique {
        json.push_str(",\"j\":\"");
        json.push_str(unique);
        json.push('"');
    }
    json.push('}');
    json
}

/// The reason that a payload is rejected: a sentence for the client.
pub type Malformed = &'static str;

/// The payload of a token with a valid signature, with its times checked. The rest is read once the
/// token is known not to have expired.
#[derive(Debug)]
pub struct Payload<'d> {
    /// When the token was issued, in Unix seconds.
    pub made: u64,
    /// The lifetime in seconds. 0 in a token means none.
    pub lifetime: Option<u64>,
    id: Option<Value<'d>>,
    restrictions: Option<Value<'d>>,
}

impl<'d> Payload<'d> {
    /// Finds the members of the payload and checks the times.
    ///
    /// # Errors
    /// Fails if the document is not an object, or if a time is missing, is not an integer, or is
    /// before 1970 or after 9999.
    pub fn read(document: &'d Document<'_>) -> Result<Self, Malformed> {
        const NO_TIME: Malformed = "Invalid token: no timestamp";
        let (mut id, mut made, mut lifetime, mut restrictions) = (None, None, None, None);
        // The last of several equal names counts. Other members are ignored.
        for (name, value) in document.root().members().ok_or(NO_TIME)? {
            match name.string().as_deref() {
                Some("a") => id = Some(value),
                Some("t") => made = Some(value),
                Some("d") => lifetime = Some(value),
                Some("_r") => restrictions = Some(value),
                _ => {}
            }
        }
        let made = made.ok_or(NO_TIME)?;
        if made.kind() != Kind::Integer {
            return Err("Invalid token: invalid timestamp");
        }
        let lifetime = lifetime.filter(|value| value.kind() != Kind::Null);
        if lifetime.is_some_and(|value| value.kind() != Kind::Integer) {
            return Err("Invalid token: invalid duration");
        }
        const OUT_OF_RANGE: Malformed = "Invalid token: a time before 1970 or after 9999";
        let made = seconds(made).ok_or(OUT_OF_RANGE)?;
        let lifetime = lifetime.map(|value| seconds(value).ok_or(OUT_OF_RANGE)).transpose()?;
        if made + lifetime.unwrap_or(0) > LAST_SECOND {
            return Err(OUT_OF_RANGE);
        }
        Ok(Self { made, lifetime: lifetime.filter(|seconds| *seconds > 0), id, restrictions })
    }

    /// Returns the actor as JSON text.
    ///
    /// # Errors
    /// Fails unless the id is a 64-bit integer, or a non-empty string of at most 1,024 bytes
    /// without control characters.
    pub fn actor(&self) -> Result<String, Malformed> {
        const BAD: Malformed = "Invalid token: invalid actor id";
        let id = self.id.ok_or(BAD)?;
        let mut actor = String::with_capacity(id.text().len() + 32);
        actor.push_str("{\"id\":");
        match id.kind() {
            Kind::Integer => {
                let digits = id.text();
                let fits =
                    if digits.starts_with('-') { digits.parse::<i64>().is_ok() } else { digits.parse::<u64>().is_ok() };
                if !fits {
                    return Err(BAD);
                }
                // Python reads -0 as 0.
                actor.push_str(if digits == "-0" { "0" } else { digits });
            }
            _ => {
                let id = id.string().ok_or(BAD)?;
                if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
                    return Err(BAD);
                }
                write_string(&mut actor, &id);
            }
        }
        actor.push_str(",\"token\":\"dstok\"}");
        Ok(actor)
    }

    /// Returns the restrictions, or `None` if the token leaves the actor its own rights.
    ///
    /// # Errors
    /// Fails if they do not have the shape that Datasette gives them.
    pub fn restrictions(&self) -> Result<Option<Restrictions>, Malformed> {
        let read = |value| restrictions::read(value).ok_or("Invalid token: invalid restrictions");
        self.restrictions.map(read).transpose()
    }
}

/// Returns the value in seconds, or `None` outside the years 1970 to 9999.
fn seconds(integer: Value<'_>) -> Option<u64> {
    // Parsed as a signed number: Python reads -0 as 0.
    let seconds: i64 = integer.text().parse().ok()?;
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST_SECOND)
}

/// Appends a number in decimal, without the formatting machinery.
fn push_number(to: &mut String, number: u64) {
    if number > 9 {
        push_number(to, number / 10);
    }
    to.push(char::from(b'0' + (number % 10) as u8));
}

//! What is said about one token, the same on the command line and over HTTP.

use keyward_runtime::{Acceptance, Denied, Error, Rejection, Verdict, is_hidden};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// The outcome of a verification or of a creation that gave no token. The order of the members is that of the JSON.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Good.
    Accepted {
        /// The handler that vouches.
        handler: String,
        /// Whom the token speaks for: a JSON object.
        #[schema(value_type = Object)]
        actor: Box<RawValue>,
        /// What revocation and audit name the token by.
        #[schema(required)]
        token_id: Option<String>,
        /// When it was made, in unix seconds.
        #[schema(required)]
        issued_at: Option<u64>,
        /// The last second in which it is good, in unix seconds.
        #[schema(required)]
        expires_at: Option<u64>,
    },
    /// Nobody's.
    NotMine,
    /// Bad.
    Rejected {
        /// The handler that owns it; null where the host itself refused it.
        #[schema(required)]
        handler: Option<String>,
        /// Why, for programs.
        reason: &'static str,
        /// Why, for people.
        message: String,
    },
    /// No token is made.
    Denied {
        /// The handler that refused; null where the host itself did.
        #[schema(required)]
        handler: Option<String>,
        /// Why, for programs.
        denial: &'static str,
        /// Why, for people.
        message: String,
    },
    /// No answer could be had.
    Failed {
        /// The handler that was asked.
        #[schema(required)]
        handler: Option<String>,
        /// Why, for programs.
        code: &'static str,
        /// Why, for people.
        message: String,
    },
}

impl Outcome {
    /// A text that the host itself refuses as no token at all.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::Rejected { handler: None, reason: "malformed", message: message.into() }
    }

    /// Of a verification.
    pub fn of_verdict(verdict: Result<Verdict, Error>) -> Self {
        match verdict {
            Ok(Verdict::Accepted(acceptance)) => {
                let Acceptance { handler, actor, token_id, issued_at, expires_at, .. } = acceptance;
                match actor_json(actor.json()) {
                    Some(actor) => {
                        Self::Accepted { handler: handler.to_string(), actor, token_id, issued_at, expires_at }
                    }
                    // The runtime has read it more strictly; and what cannot be shown is no yes.
                    None => Self::Failed {
                        handler: Some(handler.to_string()),
                        code: "bad-result",
                        message: "gave an actor that is no JSON".to_owned(),
                    },
                }
            }
            Ok(Verdict::NotMine) => Self::NotMine,
            Ok(Verdict::Rejected(Rejection { handler, reason, message })) => {
                Self::Rejected { handler: handler.map(|name| name.to_string()), reason: reason.as_str(), message }
            }
            Err(error) => Self::of_error(&error),
        }
    }

    /// Of a creation that was refused.
    pub fn of_denial(denied: Denied) -> Self {
        let Denied { handler, denial, message } = denied;
        Self::Denied { handler: handler.map(|name| name.to_string()), denial: denial.as_str(), message }
    }

    /// Of a call that gave no answer.
    pub fn of_error(error: &Error) -> Self {
        Self::Failed {
            handler: error.handler().map(str::to_owned),
            code: error.code(),
            message: error.fault().to_string(),
        }
    }
}

/// An actor's JSON, fit for a line.
pub(crate) fn actor_json(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(escape_json(json)).ok()
}

/// JSON with the characters escaped that break a line, move a cursor, reorder text or cannot be seen. In a text without
/// white space between its tokens they stand in strings only, so it means the same.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_agreed_order() {
        let actor = actor_json(r#"{"id":"root","b":1,"a":2}"#).unwrap();
        let accepted =
            Outcome::Accepted { handler: "h".into(), actor, token_id: None, issued_at: Some(1), expires_at: None };
        let json = |outcome| serde_json::to_string(&outcome).unwrap();
        assert_eq!(
            json(accepted),
            r#"{"outcome":"accepted","handler":"h","actor":{"id":"root","b":1,"a":2},"token_id":null,"issued_at":1,"expires_at":null}"#
        );
        assert_eq!(json(Outcome::NotMine), r#"{"outcome":"not-mine"}"#);
        assert_eq!(
            json(Outcome::malformed("no")),
            r#"{"outcome":"rejected","handler":null,"reason":"malformed","message":"no"}"#
        );
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_and_means_the_same() {
        let json = "{\"id\":\"a\u{9b}2J\u{202e}\u{e0041}é\"}";
        let escaped = escape_json(json);
        assert_eq!(escaped, r#"{"id":"a\u009b2J\u202e\udb40\udc41é"}"#);
        let [one, other] = [json, &escaped].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(one, other);
    }
}

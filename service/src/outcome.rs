//! The outcome for one token, the same on the command line and over HTTP.

use keyward_runtime::text::needs_escape;
use keyward_runtime::{Acceptance, Denied, Error, Rejection, Verdict};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use utoipa::ToSchema;

/// The outcome of a verification, or of a creation that issued no token. The JSON has the members
/// in this order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The token is valid.
    Accepted {
        /// The handler that accepted the token.
        handler: String,
        /// The actor: a JSON object.
        #[schema(value_type = Object)]
        actor: Box<RawValue>,
        /// The token's id for revocation and the audit log.
        #[schema(required)]
        token_id: Option<String>,
        /// The time of issue in unix seconds.
        #[schema(required)]
        issued_at: Option<u64>,
        /// The last second in which the token is valid, in unix seconds; null if it does not
        /// expire.
        #[schema(required)]
        expires_at: Option<u64>,
    },
    /// No handler owns the token.
    NotMine,
    /// The token is rejected.
    Rejected {
        /// The handler that owns the token; null if the host itself rejected it.
        #[schema(required)]
        handler: Option<String>,
        /// The reason, for programs.
        reason: &'static str,
        /// The reason, for humans.
        message: String,
    },
    /// No token was issued.
    Denied {
        /// The handler that denied the request; null if the host itself did.
        #[schema(required)]
        handler: Option<String>,
        /// The reason, for programs.
        denial: &'static str,
        /// The reason, for humans.
        message: String,
    },
    /// The operation failed without a verdict.
    Failed {
        /// The handler that was called; null if there was none.
        #[schema(required)]
        handler: Option<String>,
        /// The reason, for programs.
        code: &'static str,
        /// The reason, for humans.
        message: String,
    },
}

impl Outcome {
    /// Returns the outcome for a text that the host itself rejects because it is not a token.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::Rejected { handler: None, reason: "malformed", message: message.into() }
    }

    /// Returns the outcome of a verification.
    pub fn of_verdict(verdict: Result<Verdict, Error>) -> Self {
        match verdict {
            Ok(Verdict::Accepted(acceptance)) => {
                let actor = actor_json(acceptance.actor_ignoring_restrictions().json());
                let Acceptance { handler, token_id, issued_at, expires_at, .. } = acceptance;
                match actor {
                    Some(actor) => {
                        let [issued_at, expires_at] = [issued_at, expires_at].map(|time| time.map(|time| time.seconds));
                        Self::Accepted { handler: handler.to_string(), actor, token_id, issued_at, expires_at }
                    }
                    // Cannot happen, since the runtime parses actors more strictly; fails closed.
                    None => Self::Failed {
                        handler: Some(handler.to_string()),
                        code: "bad-result",
                        message: "returned an actor that is not JSON".to_owned(),
                    },
                }
            }
            Ok(Verdict::NotMine) => Self::NotMine,
            Ok(Verdict::Rejected(Rejection { handler, reason, message, .. })) => {
                Self::Rejected { handler: handler.map(|name| name.to_string()), reason: reason.as_str(), message }
            }
            Err(error) => Self::of_error(&error),
        }
    }

    /// Returns the outcome of a creation that was denied.
    pub fn of_denial(denied: Denied) -> Self {
        let Denied { handler, denial, message, .. } = denied;
        Self::Denied { handler: handler.map(|name| name.to_string()), denial: denial.as_str(), message }
    }

    /// Returns the outcome of a call that failed.
    pub fn of_error(error: &Error) -> Self {
        Self::Failed {
            handler: error.handler().map(str::to_owned),
            code: error.code(),
            message: error.kind().to_string(),
        }
    }
}

/// Returns an actor's JSON, escaped to be printed on one line; `None` if it is not JSON.
pub fn actor_json(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(escape_json(json)).ok()
}

/// Escapes the characters in JSON that break a line, move a cursor, reorder text or are invisible.
///
/// The JSON must have no whitespace between its tokens: then these characters occur in strings
/// only, and the value does not change.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if needs_escape(c) {
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
    fn members_are_serialized_in_order() {
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
    fn escaping_does_not_change_the_value() {
        let json = "{\"id\":\"a\u{9b}2J\u{202e}\u{e0041}é\"}";
        let escaped = escape_json(json);
        assert_eq!(escaped, r#"{"id":"a\u009b2J\u202e\udb40\udc41é"}"#);
        let [one, other] = [json, &escaped].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(one, other);
    }
}

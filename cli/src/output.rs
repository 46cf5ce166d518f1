//! Answers, for people and for programs.

use crate::Stop;
use keyward_runtime::{Acceptance, Created, Creation, Denied, Error, Rejection, Verdict, is_hidden};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use std::io::Write;

/// What is said about one token. The order of the members is that of the JSON.
#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Answer {
    Accepted {
        handler: String,
        actor: Box<RawValue>,
        token_id: Option<String>,
        issued_at: Option<u64>,
        expires_at: Option<u64>,
    },
    NotMine,
    Rejected {
        handler: Option<String>,
        reason: &'static str,
        message: String,
    },
    Denied {
        handler: Option<String>,
        denial: &'static str,
        message: String,
    },
    Failed {
        handler: Option<String>,
        code: &'static str,
        message: String,
    },
}

/// A token that was made, as JSON.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    handler: &'a str,
    token_id: Option<&'a str>,
    expires_at: Option<u64>,
}

impl Answer {
    /// A token that the host itself refuses as no token at all.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Rejected { handler: None, reason: "malformed", message: message.into() }
    }

    pub(crate) fn of_verdict(verdict: Result<Verdict, Error>) -> Self {
        match verdict {
            Ok(Verdict::Accepted(acceptance)) => {
                let Acceptance { handler, actor, restrictions: _, token_id, issued_at, expires_at } = acceptance;
                match RawValue::from_string(escape_json(actor.json())) {
                    Ok(actor) => {
                        Self::Accepted { handler: handler.to_string(), actor, token_id, issued_at, expires_at }
                    }
                    // The runtime has read it more strictly; and what cannot be shown is no yes.
                    Err(_) => Self::Failed {
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

    pub(crate) fn of_error(error: &Error) -> Self {
        Self::Failed {
            handler: error.handler().map(str::to_owned),
            code: error.code(),
            message: error.fault().to_string(),
        }
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Accepted { handler, actor, .. } => format!("accepted by {handler}: {}", actor.get()),
            Self::NotMine => "not mine".to_owned(),
            Self::Rejected { handler, reason, message } => one_line(&line("rejected by", handler, reason, message)),
            Self::Denied { handler, denial, message } => one_line(&line("denied by", handler, denial, message)),
            Self::Failed { handler, code, message } => one_line(&line("failed in", handler, code, message)),
        }
    }
}

/// `rejected by signed: expired: Token has expired`; without a handler it was the host, which is left out.
fn line(what: &str, handler: &Option<String>, code: &str, message: &str) -> String {
    match handler {
        Some(handler) => format!("{what} {handler}: {code}: {message}"),
        None => format!("{}: {code}: {message}", what.split(' ').next().unwrap_or_default()),
    }
}

/// A creation: either the token itself, or an answer that says why there is none.
pub(crate) fn created(creation: Result<Creation, Error>) -> Result<Created, Answer> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created),
        Ok(Creation::Denied(Denied { handler, denial, message })) => {
            Err(Answer::Denied { handler: handler.map(|name| name.to_string()), denial: denial.as_str(), message })
        }
        Err(error) => Err(Answer::of_error(&error)),
    }
}

/// Writes a token, the only place where one leaves.
pub(crate) fn write_token(stdout: &mut dyn Write, created: &Created, json: bool) -> Result<(), Stop> {
    if !json {
        return writeln!(stdout, "{}", created.token).map_err(Stop::stdout);
    }
    let Created { handler, token, token_id, expires_at } = created;
    write_json(stdout, &Token { token, handler, token_id: token_id.as_deref(), expires_at: *expires_at })
}

/// Writes one line of JSON. It goes out at once, so that a program can wait for it.
pub(crate) fn write_json(stdout: &mut dyn Write, value: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string(value).map_err(|error| Stop::stdout(error.into()))?;
    writeln!(stdout, "{}", escape_json(&text)).and_then(|()| stdout.flush()).map_err(Stop::stdout)
}

/// JSON with the characters escaped that break a line, move a cursor, reorder text or cannot be seen. In a text without
/// white space between its tokens they stand in strings only, so it means the same.
pub(crate) fn escape_json(json: &str) -> String {
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

/// Text on one line of printable characters, others as `\u{…}`.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_unicode());
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
        let actor = RawValue::from_string(r#"{"id":"root","b":1,"a":2}"#.to_owned()).unwrap();
        let accepted =
            Answer::Accepted { handler: "h".into(), actor, token_id: None, issued_at: Some(1), expires_at: None };
        let mut out = Vec::new();
        for answer in [accepted, Answer::NotMine, Answer::malformed("no")] {
            write_json(&mut out, &answer).unwrap();
        }
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"outcome":"accepted","handler":"h","actor":{"id":"root","b":1,"a":2},"token_id":null,"issued_at":1,"expires_at":null}"#,
                "\n",
                r#"{"outcome":"not-mine"}"#,
                "\n",
                r#"{"outcome":"rejected","handler":null,"reason":"malformed","message":"no"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_and_means_the_same() {
        let json = "{\"id\":\"a\u{9b}2J\u{202e}\u{e0041}é\"}";
        let escaped = escape_json(json);
        assert_eq!(escaped, r#"{"id":"a\u009b2J\u202e\udb40\udc41é"}"#);
        let [one, other] = [json, &escaped].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(one, other);
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a\\u{a}b\\u{1b}[2J");
    }
}

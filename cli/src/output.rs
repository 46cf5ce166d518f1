//! Answers, for people and for programs.

use crate::Stop;
use keyward_runtime::{Created, Creation, Error, is_hidden};
use keyward_server::{Outcome, escape_json};
use serde::Serialize;
use std::io::Write;

/// An outcome on one line, for people.
pub(crate) fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { handler, actor, .. } => format!("accepted by {handler}: {}", actor.get()),
        Outcome::NotMine => "not mine".to_owned(),
        Outcome::Rejected { handler, reason, message } => one_line(&line("rejected by", handler, reason, message)),
        Outcome::Denied { handler, denial, message } => one_line(&line("denied by", handler, denial, message)),
        Outcome::Failed { handler, code, message } => one_line(&line("failed in", handler, code, message)),
    }
}

/// `rejected by signed: expired: Token has expired`; without a handler it was the host, which is left out.
fn line(what: &str, handler: &Option<String>, code: &str, message: &str) -> String {
    match handler {
        Some(handler) => format!("{what} {handler}: {code}: {message}"),
        None => format!("{}: {code}: {message}", what.split(' ').next().unwrap_or_default()),
    }
}

/// A creation: either the token itself, or an outcome that says why there is none.
pub(crate) fn created(creation: Result<Creation, Error>) -> Result<Created, Outcome> {
    match creation {
        Ok(Creation::Created(created)) => Ok(created),
        Ok(Creation::Denied(denied)) => Err(Outcome::of_denial(denied)),
        Err(error) => Err(Outcome::of_error(&error)),
    }
}

/// A token that was made, as JSON.
#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
    handler: &'a str,
    token_id: Option<&'a str>,
    expires_at: Option<u64>,
}

/// Writes a token, the only place where one leaves.
pub(crate) fn write_token(stdout: &mut dyn Write, created: &Created, json: bool) -> Result<(), Stop> {
    if !json {
        return writeln!(stdout, "{}", created.token).map_err(Stop::stdout);
    }
    let Created { handler, token, token_id, expires_at, key: _ } = created;
    write_json(stdout, &Token { token, handler, token_id: token_id.as_deref(), expires_at: *expires_at })
}

/// Writes one line of JSON. It goes out at once, so that a program can wait for it.
pub(crate) fn write_json(stdout: &mut dyn Write, value: &impl Serialize) -> Result<(), Stop> {
    let text = serde_json::to_string(value).map_err(|error| Stop::stdout(error.into()))?;
    writeln!(stdout, "{}", escape_json(&text)).and_then(|()| stdout.flush()).map_err(Stop::stdout)
}

/// How wide what people read may be.
pub(crate) const WIDTH: usize = 80;

/// Writes lines for people.
pub(crate) fn write_lines(
    stdout: &mut dyn Write,
    lines: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<(), Stop> {
    for line in lines {
        writeln!(stdout, "{}", one_line(line.as_ref())).map_err(Stop::stdout)?;
    }
    Ok(())
}

/// A text on one line, of so many characters at most.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = one_line(text);
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
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
    fn a_line_is_one_line_whatever_stands_in_it() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a\\u{a}b\\u{1b}[2J");
        let mut out = Vec::new();
        write_json(&mut out, &Outcome::malformed("a\u{9b}2J\u{202e}é")).unwrap();
        let json =
            concat!(r#"{"outcome":"rejected","handler":null,"reason":"malformed","message":"a\u009b2J\u202eé"}"#, "\n");
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }
}

//! `keyward verify`: verifies the tokens on standard input, one per line.

use crate::args::Verify;
use crate::assemble::only_session_handler;
use crate::key_sets::RemoteSets;
use crate::output::{self, write_json};
use crate::{CliError, ExitStatus, Io, config_file, report_error, store};
use keyward_runtime::{Error, Registry, Verdict};
use keyward_service::{Outcome, SessionBody};
use std::io::BufRead;

/// Maximum length of a line in bytes. Longer lines are not kept in memory.
const MAX_LINE: usize = 1 << 20;

pub(crate) fn run(args: Verify, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let config = config_file::ConfigFile::find(args.config.as_deref(), io)?;
    if let Some(name) = &args.handler {
        config.require_handler(name)?;
    }
    let store = store::open(&config, io.env)?;
    let mut remote = RemoteSets::default();
    let registry = config.open(args.at, io, store.as_ref(), Some(&mut remote))?;
    remote.settle();
    let (mut status, mut hint) = (None, None);
    let mut line = Vec::new();
    while let Some(whole) = next_line(io.stdin, &mut line)? {
        let outcome = match std::str::from_utf8(&line) {
            Ok(text) if args.session && whole => {
                Outcome::of_verdict(identify(&registry, text, args.handler.as_deref())?)
            }
            _ if !whole => Outcome::malformed(format!("Token is longer than {MAX_LINE} bytes")),
            Err(_) => Outcome::malformed("Token is not UTF-8 text"),
            Ok(token) => Outcome::of_verdict(match &args.handler {
                Some(name) => pollster::block_on(registry.verify_with(name, token)),
                None => registry.verify_blocking(token),
            }),
        };
        let this = match outcome {
            Outcome::Accepted { .. } => ExitStatus::Success,
            Outcome::Failed { .. } => ExitStatus::Unavailable,
            Outcome::NotMine | Outcome::Rejected { .. } | Outcome::Denied { .. } => ExitStatus::Negative,
        };
        if this == ExitStatus::Negative && !args.json && !args.session {
            hint = hint.or_else(|| hint_for(std::str::from_utf8(&line).ok()?));
        }
        status = status.max(Some(this));
        if args.json {
            write_json(io.stdout, &outcome)?;
        } else {
            writeln!(io.stdout, "{}", output::text(&outcome))
                .and_then(|()| io.stdout.flush())
                .map_err(CliError::stdout)?;
        }
    }
    if let Some(hint) = hint {
        report_error(io.stderr, hint);
    }
    status.ok_or_else(|| CliError::Usage("no token was read from standard input: pass at least one line".to_owned()))
}

/// Identifies the user of a request in JSON, with the handler that it or the command names, or the
/// only session handler.
fn identify(registry: &Registry, line: &str, handler: Option<&str>) -> Result<Result<Verdict, Error>, CliError> {
    let wrong = |text: &str| CliError::Usage(format!("a line is no request: {text}"));
    // The text of a JSON error may contain a cookie.
    let body: SessionBody = serde_json::from_str(line)
        .map_err(|_| wrong("pass JSON such as `{\"cookies\": {\"sessionid\": \"…\"}}`, with texts as values"))?;
    let name = match body.handler.as_deref().or(handler) {
        Some(name) => name.to_owned(),
        None => only_session_handler(registry)?,
    };
    let request = body.into_request().map_err(wrong)?;
    Ok(pollster::block_on(registry.identify(&name, &request)))
}

/// Returns advice about a line that is not only a token. Nothing is removed from a line, because
/// the daemon would not do so either.
fn hint_for(line: &str) -> Option<&'static str> {
    let token = line.trim();
    if line.is_empty() {
        Some("a line is empty: pass one token per line")
    } else if token.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")) {
        Some("a line begins with `Bearer `: pass the token only")
    } else if line.ends_with('\r') {
        Some("a line ends with a carriage return: convert the input, for example with `tr -d '\\r'`")
    } else if token.len() < line.len() {
        Some("a token has blanks before or after it: remove them")
    } else {
        None
    }
}

/// Reads a line into `line`, without its line feed. Returns `false` if it was longer than
/// [`MAX_LINE`] and was truncated, and `None` at the end of input.
pub(crate) fn next_line(stdin: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<Option<bool>, CliError> {
    line.clear();
    let mut begun = false;
    let mut whole = true;
    loop {
        let more = match stdin.fill_buf() {
            Ok(more) => more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CliError::Stream("standard input could not be read", error)),
        };
        if more.is_empty() {
            return Ok(begun.then_some(whole));
        }
        begun = true;
        let (part, end) = match more.iter().position(|byte| *byte == b'\n') {
            Some(at) => (more.get(..at).unwrap_or_default(), true),
            None => (more, false),
        };
        let kept = part.get(..MAX_LINE.saturating_sub(line.len())).unwrap_or(part);
        whole &= kept.len() == part.len();
        line.extend_from_slice(kept);
        let read = part.len() + usize::from(end);
        stdin.consume(read);
        if end {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    fn lines(input: &[u8], buffer: usize) -> Vec<(Vec<u8>, bool)> {
        let mut reader = BufReader::with_capacity(buffer, input);
        let mut line = Vec::new();
        let mut lines = Vec::new();
        while let Some(whole) = next_line(&mut reader, &mut line).unwrap() {
            lines.push((line.clone(), whole));
        }
        lines
    }

    #[test]
    fn only_the_line_feed_is_removed() {
        let of = |input: &str| lines(input.as_bytes(), 3).into_iter().map(|(line, _)| String::from_utf8(line).unwrap());
        assert_eq!(of("").count(), 0);
        assert_eq!(of("\n").collect::<Vec<_>>(), [""]);
        assert_eq!(of("a\r\n b \n\nc").collect::<Vec<_>>(), ["a\r", " b ", "", "c"]);
    }

    #[test]
    fn a_long_line_is_truncated_and_the_next_is_read() {
        for (length, whole) in [(MAX_LINE - 1, true), (MAX_LINE, true), (MAX_LINE + 1, false), (10_000_000, false)] {
            let input = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
            let lines = lines(&input, 8_192);
            assert_eq!(lines.len(), 2, "{length}");
            assert_eq!((lines[0].0.len(), lines[0].1), (length.min(MAX_LINE), whole), "{length}");
            assert_eq!(lines[1], (b"next".to_vec(), true), "{length}");
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_split(input in "[a\n\r]{0,40}", buffer in 1..9_usize) {
            let mut wanted: Vec<_> = input.split('\n').collect();
            if wanted.last() == Some(&"") {
                wanted.pop();
            }
            let got: Vec<_> = lines(input.as_bytes(), buffer).into_iter().map(|(line, _)| line).collect();
            prop_assert_eq!(got, wanted.into_iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
        }
    }
}

//! The log on standard error: what handlers write, what happens to them, and what the daemon decides.

mod line;
mod queue;

use crate::{Env, Status, complain};
use line::Lines;
use queue::{DECISION, Queue};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// The log of this process. What is under way when it is dropped is still written, if somebody takes it within a second.
#[must_use]
pub struct Log(Option<Queue>);

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.end();
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

/// Sends the log of this process to standard error, from the level on that `KEYWARD_LOG` names (`error`, `warn`, `info` or
/// `debug`). To be called once; where a log is set already, that one stays.
///
/// If `args`, which begin with the name of the program, are those of `keyward serve`, it is JSON lines from `info` on, and
/// whoever logs never waits for standard error. Otherwise it is text from `warn` on.
///
/// # Errors
/// `KEYWARD_LOG` names no level; that has been said on `stderr`.
pub fn log_to_stderr(args: &[OsString], env: &Env, stderr: &mut dyn Write) -> Result<Log, Status> {
    let serve = args.get(1).is_some_and(|word| word == "serve");
    let value = env("KEYWARD_LOG");
    let default = if serve { Level::INFO } else { Level::WARN };
    let Some(level) = level(value.as_ref().map(|value| value.as_encoded_bytes()), default) else {
        complain(
            stderr,
            "the environment variable KEYWARD_LOG is none of error, warn, info and debug: correct or unset it",
        );
        return Err(Status::Mistake);
    };
    if !serve {
        let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().finish();
        let _ = tracing::subscriber::set_global_default(log);
        return Ok(Log(None));
    }
    let lost = |lines| {
        tracing::warn!(target: "keyward::log", lines, "so many lines of the log are lost so far: nobody took them from standard error");
    };
    let queue = Queue::to(io::stderr(), lost).map_err(|error| {
        complain(stderr, &format!("the log could not be set up: {error}"));
        Status::NoVerdict
    })?;
    let decisions = level.max(Level::INFO);
    let log = tracing_subscriber::fmt()
        .event_format(Lines)
        .with_max_level(decisions)
        .with_writer(queue.clone())
        .finish()
        // Who was let in is to be known whatever the level is.
        .with(Targets::new().with_default(level).with_target(DECISION, decisions));
    let _ = tracing::subscriber::set_global_default(log);
    Ok(Log(Some(queue)))
}

fn level(value: Option<&[u8]>, default: Level) -> Option<Level> {
    match value {
        Some(b"error") => Some(Level::ERROR),
        Some(b"warn") => Some(Level::WARN),
        Some(b"info") => Some(Level::INFO),
        Some(b"debug") => Some(Level::DEBUG),
        None | Some(b"") => Some(default),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_words_are_levels() {
        let level = |value: Option<&str>| level(value.map(str::as_bytes), Level::WARN);
        assert_eq!(level(None), Some(Level::WARN));
        assert_eq!(level(Some("")), Some(Level::WARN));
        assert_eq!(level(Some("debug")), Some(Level::DEBUG));
        for other in ["trace", "WARN", "0", "info,warn"] {
            assert_eq!(level(Some(other)), None, "{other}");
        }
    }
}

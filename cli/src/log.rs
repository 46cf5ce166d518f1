//! The log on standard error: messages of handlers, of the runtime and of the daemon.

mod line;
mod queue;

use crate::{Env, ExitStatus, report_error};
use line::Lines;
use queue::{DECISION, Queue};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

/// The log of this process. When it is dropped, queued lines are still written, for up to a second.
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

/// Sends the log of this process to standard error, from the level of `KEYWARD_LOG` up: `error`,
/// `warn`, `info` or `debug`. Call it once; a log that is already set stays in effect.
///
/// If `args`, which begin with the name of the program, are those of `keyward serve`, the log
/// consists of JSON lines, from `info` by default, and never blocks on standard error. Otherwise it
/// is text, from `warn` by default.
///
/// # Errors
///
/// Returns an error, after printing it on `stderr`, if `KEYWARD_LOG` is not a level or if the log
/// cannot be set up.
pub fn log_to_stderr(args: &[OsString], env: &Env, stderr: &mut dyn Write) -> Result<Log, ExitStatus> {
    let serve = args.get(1).is_some_and(|word| word == "serve");
    let value = env("KEYWARD_LOG");
    let default = if serve { Level::INFO } else { Level::WARN };
    let Some(level) = level(value.as_ref().map(|value| value.as_encoded_bytes()), default) else {
        report_error(
            stderr,
            "the environment variable KEYWARD_LOG is not one of error, warn, info and debug: correct or unset it",
        );
        return Err(ExitStatus::Usage);
    };
    if !serve {
        let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().finish();
        let _ = tracing::subscriber::set_global_default(log);
        return Ok(Log(None));
    }
    let lost = |lines| {
        tracing::warn!(target: "keyward::log", lines, "log lines dropped since the start, because standard error was not being read");
    };
    let queue = Queue::to(io::stderr(), lost).map_err(|error| {
        report_error(stderr, &format!("the log could not be set up: {error}"));
        ExitStatus::Unavailable
    })?;
    let decisions = level.max(Level::INFO);
    let log = tracing_subscriber::fmt()
        .event_format(Lines)
        .with_max_level(decisions)
        .with_writer(queue.clone())
        .finish()
        // Decisions are logged at every level.
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
    fn only_four_names_are_levels() {
        let level = |value: Option<&str>| level(value.map(str::as_bytes), Level::WARN);
        assert_eq!(level(None), Some(Level::WARN));
        assert_eq!(level(Some("")), Some(Level::WARN));
        assert_eq!(level(Some("debug")), Some(Level::DEBUG));
        for other in ["trace", "WARN", "0", "info,warn"] {
            assert_eq!(level(Some(other)), None, "{other}");
        }
    }
}

//! The log on standard error: what handlers write, and what happens to them.

use crate::{Env, Status, complain};
use std::io::{self, Write};
use tracing::Level;

/// Sends the log of this process to standard error, from the level on that `KEYWARD_LOG` names (`error`, `warn`, `info` or
/// `debug`; `warn` if it is not set). To be called once; where a log is set already, that one stays.
///
/// # Errors
/// `KEYWARD_LOG` names no level; that has been said on `stderr`.
pub fn log_to_stderr(env: &Env<'_>, stderr: &mut dyn Write) -> Result<(), Status> {
    let value = env("KEYWARD_LOG");
    let Some(level) = level(value.as_ref().map(|value| value.as_encoded_bytes())) else {
        complain(
            stderr,
            "the environment variable KEYWARD_LOG is none of error, warn, info and debug: correct or unset it",
        );
        return Err(Status::Mistake);
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).without_time().finish();
    let _ = tracing::subscriber::set_global_default(log);
    Ok(())
}

fn level(value: Option<&[u8]>) -> Option<Level> {
    match value {
        Some(b"error") => Some(Level::ERROR),
        None | Some(b"" | b"warn") => Some(Level::WARN),
        Some(b"info") => Some(Level::INFO),
        Some(b"debug") => Some(Level::DEBUG),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_words_are_levels() {
        assert_eq!(level(None), Some(Level::WARN));
        assert_eq!(level(Some(b"debug")), Some(Level::DEBUG));
        for other in ["trace", "WARN", "0", "info,warn"] {
            assert_eq!(level(Some(other.as_bytes())), None, "{other}");
        }
    }
}

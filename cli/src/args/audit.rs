//! Arguments of `keyward audit`, which verifies and prints the audit log.

use crate::date::parse_at;
use clap::{Parser, Subcommand};
use keyward_audit::Head;
use keyward_runtime::clock::UnixTime;
use std::path::PathBuf;

/// Events of audit records.
const EVENTS: [&str; 19] = [
    "start",
    "stop",
    "reload",
    "create",
    "revoke",
    "edit",
    "rotate",
    "import",
    "accept",
    "verify",
    "key-set",
    "sign-in-link",
    "sign-in",
    "failed",
    "lost",
    "late",
    "removed",
    "cut",
    "missing",
];

/// Verifies and prints the audit log
#[derive(Debug, Parser)]
#[command(after_help = "\
These commands only read, and can run while the daemon writes. See
docs/audit.md.

Example:
  keyward audit verify --config keyward.toml")]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Verify(Verify),
    Tail(Tail),
    Export(Export),
}

/// Checks that the audit log is intact, or finds the first wrong record
#[derive(Debug, Parser)]
#[command(after_help = "\
Store the head that this command prints where those who can write the audit log
cannot change it. Later, --head checks that the log still contains it.

Without the .head file beside the log, a truncated end cannot be detected, and
the log is not intact. --no-head accepts that, e.g. for a copy without it.

Exit status: 0 intact, 1 not intact, 2 invalid arguments or configuration, 3 the
log cannot be read, or retention has removed the record of --head.

Examples:
  keyward audit verify --config keyward.toml
  keyward audit verify --config keyward.toml --head \"$(cat head)\"")]
pub(crate) struct Verify {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Head of an earlier run, which the log must contain
    #[arg(long, value_name = "SEQ:HASH", value_parser = parse_head)]
    pub(crate) head: Option<Head>,
    /// Accepts a log without its .head file
    #[arg(long)]
    pub(crate) no_head: bool,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the last records
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 success, 2 invalid arguments or configuration, 3 the log cannot
be read.

Example:
  keyward audit tail --config keyward.toml -n 20")]
pub(crate) struct Tail {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Number of records
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = parse_count)]
    pub(crate) n: usize,
    /// Prints the lines of the file unchanged
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the records of all files in order, one JSON object per line
#[derive(Debug, Parser)]
#[command(after_help = "\
Prints the lines of the files unchanged. Filters are combined: a record must
match all of them. Times are dates in UTC, or seconds since 1970.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the log cannot
be read to its end.

Examples:
  keyward audit export --config keyward.toml >audit.jsonl
  keyward audit export --config keyward.toml --event revoke --since 2026-12-01")]
pub(crate) struct Export {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Time of the earliest records
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) since: Option<UnixTime>,
    /// Time of the latest records
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) until: Option<UnixTime>,
    /// Event, such as create or revoke
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    pub(crate) event: Option<String>,
    /// Actor of the token
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Client that made the request
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// Handler of the token
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Token id; also matches records of its replacement
    #[arg(long, value_name = "ID")]
    pub(crate) token_id: Option<String>,
    /// Accepted for consistency: the output is always JSON
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

/// Parses an event name. The error continues "the value of --event".
fn parse_event(text: &str) -> Result<String, String> {
    if EVENTS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("is not one of {}", EVENTS.join(", ")))
}

/// Parses a head. The error continues "the value of --head".
fn parse_head(text: &str) -> Result<Head, &'static str> {
    text.parse()
}

/// Parses a number of records. The error continues "the value of -n".
fn parse_count(text: &str) -> Result<usize, &'static str> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or("is not a whole number from 1 to 1000000")
}

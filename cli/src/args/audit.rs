//! `keyward audit …`: what was done, and whether what is written of it is whole.

use super::parse_at;
use clap::{Parser, Subcommand};
use keyward_audit::Head;
use keyward_runtime::UnixTime;
use std::path::PathBuf;

/// The events that a record can be of.
const EVENTS: [&str; 16] = [
    "start", "stop", "reload", "create", "revoke", "edit", "rotate", "import", "accept", "verify", "failed", "lost",
    "late", "removed", "cut", "missing",
];

/// Reads the audit: docs/audit.md
///
/// It only reads, and may do so while the daemon writes.
#[derive(Debug, Parser)]
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

/// Says whether the audit is whole, or which record is the first that is not as it was written
#[derive(Debug, Parser)]
#[command(after_help = "\
Note the head that it prints where nobody can change it who may write the file; later, --head tells whether the history
still leads to it.

Exit status: 0 it is whole, 1 it is not, 2 a mistake in the command or the configuration, 3 it cannot be read, or the
line of --head has had its time.

Examples:
  keyward audit verify --config keyward.toml
  keyward audit verify --config keyward.toml --head \"$(cat noted)\"")]
pub(crate) struct Verify {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// A head that was noted: the history must lead to it
    #[arg(long, value_name = "SEQ:HASH", value_parser = parse_head)]
    pub(crate) head: Option<Head>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the last records
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 it cannot be read.

Example:
  keyward audit tail --config keyward.toml -n 20")]
pub(crate) struct Tail {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// How many
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = parse_count)]
    pub(crate) n: usize,
    /// Prints the lines as they stand in the file
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the records of all files in order, as they stand there: one JSON object a line
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 it cannot be read to its end.

Examples:
  keyward audit export --config keyward.toml >audit.jsonl
  keyward audit export --config keyward.toml --event revoke --since 1767225600")]
pub(crate) struct Export {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Records of this moment and later ones, in seconds since 1970
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) since: Option<UnixTime>,
    /// Records of this moment and earlier ones, in seconds since 1970
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) until: Option<UnixTime>,
    /// Records of this event
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    pub(crate) event: Option<String>,
    /// Records about this actor
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Records of what this caller asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) caller: Option<String>,
    /// Records about this handler
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Records about the token of this id, and about what was to take its place
    #[arg(long, value_name = "ID")]
    pub(crate) token_id: Option<String>,
    /// It is JSON in any case
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

/// The text goes on from "the value of --event".
fn parse_event(text: &str) -> Result<String, String> {
    if EVENTS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("is none of {}", EVENTS.join(", ")))
}

/// The text goes on from "the value of --head".
fn parse_head(text: &str) -> Result<Head, &'static str> {
    text.parse()
}

/// The text goes on from "the value of -n".
fn parse_count(text: &str) -> Result<usize, &'static str> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or("is not a whole number from 1 to 1000000")
}

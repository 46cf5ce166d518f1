//! `keyward store …`: copies of the store, a look at all of it, and an operator's word about it.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Backs the store up, checks it, and accepts it: docs/backup.md
#[derive(Debug, Parser)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Backup(Backup),
    Check(Check),
    Accept(Accept),
}

/// Copies the store to a new file, while it is used
///
/// The copy is whole, durable, and readable for its owner alone. A file that exists is not overwritten. A store in PostgreSQL
/// is backed up with pg_dump.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 the copy could not be made, and nothing is left of
it.

Example:
  keyward store backup --config keyward.toml keyward-backup.db")]
pub(crate) struct Backup {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The file to make
    pub(crate) file: PathBuf,
}

/// Says what the store holds and whether anything is wrong with it
///
/// Reads the whole database, compares its last revocation with the one that the audit has noted, and its newest time with the
/// clock. Changes nothing.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 all is well, 1 something is wrong, 2 a mistake in the command or the configuration, 3 the store does not
answer.

Example:
  keyward store check --config keyward.toml")]
pub(crate) struct Check {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Accepts the store as it is: your word that no revocation is missing that must hold
///
/// Where the audit has noted revocations that the store lacks, daemons give no verdict until you have put the newest copy
/// back, or revoked again what was revoked since, and accepted the store. Each machine with an audit needs it. With --clock
/// it is your word that this machine's clock is right: times in the store that lie in the future are capped at the present.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 it is not known to be done: ask again, which does
no harm.

Examples:
  keyward store accept --config keyward.toml
  keyward store accept --config keyward.toml --clock")]
pub(crate) struct Accept {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Caps cut-offs and the newest time that lie in the future, and does nothing else
    #[arg(long)]
    pub(crate) clock: bool,
}

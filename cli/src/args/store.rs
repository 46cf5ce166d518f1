//! Arguments of `keyward store`, which backs up, checks and accepts the store.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Backs up, checks and accepts the store
#[derive(Debug, Parser)]
#[command(after_help = "\
See docs/backup.md for how to restore a copy.

Example:
  keyward store check --config keyward.toml")]
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

/// Copies the store to a new file while it is in use
#[derive(Debug, Parser)]
#[command(after_help = "\
The copy is complete, durable, and readable by its owner only. An existing file
is not overwritten. Use pg_dump to back up a store in PostgreSQL.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the copy failed,
and nothing of it is left.

Example:
  keyward store backup --config keyward.toml keyward-backup.db")]
pub(crate) struct Backup {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// File to create
    pub(crate) file: PathBuf,
}

/// Checks the store and summarizes its contents
#[derive(Debug, Parser)]
#[command(after_help = "\
Reads the whole database, and compares its last revocation with the one that the
audit log notes, and its newest time with the clock. Changes nothing.

Exit status: 0 no problem found, 1 a problem was found, 2 invalid arguments or
configuration, 3 the store is not available.

Example:
  keyward store check --config keyward.toml")]
pub(crate) struct Check {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Accepts a restored store, or the clock, as correct
#[derive(Debug, Parser)]
#[command(after_help = "\
If the audit log notes revocations that the store lacks, daemons give no verdict
until you restore the newest copy, or repeat the missing revocations and accept
the store. By accepting it, you confirm that no revocation is missing. Run this
on each machine that has an audit log.

If a daemon reports that revocations may be lost in a restart, request them
again, and confirm with --revocations that none is missing.

With --clock, you confirm that this machine's clock is correct instead: times in
the store that are in the future are set to the present.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the outcome is
unknown: run the command again, which is harmless.

Examples:
  keyward store accept --config keyward.toml
  keyward store accept --config keyward.toml --revocations
  keyward store accept --config keyward.toml --clock")]
pub(crate) struct Accept {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only sets cutoffs and the newest time to the present
    /// if they are in the future
    #[arg(long, verbatim_doc_comment)]
    pub(crate) clock: bool,
    /// Only confirms that revocations that a restart may have
    /// lost were requested again
    #[arg(long, verbatim_doc_comment, conflicts_with = "clock")]
    pub(crate) revocations: bool,
}

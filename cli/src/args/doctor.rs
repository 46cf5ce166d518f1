//! Arguments of `keyward doctor`, which checks this machine.

use clap::Parser;
use std::path::PathBuf;

/// Checks that this machine and the configuration are safe
#[derive(Debug, Parser)]
#[command(after_help = "\
Attacks the sandbox and, where a third-party handler is configured, the compile
worker, and reports whether they held: the daemon makes the same checks when it
starts, and does not serve if one fails. Then lists what is unsafe or noteworthy
in the configuration, its files and this machine. Changes nothing.

Run it as the user of the daemon, in the same environment.

Exit status: 0 nothing is unsafe, 1 something is, 2 invalid arguments or
configuration, 3 a check could not be made.

Examples:
  keyward doctor --config keyward.toml
  keyward doctor --config keyward.toml --backup keyward-backup.db")]
pub(crate) struct Doctor {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Backup of the store, which should be recent
    #[arg(long, value_name = "FILE")]
    pub(crate) backup: Option<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

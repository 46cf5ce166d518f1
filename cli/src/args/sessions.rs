//! Arguments of `keyward sessions`, which revokes the sessions of a handler.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Revokes the sessions of a session handler
#[derive(Debug, Parser)]
#[command(after_help = "\
Users who are signed in at a site are identified by a session handler, whose
verdicts may be cached: see docs/sessions.md.

Example:
  keyward sessions purge --config keyward.toml")]
pub(crate) struct Sessions {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Purge(Purge),
}

/// Revokes all sessions of a handler up to now, and none of its tokens
#[derive(Debug, Parser)]
#[command(after_help = "\
Cached verdicts are discarded, within a second by all daemons with the same
store. The handler then queries the site again, and users who are still signed
in there are identified. `keyward tokens revoke --actor ID` revokes one user's
sessions and tokens.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the outcome is
unknown: run the command again, which is harmless.

Example:
  keyward sessions purge --config keyward.toml --handler site")]
pub(crate) struct Purge {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Session handler, if there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
}

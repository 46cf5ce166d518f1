//! `keyward tokens …`: what has been made, and taking it back.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Looks after tokens that have been made
#[derive(Debug, Parser)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Revoke(Revoke),
}

/// Takes tokens back: those that fit all that is given, or those on standard input
///
/// It is written down before the command ends, and holds for ever. Daemons with the same store know it within a second.
/// Without --id and --issued-until it is what has been issued so far.
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward tokens revoke [OPTIONS] --config <FILE>\n       keyward tokens revoke --config <FILE> -",
    after_help = "\
Exit status: 0 done, 1 with - if a line was no good token, 2 a mistake in the command or the configuration, 3 it is not
known to be done: ask again, which does no harm.

Examples:
  keyward tokens revoke --config keyward.toml - <leaked.txt
  keyward tokens revoke --config keyward.toml --actor alice --dry-run
  keyward tokens revoke --config keyward.toml --handler signed --id 767ed2bf2ec63f8d6af12fbcab3ba84a"
)]
pub(crate) struct Revoke {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Tokens of this handler
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// The token of this id; needs --handler
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Tokens of this actor
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Tokens that were issued up to this second since 1970, and those that do not say when
    #[arg(long, value_name = "UNIX", value_parser = clap::value_parser!(u64))]
    pub(crate) issued_until: Option<u64>,
    /// Changes nothing, and says how many records would end
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints one JSON object, or one a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Nothing but `-`: tokens on standard input.
    #[arg(hide = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

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
    Import(Import),
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

/// Takes over the tokens of datasette-auth-tokens
///
/// Its live tokens are good from then on, byte for byte, for a handler of builtin:dsatok whose key is Datasette's secret. All
/// are imported or none; the database is only read. Tokens that are made later have numbers far behind those that were there.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, or a database that cannot be imported.

Example:
  keyward tokens import --config keyward.toml --handler managed internal.db")]
pub(crate) struct Import {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The handler whose tokens they become
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: String,
    /// The SQLite database in which Datasette keeps the table _datasette_auth_tokens
    pub(crate) database: PathBuf,
}

//! `keyward tokens …`: what has been made, and taking it back.

use super::{RestrictionArgs, parse_at, parse_second};
use clap::{Args, Parser, Subcommand};
use keyward_runtime::{Status, UnixTime};
use std::path::PathBuf;

/// Looks after tokens that have been made
#[derive(Debug, Parser)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Show(Show),
    Edit(Edit),
    Rotate(Rotate),
    Revoke(Revoke),
    Import(Import),
}

/// Lists tokens that have been made, the newest first
///
/// Those are listed that have a record: all that were made since there is a store. What is given must all fit.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 the store gave no answer.

Examples:
  keyward tokens list --config keyward.toml --status active --never-ends
  keyward tokens list --config keyward.toml --actor alice --json
  keyward tokens list --config keyward.toml --after stored 4GAtsCiYAQWTNiDbMScMBJ")]
pub(crate) struct List {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Tokens of this actor
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Tokens of this handler
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Tokens that are active, expired, revoked or replaced
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    pub(crate) status: Option<Status>,
    /// Tokens that were not used, or made, at this second since 1970 or later. When a signed one was used is not written down,
    /// unless its handler has `max_idle`
    #[arg(long, value_name = "UNIX", value_parser = parse_second)]
    pub(crate) unused_since: Option<u64>,
    /// Tokens that do not end by themselves
    #[arg(long)]
    pub(crate) never_ends: bool,
    /// No more than so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = parse_limit)]
    pub(crate) limit: u32,
    /// Goes on behind this token, the last of another list
    #[arg(long, num_args = 2, value_names = ["HANDLER", "ID"])]
    pub(crate) after: Vec<String>,
    /// The time to go by, in seconds since 1970; decimals are allowed [default: now]
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which token is meant.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The handler of the token
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: String,
    /// The token's id
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
}

/// Shows what is known of a token
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 1 there is no such token, 2 a mistake in the command or the configuration, 3 the store gave no answer.

Example:
  keyward tokens show --config keyward.toml --handler stored --id 4GAtsCiYAQWTNiDbMScMBJ")]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) of: One,
    /// The time to go by, in seconds since 1970; decimals are allowed [default: now]
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Changes the note of a token, brings its end forward or tightens its restrictions
///
/// It holds for every verification that begins later. What a token may do only ever gets less: with --all, --database and
/// --resource it has those rights only, and must have had them. Tokens of handlers without `store = true` say themselves what
/// they allow and when they end, so that only their note can be changed.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 1 it cannot be changed so, or there is no such token, 2 a mistake in the command or the configuration,
3 it is not known to be done.

Examples:
  keyward tokens edit --config keyward.toml --handler stored --id 4GAtsCiYAQWTNiDbMScMBJ --expires-at 1767225600
  keyward tokens edit --config keyward.toml --handler stored --id 4GAtsCiYAQWTNiDbMScMBJ --all view-instance")]
pub(crate) struct Edit {
    #[command(flatten)]
    pub(crate) of: One,
    /// Another note; an empty one for none
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// An earlier end, in seconds since 1970
    #[arg(long, value_name = "UNIX", value_parser = parse_second)]
    pub(crate) expires_at: Option<u64>,
    #[command(flatten)]
    pub(crate) restrictions: RestrictionArgs,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Makes another token in the place of one, and prints it
///
/// It has the same actor, rights, note and end. The old one ends at once, or after --overlap seconds if it does not end before.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 1 it cannot be replaced, or there is no such token, 2 a mistake in the command or the configuration,
3 it is not known to be done.

Example:
  keyward tokens rotate --config keyward.toml --handler stored --id 4GAtsCiYAQWTNiDbMScMBJ --overlap 86400")]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) of: One,
    /// For how many seconds the old one is still good
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = parse_overlap)]
    pub(crate) overlap: u32,
    /// Prints {"token":…,"handler":…,"token_id":…,"expires_at":…}
    #[arg(long)]
    pub(crate) json: bool,
}

/// The text goes on from "the value of --status".
fn parse_status(text: &str) -> Result<Status, &'static str> {
    Status::named(text).ok_or("is none of active, expired, revoked and replaced")
}

/// The text goes on from "the value of --limit".
fn parse_limit(text: &str) -> Result<u32, &'static str> {
    let number = parse_second(text).ok().and_then(|number| number.try_into().ok());
    number.filter(|limit| *limit > 0).ok_or("is not a whole number from 1 to 4294967295")
}

/// The text goes on from "the value of --overlap".
fn parse_overlap(text: &str) -> Result<u32, &'static str> {
    let number = parse_second(text).ok().and_then(|number| number.try_into().ok());
    number.ok_or("is not a whole number of seconds from 0 to 4294967295")
}

/// Takes tokens back: those that fit all that is given, or those on standard input
///
/// It is written down before the command ends, and holds for ever. Daemons with the same store know it within a second.
/// Without --id and --issued-until it is what has been issued so far. A token on standard input that was issued here is revoked
/// even if its handler rejects it or fails.
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward tokens revoke [OPTIONS] --config <FILE>\n       keyward tokens revoke --config <FILE> -",
    after_help = "\
Exit status: 0 done, 1 with - if a line was no valid or issued token, 2 a mistake in the command or the configuration, 3 it is not
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
    #[arg(long, value_name = "UNIX", value_parser = parse_second)]
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

//! Arguments of `keyward tokens`, which lists, edits, rotates, revokes and imports tokens.

use super::{RestrictionArgs, parse_number};
use crate::date::{parse_at, parse_second};
use clap::{Args, Parser, Subcommand};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::Status;
use std::path::PathBuf;

/// Manages issued tokens
#[derive(Debug, Parser)]
#[command(after_help = "\
See docs/tokens.md.

Example:
  keyward tokens list --config keyward.toml --status active")]
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

/// Lists issued tokens, newest first
#[derive(Debug, Parser)]
#[command(after_help = "\
Lists tokens that have a record: all tokens issued since there is a store.
Filters are combined: a token must match all of them. For a signed token whose
handler has no `max_idle`, the last use is not recorded, so --unused-since
compares its time of issue.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the store is not
available.

Examples:
  keyward tokens list --config keyward.toml --status active --never-ends
  keyward tokens list --config keyward.toml --actor alice --json
  keyward tokens list --config keyward.toml --unused-since 1767225600")]
pub(crate) struct List {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Actor of the tokens
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Handler of the tokens
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Status: active, expired, revoked or replaced
    #[arg(long, value_name = "STATUS", value_parser = parse_status)]
    pub(crate) status: Option<Status>,
    /// Tokens not used or issued since this time
    #[arg(long, value_name = "TIME", value_parser = parse_second)]
    pub(crate) unused_since: Option<UnixTime>,
    /// Tokens that never expire
    #[arg(long)]
    pub(crate) never_ends: bool,
    /// Maximum number of tokens
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = parse_limit)]
    pub(crate) limit: u32,
    /// Last token of the previous list, to continue after
    #[arg(long, num_args = 2, value_names = ["HANDLER", "ID"])]
    pub(crate) after: Vec<String>,
    /// Time to use instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints one JSON object per token
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options that name a token.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Handler of the token
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: String,
    /// Token id
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
}

/// Shows the record of a token
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 success, 1 no such token, 2 invalid arguments or configuration, 3
the store is not available.

Example:
  keyward tokens show --config keyward.toml --handler stored \\
    --id 4GAtsCiYAQWTNiDbMScMBJ")]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) of: TokenArgs,
    /// Time to use instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Changes a token's note, shortens its lifetime or narrows its rights
#[derive(Debug, Parser)]
#[command(after_help = "\
The change applies to all later verifications. --all, --database and --resource
replace the restrictions, and can only narrow them. Tokens of handlers without
`store = true` carry their own restrictions and expiry, so only their note can
be changed.

Exit status: 0 success, 1 change denied, or no such token, 2 invalid arguments
or configuration, 3 the outcome is unknown.

Example:
  keyward tokens edit --config keyward.toml --handler stored \\
    --id 4GAtsCiYAQWTNiDbMScMBJ --expires-at 1767225600")]
pub(crate) struct Edit {
    #[command(flatten)]
    pub(crate) of: TokenArgs,
    /// New note; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Earlier expiry
    #[arg(long, value_name = "TIME", value_parser = parse_second)]
    pub(crate) expires_at: Option<UnixTime>,
    #[command(flatten)]
    pub(crate) restrictions: RestrictionArgs,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replaces a token with a new one, and prints it
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward tokens rotate [OPTIONS] --handler <NAME>\n       --id <ID>",
    after_help = "\
The new token has the same actor, rights, note and expiry. The old one becomes
invalid at once, or after --overlap seconds if it does not expire earlier.

--json prints {\"token\":…,\"handler\":…,\"token_id\":…,\"expires_at\":…}.

Exit status: 0 success, 1 rotation denied, or no such token, 2 invalid arguments
or configuration, 3 the outcome is unknown.

Example:
  keyward tokens rotate --config keyward.toml --handler stored \\
    --id 4GAtsCiYAQWTNiDbMScMBJ --overlap 86400"
)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) of: TokenArgs,
    /// Seconds that the old token stays valid
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = parse_overlap)]
    pub(crate) overlap: u32,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses a status. The error continues "the value of --status".
fn parse_status(text: &str) -> Result<Status, &'static str> {
    Status::named(text).ok_or("is not one of active, expired, revoked and replaced")
}

/// Parses a limit. The error continues "the value of --limit".
fn parse_limit(text: &str) -> Result<u32, &'static str> {
    parse_number(text).filter(|limit| *limit > 0).ok_or("is not a whole number from 1 to 4294967295")
}

/// Parses an overlap. The error continues "the value of --overlap".
fn parse_overlap(text: &str) -> Result<u32, &'static str> {
    parse_number(text).ok_or("is not a whole number of seconds from 0 to 4294967295")
}

/// Revokes the tokens that match all filters, or those on standard input
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward tokens revoke [OPTIONS]\n       keyward tokens revoke -",
    after_help = "\
A revocation is durable before the command exits, and permanent. Daemons with
the same store apply it within a second. Without --id and --issued-until, all
tokens issued until now are revoked. A token on standard input that was issued
here is revoked even if its handler rejects it or fails. Tokens that were
requested with a revoked token (as `parent`) are revoked with it.

Exit status: 0 success, 1 (with -) a line was neither a valid nor an issued
token, 2 invalid arguments or configuration, 3 the outcome is unknown: run the
command again, which is harmless.

Examples:
  keyward tokens revoke --config keyward.toml - <leaked.txt
  keyward tokens revoke --config keyward.toml --actor alice --dry-run
  keyward tokens revoke --config keyward.toml --handler signed \\
    --id 767ed2bf2ec63f8d6af12fbcab3ba84a"
)]
pub(crate) struct Revoke {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Handler of the tokens
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Token id; requires --handler
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Actor of the tokens
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Tokens issued up to this time, and tokens
    /// without a time of issue
    #[arg(long, verbatim_doc_comment, value_name = "TIME", value_parser = parse_second)]
    pub(crate) issued_until: Option<UnixTime>,
    /// Keeps tokens valid that were requested with
    /// a revoked one
    #[arg(long, verbatim_doc_comment)]
    pub(crate) keep_children: bool,
    /// Only counts the records that would be revoked
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints a JSON object, or one per line of input
    #[arg(long)]
    pub(crate) json: bool,
    /// At most `-`, which names standard input.
    #[arg(hide = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

/// Imports the tokens of datasette-auth-tokens
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward tokens import [OPTIONS] --handler <NAME>\n       <DATABASE>",
    after_help = "\
The handler must be a builtin:auth-tokens whose key is Datasette's secret. The
imported live tokens are valid from then on, byte for byte. Either all are
imported or none: a row whose token could not be verified is refused by its
number. The database is only read. Tokens issued later have much higher numbers
than the imported ones.

Exit status: 0 success, 2 invalid arguments or configuration, or a database that
cannot be imported.

Examples:
  keyward tokens import --config keyward.toml --handler managed internal.db
  keyward tokens import --config keyward.toml --handler managed \\
    --unrestricted internal.db"
)]
pub(crate) struct Import {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Handler to import the tokens for
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: String,
    /// Imports tokens whose `permissions` are NULL, with
    /// all rights of their actors
    #[arg(long, verbatim_doc_comment)]
    pub(crate) unrestricted: bool,
    /// SQLite database with the table _datasette_auth_tokens
    pub(crate) database: PathBuf,
}

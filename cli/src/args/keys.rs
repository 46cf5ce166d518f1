//! `keyward keys …`: the keys of a configuration, and what it would break to retire one.

use super::Of;
use clap::{Parser, Subcommand};

/// Looks after the keys that tokens are signed with
///
/// They change in the configuration only: docs/keys.md.
#[derive(Debug, Parser)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Check(Check),
}

/// Lists the keys: their states, their ages, who uses them, and the tokens under them
///
/// The age is that of the key's file, and `-` for a variable. What is known of tokens stands in the store: without one it is
/// left out.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 the store does not answer.

Example:
  keyward keys list --config keyward.toml")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) of: Of,
}

/// Says which keys can be retired and when, and what has been broken
///
/// It loads every key, as the daemon does, and knows what stands in the store: not the tokens that were made elsewhere or
/// before records were kept.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 nothing that is known is broken, 1 a key that is retired or gone has good tokens, 2 a mistake in the
command or the configuration, 3 the store does not answer.

Example:
  keyward keys check --config keyward.toml")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) of: Of,
}

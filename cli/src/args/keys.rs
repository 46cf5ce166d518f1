//! Arguments of `keyward keys`, which lists keys and checks which ones can be retired.

use super::CommonArgs;
use clap::{Parser, Subcommand};

/// Lists and checks the keys that sign tokens
#[derive(Debug, Parser)]
#[command(after_help = "\
Keys are changed in the configuration: see docs/keys.md.

Example:
  keyward keys check --config keyward.toml")]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Check(Check),
}

/// Lists keys with their states, ages, users and numbers of tokens
#[derive(Debug, Parser)]
#[command(after_help = "\
The age is that of the key's file, and `-` for a key in an environment variable.
Tokens are counted only if the configuration has a `[store]`. The key sets with
a URL are those of the daemon that responds at `server.admin`.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the store is not
available.

Example:
  keyward keys list --config keyward.toml")]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) of: CommonArgs,
}

/// Reports which keys can be retired, and which were retired too early
#[derive(Debug, Parser)]
#[command(after_help = "\
Loads every key, as the daemon does. Only tokens that have a record in the store
are counted, not those that were issued elsewhere or before there was a store.

Exit status: 0 no problem found, 1 a key that is retired or missing still has
tokens that would be valid, 2 invalid arguments or configuration, 3 the store is
not available.

Example:
  keyward keys check --config keyward.toml")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) of: CommonArgs,
}

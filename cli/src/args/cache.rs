//! Arguments of `keyward cache`, which lists and removes compiled components.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Lists and removes compiled third-party components
#[derive(Debug, Parser)]
#[command(after_help = "\
Third-party components are compiled when they are loaded, and kept in the folder
of `[cache]`. Built-in ones are part of the program.

Example:
  keyward cache list --config keyward.toml")]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Clear(Clear),
}

/// Lists the compiled components
#[derive(Debug, Parser)]
#[command(after_help = "\
The handlers are those of the configuration whose component has this SHA-256.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the folder
cannot be read.

Example:
  keyward cache list --config keyward.toml")]
pub(crate) struct List {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Removes the compiled components
#[derive(Debug, Parser)]
#[command(after_help = "\
A running daemon is not affected. Components are compiled again when they are
loaded the next time.

Exit status: 0 success, 2 invalid arguments or configuration, 3 a file could not
be removed.

Example:
  keyward cache clear --config keyward.toml")]
pub(crate) struct Clear {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

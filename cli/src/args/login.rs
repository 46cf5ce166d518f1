//! Arguments of `keyward login`, which signs in on the pages.

use clap::Parser;
use std::path::PathBuf;

/// Prints a link that signs in on the pages, once
#[derive(Debug, Parser)]
#[command(after_help = "\
The pages are those of `[pages]`, on which people manage their own tokens. A
link is valid for 15 minutes and works once. Anyone who opens it is signed in as
that actor: send it over a private channel. The daemon does not have to run.

Exit status: 0 printed, 2 invalid arguments or configuration, 3 the store is not
available.

Example:
  keyward login --config keyward.toml --actor alice")]
pub(crate) struct Login {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Actor to sign in
    #[arg(long, value_name = "ID")]
    pub(crate) actor: String,
}

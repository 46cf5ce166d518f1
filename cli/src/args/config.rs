//! Arguments of `keyward config`, which describes the configuration file.

use clap::{Parser, Subcommand};

/// Describes the configuration file
#[derive(Debug, Parser)]
#[command(after_help = "\
docs/configuration.md lists every setting.

Example:
  keyward config schema >keyward.schema.json")]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Schema(Schema),
}

/// Prints the JSON Schema of the configuration file
#[derive(Debug, Parser)]
#[command(after_help = "\
The schema has each setting's description, type, default and range, for editors
that complete and check TOML. Some of them read its path from the first line of
the configuration: `#:schema keyward.schema.json`.

`keyward check COMPONENT --config FILE` checks more: a schema cannot compare
settings, or read the files that they name.

Example:
  keyward config schema >keyward.schema.json")]
pub(crate) struct Schema {}

//! `[cache]`: the folder of compiled third-party components, and its key.

use super::{ConfigError, Lines};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// The configuration of the cache of compiled components.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cache {
    /// The paths as written in the configuration.
    pub(crate) folder: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheTable {
    /// Folder of the machine code, which only the user that runs the daemon can access. The daemon
    /// creates it if it does not exist.
    folder: PathBuf,
    /// File of the key that authenticates the machine code, outside of `folder`. The daemon creates
    /// it if it does not exist. Use no key of `[keys]`.
    #[schemars(with = "PathBuf")]
    key: Spanned<PathBuf>,
}

impl CacheTable {
    pub(super) fn checked(self, lines: Lines<'_>) -> Result<Cache, ConfigError> {
        let Self { folder, key } = self;
        if key.get_ref().starts_with(&folder) {
            let text = "`key` is in `folder`: keep the key outside, so that a copy of the folder does not contain it";
            return Err(lines.error(Some(key.span()), text));
        }
        Ok(Cache { folder, key: key.into_inner() })
    }
}

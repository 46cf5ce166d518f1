//! `[key_sets.NAME]`: the public keys of an issuer.

use super::schema::json_schema_for;
use super::{ConfigError, Lines, Located};
use keyward_runtime::key_sets::Algorithm;
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use std::path::PathBuf;
use toml::Spanned;

/// The public keys of an issuer.
#[derive(Debug)]
pub(crate) struct KeySet {
    pub(crate) files: Vec<Located<PathBuf>>,
    pub(crate) algorithm: Option<Algorithm>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySetTable {
    /// Files of the keys, at least one: a JWK, a JWK Set, or `PUBLIC KEY` sections in PEM. Only
    /// their owner may write to them.
    #[schemars(with = "Vec<PathBuf>", length(min = 1))]
    files: Spanned<Vec<Spanned<PathBuf>>>,
    /// Algorithm of RSA keys that name none: a key has one algorithm. The other types have only
    /// one.
    algorithm: Option<AlgorithmName>,
}

impl KeySetTable {
    pub(super) fn checked(self, name: &Spanned<String>, lines: Lines<'_>) -> Result<KeySet, ConfigError> {
        let Self { files, algorithm } = self;
        if files.get_ref().is_empty() {
            let text = format!("key set `{}`: `files` is empty: name the file of its keys", name.get_ref());
            return Err(lines.error(Some(files.span()), text));
        }
        let files = files.into_inner().into_iter().map(|file| lines.at(file)).collect();
        Ok(KeySet { files, algorithm: algorithm.map(|AlgorithmName(algorithm)| algorithm) })
    }
}

/// The name of an [`Algorithm`].
pub(super) struct AlgorithmName(pub(super) Algorithm);

json_schema_for!(AlgorithmName, |_| json_schema!({ "type": "string", "enum": Algorithm::ALL.map(Algorithm::as_str) }));

impl<'de> Deserialize<'de> for AlgorithmName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Algorithm::named(&name).map(Self).ok_or_else(|| {
            let names = Algorithm::ALL.map(|algorithm| format!("`{}`", algorithm.as_str()));
            de::Error::custom(format!("unknown algorithm: use {}", names.join(", ")))
        })
    }
}

//! `[store]`: the place of token records and revocations; and `store` of a handler.

use super::schema::{json_schema_for, within};
use super::{ConfigError, Lines, Located, SecretSource};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The default maximum number of valid records of a handler.
const TOKENS: u64 = 1_000_000;

/// The default time for which a process may be out of contact with the store, in seconds.
const PATIENCE: u64 = 10;

/// The values that it may have.
const PATIENCES: RangeInclusive<u64> = 1..=3_600;

/// The configuration of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) place: Located<StorePlace>,
    /// Maximum time without contact, after which no token is valid.
    pub(crate) patience: Duration,
    /// The file that keeps unconfirmed revocations until the next start; `None` for the default.
    pub(crate) pending_file: Option<PathBuf>,
}

/// The place of a store or of a queried database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StorePlace {
    /// A database file.
    Sqlite(PathBuf),
    /// A URL, which may hold a password.
    Postgres(SecretSource),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["sqlite"] }, { "required": ["postgres"] }]))]
pub(super) struct StoreTable {
    /// SQLite file, which is created if it does not exist. For the daemons of one machine.
    #[schemars(with = "Option<PathBuf>")]
    sqlite: Option<Spanned<PathBuf>>,
    /// Place of a PostgreSQL URL, which may contain a password. For daemons on several machines.
    #[schemars(with = "Option<SecretSource>")]
    postgres: Option<Spanned<SecretSource>>,
    /// Maximum time out of contact with the store, after which no token is valid: 503. Bounds how
    /// long a token that another node has revoked is accepted.
    #[schemars(with = "Option<u64>", transform = within(PATIENCES), extend("default" = PATIENCE))]
    patience_seconds: Option<Spanned<u64>>,
    /// File that keeps unconfirmed revocations until the next start, one for each process. Without
    /// it: beside the audit log, or else beside the SQLite file.
    pending_file: Option<PathBuf>,
}

impl StoreTable {
    pub(super) fn checked(self, line: usize, lines: Lines<'_>) -> Result<Store, ConfigError> {
        let Self { sqlite, postgres, patience_seconds, pending_file } = self;
        let place = match (sqlite.map(|path| lines.at(path)), postgres.map(|source| lines.at(source))) {
            (Some(Located { line, value }), None) => Located { line, value: StorePlace::Sqlite(value) },
            (None, Some(Located { line, value })) => Located { line, value: StorePlace::Postgres(value) },
            _ => {
                let text = "a store has one database: use `sqlite = \"keyward.db\"`, or `postgres = { env = \"…\" }`";
                return Err(ConfigError { line: Some(line), text: text.to_owned() });
            }
        };
        let patience = match patience_seconds {
            None => PATIENCE,
            Some(seconds) if PATIENCES.contains(seconds.get_ref()) => seconds.into_inner(),
            Some(seconds) => {
                let (min, max) = (PATIENCES.start(), PATIENCES.end());
                let text = format!("`patience_seconds` must be a whole number from {min} to {max}");
                return Err(lines.error(Some(seconds.span()), text));
            }
        };
        Ok(Store { place, patience: Duration::from_secs(patience), pending_file })
    }
}

/// Maximum number of valid records, from `store = true` or `store = { tokens = 1000 }`.
#[derive(Clone, Copy)]
pub(super) struct Tokens(pub(super) Option<u64>);

json_schema_for!(Tokens, |_| json_schema!({
    "title": "`true`, or `{ tokens = … }`",
    "description": format!(
        "Lets the handler keep records of its own tokens, at most this number of valid ones: `true` means {TOKENS}. A \
         request for more is denied (403). Requires a `[store]`, and a component that imports `store`."
    ),
    "anyOf": [
        { "type": "boolean" },
        {
            "type": "object",
            "properties": { "tokens": { "type": "integer", "minimum": 0 } },
            "required": ["tokens"],
            "additionalProperties": false,
        },
    ],
}));

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            tokens: u64,
        }
        struct Grant;
        impl<'de> Visitor<'de> for Grant {
            type Value = Tokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, or `{ tokens = … }`")
            }

            fn visit_bool<E: de::Error>(self, granted: bool) -> Result<Self::Value, E> {
                Ok(Tokens(granted.then_some(TOKENS)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let Table { tokens } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Tokens(Some(tokens)))
            }
        }
        deserializer.deserialize_any(Grant)
    }
}

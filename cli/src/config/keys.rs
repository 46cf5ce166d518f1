//! `[keys.RING]`: the keys of a ring, and the places of their secrets.

use super::schema::json_schema_for;
use super::{ConfigError, Lines, Located};
use keyward_runtime::keys::{Key, KeyState};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// A key ring. Exactly one key is active, ids are unique, and only retired keys lack a secret.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) keys: Vec<RingKey>,
    /// `true` if the operator assigned the ids. In the short form, they derive from the names of
    /// files and variables.
    pub(crate) has_ids: bool,
    pub(crate) allow_short: bool,
}

/// A key of a ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RingKey {
    pub(crate) id: Located<String>,
    pub(crate) state: KeyState,
    pub(crate) source: Option<Located<SecretSource>>,
}

impl RingKey {
    /// Returns the place of the secret; `None` for a retired key, whose secret is not read.
    pub(crate) fn loaded(&self) -> Option<&Located<SecretSource>> {
        self.source.as_ref().filter(|_| self.state != KeyState::Retired)
    }
}

/// The place of a secret.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Env(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["secret"] }, { "required": ["keys"] }]))]
pub(super) struct RingTable {
    /// A key with an id and a state, of which exactly one is active: see [keys.md](keys.md).
    #[schemars(with = "Option<Vec<KeyTable>>")]
    keys: Option<Spanned<Vec<KeyTable>>>,
    /// Secret of the key that signs. `keyward keygen FILE` generates one.
    #[schemars(with = "Option<SecretSource>")]
    secret: Option<Spanned<SecretSource>>,
    /// Secrets of keys that verify, but no longer sign.
    #[serde(default)]
    #[schemars(with = "Vec<SecretSource>", extend("default" = []))]
    previous: Vec<Spanned<SecretSource>>,
    /// Accepts secrets of fewer than 32 bytes, which may be guessed from a token.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    dangerous_allow_short: bool,
}

impl RingTable {
    pub(super) fn checked(self, name: &Spanned<String>, lines: Lines<'_>) -> Result<Ring, ConfigError> {
        let Self { keys, secret, previous, dangerous_allow_short: allow_short } = self;
        let wrong = |line: usize, text: &str| ConfigError {
            line: Some(line),
            text: format!("key ring `{}`: {text}", name.get_ref()),
        };
        let line = lines.line(name.span().start);
        let (line, keys, has_ids) = match (keys, secret) {
            (Some(keys), None) if previous.is_empty() => {
                let line = lines.line(keys.span().start);
                let keys = keys.into_inner().into_iter().map(|key| key.checked(lines, wrong));
                (line, keys.collect::<Result<_, _>>()?, true)
            }
            (Some(keys), _) => {
                let text = "`keys` cannot be combined with `secret` and `previous`: move all keys to `keys`";
                return Err(wrong(lines.line(keys.span().start), text));
            }
            (None, Some(active)) => (line, short_form(lines.at(active), previous, lines), false),
            (None, None) => {
                let text = "there is no active key: add `secret = { file = \"…\" }`, or `keys = [{ id = \"…\", file = \"…\", \
                            state = \"active\" }]`";
                return Err(wrong(line, text));
            }
        };
        check(&keys, line, wrong)?;
        Ok(Ring { keys, has_ids, allow_short })
    }
}

/// Checks the keys of a ring for duplicates, and for exactly one active key.
fn check(keys: &[RingKey], line: usize, wrong: impl Fn(usize, &str) -> ConfigError) -> Result<(), ConfigError> {
    let (mut ids, mut sources) = (HashSet::new(), HashSet::new());
    let mut active: Option<&str> = None;
    for RingKey { id: Located { line, value: id }, state, source } in keys {
        if !ids.insert(id) {
            let text = format!(
                "two keys have the id `{id}`: use a unique id for each, and do not reuse that of a retired key"
            );
            return Err(wrong(*line, &text));
        }
        if let Some(Located { line, value }) = source
            && !sources.insert(value)
        {
            return Err(wrong(
                *line,
                "another key of the ring has the same secret: use another secret, or remove one of the keys",
            ));
        }
        if *state == KeyState::Active
            && let Some(other) = active.replace(id)
        {
            let text =
                format!("the keys `{other}` and `{id}` are both active: make one of them `pending` or `verify-only`");
            return Err(wrong(*line, &text));
        }
    }
    match active {
        Some(_) => Ok(()),
        None => Err(wrong(line, "none of its keys is active: set `state = \"active\"` on one")),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("not" = { "required": ["file", "env"] }))]
struct KeyTable {
    /// Id of the key: 1 to 64 of the characters `A-Z a-z 0-9 . _ -`. Do not reuse that of a retired
    /// key.
    #[schemars(with = "String", regex(pattern = ID_PATTERN))]
    id: Spanned<String>,
    /// File of the secret. A key that is not retired has either a `file` or an `env`.
    #[schemars(with = "Option<PathBuf>")]
    file: Option<Spanned<PathBuf>>,
    /// Environment variable of the secret.
    #[schemars(with = "Option<String>")]
    env: Option<Spanned<String>>,
    /// State of the key: `pending` keys verify and are about to sign, the `active` key signs and
    /// verifies, `verify-only` keys verify, and `retired` keys do neither.
    state: StateName,
}

/// Pattern of text that [`Key::is_id`] accepts.
const ID_PATTERN: &str = "^[A-Za-z0-9._-]{1,64}$";

impl KeyTable {
    fn checked(self, lines: Lines<'_>, wrong: impl Fn(usize, &str) -> ConfigError) -> Result<RingKey, ConfigError> {
        let Self { id, file, env, state: StateName(state) } = self;
        let id = lines.at(id);
        if !Key::is_id(&id.value) {
            // The value may be a secret, so the error does not repeat it.
            return Err(wrong(id.line, "invalid key id: use 1 to 64 of `A-Z a-z 0-9 . _ -`"));
        }
        let source = match (file, env) {
            (Some(file), None) => {
                Some(Located { line: lines.line(file.span().start), value: SecretSource::File(file.into_inner()) })
            }
            (None, Some(env)) => {
                Some(Located { line: lines.line(env.span().start), value: SecretSource::Env(env.into_inner()) })
            }
            (None, None) if state == KeyState::Retired => None,
            (None, None) => {
                let text = format!(
                    "the key `{}` has no secret: add `file = \"…\"` or `env = \"…\"`, or make it `retired`",
                    id.value
                );
                return Err(wrong(id.line, &text));
            }
            (Some(_), Some(_)) => {
                let text = format!("the key `{}` has both `file` and `env`: remove one of them", id.value);
                return Err(wrong(id.line, &text));
            }
        };
        Ok(RingKey { id, state, source })
    }
}

struct StateName(KeyState);

json_schema_for!(StateName, |_| json_schema!({ "type": "string", "enum": KeyState::ALL.map(|state| state.as_str()) }));

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        KeyState::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .map(Self)
            .ok_or_else(|| de::Error::custom("unknown key state: use `pending`, `active`, `verify-only` or `retired`"))
    }
}

/// Returns the keys of `secret`, which signs, and `previous`, which verify.
///
/// Their ids are the names of their variables, and of their files without the extension; for files
/// that share a name, the whole path.
fn short_form(active: Located<SecretSource>, previous: Vec<Spanned<SecretSource>>, lines: Lines<'_>) -> Vec<RingKey> {
    let sources: Vec<_> = std::iter::once(active).chain(previous.into_iter().map(|source| lines.at(source))).collect();
    let names: Vec<_> = sources.iter().map(|source| source.value.name()).collect();
    let mut ids = HashSet::new();
    let states = std::iter::once(KeyState::Active).chain(std::iter::repeat(KeyState::VerifyOnly));
    let mut keys = Vec::new();
    for ((source, name), state) in sources.into_iter().zip(&names).zip(states) {
        let shared = names.iter().filter(|other| *other == name).count() > 1;
        let id = if shared { source.value.whole() } else { name.clone() };
        let numbered = (2_u32..).map(|number| last(&format!("{id}-{number}")));
        let id = std::iter::once(id.clone()).chain(numbered).find(|id| ids.insert(id.clone())).unwrap_or(id);
        keys.push(RingKey { id: Located { line: source.line, value: id }, state, source: Some(source) });
    }
    keys
}

impl SecretSource {
    /// Returns the name of the variable, or of the file without its extension, as an id.
    fn name(&self) -> String {
        match self {
            Self::Env(name) => as_id(name),
            Self::File(path) => as_id(&path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy()),
        }
    }

    /// Returns the name of the variable, or the whole path of the file, as an id.
    fn whole(&self) -> String {
        match self {
            Self::Env(name) => as_id(name),
            Self::File(path) => as_id(&path.to_string_lossy()),
        }
    }
}

fn as_id(text: &str) -> String {
    let matches = |c: &char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(c);
    let id: String = text.chars().map(|c| if matches(&c) { c } else { '_' }).collect();
    if id.is_empty() { "_".to_owned() } else { last(&id) }
}

/// Returns the last 64 characters of ASCII text, the maximum length of an id.
fn last(text: &str) -> String {
    text.chars().skip(text.len().saturating_sub(64)).collect()
}

json_schema_for!(SecretSource, |_| {
    let form = |name: &str| {
        json_schema!({
            "type": "object",
            "properties": { name: { "type": "string" } },
            "required": [name],
            "additionalProperties": false,
        })
    };
    json_schema!({
        "title": "`{ file = \"…\" }` or `{ env = \"…\" }`",
        "anyOf": [form("file"), form("env")],
    })
});

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            file: Option<PathBuf>,
            env: Option<String>,
        }
        struct Source;
        impl<'de> Visitor<'de> for Source {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{ file = \"…\" }` or `{ env = \"…\" }`")
            }

            /// Rejects text, which is most likely the secret itself, without repeating it.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom("secrets must not be in this file: use `{ file = \"…\" }` or `{ env = \"…\" }`"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                match Table::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Table { file: Some(path), env: None } => Ok(SecretSource::File(path)),
                    Table { file: None, env: Some(name) } => Ok(SecretSource::Env(name)),
                    _ => Err(de::Error::custom("a secret has one source: use `{ file = \"…\" }` or `{ env = \"…\" }`")),
                }
            }
        }
        deserializer.deserialize_any(Source)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;

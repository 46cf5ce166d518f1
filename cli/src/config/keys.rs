//! `[keys.RING]`: the keys of a ring, and where their secrets are.

use super::{At, ConfigError, Lines};
use keyward_runtime::{Key, KeyState};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use toml::Spanned;

/// A key ring. One of its keys is active, each has an id of its own, and only retired ones have no secret.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) keys: Vec<RingKey>,
    /// Whether its operator gave the ids. In the short form they are the names of files and variables.
    pub(crate) has_ids: bool,
    pub(crate) allow_short: bool,
}

/// A key of a ring.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RingKey {
    pub(crate) id: At<String>,
    pub(crate) state: KeyState,
    pub(crate) source: Option<At<SecretSource>>,
}

impl RingKey {
    /// Where the secret is, unless it is not to be read any more.
    pub(crate) fn loaded(&self) -> Option<&At<SecretSource>> {
        self.source.as_ref().filter(|_| self.state != KeyState::Retired)
    }
}

/// Where a secret is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Env(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RingTable {
    keys: Option<Spanned<Vec<KeyTable>>>,
    secret: Option<Spanned<SecretSource>>,
    #[serde(default)]
    previous: Vec<Spanned<SecretSource>>,
    #[serde(default)]
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
                let text =
                    "its keys stand in `keys`, or in `secret` and `previous`, but not in both: move them all to `keys`";
                return Err(wrong(lines.line(keys.span().start), text));
            }
            (None, Some(active)) => (line, short_form(lines.at(active), previous, lines), false),
            (None, None) => {
                let text = "it has no key that signs: add `secret = { file = \"…\" }`, or `keys = [{ id = \"…\", file = \"…\", \
                            state = \"active\" }]`";
                return Err(wrong(line, text));
            }
        };
        check(&keys, line, wrong)?;
        Ok(Ring { keys, has_ids, allow_short })
    }
}

/// What holds of the keys of a ring together.
fn check(keys: &[RingKey], line: usize, wrong: impl Fn(usize, &str) -> ConfigError) -> Result<(), ConfigError> {
    let (mut ids, mut sources) = (HashSet::new(), HashSet::new());
    let mut active: Option<&str> = None;
    for RingKey { id: At { line, value: id }, state, source } in keys {
        if !ids.insert(id) {
            let text = format!("two keys have the id `{id}`: give each its own, and none that a retired key had");
            return Err(wrong(*line, &text));
        }
        if let Some(At { line, value }) = source
            && !sources.insert(value)
        {
            return Err(wrong(*line, "another key of it has this secret as well: give each its own, or remove one"));
        }
        if *state == KeyState::Active
            && let Some(other) = active.replace(id)
        {
            let text = format!(
                "the keys `{other}` and `{id}` are both active, and one key signs: make one of them `pending` or `verify-only`"
            );
            return Err(wrong(*line, &text));
        }
    }
    match active {
        Some(_) => Ok(()),
        None => Err(wrong(line, "none of its keys is active, so none could sign: give one `state = \"active\"`")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    id: Spanned<String>,
    file: Option<Spanned<PathBuf>>,
    env: Option<Spanned<String>>,
    state: StateName,
}

impl KeyTable {
    fn checked(self, lines: Lines<'_>, wrong: impl Fn(usize, &str) -> ConfigError) -> Result<RingKey, ConfigError> {
        let Self { id, file, env, state: StateName(state) } = self;
        let id = lines.at(id);
        if !Key::is_id(&id.value) {
            // It may be anything, and so is not repeated.
            return Err(wrong(id.line, "this is no id of a key: use 1 to 64 of `A-Z a-z 0-9 . _ -`"));
        }
        let source = match (file, env) {
            (Some(file), None) => {
                Some(At { line: lines.line(file.span().start), value: SecretSource::File(file.into_inner()) })
            }
            (None, Some(env)) => {
                Some(At { line: lines.line(env.span().start), value: SecretSource::Env(env.into_inner()) })
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
                let text = format!("the secret of the key `{}` is in one place: remove `file` or `env`", id.value);
                return Err(wrong(id.line, &text));
            }
        };
        Ok(RingKey { id, state, source })
    }
}

struct StateName(KeyState);

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        KeyState::ALL.into_iter().find(|state| state.as_str() == name).map(Self).ok_or_else(|| {
            de::Error::custom("this is no state of a key; there are `pending`, `active`, `verify-only` and `retired`")
        })
    }
}

/// `secret` and `previous`: the one signs, the others verify. Their ids are the names of their files, without what is behind
/// the last dot, and of their variables; of files with one name, the whole path.
fn short_form(active: At<SecretSource>, previous: Vec<Spanned<SecretSource>>, lines: Lines<'_>) -> Vec<RingKey> {
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
        keys.push(RingKey { id: At { line: source.line, value: id }, state, source: Some(source) });
    }
    keys
}

impl SecretSource {
    /// What it is called, as an id.
    fn name(&self) -> String {
        match self {
            Self::Env(name) => as_id(name),
            Self::File(path) => as_id(&path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy()),
        }
    }

    /// All that it is called, as an id.
    fn whole(&self) -> String {
        match self {
            Self::Env(name) => as_id(name),
            Self::File(path) => as_id(&path.to_string_lossy()),
        }
    }
}

fn as_id(text: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(c);
    let id: String = text.chars().map(|c| if fits(&c) { c } else { '_' }).collect();
    if id.is_empty() { "_".to_owned() } else { last(&id) }
}

/// As much of the end of an ASCII text as an id may have.
fn last(text: &str) -> String {
    text.chars().skip(text.len().saturating_sub(64)).collect()
}

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

            /// The likeliest mistake is the secret itself: nothing of it may be repeated.
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
                Err(E::custom("a secret does not stand in this file: write `{ file = \"…\" }` or `{ env = \"…\" }`"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                match Table::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Table { file: Some(path), env: None } => Ok(SecretSource::File(path)),
                    Table { file: None, env: Some(name) } => Ok(SecretSource::Env(name)),
                    _ => Err(de::Error::custom(
                        "a secret is in one place: write `{ file = \"…\" }` or `{ env = \"…\" }`",
                    )),
                }
            }
        }
        deserializer.deserialize_any(Source)
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;

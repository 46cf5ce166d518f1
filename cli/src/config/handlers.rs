//! `[[handlers]]`: components of handlers, and their grants.

use super::queries::QueryTable;
use super::store::Tokens;
use super::{ConfigError, Digest, Lines, Located, Ring, SecretSource};
use crate::builtin::Builtin;
use crate::limits::LimitsTable;
use indexmap::IndexMap;
use keyward_runtime::keys::Scheme;
use keyward_runtime::{Actors, Limits};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use toml::Spanned;

/// The configuration of a handler.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) name: Located<String>,
    pub(crate) component: Located<Component>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) checksum: bool,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) keys: IndexMap<String, Key>,
    pub(crate) secrets: IndexMap<String, Located<SecretSource>>,
    /// Maximum number of valid records; `None` without a grant of the store.
    pub(crate) store: Option<u64>,
    /// Names of the queries that it may run, by label.
    pub(crate) queries: IndexMap<String, String>,
    pub(crate) actors: AllowedActors,
    pub(crate) default_ttl: Option<NonZeroU32>,
    pub(crate) max_ttl: Option<u64>,
    pub(crate) max_idle: Option<u64>,
    pub(crate) max_tokens_per_actor: Option<u64>,
    pub(crate) leeway: Option<u64>,
    pub(crate) limits: Limits,
}

/// The source of a component.
#[derive(Debug)]
pub(crate) enum Component {
    Builtin(Builtin),
    File(PathBuf),
}

/// The binding of a key label.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) ring: String,
    pub(crate) scheme: Scheme,
    pub(crate) namespace: Option<String>,
}

/// The actors of a handler, with the patterns as written (`None` for `"any"`).
#[derive(Debug)]
pub(crate) struct AllowedActors {
    pub(crate) actors: Actors,
    pub(crate) patterns: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandlerTable {
    name: Spanned<String>,
    component: Spanned<String>,
    sha256: Option<Digest>,
    #[serde(default)]
    prefixes: Vec<String>,
    checksum: Option<bool>,
    #[serde(default)]
    settings: BTreeMap<String, Json>,
    #[serde(default)]
    keys: IndexMap<String, KeyTable>,
    #[serde(default)]
    secrets: IndexMap<String, Spanned<SecretSource>>,
    #[serde(default)]
    limits: LimitsTable,
    store: Option<Spanned<Tokens>>,
    #[serde(default)]
    queries: IndexMap<String, Spanned<String>>,
    actors: Option<AllowedActors>,
    default_ttl: Option<NonZeroU32>,
    max_ttl: Option<u64>,
    max_idle: Option<u64>,
    max_tokens_per_actor: Option<NonZeroU64>,
    leeway: Option<u64>,
}

impl HandlerTable {
    pub(super) fn checked(
        self,
        lines: Lines<'_>,
        rings: &IndexMap<String, Ring>,
        known: &IndexMap<Spanned<String>, QueryTable>,
        has_store: bool,
    ) -> Result<Handler, ConfigError> {
        let Self {
            name,
            component,
            sha256,
            prefixes,
            checksum,
            settings,
            keys,
            secrets,
            limits,
            store,
            queries,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor,
            leeway,
        } = self;
        let wrong = |span, text: String| Err(lines.error(Some(span), format!("handler `{}`: {text}", name.get_ref())));
        let source = match Builtin::parse(component.get_ref()) {
            None => Component::File(PathBuf::from(component.get_ref())),
            Some(Ok(builtin)) => Component::Builtin(builtin),
            Some(Err(text)) => return wrong(component.span(), text),
        };
        let checksum =
            checksum.unwrap_or_else(|| matches!(source, Component::Builtin(builtin) if builtin.has_checksum()));
        let actors = match (actors, &source) {
            (Some(actors), _) => actors,
            (None, Component::Builtin(_)) => AllowedActors { actors: Actors::Any, patterns: None },
            (None, Component::File(_)) => {
                return wrong(
                    name.span(),
                    "third-party handlers must declare `actors`: add `actors = [\"…\"]`".to_owned(),
                );
            }
        };
        let tokens = match store {
            Some(tokens) if tokens.get_ref().0.is_some() && !has_store => {
                let text = "`store = true` requires a `[store]` section, e.g. `sqlite = \"keyward.db\"`";
                return wrong(tokens.span(), text.to_owned());
            }
            tokens => tokens.and_then(|tokens| tokens.into_inner().0),
        };
        let mut bound = IndexMap::new();
        for (label, key) in keys {
            let KeyTable { ring, scheme, namespace } = key;
            if !rings.contains_key(ring.get_ref()) {
                let text = format!(
                    "`keys.{label}` names the ring `{0}`, which does not exist: add `[keys.{0}]`",
                    ring.get_ref()
                );
                return wrong(ring.span(), text);
            }
            bound.insert(label, Key { ring: ring.into_inner(), scheme: scheme.unwrap_or_default().0, namespace });
        }
        let mut asked = IndexMap::new();
        for (label, query) in queries {
            if !known.keys().any(|name| name.get_ref() == query.get_ref()) {
                let text = format!(
                    "`queries.{label}` names the query `{0}`, which does not exist: add `[queries.{0}]`",
                    query.get_ref()
                );
                return wrong(query.span(), text);
            }
            asked.insert(label, query.into_inner());
        }
        Ok(Handler {
            component: Located { line: lines.line(component.span().start), value: source },
            name: lines.at(name),
            sha256: sha256.map(|Digest(digest)| digest),
            prefixes,
            checksum,
            settings: settings.into_iter().map(|(name, Json(text))| (name, text)).collect(),
            keys: bound,
            secrets: secrets.into_iter().map(|(name, source)| (name, lines.at(source))).collect(),
            store: tokens,
            queries: asked,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor: max_tokens_per_actor.map(NonZeroU64::get),
            leeway,
            limits: limits.0,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    ring: Spanned<String>,
    scheme: Option<SchemeName>,
    namespace: Option<String>,
}

#[derive(Default)]
struct SchemeName(Scheme);

impl<'de> Deserialize<'de> for SchemeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = [Scheme::HmacSha256, Scheme::Itsdangerous];
        known.into_iter().find(|scheme| scheme.as_str() == name).map(Self).ok_or_else(|| {
            de::Error::custom("unknown scheme: use `hmac-sha256` or, for Datasette's tokens, `itsdangerous`")
        })
    }
}

impl<'de> Deserialize<'de> for AllowedActors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Patterns;
        impl<'de> Visitor<'de> for Patterns {
            type Value = AllowedActors;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as `[\"partner:*\"]`, or `\"any\"`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "any" {
                    return Ok(AllowedActors { actors: Actors::Any, patterns: None });
                }
                Err(E::custom("`actors` is a list such as `[\"partner:*\"]`, or `\"any\"`"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut patterns: Vec<String> = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                let actors = Actors::matching(&patterns).map_err(de::Error::custom)?;
                Ok(AllowedActors { actors, patterns: Some(patterns) })
            }
        }
        deserializer.deserialize_any(Patterns)
    }
}

/// A TOML value, converted to JSON text.
struct Json(String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;
        impl<'de> Visitor<'de> for Value {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value that JSON can represent")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
                Ok(Json(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
                Ok(Json(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
                Ok(Json(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
                if value.is_finite() {
                    return serde_json::to_string(&value).map(Json).map_err(E::custom);
                }
                Err(E::custom("JSON has no infinity and no NaN: use a number or a string"))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Json, E> {
                serde_json::to_string(value).map(Json).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(Json(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Json(format!("[{}]", items.join(","))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = table.next_key::<String>()? {
                    // The name with which the TOML reader marks a date or time.
                    if name == "$__toml_private_datetime" {
                        return Err(de::Error::custom("JSON has no dates or times: use a string"));
                    }
                    let Json(value) = table.next_value()?;
                    members.push(format!("{}:{value}", serde_json::to_string(&name).map_err(de::Error::custom)?));
                }
                Ok(Json(format!("{{{}}}", members.join(","))))
            }
        }
        deserializer.deserialize_any(Value)
    }
}

//! `[[handlers]]`: components of handlers, and their grants.

use super::endpoints::EndpointTable;
use super::key_sets::AlgorithmName;
use super::queries::QueryTable;
use super::schema::{NAME_PATTERN, json_schema_for};
use super::session::SessionTable;
use super::store::Tokens;
use super::{ConfigError, Digest, KeySet, Lines, Located, Ring, SecretSource};
use crate::builtin;
use crate::limits::LimitsTable;
use indexmap::IndexMap;
use keyward_handlers::BuiltIn;
use keyward_runtime::key_sets::Algorithm;
use keyward_runtime::keys::Scheme;
use keyward_runtime::session::SessionGrant;
use keyward_runtime::{Actors, HandlerConfig, Limits};
use schemars::{JsonSchema, Schema, json_schema};
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
    pub(crate) public_keys: IndexMap<String, PublicKeys>,
    pub(crate) secrets: IndexMap<String, Located<SecretSource>>,
    /// Maximum number of valid records; `None` without a grant of the store.
    pub(crate) store: Option<u64>,
    /// Names of the queries that it may run, by label.
    pub(crate) queries: IndexMap<String, String>,
    /// The names of endpoints, by label.
    pub(crate) http: IndexMap<String, String>,
    pub(crate) wasi: bool,
    pub(crate) session: SessionGrant,
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
    Builtin(&'static BuiltIn),
    File(PathBuf),
}

/// The binding of a key label.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) ring: String,
    pub(crate) scheme: Scheme,
    pub(crate) namespace: Option<String>,
}

/// The binding of a label of public keys.
#[derive(Debug)]
pub(crate) struct PublicKeys {
    pub(crate) set: String,
    pub(crate) algorithms: Vec<Algorithm>,
}

/// The sections that handlers refer to by name.
pub(super) struct Names<'a> {
    pub(super) rings: &'a IndexMap<String, Ring>,
    pub(super) key_sets: &'a IndexMap<String, KeySet>,
    pub(super) queries: &'a IndexMap<Spanned<String>, QueryTable>,
    pub(super) endpoints: &'a IndexMap<Spanned<String>, EndpointTable>,
}

/// The actors of a handler, with the patterns as written (`None` for `"any"`).
#[derive(Debug)]
pub(crate) struct AllowedActors {
    pub(crate) actors: Actors,
    pub(crate) patterns: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["actors"] }, { "properties": { "component": { "pattern": "^builtin:" } } }]))]
pub(super) struct HandlerTable {
    /// Name of the handler: 1 to 64 of the characters `A-Z a-z 0-9 _ -`. Records and revocations
    /// refer to it: see [serve.md](serve.md#renaming-a-handler) before you change it.
    #[schemars(with = "String", regex(pattern = NAME_PATTERN))]
    name: Spanned<String>,
    /// Component: a file, or a built-in handler such as `builtin:signed`.
    #[schemars(with = "String")]
    component: Spanned<String>,
    /// SHA-256 that the component must have: 64 hexadecimal digits, which `keyward check` prints.
    /// Protects against a file that was replaced. Without it, any component is loaded.
    sha256: Option<Digest>,
    /// Beginnings of its tokens: 1 to 256 of the characters `A-Z a-z 0-9 . _ ~ + / = -` each. A
    /// handler without prefixes receives the tokens that match no other's; at most one handler has
    /// none.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    prefixes: Vec<String>,
    /// Declares that its tokens end with a checksum (CRC-32, as six base-62 digits); mistyped
    /// tokens are then rejected without a call. Without it: `true` for built-in handlers whose
    /// tokens have one, or else `false`.
    checksum: Option<bool>,
    /// Values of the settings that the component declares, which `keyward check` lists.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Json>", extend("title" = "table"))]
    settings: BTreeMap<String, Json>,
    /// A key that the handler can sign and verify with, under this label. It never sees the key
    /// itself.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, KeyTable>")]
    keys: IndexMap<String, KeyTable>,
    /// Public keys that the handler can verify signatures with, under this label.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, PublicKeysTable>")]
    public_keys: IndexMap<String, PublicKeysTable>,
    /// Secrets, by name, that the handler can compare tokens with, without seeing them. Of equal
    /// secrets, the first one counts.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, SecretSource>")]
    secrets: IndexMap<String, Spanned<SecretSource>>,
    /// Limits on the resources of each call. An error that names a limit says which one to raise; a
    /// call that was stopped has no verdict (503), which is neither an acceptance nor a rejection.
    #[serde(default)]
    limits: LimitsTable,
    #[schemars(with = "Option<Tokens>")]
    store: Option<Spanned<Tokens>>,
    /// Queries that the handler may run: the name of one of `[queries]` for each label.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    queries: IndexMap<String, Spanned<String>>,
    /// Endpoints that the handler may request: the name of one of `[endpoints]` for each label.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    http: IndexMap<String, Spanned<String>>,
    /// Lets the component import WASI 0.2, as the runtimes of Python, JavaScript and Go do. It
    /// gives access to nothing: the clock shows the time of the call, output goes to the log, and
    /// there are no files, sockets, variables or arguments.
    #[serde(default)]
    wasi: bool,
    /// Parts that a session handler sees of the requests whose users it identifies, and the cache
    /// of its verdicts: see [sessions.md](sessions.md).
    #[serde(default)]
    session: SessionTable,
    /// Actors that its tokens may authenticate, as patterns of ids with an optional final `*`. Any
    /// other token is rejected. Required for `builtin:session` and for components that are not
    /// built in; without it, the other built-in handlers may authenticate any actor.
    actors: Option<AllowedActors>,
    /// Lifetime in seconds of a token for which none is requested. Without it, such a token does
    /// not expire.
    default_ttl: Option<NonZeroU32>,
    /// Maximum lifetime of its tokens in seconds. A request for more, or for none where there is no
    /// default, is denied, and a token that lives longer is rejected: see [tokens.md](tokens.md).
    /// Without it: no limit.
    max_ttl: Option<u64>,
    /// Maximum time in seconds that a token may be unused and stay valid. Requires a `[store]`, and
    /// costs a lookup at each verification. Without it: no limit.
    #[schemars(range(min = HandlerConfig::MIN_IDLE.as_secs()))]
    max_idle: Option<u64>,
    /// Maximum number of valid tokens of this handler for one actor; a request for more is denied
    /// (403). Requires a `[store]`. Without it: no limit.
    max_tokens_per_actor: Option<NonZeroU64>,
    /// Number of seconds that a token's issue time may lie in the future, for clocks that differ.
    #[schemars(extend("default" = default_leeway()))]
    leeway: Option<u64>,
}

fn default_leeway() -> u64 {
    HandlerConfig::new("", Vec::new(), Actors::Any).leeway.as_secs()
}

impl HandlerTable {
    pub(super) fn checked(self, lines: Lines<'_>, names: &Names<'_>, has_store: bool) -> Result<Handler, ConfigError> {
        let Self {
            name,
            component,
            sha256,
            prefixes,
            checksum,
            settings,
            keys,
            public_keys,
            secrets,
            limits,
            store,
            queries,
            http,
            wasi,
            session,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor,
            leeway,
        } = self;
        let wrong = |span, text: String| Err(lines.error(Some(span), format!("handler `{}`: {text}", name.get_ref())));
        let source = match builtin::parse(component.get_ref()) {
            None => Component::File(PathBuf::from(component.get_ref())),
            Some(Ok(builtin)) => Component::Builtin(builtin),
            Some(Err(text)) => return wrong(component.span(), text),
        };
        let checksum =
            checksum.unwrap_or_else(|| matches!(source, Component::Builtin(builtin) if builtin::has_checksum(builtin)));
        let actors = match (actors, &source) {
            (Some(actors), _) => actors,
            (None, Component::Builtin(builtin)) if *builtin == &keyward_handlers::SESSION => {
                let text = "the API of a site may name any actor, so its handler must declare `actors`: add `actors = [\"…\"]`";
                return wrong(name.span(), text.to_owned());
            }
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
            if !names.rings.contains_key(ring.get_ref()) {
                let text = format!(
                    "`keys.{label}` names the ring `{0}`, which does not exist: add `[keys.{0}]`",
                    ring.get_ref()
                );
                return wrong(ring.span(), text);
            }
            bound.insert(label, Key { ring: ring.into_inner(), scheme: scheme.unwrap_or_default().0, namespace });
        }
        let mut verified = IndexMap::new();
        for (label, keys) in public_keys {
            let PublicKeysTable { set, algorithms } = keys;
            if !names.key_sets.contains_key(set.get_ref()) {
                let text = format!(
                    "`public_keys.{label}` names the key set `{0}`, which does not exist: add `[key_sets.{0}]`",
                    set.get_ref()
                );
                return wrong(set.span(), text);
            }
            if algorithms.get_ref().is_empty() {
                let text = format!("`public_keys.{label}`: `algorithms` is empty: name at least one, such as `RS256`");
                return wrong(algorithms.span(), text);
            }
            let algorithms = algorithms.into_inner().into_iter().map(|AlgorithmName(algorithm)| algorithm).collect();
            verified.insert(label, PublicKeys { set: set.into_inner(), algorithms });
        }
        let mut asked = IndexMap::new();
        for (label, query) in queries {
            if !names.queries.keys().any(|name| name.get_ref() == query.get_ref()) {
                let text = format!(
                    "`queries.{label}` names the query `{0}`, which does not exist: add `[queries.{0}]`",
                    query.get_ref()
                );
                return wrong(query.span(), text);
            }
            asked.insert(label, query.into_inner());
        }
        let mut requested = IndexMap::new();
        for (label, endpoint) in http {
            if !names.endpoints.keys().any(|name| name.get_ref() == endpoint.get_ref()) {
                let text = format!(
                    "`http.{label}` names the endpoint `{0}`, which does not exist: add `[endpoints.{0}]`",
                    endpoint.get_ref()
                );
                return wrong(endpoint.span(), text);
            }
            requested.insert(label, endpoint.into_inner());
        }
        let session = match session.checked() {
            Ok(session) => session,
            Err((span, text)) => return wrong(span, text),
        };
        Ok(Handler {
            component: Located { line: lines.line(component.span().start), value: source },
            name: lines.at(name),
            sha256: sha256.map(|Digest(digest)| digest),
            prefixes,
            checksum,
            settings: settings.into_iter().map(|(name, Json(text))| (name, text)).collect(),
            keys: bound,
            public_keys: verified,
            secrets: secrets.into_iter().map(|(name, source)| (name, lines.at(source))).collect(),
            store: tokens,
            queries: asked,
            http: requested,
            wasi,
            session,
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

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    /// Key ring: the name of one of `[keys]`.
    #[schemars(with = "String")]
    ring: Spanned<String>,
    /// Algorithm of signatures: `itsdangerous` is that of Datasette's tokens. With `raw-…`, as JWTs
    /// have it, the secret itself is the key, and with `ed25519` it is a private key (`keyward
    /// keygen --ed25519`); the ring then has no other label.
    #[schemars(extend("default" = Scheme::default().as_str()))]
    scheme: Option<SchemeName>,
    /// Namespace of the keys. Handlers with different namespaces do not accept each other's
    /// signatures, although they share a ring.
    namespace: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PublicKeysTable {
    /// Key set: the name of one of `[key_sets]`.
    #[schemars(with = "String")]
    set: Spanned<String>,
    /// Algorithms that the handler may use, at least one.
    #[schemars(with = "Vec<AlgorithmName>", length(min = 1))]
    algorithms: Spanned<Vec<AlgorithmName>>,
}

#[derive(Default)]
pub(crate) struct SchemeName(pub(crate) Scheme);

json_schema_for!(SchemeName, |_| json_schema!({ "type": "string", "enum": Scheme::ALL.map(Scheme::as_str) }));

impl<'de> Deserialize<'de> for SchemeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Scheme::ALL.into_iter().find(|scheme| scheme.as_str() == name).map(Self).ok_or_else(|| {
            de::Error::custom(
                "unknown scheme: use `hmac-sha256`; for Datasette's tokens, `itsdangerous`; for JWTs, `raw-hmac-sha256`, \
                 `raw-hmac-sha384`, `raw-hmac-sha512` or `ed25519`",
            )
        })
    }
}

json_schema_for!(AllowedActors, |_| json_schema!({
    "title": "list of text, or `\"any\"`",
    "anyOf": [{ "const": "any" }, { "type": "array", "items": { "type": "string" } }],
}));

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

json_schema_for!(Json, |_| Schema::from(true));

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

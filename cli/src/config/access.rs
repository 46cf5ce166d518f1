//! `[clients]` and `[policies]`: the clients of the daemon, and the requirements of proxies' paths.

use super::schema::{DIGEST_PATTERN, json_schema_for, within};
use super::{ConfigError, Digest, Handler, Lines};
use indexmap::IndexMap;
use keyward_pages::CLIENT;
use keyward_runtime::Permission;
use keyward_runtime::text::{list_names, suggest_name};
use keyward_server::{Client, Handlers, PathPattern, Policy, Right, SecretDigest, SessionAccess};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;

/// The handlers and actions that the tables may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) handlers: &'a [Handler],
    pub(super) actions: &'a IndexMap<String, String>,
    pub(super) has_store: bool,
}

impl Known<'_> {
    /// Checks `[clients]`. Returns the clients by id.
    pub(super) fn clients(
        self,
        tables: IndexMap<Spanned<String>, ClientTable>,
    ) -> Result<BTreeMap<String, Client>, ConfigError> {
        let mut clients = BTreeMap::new();
        for (id, table) in tables {
            let span = id.span();
            let id = self.name(id, "a client's id")?;
            if id == CLIENT {
                let text = "this id is reserved for changes made on the pages: use another id";
                return Err(self.wrong(span, &format!("client `{id}`"), text));
            }
            let client = table.checked(&id, self, &clients)?;
            clients.insert(id, client);
        }
        Ok(clients)
    }

    /// Checks `[policies]`. Returns the policies by name.
    pub(super) fn policies(
        self,
        entries: IndexMap<Spanned<String>, PolicyEntry>,
    ) -> Result<BTreeMap<String, Policy>, ConfigError> {
        let mut policies = BTreeMap::new();
        for (name, entry) in entries {
            let name = self.name(name, "a policy's name")?;
            let policy = entry.checked(&name, self)?;
            policies.insert(name, policy);
        }
        Ok(policies)
    }

    fn name(self, name: Spanned<String>, what: &str) -> Result<String, ConfigError> {
        if is_name(name.get_ref()) {
            return Ok(name.into_inner());
        }
        Err(self.lines.error(Some(name.span()), format!("{what} must be {NAME}")))
    }

    /// Checks `handlers = [ … ]`; without it, all handlers are allowed.
    fn handlers(self, names: Option<Words>, of: &str) -> Result<Handlers, ConfigError> {
        let names = self.handler_names(names, of)?;
        Ok(names.map_or(Handlers::All, |names| Handlers::Only(names.into_iter().collect())))
    }

    /// Checks `handlers = [ … ]`. Returns the names, or `None` without it.
    pub(super) fn handler_names(self, names: Option<Words>, of: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let known = |name: String| {
            if self.handlers.iter().any(|handler| handler.name.value == name) {
                return Ok(name);
            }
            Err(format!("`handlers` names `{name}`, but there is no such handler: correct it"))
        };
        self.list(names, of, "`handlers` is empty: omit it to allow all handlers", known)
    }

    /// Checks the name in `session = "NAME"`: only loading shows that it is a session handler.
    pub(super) fn session_handler(self, handler: Spanned<String>, of: &str) -> Result<String, ConfigError> {
        if self.handlers.iter().any(|known| known.name.value == *handler.get_ref()) {
            return Ok(handler.into_inner());
        }
        let text = format!("`session` names `{}`, but there is no such handler: correct it", handler.get_ref());
        Err(self.wrong(handler.span(), of, &text))
    }

    /// Checks `session` and `session_methods` of a policy.
    fn session(
        self,
        handler: Spanned<String>,
        methods: Option<Vec<String>>,
        of: &str,
    ) -> Result<SessionAccess, ConfigError> {
        let access = SessionAccess::new(self.session_handler(handler, of)?);
        Ok(match methods {
            Some(methods) => SessionAccess { methods: methods.into_iter().collect(), ..access },
            None => access,
        })
    }

    /// Checks each item of a list that must not be empty. Errors begin with `of`.
    fn list<T>(
        self,
        words: Option<Words>,
        of: &str,
        empty: &str,
        mut read: impl FnMut(String) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(words) = words else { return Ok(None) };
        if words.get_ref().is_empty() {
            return Err(self.wrong(words.span(), of, empty));
        }
        let read = |word: Spanned<String>| {
            let span = word.span();
            read(word.into_inner()).map_err(|text| self.wrong(span, of, &text))
        };
        words.into_inner().into_iter().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// Checks `rate = N`.
    fn rate(self, rate: Option<Spanned<u32>>, of: &str) -> Result<Option<NonZeroU32>, ConfigError> {
        let Some(rate) = rate else { return Ok(None) };
        match NonZeroU32::new(*rate.get_ref()).filter(|rate| RATES.contains(&rate.get())) {
            Some(given) => Ok(Some(given)),
            None => {
                let text =
                    format!("`rate` must be a number from {} to {}: omit it for no limit", RATES.start(), RATES.end());
                Err(self.wrong(rate.span(), of, &text))
            }
        }
    }

    fn wrong(self, span: Range<usize>, of: &str, text: &str) -> ConfigError {
        self.lines.error(Some(span), format!("{of}: {text}"))
    }
}

/// The numbers of requests per second that a setting may have.
pub(super) const RATES: RangeInclusive<u32> = 1..=1_000_000;

pub(super) type Words = Spanned<Vec<Spanned<String>>>;

/// Returns whether text can be a client's id or a policy's name, which need no quoting in a path, a
/// header or a form.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// The description of what [`is_name`] accepts.
pub(crate) const NAME: &str = "1 to 64 of the characters `A-Z a-z 0-9 _ -`";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientTable {
    /// SHA-256 of the client's secret: 64 hexadecimal digits. No two clients have the same secret.
    #[schemars(with = "ClientDigest")]
    secret_sha256: Spanned<ClientDigest>,
    /// Permissions of the client. `edit` requires `list` or `list-all`, and `delegate` requires
    /// `create`.
    #[schemars(with = "Vec<RightName>", length(min = 1))]
    may: Words,
    /// Handlers whose tokens the client may use; others do not exist for it. Without it: all.
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    handlers: Option<Words>,
    /// Maximum number of requests per second, and at once; more get 429. Without it: no limit.
    #[schemars(with = "Option<u32>", transform = within(RATES))]
    rate: Option<Spanned<u32>>,
    /// Maximum number of revocations of a day that match no record; more get 429. Every node
    /// remembers each of them for good, so this bounds the memory that a client can fill: 10,000
    /// take up to 25 MB.
    #[schemars(extend("default" = default_max_unmatched_revocations()))]
    max_unmatched_revocations: Option<NonZeroU32>,
    /// Maximum number of valid tokens that the client has issued, with all handlers together; a
    /// request for more gets 403. Requires a `[store]`. Without it: no limit.
    #[schemars(with = "Option<NonZeroU32>")]
    pub(super) max_tokens: Option<Spanned<NonZeroU32>>,
}

fn default_max_unmatched_revocations() -> u32 {
    Client::new(SecretDigest::new([0; 32]), []).max_unmatched_revocations.get()
}

/// The name of a [`Right`].
struct RightName;

json_schema_for!(RightName, |_| json_schema!({
    "type": "string",
    "enum": Right::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
}));

struct ClientDigest([u8; 32]);

json_schema_for!(ClientDigest, |_| json_schema!({ "type": "string", "pattern": DIGEST_PATTERN }));

impl<'de> Deserialize<'de> for ClientDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The value may be the secret itself, by mistake, so the error repeats nothing of it.
        Digest::parse(&text).map(|Digest(digest)| Self(digest)).ok_or_else(|| {
            de::Error::custom(
                "a SHA-256 digest has 64 hexadecimal digits; `keyward client NAME` generates a secret and prints it",
            )
        })
    }
}

impl ClientTable {
    fn checked(self, id: &str, known: Known<'_>, others: &BTreeMap<String, Client>) -> Result<Client, ConfigError> {
        let Self { secret_sha256, may, handlers, rate, max_unmatched_revocations, max_tokens } = self;
        let of = format!("client `{id}`");
        let span = secret_sha256.span();
        let ClientDigest(digest) = secret_sha256.into_inner();
        let secret = SecretDigest::new(digest);
        // A secret in a Bearer header identifies the client on its own.
        if let Some((other, _)) = others.iter().find(|(_, other)| other.secret.to_hex() == secret.to_hex()) {
            let text = format!("its secret is that of `{other}`: generate another with `keyward client {id}`");
            return Err(known.wrong(span, &of, &text));
        }
        if let Some(max) = max_tokens.filter(|_| !known.has_store) {
            return Err(known.wrong(
                max.span(),
                &of,
                "`max_tokens` counts records and requires a `[store]` section: add it",
            ));
        }
        let handlers = known.handlers(handlers, &of)?;
        let rate = known.rate(rate, &of)?;
        let span = may.span();
        let rights =
            known.list(Some(may), &of, "`may` is empty: add `introspect`, `verify`, `create` or `revoke`", |word| {
                let names = Right::ALL.iter().map(|(name, _)| *name);
                Right::named(&word).ok_or_else(|| format!("`may` takes only {}", list_names(names)))
            })?;
        let mut client = Client { handlers, rate, ..Client::new(secret, rights.into_iter().flatten()) };
        client.max_unmatched_revocations = max_unmatched_revocations.unwrap_or(client.max_unmatched_revocations);
        let needs = |text| Err(known.wrong(span, &of, text));
        if client.may(Right::Edit) && !client.may(Right::List) {
            return needs("`edit` applies to tokens that the client can see: add `list` (its own) or `list-all`");
        }
        if client.may(Right::Delegate) && !client.may(Right::Create) {
            return needs("`delegate` requires `create`: add it");
        }
        Ok(client)
    }
}

/// A policy: a table, or `None` for `"any"`.
pub(super) struct PolicyEntry(Option<PolicyTable>);

json_schema_for!(PolicyEntry, |generator| json_schema!({
    "anyOf": [{ "const": ANY }, PolicyTable::json_schema(generator)],
}));

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("dependentRequired" = { "resource": ["database"], "session_methods": ["session"] }))]
struct PolicyTable {
    /// Action that the token must allow: the full name of one of `[actions]`, or `any` for any
    /// valid token. Without `database`, the token must allow it on everything.
    #[schemars(with = "String")]
    action: Spanned<String>,
    /// Database on which the token must allow the action.
    database: Option<String>,
    /// Resource of the database, such as a table, on which the token must allow the action.
    /// Requires `database`.
    #[schemars(with = "Option<String>")]
    resource: Option<Spanned<String>>,
    /// Handlers whose tokens are accepted. Without it: all.
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    handlers: Option<Words>,
    /// Methods of the original request, such as `GET`; others are refused. Without it: all.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), inner(regex(pattern = METHOD_PATTERN)))]
    methods: Option<Words>,
    /// Paths of the original request; others are refused. A final `*` matches any rest. Without it:
    /// all.
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    paths: Option<Words>,
    /// Maximum number of token checks per second, and at once; more get 429. Without it: no limit.
    #[schemars(with = "Option<u32>", transform = within(RATES))]
    rate: Option<Spanned<u32>>,
    /// Session handler that identifies the users of requests without a token by their cookies.
    /// Without it, such requests are refused.
    #[schemars(with = "Option<String>")]
    session: Option<Spanned<String>>,
    /// Methods of the original request that are accepted without a token, as the proxy reports
    /// them. Browsers send cookies with requests that another site caused: list only methods that
    /// change nothing. Requires `session`.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), inner(regex(pattern = METHOD_PATTERN)), extend("default" = SessionAccess::SAFE_METHODS))]
    session_methods: Option<Words>,
}

const METHOD_PATTERN: &str = "^[A-Z]{1,32}$";

/// The policy that requires a valid token, but no permission.
const ANY: &str = "any";

impl<'de> Deserialize<'de> for PolicyEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = PolicyEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`\"any\"`, or a table such as `{ action = \"view-instance\" }`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == ANY {
                    return Ok(PolicyEntry(None));
                }
                Err(E::custom("a policy is `\"any\"`, or a table such as `{ action = \"view-instance\" }`"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                PolicyTable::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|table| PolicyEntry(Some(table)))
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

impl PolicyEntry {
    fn checked(self, name: &str, known: Known<'_>) -> Result<Policy, ConfigError> {
        let Self(Some(table)) = self else { return Ok(Policy::default()) };
        let PolicyTable { action, database, resource, handlers, methods, paths, rate, session, session_methods } =
            table;
        let of = format!("policy `{name}`");
        let permission = permission(action, database, resource, known, &of)?;
        let handlers = known.handlers(handlers, &of)?;
        // Methods are case-sensitive (RFC 9110 section 9.1). The server accepts only these from a
        // proxy, so any other would never match.
        let is_method = |setting: &str, method: String| {
            if (1..=32).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Ok(method);
            }
            Err(format!("`{setting}` lists methods such as `GET`, each 1 to 32 of the letters `A-Z`"))
        };
        let methods = known.list(methods, &of, "`methods` is empty: omit it to allow all methods", |method| {
            is_method("methods", method)
        })?;
        let empty = "`session_methods` is empty: omit it to allow GET, HEAD and OPTIONS";
        let span = session_methods.as_ref().map(Spanned::span);
        let session_methods = known.list(session_methods, &of, empty, |method| is_method("session_methods", method))?;
        let session = match (session, session_methods, span) {
            (Some(handler), methods, _) => Some(known.session(handler, methods, &of)?),
            (None, Some(_), Some(span)) => {
                return Err(known.wrong(
                    span,
                    &of,
                    "`session_methods` requires `session`: add the name of a session handler",
                ));
            }
            (None, ..) => None,
        };
        let paths = known.list(paths, &of, "`paths` is empty: omit it to allow all paths", |path| {
            PathPattern::new(&path).map_err(|error| format!("`paths` {error}"))
        })?;
        let rate = known.rate(rate, &of)?;
        Ok(Policy { permission, handlers, methods: methods.map(BTreeSet::from_iter), paths, rate, session })
    }
}

/// Returns the permission that a policy requires; `None` if it requires none.
fn permission(
    action: Spanned<String>,
    database: Option<String>,
    resource: Option<Spanned<String>>,
    known: Known<'_>,
    of: &str,
) -> Result<Option<Permission>, ConfigError> {
    let span = action.span();
    let name = action.into_inner();
    // An action named `any` takes precedence, because it is the stricter meaning.
    let any = name == ANY && !known.actions.contains_key(ANY);
    if !any && !known.actions.contains_key(&name) {
        let text = match known.actions.iter().find(|(_, short)| **short == name) {
            Some((full, _)) => format!("`{name}` is the abbreviation of `{full}`: use the full name"),
            None => {
                let hint = suggest_name(&name, known.actions.keys().map(String::as_str));
                format!("the action `{name}` is not in `[actions]`: correct it, or add it there{hint}")
            }
        };
        return Err(known.wrong(span, of, &text));
    }
    let permission = Permission::new(name);
    match (database, resource) {
        (None, Some(resource)) => Err(known.wrong(resource.span(), of, "`resource` requires `database`: add it")),
        (Some(_), _) if any => Err(known.wrong(span, of, "`any` cannot be combined with `database`: name an action")),
        (None, None) if any => Ok(None),
        (None, None) => Ok(Some(permission)),
        (Some(database), None) => Ok(Some(permission.on_database(database))),
        (Some(database), Some(resource)) => Ok(Some(permission.on_resource(database, resource.into_inner()))),
    }
}

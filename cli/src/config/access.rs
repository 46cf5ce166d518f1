//! `[callers]` and `[policies]`: who may ask the daemon, and what the paths of proxies require.

use super::{ConfigError, Digest, Handler, Lines};
use indexmap::IndexMap;
use keyward_runtime::Permission;
use keyward_server::{Caller, Handlers, PathPattern, Policy, SecretDigest, Sees};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use toml::Spanned;

/// What the tables may name.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) handlers: &'a [Handler],
    pub(super) actions: &'a IndexMap<String, String>,
}

impl Known<'_> {
    /// `[callers]`, by id.
    pub(super) fn callers(
        self,
        tables: IndexMap<Spanned<String>, CallerTable>,
    ) -> Result<BTreeMap<String, Caller>, ConfigError> {
        let mut callers = BTreeMap::new();
        for (id, table) in tables {
            let id = self.name(id, "a caller's id")?;
            let caller = table.checked(&id, self, &callers)?;
            callers.insert(id, caller);
        }
        Ok(callers)
    }

    /// `[policies]`, by name.
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
        Err(self.lines.error(Some(name.span()), format!("{what} is {NAME}: choose such a one")))
    }

    /// `handlers = [ … ]`, or all.
    fn handlers(self, names: Option<Words>, of: &str) -> Result<Handlers, ConfigError> {
        let known = |name: String| {
            if self.handlers.iter().any(|handler| handler.name.value == name) {
                return Ok(name);
            }
            Err(format!("`handlers` names `{name}`, and there is no handler of that name: correct it"))
        };
        let names = self.list(names, of, "`handlers` names none: leave it out for all of them", known)?;
        Ok(names.map_or(Handlers::All, |names| Handlers::Only(names.into_iter().collect())))
    }

    /// A list with something in it, word by word. The texts go on from what it is part of.
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

    fn wrong(self, span: Range<usize>, of: &str, text: &str) -> ConfigError {
        self.lines.error(Some(span), format!("{of}: {text}"))
    }
}

type Words = Spanned<Vec<Spanned<String>>>;

/// Whether it can be a caller's id or a policy's name: what needs no quoting in a path, a header or a form.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What [`is_name`] asks for.
pub(crate) const NAME: &str = "1 to 64 of the characters `A-Z a-z 0-9 _ -`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallerTable {
    secret_sha256: Spanned<CallerDigest>,
    may: Words,
    handlers: Option<Words>,
}

/// What a caller may do.
const RIGHTS: &str = "`introspect`, `verify`, `create`, `revoke`, `list`, `list-all`, `edit` and `delegate`";

struct CallerDigest([u8; 32]);

impl<'de> Deserialize<'de> for CallerDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What stands here by mistake may be the secret itself: nothing of it is repeated.
        Digest::parse(&text).map(|Digest(digest)| Self(digest)).ok_or_else(|| {
            de::Error::custom("a SHA-256 has 64 hexadecimal digits; `keyward caller NAME` makes a secret and prints it")
        })
    }
}

impl CallerTable {
    fn checked(self, id: &str, known: Known<'_>, others: &BTreeMap<String, Caller>) -> Result<Caller, ConfigError> {
        let Self { secret_sha256, may, handlers } = self;
        let of = format!("caller `{id}`");
        let span = secret_sha256.span();
        let CallerDigest(digest) = secret_sha256.into_inner();
        let secret = SecretDigest::new(digest);
        // A secret alone says who asks, where it comes as a Bearer token.
        if let Some((other, _)) = others.iter().find(|(_, other)| other.secret.to_hex() == secret.to_hex()) {
            let text = format!("it has the secret of `{other}`: make one of its own with `keyward caller {id}`");
            return Err(known.wrong(span, &of, &text));
        }
        let handlers = known.handlers(handlers, &of)?;
        let mut caller = Caller { handlers, ..Caller::new(secret) };
        let span = may.span();
        known.list(Some(may), &of, "`may` has no word: say `introspect`, `verify`, `create` or `revoke`", |word| {
            match word.as_str() {
                "introspect" => caller.introspect = true,
                "verify" => caller.verify = true,
                "create" => caller.create = true,
                "revoke" => caller.revoke = true,
                "list" if caller.sees == Sees::Nothing => caller.sees = Sees::Own,
                "list" => {}
                "list-all" => caller.sees = Sees::All,
                "edit" => caller.edit = true,
                "delegate" => caller.delegate = true,
                _ => return Err(format!("`may` has the words {RIGHTS} only")),
            }
            Ok(())
        })?;
        let needs = |text| Err(known.wrong(span, &of, text));
        if caller.edit && caller.sees == Sees::Nothing {
            return needs("`edit` is for tokens that it sees: add `list` (those that it had made) or `list-all`");
        }
        if caller.delegate && !caller.create {
            return needs("`delegate` is for tokens that it makes: add `create`");
        }
        Ok(caller)
    }
}

/// A table, or `"any"`, which is `None`.
pub(super) struct PolicyEntry(Option<PolicyTable>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    action: Spanned<String>,
    database: Option<String>,
    resource: Option<Spanned<String>>,
    handlers: Option<Words>,
    methods: Option<Words>,
    paths: Option<Words>,
}

/// Asks for a good token, and for nothing that it must allow.
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
                Err(E::custom("a policy is the word `\"any\"`, or a table such as `{ action = \"view-instance\" }`"))
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
        let PolicyTable { action, database, resource, handlers, methods, paths } = table;
        let of = format!("policy `{name}`");
        let permission = permission(action, database, resource, known, &of)?;
        let handlers = known.handlers(handlers, &of)?;
        let methods = known.list(methods, &of, "`methods` names none: leave it out for all of them", |method| {
            // Methods are case-sensitive (RFC 9110 section 9.1). The server takes no others from a proxy: one that could
            // stand here only would never fit.
            if (1..=32).contains(&method.len()) && method.bytes().all(|byte| byte.is_ascii_uppercase()) {
                return Ok(method);
            }
            Err("`methods` has names of methods such as `GET`, of 1 to 32 of the letters `A-Z`".to_owned())
        })?;
        let paths = known.list(paths, &of, "`paths` has no pattern: leave it out for all paths", |path| {
            PathPattern::new(&path).map_err(|error| format!("`paths` {error}"))
        })?;
        Ok(Policy { permission, handlers, methods: methods.map(BTreeSet::from_iter), paths })
    }
}

/// What a token must allow; `None` for nothing.
fn permission(
    action: Spanned<String>,
    database: Option<String>,
    resource: Option<Spanned<String>>,
    known: Known<'_>,
    of: &str,
) -> Result<Option<Permission>, ConfigError> {
    let span = action.span();
    let name = action.into_inner();
    // An action of that name comes first: of two meanings it is the stricter one.
    let any = name == ANY && !known.actions.contains_key(ANY);
    if !any && !known.actions.contains_key(&name) {
        let text = match known.actions.iter().find(|(_, short)| **short == name) {
            Some((full, _)) => format!("`{name}` is short for `{full}`: write that"),
            None => format!("the action `{name}` is not in `[actions]`: correct it, or add it there"),
        };
        return Err(known.wrong(span, of, &text));
    }
    let permission = Permission::new(name);
    match (database, resource) {
        (None, Some(resource)) => Err(known.wrong(resource.span(), of, "`resource` is in no database: add `database`")),
        (Some(_), _) if any => Err(known.wrong(span, of, "`any` goes with no `database`: name an action")),
        (None, None) if any => Ok(None),
        (None, None) => Ok(Some(permission)),
        (Some(database), None) => Ok(Some(permission.on_database(database))),
        (Some(database), Some(resource)) => Ok(Some(permission.on_resource(database, resource.into_inner()))),
    }
}

//! Parsing of the configuration file into a consistent value. The files and variables that it names
//! are not read here.

mod access;
mod audit;
mod cache;
mod endpoints;
mod handlers;
mod key_sets;
mod keys;
mod message;
mod pages;
mod queries;
mod remote;
pub(crate) mod schema;
mod server;
mod session;
mod store;

use access::{ClientTable, Known, PolicyEntry};
use audit::AuditTable;
use cache::CacheTable;
use endpoints::EndpointTable;
use handlers::{HandlerTable, Names};
use indexmap::IndexMap;
use ipnet::IpNet;
use key_sets::KeySetTable;
use keys::RingTable;
use keyward_pages::CLIENT;
pub(crate) use message::reword;
use pages::PagesTable;
use queries::QueryTable;
use schema::{NAME_PATTERN, json_schema_for};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use server::ServerTable;
use std::collections::BTreeMap;
use std::net::IpAddr;
use store::StoreTable;
use toml::Spanned;

pub(crate) use access::{NAME, is_name};
pub(crate) use audit::Audit;
pub(crate) use cache::Cache;
pub(crate) use endpoints::{Endpoint, Method};
pub(crate) use handlers::{Component, Handler, SchemeName};
pub(crate) use key_sets::{AlgorithmName, KeySet, KeySetSource};
pub(crate) use keys::{Ring, RingKey, SecretSource};
pub(crate) use pages::Pages;
pub(crate) use queries::Query;
pub(crate) use remote::RemoteUrl;
pub use schema::schema;
pub(crate) use server::{Address, Server, TlsFiles};
pub(crate) use store::{Store, StorePlace};

/// A configuration, whose references to rings, queries, handlers and actions all resolve.
#[derive(Debug)]
pub struct Config {
    pub(crate) rings: IndexMap<String, Ring>,
    pub(crate) key_sets: IndexMap<String, KeySet>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) actions: IndexMap<String, String>,
    pub(crate) actions_open: bool,
    /// Maximum number of valid tokens of clients that have one, with the client's id.
    pub(crate) client_tokens: Vec<(String, u64)>,
    pub(crate) share_unprefixed: bool,
    pub(crate) store: Option<Store>,
    pub(crate) audit: Option<Audit>,
    pub(crate) cache: Option<Cache>,
    pub(crate) queries: IndexMap<String, Query>,
    pub(crate) endpoints: IndexMap<String, Endpoint>,
    pub(crate) server: Server,
    pub(crate) pages: Option<Pages>,
}

fn uses_key_set(handlers: &[Handler], name: &str) -> bool {
    handlers.iter().any(|handler| handler.public_keys.values().any(|keys| keys.set == name))
}

/// Parses a network, or an address as the network of that address alone.
fn parse_network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into))
}

/// A value and its line in the file, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) line: usize,
    pub(crate) value: T,
}

/// An error in a configuration. The message may repeat names from the file, but never text that
/// could be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1; `None` if the error has no line.
    pub line: Option<usize>,
    /// The message: one sentence without the file's name.
    pub text: String,
}

impl Config {
    /// Parses the text of a configuration file.
    ///
    /// # Errors
    ///
    /// Returns the first error, with its line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let lines = Lines(text);
        let toml = toml::Deserializer::parse(text)
            .map_err(|error| lines.error(error.span(), format!("invalid TOML: {}", reword(error.message()))))?;
        let file = File::deserialize(toml).map_err(|error| lines.error(error.span(), reword(error.message())))?;
        let File {
            keys,
            key_sets,
            handlers,
            actions,
            actions_open,
            dangerous_share_unprefixed,
            store,
            audit,
            cache,
            queries,
            endpoints,
            server,
            pages,
            clients,
            policies,
        } = file;
        let rings = keys.into_iter().map(|(name, ring)| Ok((name.clone().into_inner(), ring.checked(&name, lines)?)));
        let rings = rings.collect::<Result<IndexMap<_, _>, _>>()?;
        let key_sets = key_sets.into_iter().map(|(name, set)| {
            let checked = set.checked(&name, lines)?;
            Ok((name.into_inner(), checked))
        });
        let key_sets = key_sets.collect::<Result<IndexMap<_, _>, _>>()?;
        if handlers.is_empty() {
            return Err(lines.error(None, "no handler is configured: add a `[[handlers]]`"));
        }
        let store = match store {
            Some(store) => {
                let line = lines.line(store.span().start);
                Some(store.into_inner().checked(line, lines)?)
            }
            None => None,
        };
        let audit = audit.map(|audit| audit.checked(lines)).transpose()?;
        let cache = cache.map(|cache| cache.checked(lines)).transpose()?;
        let names = Names { rings: &rings, key_sets: &key_sets, queries: &queries, endpoints: &endpoints };
        let handlers = handlers.into_iter().map(|handler| handler.checked(lines, &names, store.is_some()));
        let handlers = handlers.collect::<Result<Vec<_>, _>>()?;
        if let Some((name, set)) = key_sets.iter().find(|(name, _)| !uses_key_set(&handlers, name)) {
            let text = format!(
                "the key set `{name}` is not granted to any handler: add `public_keys.LABEL = {{ set = \"{name}\", … }}` to \
                 one, or remove it"
            );
            return Err(ConfigError { line: Some(set.line), text });
        }
        let queries = queries::checked(queries, lines, &handlers)?;
        let endpoints = endpoints::checked(endpoints, lines, &handlers)?;
        let mut server = server.checked(lines)?;
        let known = Known { lines, handlers: &handlers, actions: &actions, has_store: store.is_some() };
        let client_tokens = clients.iter().filter_map(|(id, client)| {
            let max = client.max_tokens.as_ref()?.get_ref();
            Some((id.get_ref().clone(), max.get().into()))
        });
        let client_tokens = client_tokens.collect();
        server.config.clients = known.clients(clients)?;
        server.config.policies = known.policies(policies)?;
        let pages = match pages {
            Some(pages) => {
                let section = pages.span();
                Some(pages.into_inner().checked(section, known, &mut server)?)
            }
            None => None,
        };
        Ok(Self {
            rings,
            key_sets,
            handlers,
            actions,
            actions_open,
            client_tokens,
            share_unprefixed: dangerous_share_unprefixed,
            store,
            audit,
            cache,
            queries,
            endpoints,
            server,
            pages,
        })
    }
}

/// The configuration of Keyward: a TOML file. Paths are relative to its folder.
// The descriptions here and of the sections below are those of docs/configuration.md and of
// `keyward config schema`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Keyward", extend("required" = ["handlers"]))]
struct File {
    /// A key ring, which handlers use through their `keys`. Write either `secret` and `previous`,
    /// or `keys` with ids and states. Secrets are read from files or environment variables, never
    /// from the configuration.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RingTable>")]
    keys: IndexMap<Spanned<String>, RingTable>,
    /// The public keys of an issuer, which handlers use through their `public_keys` to verify its
    /// signatures.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, KeySetTable>")]
    key_sets: IndexMap<Spanned<String>, KeySetTable>,
    /// A handler, and everything that it may use. There is at least one. A token belongs to the
    /// handler with the longest matching prefix.
    #[serde(default)]
    #[schemars(length(min = 1))]
    handlers: Vec<HandlerTable>,
    /// The actions that restrictions and policies can name, each with its abbreviation in tokens:
    /// `view-table = "vt"`. No two actions have the same abbreviation. An action without an
    /// abbreviation is its own: `publish = "publish"`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    actions: IndexMap<String, String>,
    /// Accepts restrictions to actions that are not in `[actions]`. Without it, such a request is
    /// refused (400), because a misspelled action would allow nothing.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    actions_open: bool,
    /// Lets several handlers have no `prefixes`: each of them then sees the tokens of the others.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    dangerous_share_unprefixed: bool,
    /// The database of revocations and of the records of issued tokens: one of `sqlite` and
    /// `postgres`. Without a store, tokens cannot be listed, edited or revoked.
    #[schemars(with = "Option<StoreTable>")]
    store: Option<Spanned<StoreTable>>,
    /// The audit log: records of changes and refusals, in a file of hash-chained lines. Without it,
    /// there is none.
    audit: Option<AuditTable>,
    /// The cache of compiled third-party components. Without it, they are compiled at each start
    /// and by each command that loads them. Built-in handlers need none.
    cache: Option<CacheTable>,
    /// A query that a handler may run on a database of yours, which is only read: one of `sqlite`
    /// and `postgres`, and the `sql`. Each query is granted to at least one handler.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, QueryTable>")]
    queries: IndexMap<Spanned<String>, QueryTable>,
    /// URLs that handlers may request, such as the API of a site.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, EndpointTable>")]
    endpoints: IndexMap<Spanned<String>, EndpointTable>,
    /// The addresses of `keyward serve`, and its settings for requests.
    #[serde(default)]
    server: ServerTable,
    /// Web pages on which people see, create, rotate and revoke their own tokens. The table may be
    /// empty. Without it, there are none. Requires a `[store]`.
    #[schemars(with = "Option<PagesTable>")]
    pages: Option<Spanned<PagesTable>>,
    /// A client of the daemon's API. `keyward client NAME` generates its secret and prints these
    /// lines. The id is 1 to 64 of the characters `A-Z a-z 0-9 _ -`, and not `page`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ClientTable>", extend("propertyNames" = { "pattern": NAME_PATTERN, "not": { "const": CLIENT } }))]
    clients: IndexMap<Spanned<String>, ClientTable>,
    /// The requirements of a proxy's path, `/v1/auth/…/NAME`: this table, or `"any"` for any valid
    /// token. The name is 1 to 64 of the characters `A-Z a-z 0-9 _ -`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, PolicyEntry>", extend("propertyNames" = { "pattern": NAME_PATTERN }))]
    policies: IndexMap<Spanned<String>, PolicyEntry>,
}

struct Digest([u8; 32]);

impl Digest {
    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(bytes))
    }
}

json_schema_for!(Digest, |_| schemars::json_schema!({ "type": "string", "pattern": schema::DIGEST_PATTERN }));

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("a SHA-256 digest has 64 hexadecimal digits; `keyward check` prints it"))
    }
}

/// The text of the file, which maps offsets to lines.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn line(self, offset: usize) -> usize {
        self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn at<T>(self, spanned: Spanned<T>) -> Located<T> {
        Located { line: self.line(spanned.span().start), value: spanned.into_inner() }
    }

    fn error(self, span: Option<std::ops::Range<usize>>, text: impl Into<String>) -> ConfigError {
        ConfigError { line: span.map(|span| self.line(span.start)), text: text.into() }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

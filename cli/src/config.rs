//! The configuration file: TOML into a value that is right in itself. Files and variables that it names are not looked at
//! here.

mod access;
mod audit;
mod handlers;
mod keys;
mod queries;
mod server;
mod store;

use access::{CallerTable, Known, PolicyEntry};
use audit::AuditTable;
use handlers::HandlerTable;
use indexmap::IndexMap;
use keys::RingTable;
use queries::QueryTable;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use server::ServerTable;
use store::StoreTable;
use toml::Spanned;

pub(crate) use access::{NAME, is_name};
pub(crate) use audit::Audit;
pub(crate) use handlers::{Component, Handler};
pub(crate) use keys::{Ring, RingKey, SecretSource};
pub(crate) use queries::Query;
pub(crate) use server::{Address, Server, TlsFiles};
pub(crate) use store::{Store, StorePlace};

/// A configuration. Its handlers name rings and queries that it has, its callers and policies handlers and actions.
#[derive(Debug)]
pub struct Config {
    pub(crate) rings: IndexMap<String, Ring>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) actions: IndexMap<String, String>,
    pub(crate) share_unprefixed: bool,
    pub(crate) store: Option<Store>,
    pub(crate) audit: Option<Audit>,
    pub(crate) queries: IndexMap<String, Query>,
    pub(crate) server: Server,
}

/// A value and the line it stands on, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct At<T> {
    pub(crate) line: usize,
    pub(crate) value: T,
}

/// What is wrong with a configuration, in a sentence without the file's name. It repeats names and words of the file, never
/// a text that could be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line, from 1, if it is about one.
    pub line: Option<usize>,
    /// The sentence.
    pub text: String,
}

impl Config {
    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let lines = Lines(text);
        let toml = toml::Deserializer::parse(text)
            .map_err(|error| lines.error(error.span(), format!("not TOML: {}", reword(error.message()))))?;
        let file = File::deserialize(toml).map_err(|error| lines.error(error.span(), reword(error.message())))?;
        let File {
            keys,
            handlers,
            actions,
            dangerous_share_unprefixed,
            store,
            audit,
            queries,
            server,
            callers,
            policies,
        } = file;
        let rings = keys.into_iter().map(|(name, ring)| Ok((name.clone().into_inner(), ring.checked(&name, lines)?)));
        let rings = rings.collect::<Result<IndexMap<_, _>, _>>()?;
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
        let handlers = handlers.into_iter().map(|handler| handler.checked(lines, &rings, &queries, store.is_some()));
        let handlers = handlers.collect::<Result<Vec<_>, _>>()?;
        let queries = queries::checked(queries, lines, &handlers)?;
        let mut server = server.checked(lines)?;
        let known = Known { lines, handlers: &handlers, actions: &actions };
        server.config.callers = known.callers(callers)?;
        server.config.policies = known.policies(policies)?;
        Ok(Self {
            rings,
            handlers,
            actions,
            share_unprefixed: dangerous_share_unprefixed,
            store,
            audit,
            queries,
            server,
        })
    }
}

/// The file as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keys: IndexMap<Spanned<String>, RingTable>,
    #[serde(default)]
    handlers: Vec<HandlerTable>,
    #[serde(default)]
    actions: IndexMap<String, String>,
    #[serde(default)]
    dangerous_share_unprefixed: bool,
    store: Option<Spanned<StoreTable>>,
    audit: Option<AuditTable>,
    #[serde(default)]
    queries: IndexMap<Spanned<String>, QueryTable>,
    #[serde(default)]
    server: ServerTable,
    #[serde(default)]
    callers: IndexMap<Spanned<String>, CallerTable>,
    #[serde(default)]
    policies: IndexMap<Spanned<String>, PolicyEntry>,
}

struct Digest([u8; 32]);

impl Digest {
    fn parse(text: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|digit| digit.try_into().ok())).collect();
        let bytes: Option<Vec<u8>> = digits
            .map(|digits| digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect());
        bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok()).map(Self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom("a SHA-256 has 64 hexadecimal digits; `keyward check` prints it"))
    }
}

/// The text, for finding lines.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn line(self, offset: usize) -> usize {
        self.0.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn at<T>(self, spanned: Spanned<T>) -> At<T> {
        At { line: self.line(spanned.span().start), value: spanned.into_inner() }
    }

    fn error(self, span: Option<std::ops::Range<usize>>, text: impl Into<String>) -> ConfigError {
        ConfigError { line: span.map(|span| self.line(span.start)), text: text.into() }
    }
}

/// A message of the TOML reader as a sentence: without the values that it repeats, which may be secrets.
fn reword(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return format!(
            "unknown field {}",
            rest.replacen(", expected", "; expected", 1).replacen(", there are", "; there are", 1)
        );
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} is missing; add it");
    }
    if let Some(rest) = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        let kind = rest.split(['"', '`', ',']).next().unwrap_or_default().trim_end();
        let expected = match rest.rsplit_once(", expected ").map(|(_, expected)| expected).unwrap_or_default() {
            "a map" => "a table",
            "a sequence" => "a list",
            "u32" | "u64" | "usize" => "a whole number",
            "a nonzero u32" | "a nonzero u64" => "a whole number from 1",
            expected if expected.starts_with("struct ") => "a table",
            expected => expected,
        };
        return format!("this {kind} is of the wrong kind; expected {expected}");
    }
    if message == "duplicate key" {
        return "this key stands here for the second time; remove one".to_owned();
    }
    message.to_owned()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

//! `cases.toml`: what a handler is granted in its tests, and the verdicts that it must give.

use crate::CliError;
use crate::config::{AlgorithmName, SchemeName, reword};
use crate::date::parse_at;
use indexmap::IndexMap;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::session::SessionRequest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The file. Every part may be omitted.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CasesFile {
    pub(crate) prefixes: Vec<String>,
    pub(super) settings: BTreeMap<String, Value>,
    /// Keys by label. Those that the handler uses and that are not here are random.
    pub(super) keys: BTreeMap<String, KeyTable>,
    /// Secrets by name.
    pub(super) secrets: IndexMap<String, String>,
    pub(super) public_keys: BTreeMap<String, PublicKeysTable>,
    pub(super) queries: BTreeMap<String, QueryTable>,
    pub(super) http: BTreeMap<String, HttpTable>,
    pub(super) session: SessionTable,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    /// The secret as text.
    pub(super) secret: String,
    pub(super) scheme: Option<SchemeName>,
    pub(super) namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublicKeysTable {
    /// A JWK, a JWK Set, or `PUBLIC KEY` sections in PEM.
    pub(super) keys: String,
    pub(super) algorithms: Vec<AlgorithmName>,
}

/// A query with its rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryTable {
    pub(super) columns: Vec<String>,
    #[serde(default)]
    pub(super) rows: Vec<RowTable>,
}

/// A row, returned if each parameter in `given` has that value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowTable {
    #[serde(default)]
    pub(super) given: BTreeMap<String, Value>,
    pub(super) values: Vec<Value>,
}

/// An endpoint with its responses.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpTable {
    /// The query parameters that the handler may add.
    pub(super) parameters: Vec<String>,
    /// The cookies and headers of the request that the host adds.
    pub(super) cookies: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) responses: Vec<ResponseTable>,
}

/// A response, returned if each parameter, cookie and header in `given` has that value.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseTable {
    #[serde(default)]
    pub(super) given: BTreeMap<String, String>,
    #[serde(default = "ok")]
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    #[serde(default)]
    pub(super) body: String,
}

fn ok() -> u16 {
    200
}

/// The part of a request that a session handler sees.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionTable {
    pub(super) cookies: BTreeSet<String>,
    pub(super) headers: BTreeSet<String>,
    pub(super) method: bool,
    pub(super) path: bool,
}

/// A token or a request, and the verdict that it must have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The token; `None` for the request of a session.
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) cookies: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(crate) at: Option<UnixTime>,
    pub(crate) want: Want,
    /// The reason of a rejection.
    pub(crate) reason: Option<String>,
    /// Members that the actor must have.
    pub(crate) actor: Option<Map<String, Value>>,
    pub(crate) token_id: Option<String>,
}

/// The verdict of a [`Case`].
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Want {
    Accepted,
    NotMine,
    Rejected,
}

impl Case {
    /// Returns the request of a session.
    pub(crate) fn request(&self) -> SessionRequest {
        let text = |part: &Option<String>, default: &str| part.clone().unwrap_or_else(|| default.to_owned());
        let mut request = SessionRequest::new(text(&self.method, "GET"), text(&self.path, "/"));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in &self.cookies {
            request = request.cookie(name, value);
        }
        request
    }
}

/// Parses a TOML date, seconds since 1970, or a text as for `--at`.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixTime>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Integer(seconds) => seconds.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        _ => String::new(),
    };
    parse_at(&text).map(Some).map_err(|why| D::Error::custom(format!("the value of `at` {why}")))
}

impl CasesFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read, or is not as it should be. The message has its line.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let wrong = |line: Option<usize>, text: &str| {
            let line = line.map(|line| format!(" line {line}:")).unwrap_or_default();
            CliError::Usage(format!("{}:{line} {text}", path.display()))
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(None, &format!("cannot be read: {error}")))?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            wrong(before.map(|before| before.matches('\n').count().saturating_add(1)), &reword(error.message()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CasesFile, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        CasesFile::read(file.path()).map_err(|error| error.sentence().1.replace(file.path().to_str().unwrap(), "FILE"))
    }

    #[test]
    fn times_are_dates_or_seconds() {
        for at in ["2030-01-01T00:00:00Z", "1893456000", "\"2030-01-01\"", "\"1893456000\""] {
            let file = read(&format!("[[cases]]\nname = \"a\"\nwant = \"rejected\"\nat = {at}")).unwrap();
            assert_eq!(file.cases[0].at, Some(UnixTime::from_seconds(1_893_456_000)), "{at}");
        }
    }

    #[test]
    fn errors_name_the_line_and_no_value() {
        for (text, wanted) in [
            ("[[cases]]\nname = \"a\"", "FILE: line 1: `want` is missing; add it"),
            (
                "\n[keys.token]\nsecert = \"hunter2\"",
                "FILE: line 3: unknown field `secert`; expected one of `secret`, `scheme`, `namespace`; did you mean `secret`?",
            ),
            ("[secrets]\na = 1", "FILE: line 2: this integer has the wrong type; expected a string"),
        ] {
            assert_eq!(read(text).err().as_deref(), Some(wanted), "{text}");
        }
    }
}

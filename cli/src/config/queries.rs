//! `[queries.NAME]`: queries that handlers may run on the operator's databases.

use super::schema::within;
use super::{ConfigError, Handler, Lines, Located, SecretSource, StorePlace};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The default deadline of a query, in milliseconds.
const DEADLINE: u64 = 100;

/// The deadlines that a query may have, in milliseconds.
const DEADLINES: RangeInclusive<u64> = 1..=60_000;

/// The default maximum number of rows of a result.
const ROWS: u32 = 100;

/// The maximum numbers of rows that a query may have.
const MAX_ROWS: RangeInclusive<u32> = 1..=10_000;

/// The configuration of a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) place: Located<StorePlace>,
    pub(crate) sql: Located<String>,
    pub(crate) deadline: Duration,
    pub(crate) rows: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["sqlite"] }, { "required": ["postgres"] }]))]
pub(super) struct QueryTable {
    /// SQLite file. It is opened read-only.
    #[schemars(with = "Option<PathBuf>")]
    sqlite: Option<Spanned<PathBuf>>,
    /// Place of a PostgreSQL URL, which may contain a password.
    #[schemars(with = "Option<SecretSource>")]
    postgres: Option<Spanned<SecretSource>>,
    /// Statement that only reads, with named parameters such as `:token_id`.
    #[schemars(with = "String")]
    sql: Spanned<String>,
    /// Deadline of the query. Without a result by then, the token has no verdict: 503.
    #[schemars(with = "Option<u64>", transform = within(DEADLINES), extend("default" = DEADLINE))]
    deadline_ms: Option<Spanned<u64>>,
    /// Maximum number of rows of the result. With more, the token has no verdict: 503.
    #[schemars(with = "Option<u32>", transform = within(MAX_ROWS), extend("default" = ROWS))]
    rows: Option<Spanned<u32>>,
}

/// Checks the queries. Each must be granted to at least one handler.
pub(super) fn checked(
    tables: IndexMap<Spanned<String>, QueryTable>,
    lines: Lines<'_>,
    handlers: &[Handler],
) -> Result<IndexMap<String, Query>, ConfigError> {
    let mut queries = IndexMap::new();
    for (name, table) in tables {
        let query = table.checked(&name, lines)?;
        if !handlers.iter().any(|handler| handler.queries.values().any(|used| used == name.get_ref())) {
            let text = format!(
                "the query `{0}` is not granted to any handler: add `queries.LABEL = \"{0}\"` to one, or remove it",
                name.get_ref()
            );
            return Err(lines.error(Some(name.span()), text));
        }
        queries.insert(name.into_inner(), query);
    }
    Ok(queries)
}

impl QueryTable {
    fn checked(self, name: &Spanned<String>, lines: Lines<'_>) -> Result<Query, ConfigError> {
        let Self { sqlite, postgres, sql, deadline_ms, rows } = self;
        let wrong = |span, text: &str| Err(lines.error(Some(span), format!("query `{}`: {text}", name.get_ref())));
        let place = match (sqlite.map(|path| lines.at(path)), postgres.map(|source| lines.at(source))) {
            (Some(Located { line, value }), None) => Located { line, value: StorePlace::Sqlite(value) },
            (None, Some(Located { line, value })) => Located { line, value: StorePlace::Postgres(value) },
            _ => {
                let text = "a query has one database: use `sqlite = \"tokens.db\"`, or `postgres = { env = \"…\" }`";
                return wrong(name.span(), text);
            }
        };
        let deadline = match deadline_ms {
            None => DEADLINE,
            Some(ms) if DEADLINES.contains(ms.get_ref()) => ms.into_inner(),
            Some(ms) => {
                let text =
                    format!("`deadline_ms` must be a whole number from {} to {}", DEADLINES.start(), DEADLINES.end());
                return wrong(ms.span(), &text);
            }
        };
        let rows = match rows {
            None => ROWS,
            Some(rows) if MAX_ROWS.contains(rows.get_ref()) => rows.into_inner(),
            Some(rows) => {
                let text = format!("`rows` must be a whole number from {} to {}", MAX_ROWS.start(), MAX_ROWS.end());
                return wrong(rows.span(), &text);
            }
        };
        Ok(Query { place, sql: lines.at(sql), deadline: Duration::from_millis(deadline), rows })
    }
}

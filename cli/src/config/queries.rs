//! `[queries.NAME]`: queries that handlers may run on the operator's databases.

use super::{ConfigError, Handler, Lines, Located, SecretSource, StorePlace};
use indexmap::IndexMap;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The default deadline of a query, in milliseconds.
const DEADLINE: u64 = 100;

/// The default maximum number of rows of a result.
const ROWS: u32 = 100;

/// The configuration of a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) place: Located<StorePlace>,
    pub(crate) sql: Located<String>,
    pub(crate) deadline: Duration,
    pub(crate) rows: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryTable {
    sqlite: Option<Spanned<PathBuf>>,
    postgres: Option<Spanned<SecretSource>>,
    sql: Spanned<String>,
    deadline_ms: Option<Spanned<u64>>,
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
            Some(ms) if (1..=60_000).contains(ms.get_ref()) => ms.into_inner(),
            Some(ms) => return wrong(ms.span(), "`deadline_ms` must be a whole number from 1 to 60000"),
        };
        let rows = match rows {
            None => ROWS,
            Some(rows) if (1..=10_000).contains(rows.get_ref()) => rows.into_inner(),
            Some(rows) => return wrong(rows.span(), "`rows` must be a whole number from 1 to 10000"),
        };
        Ok(Query { place, sql: lines.at(sql), deadline: Duration::from_millis(deadline), rows })
    }
}

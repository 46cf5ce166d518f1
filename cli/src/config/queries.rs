//! `[queries.NAME]`: what handlers may ask of a database of the operator's.

use super::{At, ConfigError, Handler, Lines, SecretSource, StorePlace};
use indexmap::IndexMap;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// How long a query may take, unless it says otherwise, in milliseconds.
const DEADLINE: u64 = 100;

/// How many rows a query may answer, unless it says otherwise.
const ROWS: u32 = 100;

/// A query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) place: At<StorePlace>,
    pub(crate) sql: At<String>,
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

/// The queries, each with a handler that has it.
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
                "the query `{0}` is given to no handler: add `queries.LABEL = \"{0}\"` to one, or remove it",
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
            (Some(At { line, value }), None) => At { line, value: StorePlace::Sqlite(value) },
            (None, Some(At { line, value })) => At { line, value: StorePlace::Postgres(value) },
            _ => {
                let text = "it asks one database: write `sqlite = \"tokens.db\"`, or `postgres = { env = \"…\" }`";
                return wrong(name.span(), text);
            }
        };
        let deadline = match deadline_ms {
            None => DEADLINE,
            Some(ms) if (1..=60_000).contains(ms.get_ref()) => ms.into_inner(),
            Some(ms) => return wrong(ms.span(), "`deadline_ms` is a whole number from 1 to 60000"),
        };
        let rows = match rows {
            None => ROWS,
            Some(rows) if (1..=10_000).contains(rows.get_ref()) => rows.into_inner(),
            Some(rows) => return wrong(rows.span(), "`rows` is a whole number from 1 to 10000"),
        };
        Ok(Query { place, sql: lines.at(sql), deadline: Duration::from_millis(deadline), rows })
    }
}

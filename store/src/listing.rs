//! Listing and counting of records.

use crate::database::{DbError, Row, Value};
use crate::pool::{Pool, PooledConnection};
use crate::record_row::{COLUMNS, columns, record};
use crate::revocations::GOOD;
use crate::{is_storable, reject_nul, to_i64, to_u64};
use keyward_runtime::{CreatedBy, Cursor, Filter, KeyUsage, ListEntry, Status, StatusCount};
use sqlx::AssertSqlSafe;
use std::cmp::{Ordering, Reverse};
use std::slice;
use std::sync::Arc;

/// Excludes the sentinel row that equalizes the timing of lookups.
const SOMEBODYS: &str = "(handler <> '' OR id <> '')";

/// The time since which a record has been idle.
pub(crate) const IDLE_SINCE: &str = "COALESCE(last_used_at, issued_at)";

/// Lists a page of records, newest first.
pub(crate) async fn list(
    pool: Arc<Pool>,
    filter: Filter,
    after: Option<Cursor>,
    max: u32,
    at: u64,
) -> Result<Vec<ListEntry>, DbError> {
    let at = to_i64(at)?;
    reject_nul(after.iter().flat_map(|place| [place.handler.as_str(), &place.id]))?;
    let mut lease = pool.lease().await?;
    let mut listed = Vec::new();
    for walk in walks(&filter) {
        let Some(query) = Query::list(&filter, walk, after.as_ref(), max, at) else { continue };
        let rows = lease.rows(AssertSqlSafe(query.sql), query.values).await?;
        for row in &rows {
            listed.push(read(row)?);
        }
    }
    lease.done();
    // Each walk has returned its newest records.
    listed.sort_by_cached_key(|listed| Reverse(listed.place()));
    listed.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    Ok(listed)
}

/// Counts records by handler and status.
pub(crate) async fn tally(pool: Arc<Pool>, idle: Vec<(String, u64)>, at: u64) -> Result<Vec<StatusCount>, DbError> {
    let mut query = Query::new(to_i64(at)?);
    let status = query.status(&idle);
    let sql = format!("SELECT handler, {status} AS status, count(*) FROM tokens WHERE {SOMEBODYS} GROUP BY 2, 1");
    let mut lease = pool.lease().await?;
    let rows = counted(&mut lease, sql, query.values).await?;
    lease.done();
    let tallies = rows.iter().map(|row| {
        let name: String = row.get(1)?;
        let status = Status::named(&name);
        let status = status.ok_or_else(|| DbError::new("unknown status of a record"))?;
        Ok(StatusCount { handler: row.get(0)?, status, tokens: to_u64(row.get(2)?)? })
    });
    let mut tallies = tallies.collect::<Result<Vec<_>, DbError>>()?;
    tallies.sort_by(|one, two| (&one.handler, one.status).cmp(&(&two.handler, two.status)));
    Ok(tallies)
}

/// Counts records by signing key.
pub(crate) async fn key_uses(pool: Arc<Pool>, at: u64) -> Result<Vec<KeyUsage>, DbError> {
    let sql = format!(
        "SELECT key, count(*), count(*) FILTER (WHERE {GOOD}), count(*) FILTER (WHERE {GOOD} AND expires_at IS NULL), \
         max(expires_at) FILTER (WHERE {GOOD}) FROM tokens WHERE key IS NOT NULL GROUP BY key ORDER BY key"
    );
    let at = to_i64(at)?;
    let mut lease = pool.lease().await?;
    let rows = counted(&mut lease, sql, vec![at.into()]).await?;
    lease.done();
    let uses = rows.iter().map(|row| {
        Ok(KeyUsage {
            key: row.get(0)?,
            minted: to_u64(row.get(1)?)?,
            good: to_u64(row.get(2)?)?,
            never_end: to_u64(row.get(3)?)?,
            newest_expiry: row.get::<Option<i64>>(4)?.map(to_u64).transpose()?,
        })
    });
    uses.collect()
}

/// Runs a statement that reads all records.
async fn counted(lease: &mut PooledConnection, sql: String, values: Vec<Value>) -> Result<Vec<Row>, DbError> {
    if lease.is_sqlite() {
        return lease.rows(AssertSqlSafe(sql), values).await;
    }
    lease.run("BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'").await?;
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    lease.run("COMMIT").await?;
    Ok(rows)
}

fn read(row: &Row) -> Result<ListEntry, DbError> {
    let handler: String = row.get(COLUMNS)?;
    let record = record(row);
    // One invalid record fails the whole page: name it.
    let id: String = row.get(0)?;
    let record = record.map_err(|trouble| DbError::new(format!("record `{id}` of handler `{handler}`: {trouble}")))?;
    Ok(ListEntry { handler, record })
}

/// The index along which a page is read.
#[derive(Clone, Copy)]
enum Walk<'a> {
    /// All records in their order, or those of one client.
    Issue,
    /// The records of an actor, which are few.
    Actor,
    /// The records of a handler, in their order.
    Handler(&'a str),
}

/// Returns one walk, or one per handler: no index covers the common order of several handlers, and
/// between the newest records of one there may be a million of another.
fn walks(filter: &Filter) -> Vec<Walk<'_>> {
    match &filter.handlers {
        _ if filter.actor_id.is_some() => vec![Walk::Actor],
        Some(handlers) if !matches!(filter.client, Some(CreatedBy::Client(_))) => {
            let mut handlers: Vec<_> = handlers.iter().map(String::as_str).collect();
            handlers.sort_unstable();
            handlers.dedup();
            handlers.into_iter().map(Walk::Handler).collect()
        }
        _ => vec![Walk::Issue],
    }
}

/// A statement and its values; `$1` is the time.
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    fn new(at: i64) -> Self {
        Self { sql: String::new(), values: vec![at.into()] }
    }

    /// Creates the query of a page, or `None` if no record can match.
    fn list(filter: &Filter, walk: Walk<'_>, after: Option<&Cursor>, max: u32, at: i64) -> Option<Self> {
        let Filter { handlers, actor_id, client, status, unused_since, never_ends, idle } = filter;
        let mut query = Self::new(at);
        query.sql = concat!("SELECT ", columns!(), ", handler FROM tokens WHERE ").to_owned() + SOMEBODYS;
        match walk {
            Walk::Handler(handler) => {
                query.and_is("handler", handler)?;
                query.after_in(handler, after);
            }
            Walk::Actor | Walk::Issue => {
                if let Some(handlers) = handlers {
                    query.and_one_of("handler", handlers)?;
                }
                query.after(after);
            }
        }
        if let Some(actor_id) = actor_id {
            query.and_is("actor_id", actor_id)?;
        }
        match client {
            None => {}
            Some(CreatedBy::Operator) => query.sql.push_str(" AND (caller IS NULL) IS TRUE"),
            Some(CreatedBy::Client(client)) if matches!(walk, Walk::Issue) => query.and_is("caller", client)?,
            // A client may have created a million records for other handlers or actors.
            Some(CreatedBy::Client(client)) => query.and_one_of("caller", slice::from_ref(client))?,
        }
        if let Some(status) = status {
            let is = query.status(idle);
            let wanted = query.value(status.name().into());
            query.sql.push_str(&format!(" AND {is} = {wanted}"));
        }
        if let Some(since) = unused_since {
            let since = query.value(latest(*since).into());
            query.sql.push_str(&format!(" AND {IDLE_SINCE} < {since}"));
        }
        if *never_ends {
            query.sql.push_str(" AND (expires_at IS NULL) IS TRUE");
        }
        let max = query.value(i64::from(max).into());
        query.sql.push_str(&format!(" ORDER BY issued_at DESC, handler DESC, id DESC LIMIT {max}"));
        Some(query)
    }

    /// Adds a value and returns its placeholder.
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// Adds an equality condition. Returns `None` for text that contains a NUL, which no record
    /// matches.
    fn and_is(&mut self, column: &str, text: &str) -> Option<()> {
        if !is_storable(text) {
            return None;
        }
        let value = self.value(text.into());
        self.sql.push_str(&format!(" AND {column} = {value}"));
        Some(())
    }

    /// Adds a membership condition. `IS TRUE` prevents the use of an index for it: there is a
    /// better one.
    fn and_one_of(&mut self, column: &str, texts: &[String]) -> Option<()> {
        let reject_nul = texts.iter().filter(|text| is_storable(text));
        let values: Vec<_> = reject_nul.map(|text| self.value(text.as_str().into())).collect();
        if values.is_empty() {
            return None;
        }
        self.sql.push_str(&format!(" AND ({column} IN ({})) IS TRUE", values.join(", ")));
        Some(())
    }

    /// Continues behind a cursor.
    fn after(&mut self, place: Option<&Cursor>) {
        let Some(Cursor { issued_at, handler, id }) = place else { return };
        let [issued_at, handler, id] =
            [latest(*issued_at).into(), handler.as_str().into(), id.as_str().into()].map(|value| self.value(value));
        self.sql.push_str(&format!(" AND (issued_at, handler, id) < ({issued_at}, {handler}, {id})"));
    }

    /// Continues behind a cursor, among the records of one handler.
    fn after_in(&mut self, of: &str, place: Option<&Cursor>) {
        let Some(Cursor { issued_at, handler, id }) = place else { return };
        let issued_at = self.value(latest(*issued_at).into());
        let condition = match of.cmp(handler) {
            Ordering::Less => format!("issued_at <= {issued_at}"),
            Ordering::Equal => format!("(issued_at, id) < ({issued_at}, {})", self.value(id.as_str().into())),
            Ordering::Greater => format!("issued_at < {issued_at}"),
        };
        self.sql.push_str(&format!(" AND {condition}"));
    }

    /// Returns an expression for the name of a record's status, equivalent to
    /// [`keyward_runtime::Record::status`].
    fn status(&mut self, idle: &[(String, u64)]) -> String {
        let mut is_idle = String::new();
        for (handler, before) in idle.iter().filter(|(handler, _)| is_storable(handler)) {
            let handler = self.value(handler.as_str().into());
            let before = self.value(latest(*before).into());
            is_idle.push_str(&format!(" WHEN {handler} THEN {IDLE_SINCE} < {before}"));
        }
        if !is_idle.is_empty() {
            is_idle = format!(" WHEN CASE handler{is_idle} ELSE FALSE END THEN 'expired'");
        }
        format!(
            "CASE WHEN ended_why = 'replaced' THEN 'replaced' WHEN ended_at IS NOT NULL THEN 'revoked' \
             WHEN expires_at < $1 THEN 'expired'{is_idle} ELSE 'active' END"
        )
    }
}

/// Converts a time for a comparison. No stored time is later than the maximum.
fn latest(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Connection;
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

    /// Returns SQLite's query plans for the pages of a filter.
    async fn plans(database: &mut Connection, filter: &Filter, after: Option<&Cursor>) -> Vec<String> {
        let mut plans = Vec::new();
        for walk in walks(filter) {
            let query = Query::list(filter, walk, after, 30, 5).unwrap();
            let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql));
            let rows = database.rows(sql, query.values).await.ok().unwrap();
            let steps: Vec<String> = rows.iter().map(|row| row.get(3).ok().unwrap()).collect();
            plans.push(steps.join("; "));
        }
        plans
    }

    #[test]
    fn a_page_does_not_scan_all_records() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut database = Connection::Sqlite(runtime.block_on(SqliteConnectOptions::new().connect()).unwrap());
        for (_, text) in crate::connect::SQLITE {
            runtime.block_on(database.run(text)).ok().unwrap();
        }
        let all = Filter { status: Some(Status::Active), idle: vec![("h".into(), 4)], ..Filter::default() };
        let narrow = Filter { unused_since: Some(3), never_ends: true, ..all.clone() };
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let client = Some(CreatedBy::Client("c".into()));
        let after = Cursor { issued_at: 7, handler: "h".into(), id: "1".into() };
        let [issue, handler, of_caller, actor] =
            ["SCAN tokens USING INDEX tokens_by_issue", "tokens_by_handler", "tokens_by_caller", "tokens_by_actor"];
        for (filter, index, is_sorted) in [
            (Filter::default(), issue, true),
            (all.clone(), issue, true),
            (narrow.clone(), issue, true),
            (Filter { client: Some(CreatedBy::Operator), ..narrow.clone() }, issue, true),
            (Filter { handlers: texts(&["h"]), ..all.clone() }, handler, true),
            (Filter { handlers: texts(&["g", "h", "i"]), ..narrow.clone() }, handler, true),
            (Filter { handlers: texts(&["h"]), client: Some(CreatedBy::Operator), ..all.clone() }, handler, true),
            (Filter { client: client.clone(), ..all.clone() }, of_caller, true),
            (Filter { handlers: texts(&["g", "h"]), client: client.clone(), ..narrow.clone() }, of_caller, true),
            (Filter { actor_id: Some("a".into()), ..all.clone() }, actor, false),
            (Filter { actor_id: Some("a".into()), handlers: texts(&["h"]), client, ..narrow }, actor, false),
        ] {
            for after in [None, Some(&after)] {
                for plan in runtime.block_on(plans(&mut database, &filter, after)) {
                    let index =
                        if after.is_some() { index.trim_start_matches("SCAN tokens USING INDEX ") } else { index };
                    let says = format!("{filter:?}, {after:?}: {plan}");
                    assert!(plan.contains(index), "{says}");
                    assert!(after.is_none() || plan.contains("SEARCH"), "{says}");
                    assert_eq!(plan.contains("TEMP B-TREE"), !is_sorted, "{says}");
                }
            }
        }
    }
}

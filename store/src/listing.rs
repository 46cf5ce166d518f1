//! Listing and counting of records.

use crate::database::{DbError, Row, Value};
use crate::pool::{Pool, PooledConnection};
use crate::record_row::{COLUMNS, columns, record};
use crate::revocations::GOOD;
use crate::{is_storable, reject_nul, time_to_i64, to_time, to_u64};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{CreatedBy, Cursor, Filter, KeyUsage, ListEntry, ListPage, Status, StatusCount};
use sqlx::AssertSqlSafe;
use std::cmp::{Ordering, Reverse};
use std::slice;
use std::sync::Arc;

/// Excludes the sentinel row that equalizes the timing of lookups.
const SOMEBODYS: &str = "(handler <> '' OR id <> '')";

/// The time since which a record has been idle.
pub(crate) const IDLE_SINCE: &str = "COALESCE(last_used_at, issued_at)";

/// Lists a page of records, newest first. At most `scan` records are compared with the filter.
pub(crate) async fn list(
    pool: Arc<Pool>,
    filter: Filter,
    after: Option<Cursor>,
    max: u32,
    at: UnixTime,
    scan: u32,
) -> Result<ListPage, DbError> {
    let at = time_to_i64(at)?;
    reject_nul(after.iter().flat_map(|place| [place.handler.as_str(), &place.id]))?;
    let mut lease = pool.lease().await?;
    let mut entries = Vec::new();
    let mut stopped_at = None;
    let walks = walks(&filter);
    // Each walk compares at least one record, so that the list advances.
    let scan = u32::try_from(walks.len()).ok().and_then(|walks| scan.checked_div(walks)).unwrap_or(0).max(1);
    for walk in walks {
        let end = match Query::end(&filter, walk, after.as_ref(), scan, at) {
            Some(query) => lease.rows(AssertSqlSafe(query.sql), query.values).await?.first().map(cursor).transpose()?,
            None => None,
        };
        let Some(query) = Query::list(&filter, walk, after.as_ref(), end.as_ref(), max, at) else { continue };
        let rows = lease.rows(AssertSqlSafe(query.sql), query.values).await?;
        for row in &rows {
            entries.push(read(row)?);
        }
        stopped_at = stopped_at.max(end);
    }
    lease.done();
    // Each walk has returned its newest records. Beyond the first end, some are missing.
    entries.retain(|listed| stopped_at.as_ref().is_none_or(|end| listed.place() >= *end));
    entries.sort_by_cached_key(|listed| Reverse(listed.place()));
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    entries.truncate(max);
    Ok(ListPage { stopped_at: stopped_at.filter(|_| entries.len() < max), entries })
}

/// Counts records by handler and status.
pub(crate) async fn tally(
    pool: Arc<Pool>,
    idle: Vec<(String, UnixTime)>,
    at: UnixTime,
) -> Result<Vec<StatusCount>, DbError> {
    let mut query = Query::new(time_to_i64(at)?);
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
pub(crate) async fn key_uses(pool: Arc<Pool>, at: UnixTime) -> Result<Vec<KeyUsage>, DbError> {
    let sql = format!(
        "SELECT key, count(*), count(*) FILTER (WHERE {GOOD}), count(*) FILTER (WHERE {GOOD} AND expires_at IS NULL), \
         max(expires_at) FILTER (WHERE {GOOD}) FROM tokens WHERE key IS NOT NULL GROUP BY key ORDER BY key"
    );
    let at = time_to_i64(at)?;
    let mut lease = pool.lease().await?;
    let rows = counted(&mut lease, sql, vec![at.into()]).await?;
    lease.done();
    let uses = rows.iter().map(|row| {
        Ok(KeyUsage {
            key: row.get(0)?,
            minted: to_u64(row.get(1)?)?,
            good: to_u64(row.get(2)?)?,
            never_end: to_u64(row.get(3)?)?,
            newest_expiry: row.get::<Option<i64>>(4)?.map(to_time).transpose()?,
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

/// Reads the position of a record.
fn cursor(row: &Row) -> Result<Cursor, DbError> {
    Ok(Cursor { issued_at: to_time(row.get(0)?)?, handler: row.get(1)?, id: row.get(2)? })
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
    /// The records of an actor, in their order.
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

    /// Creates the query for the position of the last record that is compared with the filter. That
    /// record is read from an index alone. `None` if each record on the way matches, or none can.
    fn end(filter: &Filter, walk: Walk<'_>, after: Option<&Cursor>, scan: u32, at: i64) -> Option<Self> {
        let Filter { handlers, actor_id: _, client, status, unused_since, never_ends, idle: _ } = filter;
        let is_in_order = |walk| matches!(walk, Walk::Handler(_));
        let skips = status.is_some() || unused_since.is_some() || *never_ends;
        let skips = skips || (handlers.is_some() && !is_in_order(walk));
        let skips = skips || !matches!((client, walk), (None, _) | (Some(CreatedBy::Client(_)), Walk::Issue));
        let mut query = Self::on(filter, walk, after, "issued_at, handler, id", at).filter(|_| skips)?;
        query.in_order(1);
        let skipped = query.value(i64::from(scan.saturating_sub(1)).into());
        query.sql.push_str(&format!(" OFFSET {skipped}"));
        Some(query)
    }

    /// Creates the query of the columns of the records along a walk, or `None` if there are none.
    fn on(filter: &Filter, walk: Walk<'_>, after: Option<&Cursor>, columns: &str, at: i64) -> Option<Self> {
        let mut query = Self::new(at);
        query.sql = format!("SELECT {columns} FROM tokens WHERE {SOMEBODYS}");
        match (walk, &filter.actor_id, &filter.client) {
            (Walk::Handler(handler), ..) => query.and_is("handler", handler)?,
            (Walk::Actor, Some(actor_id), _) => query.and_is("actor_id", actor_id)?,
            (Walk::Issue, _, Some(CreatedBy::Client(client))) => query.and_is("caller", client)?,
            _ => {}
        }
        match walk {
            Walk::Handler(handler) => query.after_in(handler, after),
            Walk::Actor | Walk::Issue => query.after(after),
        }
        Some(query)
    }

    /// Creates the query of a page up to `end`, or `None` if no record can match.
    fn list(
        filter: &Filter,
        walk: Walk<'_>,
        after: Option<&Cursor>,
        end: Option<&Cursor>,
        max: u32,
        at: i64,
    ) -> Option<Self> {
        let Filter { handlers, actor_id: _, client, status, unused_since, never_ends, idle } = filter;
        let mut query = Self::on(filter, walk, after, concat!(columns!(), ", handler"), at)?;
        query.up_to(walk, end);
        match (handlers, walk) {
            (None, _) | (Some(_), Walk::Handler(_)) => {}
            (Some(handlers), Walk::Actor | Walk::Issue) => query.and_one_of("handler", handlers)?,
        }
        match (client, walk) {
            (None, _) | (Some(CreatedBy::Client(_)), Walk::Issue) => {}
            (Some(CreatedBy::Operator), _) => query.sql.push_str(" AND (caller IS NULL) IS TRUE"),
            // A client may have created a million records for other handlers or actors.
            (Some(CreatedBy::Client(client)), _) => query.and_one_of("caller", slice::from_ref(client))?,
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
        query.in_order(max);
        Some(query)
    }

    /// Returns the first `max` rows, newest first.
    fn in_order(&mut self, max: u32) {
        let max = self.value(i64::from(max).into());
        self.sql.push_str(&format!(" ORDER BY issued_at DESC, handler DESC, id DESC LIMIT {max}"));
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

    /// Ends with the record at a cursor.
    fn up_to(&mut self, walk: Walk<'_>, end: Option<&Cursor>) {
        let Some(Cursor { issued_at, handler, id }) = end else { return };
        let [issued_at, id] = [latest(*issued_at).into(), id.as_str().into()].map(|value| self.value(value));
        let condition = match walk {
            Walk::Handler(_) => format!("(issued_at, id) >= ({issued_at}, {id})"),
            Walk::Actor | Walk::Issue => {
                let handler = self.value(handler.as_str().into());
                format!("(issued_at, handler, id) >= ({issued_at}, {handler}, {id})")
            }
        };
        self.sql.push_str(&format!(" AND {condition}"));
    }

    /// Returns an expression for the name of a record's status, equivalent to
    /// [`keyward_runtime::store::Record::status`].
    fn status(&mut self, idle: &[(String, UnixTime)]) -> String {
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
fn latest(time: UnixTime) -> i64 {
    i64::try_from(time.seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{Database, Role};
    use crate::database::Connection;
    use crate::pool::Pool;
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
    use std::sync::Arc;

    /// Returns SQLite's query plans for the pages of a filter, and for their ends.
    async fn plans(
        database: &mut Connection,
        filter: &Filter,
        after: Option<&Cursor>,
        end: Option<&Cursor>,
    ) -> Vec<String> {
        let mut plans = Vec::new();
        for walk in walks(filter) {
            let page = Query::list(filter, walk, after, end, 30, 5).unwrap();
            let query = if end.is_some() { page } else { Query::end(filter, walk, after, 9, 5).unwrap_or(page) };
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
        let all = Filter {
            status: Some(Status::Active),
            idle: vec![("h".into(), UnixTime::from_seconds(4))],
            ..Filter::default()
        };
        let narrow = Filter { unused_since: Some(UnixTime::from_seconds(3)), never_ends: true, ..all.clone() };
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let client = Some(CreatedBy::Client("c".into()));
        let after = Cursor { issued_at: UnixTime::from_seconds(7), handler: "h".into(), id: "1".into() };
        let end = Cursor { issued_at: UnixTime::from_seconds(6), ..after.clone() };
        let [issue, handler, of_caller, actor] =
            ["tokens_by_issue", "tokens_by_handler", "tokens_by_caller", "tokens_by_actor_issue"];
        for (filter, index) in [
            (Filter::default(), issue),
            (all.clone(), issue),
            (narrow.clone(), issue),
            (Filter { client: Some(CreatedBy::Operator), ..narrow.clone() }, issue),
            (Filter { handlers: texts(&["h"]), ..all.clone() }, handler),
            (Filter { handlers: texts(&["g", "h", "i"]), ..narrow.clone() }, handler),
            (Filter { handlers: texts(&["h"]), client: Some(CreatedBy::Operator), ..all.clone() }, handler),
            (Filter { client: client.clone(), ..all.clone() }, of_caller),
            (Filter { handlers: texts(&["g", "h"]), client: client.clone(), ..narrow.clone() }, of_caller),
            (Filter { actor_id: Some("a".into()), ..all.clone() }, actor),
            (Filter { actor_id: Some("a".into()), handlers: texts(&["h"]), client, ..narrow }, actor),
        ] {
            for (after, end) in [(None, None), (Some(&after), None), (None, Some(&end)), (Some(&after), Some(&end))] {
                for plan in runtime.block_on(plans(&mut database, &filter, after, end)) {
                    let says = format!("{filter:?}, {after:?}, {end:?}: {plan}");
                    let is_bounded = after.is_some() || end.is_some();
                    assert!(plan.contains(index), "{says}");
                    assert!(!is_bounded || plan.contains("SEARCH"), "{says}");
                    assert!(!plan.contains("TEMP B-TREE"), "{says}");
                    assert!(end.is_none() || plan.contains(")>(") || plan.contains("issued_at>"), "{says}");
                    assert!(after.is_none() || plan.contains(")<(") || plan.contains("issued_at<"), "{says}");
                }
            }
        }
    }

    /// Follows a list to its end, reading pages of `max` records and comparing up to `scan`.
    async fn all(pool: &Arc<Pool>, filter: &Filter, max: u32, scan: u32) -> Vec<Cursor> {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = list(pool.clone(), filter.clone(), after.clone(), max, UnixTime::from_seconds(5), scan)
                .await
                .ok()
                .unwrap();
            let is_full = page.entries.len() == usize::try_from(max).unwrap();
            assert!(!(is_full && page.stopped_at.is_some()));
            found.extend(page.entries.iter().map(ListEntry::place));
            let next = if is_full { found.last().cloned() } else { page.stopped_at };
            match next {
                None => return found,
                next => after = next,
            }
        }
    }

    #[test]
    fn a_list_that_stops_early_misses_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let location = crate::Location::sqlite(folder.path().join("tokens.db"));
        let (database, mut connection) = runtime.block_on(Database::open(location)).unwrap();
        for number in 0..200_i64 {
            let text =
                |values: &[&str], by: i64| values[usize::try_from(number / by).unwrap() % values.len()].to_owned();
            let (ended, why) = if number % 7 == 0 { (Some(3), Some("replaced")) } else { (None, None) };
            let values = vec![
                Value::Text(Some(text(&["g", "h", "i"], 1))),
                Value::Text(Some(number.to_string())),
                Value::Text(Some(text(&["a", "b"], 3))),
                Value::Integer(Some(number / 20)),
                Value::Integer(ended),
                Value::Text(why.map(str::to_owned)),
                Value::Text(Some(text(&["c", "d"], 5)).filter(|_| number % 3 > 0)),
            ];
            let sql = "INSERT INTO tokens (handler, id, actor_id, issued_at, ended_at, ended_why, caller) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7)";
            runtime.block_on(connection.change(sql, values)).ok().unwrap();
        }
        let pool = Pool::new(Arc::new(database), Role::Reads, 1);
        let handlers = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        let replaced = Filter { status: Some(Status::Replaced), ..Filter::default() };
        let client = Some(CreatedBy::Client("c".into()));
        for filter in [
            Filter::default(),
            replaced.clone(),
            Filter { handlers: handlers(&["i", "g"]), ..replaced.clone() },
            Filter { handlers: handlers(&["h", "g"]), client: client.clone(), ..Filter::default() },
            Filter { client: Some(CreatedBy::Operator), ..Filter::default() },
            Filter { actor_id: Some("a".into()), client, handlers: handlers(&["h"]), ..replaced.clone() },
            Filter { unused_since: Some(UnixTime::from_seconds(2)), never_ends: true, ..Filter::default() },
        ] {
            let wanted = runtime.block_on(all(&pool, &filter, 1_000, u32::MAX));
            assert!(!wanted.is_empty());
            for (max, scan) in [(1_000, 1), (1_000, 7), (3, 1), (3, 10), (5, 100)] {
                assert_eq!(runtime.block_on(all(&pool, &filter, max, scan)), wanted, "{filter:?}, {max}, {scan}");
            }
        }
    }
}

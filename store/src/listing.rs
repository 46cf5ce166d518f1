//! Which records there are: page by page, and counted.

use crate::database::{Row, Trouble, Value};
use crate::pool::{Lease, Pool};
use crate::revocations::GOOD;
use crate::rows::{COLUMNS, columns, record};
use crate::{is_storable, number, seconds, storable};
use keyward_runtime::{Filter, KeyUse, Listed, MadeBy, Place, Status, Tally};
use sqlx::AssertSqlSafe;
use std::cmp::{Ordering, Reverse};
use std::slice;
use std::sync::Arc;

/// All but nobody's.
const SOMEBODYS: &str = "(handler <> '' OR id <> '')";

/// Since when a record is idle.
pub(crate) const IDLE_SINCE: &str = "COALESCE(last_used_at, issued_at)";

/// Newest first.
pub(crate) async fn list(
    pool: Arc<Pool>,
    filter: Filter,
    after: Option<Place>,
    most: u32,
    at: u64,
) -> Result<Vec<Listed>, Trouble> {
    let at = seconds(at)?;
    storable(after.iter().flat_map(|place| [place.handler.as_str(), &place.id]))?;
    let mut lease = pool.lease().await?;
    let mut listed = Vec::new();
    for walk in walks(&filter) {
        let Some(query) = Query::list(&filter, walk, after.as_ref(), most, at) else { continue };
        let rows = lease.rows(AssertSqlSafe(query.sql), query.values).await?;
        for row in &rows {
            listed.push(read(row)?);
        }
    }
    lease.done();
    // Each walk has brought its newest.
    listed.sort_by_cached_key(|listed| Reverse(listed.place()));
    listed.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(listed)
}

/// How many records have which status.
pub(crate) async fn tally(pool: Arc<Pool>, idle: Vec<(String, u64)>, at: u64) -> Result<Vec<Tally>, Trouble> {
    let mut query = Query::new(seconds(at)?);
    let status = query.status(&idle);
    let sql = format!("SELECT handler, {status} AS status, count(*) FROM tokens WHERE {SOMEBODYS} GROUP BY 2, 1");
    let mut lease = pool.lease().await?;
    let rows = counted(&mut lease, sql, query.values).await?;
    lease.done();
    let tallies = rows.iter().map(|row| {
        let name: String = row.get(1)?;
        let status = Status::named(&name);
        let status = status.ok_or_else(|| Trouble::new("there is no such status"))?;
        Ok(Tally { handler: row.get(0)?, status, tokens: number(row.get(2)?)? })
    });
    let mut tallies = tallies.collect::<Result<Vec<_>, Trouble>>()?;
    tallies.sort_by(|one, two| (&one.handler, one.status).cmp(&(&two.handler, two.status)));
    Ok(tallies)
}

/// What keys have signed.
pub(crate) async fn key_uses(pool: Arc<Pool>, at: u64) -> Result<Vec<KeyUse>, Trouble> {
    let sql = format!(
        "SELECT key, count(*), count(*) FILTER (WHERE {GOOD}), count(*) FILTER (WHERE {GOOD} AND expires_at IS NULL), \
         max(expires_at) FILTER (WHERE {GOOD}) FROM tokens WHERE key IS NOT NULL GROUP BY key ORDER BY key"
    );
    let at = seconds(at)?;
    let mut lease = pool.lease().await?;
    let rows = counted(&mut lease, sql, vec![at.into()]).await?;
    lease.done();
    let uses = rows.iter().map(|row| {
        Ok(KeyUse {
            key: row.get(0)?,
            minted: number(row.get(1)?)?,
            good: number(row.get(2)?)?,
            never_end: number(row.get(3)?)?,
            newest_expiry: row.get::<Option<i64>>(4)?.map(number).transpose()?,
        })
    });
    uses.collect()
}

/// Rows of a statement that goes over all records.
async fn counted(lease: &mut Lease, sql: String, values: Vec<Value>) -> Result<Vec<Row>, Trouble> {
    if lease.is_sqlite() {
        return lease.rows(AssertSqlSafe(sql), values).await;
    }
    lease.run("BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'").await?;
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    lease.run("COMMIT").await?;
    Ok(rows)
}

fn read(row: &Row) -> Result<Listed, Trouble> {
    let handler: String = row.get(COLUMNS)?;
    let record = record(row);
    // One odd record is in the way of a whole page: say which.
    let id: String = row.get(0)?;
    let record = record.map_err(|trouble| Trouble::new(format!("record `{id}` of handler `{handler}`: {trouble}")))?;
    Ok(Listed { handler, record })
}

/// Along which index a page is looked for.
#[derive(Clone, Copy)]
enum Walk<'a> {
    /// All records in their order, or a caller's.
    Issue,
    /// An actor's, which are few.
    Actor,
    /// A handler's in their order.
    Handler(&'a str),
}

/// One walk, or one for each handler: several of them have no order in common that an index has, and between the newest of
/// one there may be a million of another.
fn walks(filter: &Filter) -> Vec<Walk<'_>> {
    match &filter.handlers {
        _ if filter.actor_id.is_some() => vec![Walk::Actor],
        Some(handlers) if !matches!(filter.caller, Some(MadeBy::Caller(_))) => {
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

    /// A page; or nothing, because nothing can fit.
    fn list(filter: &Filter, walk: Walk<'_>, after: Option<&Place>, most: u32, at: i64) -> Option<Self> {
        let Filter { handlers, actor_id, caller, status, unused_since, never_ends, idle } = filter;
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
        match caller {
            None => {}
            Some(MadeBy::Operator) => query.sql.push_str(" AND (caller IS NULL) IS TRUE"),
            Some(MadeBy::Caller(caller)) if matches!(walk, Walk::Issue) => query.and_is("caller", caller)?,
            // A caller may have made a million for others.
            Some(MadeBy::Caller(caller)) => query.and_one_of("caller", slice::from_ref(caller))?,
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
        let most = query.value(i64::from(most).into());
        query.sql.push_str(&format!(" ORDER BY issued_at DESC, handler DESC, id DESC LIMIT {most}"));
        Some(query)
    }

    /// The placeholder of one more value.
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// What has a NUL in it fits nothing.
    fn and_is(&mut self, column: &str, text: &str) -> Option<()> {
        if !is_storable(text) {
            return None;
        }
        let value = self.value(text.into());
        self.sql.push_str(&format!(" AND {column} = {value}"));
        Some(())
    }

    /// With `IS TRUE` no index is used for it: there is a better one.
    fn and_one_of(&mut self, column: &str, texts: &[String]) -> Option<()> {
        let storable = texts.iter().filter(|text| is_storable(text));
        let values: Vec<_> = storable.map(|text| self.value(text.as_str().into())).collect();
        if values.is_empty() {
            return None;
        }
        self.sql.push_str(&format!(" AND ({column} IN ({})) IS TRUE", values.join(", ")));
        Some(())
    }

    /// Behind a place.
    fn after(&mut self, place: Option<&Place>) {
        let Some(Place { issued_at, handler, id }) = place else { return };
        let [issued_at, handler, id] =
            [latest(*issued_at).into(), handler.as_str().into(), id.as_str().into()].map(|value| self.value(value));
        self.sql.push_str(&format!(" AND (issued_at, handler, id) < ({issued_at}, {handler}, {id})"));
    }

    /// The same for the records of one handler.
    fn after_in(&mut self, of: &str, place: Option<&Place>) {
        let Some(Place { issued_at, handler, id }) = place else { return };
        let issued_at = self.value(latest(*issued_at).into());
        let condition = match of.cmp(handler) {
            Ordering::Less => format!("issued_at <= {issued_at}"),
            Ordering::Equal => format!("(issued_at, id) < ({issued_at}, {})", self.value(id.as_str().into())),
            Ordering::Greater => format!("issued_at < {issued_at}"),
        };
        self.sql.push_str(&format!(" AND {condition}"));
    }

    /// The status of a record by its name, as [`keyward_runtime::Record::status`] has it.
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

/// A time to compare with. None that is kept is later.
fn latest(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Connection;
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

    /// What SQLite says of how it looks for the pages that a filter needs.
    async fn plans(database: &mut Connection, filter: &Filter, after: Option<&Place>) -> Vec<String> {
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
    fn a_page_does_not_cost_what_all_records_cost() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut database = Connection::Sqlite(runtime.block_on(SqliteConnectOptions::new().connect()).unwrap());
        for (_, text) in crate::connect::SQLITE {
            runtime.block_on(database.run(text)).ok().unwrap();
        }
        let all = Filter { status: Some(Status::Active), idle: vec![("h".into(), 4)], ..Filter::default() };
        let narrow = Filter { unused_since: Some(3), never_ends: true, ..all.clone() };
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        let caller = Some(MadeBy::Caller("c".into()));
        let after = Place { issued_at: 7, handler: "h".into(), id: "1".into() };
        let [issue, handler, of_caller, actor] =
            ["SCAN tokens USING INDEX tokens_by_issue", "tokens_by_handler", "tokens_by_caller", "tokens_by_actor"];
        for (filter, index, is_sorted) in [
            (Filter::default(), issue, true),
            (all.clone(), issue, true),
            (narrow.clone(), issue, true),
            (Filter { caller: Some(MadeBy::Operator), ..narrow.clone() }, issue, true),
            (Filter { handlers: texts(&["h"]), ..all.clone() }, handler, true),
            (Filter { handlers: texts(&["g", "h", "i"]), ..narrow.clone() }, handler, true),
            (Filter { handlers: texts(&["h"]), caller: Some(MadeBy::Operator), ..all.clone() }, handler, true),
            (Filter { caller: caller.clone(), ..all.clone() }, of_caller, true),
            (Filter { handlers: texts(&["g", "h"]), caller: caller.clone(), ..narrow.clone() }, of_caller, true),
            (Filter { actor_id: Some("a".into()), ..all.clone() }, actor, false),
            (Filter { actor_id: Some("a".into()), handlers: texts(&["h"]), caller, ..narrow }, actor, false),
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

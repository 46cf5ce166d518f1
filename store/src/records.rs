//! Queries and changes of token records.

use crate::database::{DbError, Row, Value};
use crate::listing::IDLE_SINCE;
use crate::pool::{Pool, PooledConnection};
use crate::record_row::{COLUMNS, columns, of_token, record, stored, values, why, write_restrictions};
use crate::revocations::{LOCK, append, end_descendants, notify};
use crate::{is_storable, reject_nul, time_to_i64, to_u64};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CommitOutcome, ListEntry, NewRecord, Record, RecordUpdate, SecretDigest, StoredRecord, TerminationReason,
    Transaction,
};
use keyward_runtime::token::{TokenDigest, TokenId};
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// Selects the record of an id, or the closest one before it. Finding a record takes as long as
/// finding none, so that timing does not distinguish an unknown id from a wrong secret. There
/// always is a row: the schema inserts a sentinel that sorts before all others.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    ", digest, token_digest, CAST(CASE WHEN handler = $1 AND id = $2 THEN 1 ELSE 0 END AS bigint) FROM tokens \
     WHERE (handler, id) <= ($1, $2) ORDER BY handler DESC, id DESC LIMIT 1"
);

const FIND_DIGEST: &str =
    concat!("SELECT ", columns!(), ", digest, token_digest FROM tokens WHERE handler = $1 AND digest = $2");

pub(crate) async fn find(pool: Arc<Pool>, handler: String, id: String) -> Result<Option<StoredRecord>, DbError> {
    if !is_storable(&handler) || !is_storable(&id) {
        return Ok(None);
    }
    let mut lease = pool.lease().await?;
    let rows = lease.rows(FIND, vec![handler.as_str().into(), id.as_str().into()]).await?;
    lease.done();
    let Some(row) = rows.first() else { return Ok(None) };
    let read = stored(row);
    // Errors in another record do not matter here.
    if row.get::<i64>(COLUMNS.saturating_add(2))? == 1 { read.map(Some) } else { Ok(None) }
}

pub(crate) async fn find_digest(
    pool: Arc<Pool>,
    handler: String,
    digest: SecretDigest,
) -> Result<Option<StoredRecord>, DbError> {
    if !is_storable(&handler) {
        return Ok(None);
    }
    let mut lease = pool.lease().await?;
    let digest = Value::Bytes(Some(digest.bytes().to_vec()));
    let rows = lease.rows(FIND_DIGEST, vec![handler.as_str().into(), digest]).await?;
    lease.done();
    rows.first().map(stored).transpose()
}

pub(crate) async fn find_issued(
    pool: Arc<Pool>,
    handler: Option<String>,
    token: TokenDigest,
) -> Result<Option<ListEntry>, DbError> {
    if !handler.as_deref().is_none_or(is_storable) {
        return Ok(None);
    }
    let mut sql = concat!("SELECT ", columns!(), ", handler FROM tokens WHERE token_digest = $1").to_owned();
    let mut values = vec![of_token(Some(token))];
    if let Some(handler) = handler {
        sql.push_str(" AND handler = $2");
        values.push(handler.as_str().into());
    }
    // If a handler was renamed, there may be two: a record that has not ended comes first.
    sql.push_str(" ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, handler LIMIT 1");
    let mut lease = pool.lease().await?;
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    lease.done();
    let listed = |row: &Row| Ok(ListEntry { handler: row.get(COLUMNS)?, record: record(row)? });
    rows.first().map(listed).transpose()
}

pub(crate) async fn next_serial(pool: Arc<Pool>, handler: String) -> Result<u64, DbError> {
    reject_nul([handler.as_str()])?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let next = "INSERT INTO serials (handler, last) VALUES ($1, 1) \
                ON CONFLICT (handler) DO UPDATE SET last = serials.last + 1 RETURNING last";
    let serial = to_u64(lease.row(next, vec![handler.as_str().into()]).await?.get(0)?)?;
    lease.commit().await?;
    Ok(serial)
}

pub(crate) async fn commit(pool: Arc<Pool>, handler: String, changes: Transaction) -> Result<CommitOutcome, DbError> {
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let committed = make(&mut lease, &handler, changes).await?;
    match committed {
        CommitOutcome::Done => lease.commit().await?,
        _ => lease.roll_back().await,
    }
    Ok(committed)
}

/// Applies the changes within a transaction, unless one of them fails.
async fn make(lease: &mut PooledConnection, handler: &str, changes: Transaction) -> Result<CommitOutcome, DbError> {
    let Transaction { at, insert, end, edit } = changes;
    let at = time_to_i64(at)?;
    reject_nul([handler])?;
    // Every transaction locks in this order, to avoid deadlocks: revocations, the handler, the
    // client, records.
    let replaces =
        insert.as_ref().is_some_and(|insert| insert.replace) || edit.as_ref().is_some_and(|edit| edit.replaced);
    let revokes = !end.is_empty() || replaces;
    // A replacement has the parent of the token that it replaces, which is checked itself.
    let parent = insert.as_ref().filter(|_| edit.is_none()).and_then(|insert| insert.stored.record.parent.clone());
    if revokes || parent.is_some() {
        lease.lock(LOCK).await?;
    }
    if let Some(NewRecord { stored, max_per_client, .. }) = &insert {
        lease.lock(&format!("handler {handler}")).await?;
        // Tokens of one client may be issued by several handlers at once.
        if let (Some(_), Some(client)) = (max_per_client, &stored.record.client) {
            reject_nul([client.as_str()])?;
            lease.lock(&format!("client {client}")).await?;
        }
    }
    if let Some(parent) = parent
        && has_ended(lease, &parent).await?
    {
        return Ok(CommitOutcome::ParentEnded);
    }
    for id in end {
        if !end_one(lease, handler, &id, at).await? {
            return Ok(CommitOutcome::Ended);
        }
    }
    // Revoked records make room for new ones.
    let replaced = edit.as_ref().map(|edit| edit.id.clone());
    if let Some(edit) = edit {
        let edited = edit_one(lease, handler, edit, at).await?;
        if edited != CommitOutcome::Done {
            return Ok(edited);
        }
    }
    if let Some(insert) = insert {
        let id = insert.stored.record.id.clone();
        let inserted = insert_if_room(lease, handler, insert, at).await?;
        if inserted != CommitOutcome::Done {
            return Ok(inserted);
        }
        if let Some(replaced) = replaced {
            let sql = "UPDATE tokens SET parent_id = $1 WHERE parent_handler = $2 AND parent_id = $3";
            lease.change(sql, vec![id.as_str().into(), handler.into(), replaced.as_str().into()]).await?;
        }
    }
    if revokes {
        notify(lease).await?;
    }
    Ok(CommitOutcome::Done)
}

/// Returns whether a token was revoked or replaced. The caller holds the [`LOCK`], so the token is
/// not being revoked.
async fn has_ended(lease: &mut PooledConnection, token: &TokenId) -> Result<bool, DbError> {
    let TokenId { handler, id } = token;
    reject_nul([handler.as_str(), id])?;
    let sql = "SELECT 1 FROM tokens WHERE handler = $1 AND id = $2 AND ended_at IS NOT NULL \
               UNION ALL SELECT 1 FROM revocations WHERE handler = $1 AND token_id = $2 LIMIT 1";
    let rows = lease.rows(sql, vec![handler.as_str().into(), id.as_str().into()]).await?;
    Ok(!rows.is_empty())
}

/// Revokes a record. Returns whether there was one that had not ended.
async fn end_one(lease: &mut PooledConnection, handler: &str, id: &str, at: i64) -> Result<bool, DbError> {
    if !is_storable(id) {
        return Ok(false);
    }
    let sql = "UPDATE tokens SET ended_at = $1, ended_why = 'revoked' \
               WHERE handler = $2 AND id = $3 AND ended_at IS NULL RETURNING id";
    let rows = lease.rows(sql, vec![at.into(), handler.into(), id.into()]).await?;
    let ended = append_ended(lease, handler, &rows, at).await?;
    end_descendants(lease, &ended, at).await?;
    Ok(!rows.is_empty())
}

/// Edits a record. The terms are compared as parsed values: equal terms may be stored as different
/// texts.
async fn edit_one(
    lease: &mut PooledConnection,
    handler: &str,
    edit: RecordUpdate,
    at: i64,
) -> Result<CommitOutcome, DbError> {
    let RecordUpdate { id, before, after, replaced } = edit;
    if !is_storable(&id) {
        return Ok(CommitOutcome::Ended);
    }
    reject_nul(after.description.as_deref())?;
    let find = concat!("SELECT ", columns!(), " FROM tokens WHERE handler = $1 AND id = $2");
    // In SQLite, a write transaction is always exclusive.
    let lock = if lease.is_sqlite() { "" } else { " FOR UPDATE" };
    let rows = lease.rows(AssertSqlSafe(format!("{find}{lock}")), vec![handler.into(), id.as_str().into()]).await?;
    let Some(found) = rows.first().map(record).transpose()?.filter(|record| record.ended.is_none()) else {
        return Ok(CommitOutcome::Ended);
    };
    if found.terms() != before {
        return Ok(CommitOutcome::Changed);
    }
    let sql = "UPDATE tokens SET description = $1, expires_at = $2, restrictions = $3, \
               ended_at = $4, ended_why = $5 WHERE handler = $6 AND id = $7 RETURNING id";
    let values = vec![
        after.description.into(),
        after.expires_at.map(time_to_i64).transpose()?.into(),
        write_restrictions(after.restrictions.as_ref())?.into(),
        replaced.then_some(at).into(),
        replaced.then(|| why(TerminationReason::Replaced).to_owned()).into(),
        handler.into(),
        id.as_str().into(),
    ];
    let rows = lease.rows(sql, values).await?;
    if replaced {
        append_ended(lease, handler, &rows, at).await?;
    }
    Ok(CommitOutcome::Done)
}

async fn insert_if_room(
    lease: &mut PooledConnection,
    handler: &str,
    insert: NewRecord,
    at: i64,
) -> Result<CommitOutcome, DbError> {
    let NewRecord { stored, replace, max, max_per_actor, max_per_client, idle_before } = insert;
    let good = Good { handler, at, idle_before: idle_before.map(time_to_i64).transpose()? };
    let Record { id, actor_id, .. } = &stored.record;
    reject_nul([id.as_str(), actor_id])?;
    if replace {
        replace_others(lease, handler, &stored.record, at).await?;
    }
    let sql = "SELECT 1 FROM tokens WHERE handler = $1 AND id = $2";
    let same = lease.rows(sql, vec![handler.into(), id.as_str().into()]).await?;
    if !same.is_empty() {
        return Ok(CommitOutcome::Duplicate);
    }
    if stored.token_digest.is_some() {
        let sql = "SELECT 1 FROM tokens WHERE token_digest = $1 AND handler = $2";
        if !lease.rows(sql, vec![of_token(stored.token_digest), handler.into()]).await?.is_empty() {
            return Ok(CommitOutcome::Duplicate);
        }
    }
    // Without a limit, avoid counting what may be millions of records.
    if max < u64::MAX && good.count(lease, None).await? >= max {
        return Ok(CommitOutcome::Full);
    }
    if let Some(max) = max_per_actor
        && good.count(lease, Some(actor_id)).await? >= max
    {
        return Ok(CommitOutcome::FullForActor);
    }
    if let (Some(max), Some(client)) = (max_per_client, &stored.record.client)
        && count_of_client(lease, client, at).await? >= max
    {
        return Ok(CommitOutcome::FullForClient);
    }
    insert_one(lease, handler, stored).await?;
    Ok(CommitOutcome::Done)
}

/// Counts the valid records of a client with all handlers.
async fn count_of_client(lease: &mut PooledConnection, client: &str, at: i64) -> Result<u64, DbError> {
    let sql = "SELECT count(*) FROM tokens \
               WHERE caller = $1 AND ended_at IS NULL AND (expires_at IS NULL OR expires_at >= $2)";
    to_u64(lease.row(sql, vec![client.into(), at.into()]).await?.get(0)?)
}

/// Replaces all other records of the actor, and revokes their descendants. Expired ones are
/// included: a clock that was wrong must not make them valid again.
async fn replace_others(lease: &mut PooledConnection, handler: &str, by: &Record, at: i64) -> Result<(), DbError> {
    let sql = "UPDATE tokens SET ended_at = $1, ended_why = 'replaced' \
               WHERE handler = $2 AND actor_id = $3 AND id <> $4 AND ended_at IS NULL RETURNING id";
    let values = vec![at.into(), handler.into(), by.actor_id.as_str().into(), by.id.as_str().into()];
    let rows = lease.rows(sql, values).await?;
    let ended = append_ended(lease, handler, &rows, at).await?;
    end_descendants(lease, &ended, at).await.map(drop)
}

/// Appends revocations, from which other nodes learn that these records have ended. Returns the
/// tokens.
async fn append_ended(
    lease: &mut PooledConnection,
    handler: &str,
    rows: &[Row],
    at: i64,
) -> Result<Vec<TokenId>, DbError> {
    let mut ended = Vec::new();
    for row in rows {
        let token = TokenId { handler: handler.to_owned(), id: row.get(0)? };
        append(lease, &token.clone().into(), at).await?;
        ended.push(token);
    }
    Ok(ended)
}

/// The records of a handler that are valid at a time.
struct Good<'a> {
    handler: &'a str,
    at: i64,
    idle_before: Option<i64>,
}

impl Good<'_> {
    /// Counts them, for one actor or for all.
    async fn count(&self, lease: &mut PooledConnection, actor_id: Option<&str>) -> Result<u64, DbError> {
        let mut sql = "SELECT count(*) FROM tokens \
                       WHERE handler = $1 AND ended_at IS NULL AND (expires_at IS NULL OR expires_at >= $2)"
            .to_owned();
        let mut values: Vec<Value> = vec![self.handler.into(), self.at.into()];
        if let Some(actor_id) = actor_id {
            values.push(actor_id.into());
            sql.push_str(&format!(" AND actor_id = ${}", values.len()));
        }
        if let Some(before) = self.idle_before {
            values.push(before.into());
            sql.push_str(&format!(" AND {IDLE_SINCE} >= ${}", values.len()));
        }
        to_u64(lease.row(AssertSqlSafe(sql), values).await?.get(0)?)
    }
}

pub(crate) async fn insert_one(
    lease: &mut PooledConnection,
    handler: &str,
    stored: StoredRecord,
) -> Result<(), DbError> {
    let values = values(handler, stored)?;
    let places: Vec<_> = (1..=values.len()).map(|place| format!("${place}")).collect();
    let sql = concat!("INSERT INTO tokens (handler, ", columns!(), ", digest, token_digest) VALUES (");
    lease.change(AssertSqlSafe(format!("{sql}{})", places.join(", "))), values).await.map(drop)
}

pub(crate) async fn record_uses(pool: Arc<Pool>, used: Vec<(String, String, UnixTime)>) -> Result<(), DbError> {
    if used.is_empty() {
        return Ok(());
    }
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    // On PostgreSQL, a record that is being changed is skipped, and nothing is synced: a use may be
    // lost, but must not delay other work.
    let sql = if lease.is_sqlite() {
        "UPDATE tokens SET last_used_at = $3 \
         WHERE handler = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)"
    } else {
        lease.run("SET LOCAL synchronous_commit = off").await?;
        "UPDATE tokens SET last_used_at = $3 WHERE (handler, id) IN (SELECT handler, id FROM tokens \
         WHERE handler = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3) FOR UPDATE SKIP LOCKED)"
    };
    for (handler, id, at) in &used {
        // A value that cannot be stored belongs to no record, and must not prevent the others from
        // being written.
        if let Ok(at) = time_to_i64(*at)
            && reject_nul([handler.as_str(), id]).is_ok()
        {
            lease.change(sql, vec![handler.as_str().into(), id.as_str().into(), at.into()]).await?;
        }
    }
    lease.commit().await
}

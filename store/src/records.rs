//! Records of tokens.

use crate::database::{Row, Trouble, Value};
use crate::listing::IDLE_SINCE;
use crate::pool::{Lease, Pool};
use crate::revocations::{LOCK, append, tell};
use crate::rows::{COLUMNS, columns, record, stored, why, write_restrictions};
use crate::{is_storable, number, seconds, storable};
use keyward_runtime::{
    Changes, Committed, Edit, Ending, Insert, Listed, Record, Revocation, SecretDigest, Stored, TokenDigest,
};
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// The record of an id, or the one in front of where it would be: to find and to read that takes as long, so that time does not
/// tell an id that is unknown from a secret that is wrong. There always is one, as nobody's, which the schema puts there, comes
/// before all others.
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    ", digest, token_digest, CAST(CASE WHEN handler = $1 AND id = $2 THEN 1 ELSE 0 END AS bigint) FROM tokens \
     WHERE (handler, id) <= ($1, $2) ORDER BY handler DESC, id DESC LIMIT 1"
);

const FIND_DIGEST: &str =
    concat!("SELECT ", columns!(), ", digest, token_digest FROM tokens WHERE handler = $1 AND digest = $2");

pub(crate) async fn find(pool: Arc<Pool>, handler: String, id: String) -> Result<Option<Stored>, Trouble> {
    if !is_storable(&handler) || !is_storable(&id) {
        return Ok(None);
    }
    let mut lease = pool.lease().await?;
    let rows = lease.rows(FIND, vec![handler.as_str().into(), id.as_str().into()]).await?;
    lease.done();
    let Some(row) = rows.first() else { return Ok(None) };
    let read = stored(row);
    // What is wrong with another record is no matter here.
    if row.get::<i64>(COLUMNS.saturating_add(2))? == 1 { read.map(Some) } else { Ok(None) }
}

pub(crate) async fn find_digest(
    pool: Arc<Pool>,
    handler: String,
    digest: SecretDigest,
) -> Result<Option<Stored>, Trouble> {
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
) -> Result<Option<Listed>, Trouble> {
    if !handler.as_deref().is_none_or(is_storable) {
        return Ok(None);
    }
    let mut sql = concat!("SELECT ", columns!(), ", handler FROM tokens WHERE token_digest = $1").to_owned();
    let mut values = vec![of_token(Some(token))];
    if let Some(handler) = handler {
        sql.push_str(" AND handler = $2");
        values.push(handler.as_str().into());
    }
    // One that has not ended comes first, should a handler have been renamed.
    sql.push_str(" ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, handler LIMIT 1");
    let mut lease = pool.lease().await?;
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    lease.done();
    let listed = |row: &Row| Ok(Listed { handler: row.get(COLUMNS)?, record: record(row)? });
    rows.first().map(listed).transpose()
}

/// Returns the digest of a token as a value.
pub(crate) fn of_token(token: Option<TokenDigest>) -> Value {
    Value::Bytes(token.map(|token| token.bytes().to_vec()))
}

pub(crate) async fn next_serial(pool: Arc<Pool>, handler: String) -> Result<u64, Trouble> {
    storable([handler.as_str()])?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let next = "INSERT INTO serials (handler, last) VALUES ($1, 1) \
                ON CONFLICT (handler) DO UPDATE SET last = serials.last + 1 RETURNING last";
    let serial = number(lease.row(next, vec![handler.as_str().into()]).await?.get(0)?)?;
    lease.commit().await?;
    Ok(serial)
}

pub(crate) async fn commit(pool: Arc<Pool>, handler: String, changes: Changes) -> Result<Committed, Trouble> {
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let committed = make(&mut lease, &handler, changes).await?;
    match committed {
        Committed::Done => lease.commit().await?,
        _ => lease.roll_back().await,
    }
    Ok(committed)
}

/// Makes the changes, inside of a transaction, unless one of them is not to be.
async fn make(lease: &mut Lease, handler: &str, changes: Changes) -> Result<Committed, Trouble> {
    let Changes { at, insert, end, edit } = changes;
    let at = seconds(at)?;
    storable([handler])?;
    // All in this order, so that nobody waits for somebody who waits for him: revocations, the handler, records.
    let replaces =
        insert.as_ref().is_some_and(|insert| insert.replace) || edit.as_ref().is_some_and(|edit| edit.replaced);
    let revokes = !end.is_empty() || replaces;
    if revokes {
        lease.lock(LOCK).await?;
    }
    if insert.is_some() {
        lease.lock(&format!("handler {handler}")).await?;
    }
    for id in end {
        if !end_one(lease, handler, &id, at).await? {
            return Ok(Committed::Ended);
        }
    }
    // What ends makes room for what is new.
    if let Some(edit) = edit {
        let edited = edit_one(lease, handler, edit, at).await?;
        if edited != Committed::Done {
            return Ok(edited);
        }
    }
    if let Some(insert) = insert {
        let inserted = insert_if_room(lease, handler, insert, at).await?;
        if inserted != Committed::Done {
            return Ok(inserted);
        }
    }
    if revokes {
        tell(lease).await?;
    }
    Ok(Committed::Done)
}

/// Whether there was a record to be ended.
async fn end_one(lease: &mut Lease, handler: &str, id: &str, at: i64) -> Result<bool, Trouble> {
    if !is_storable(id) {
        return Ok(false);
    }
    let sql = "UPDATE tokens SET ended_at = $1, ended_why = 'revoked' \
               WHERE handler = $2 AND id = $3 AND ended_at IS NULL RETURNING id";
    let rows = lease.rows(sql, vec![at.into(), handler.into(), id.into()]).await?;
    append_ended(lease, handler, &rows, at).await?;
    Ok(!rows.is_empty())
}

/// The terms are compared as they are read, not as they are written: the same can be written in several ways.
async fn edit_one(lease: &mut Lease, handler: &str, edit: Edit, at: i64) -> Result<Committed, Trouble> {
    let Edit { id, before, after, replaced } = edit;
    if !is_storable(&id) {
        return Ok(Committed::Ended);
    }
    storable(after.description.as_deref())?;
    let find = concat!("SELECT ", columns!(), " FROM tokens WHERE handler = $1 AND id = $2");
    // In SQLite a transaction that writes is alone anyway.
    let lock = if lease.is_sqlite() { "" } else { " FOR UPDATE" };
    let rows = lease.rows(AssertSqlSafe(format!("{find}{lock}")), vec![handler.into(), id.as_str().into()]).await?;
    let Some(found) = rows.first().map(record).transpose()?.filter(|record| record.ended.is_none()) else {
        return Ok(Committed::Ended);
    };
    if found.terms() != before {
        return Ok(Committed::Changed);
    }
    let sql = "UPDATE tokens SET description = $1, expires_at = $2, restrictions = $3, \
               ended_at = $4, ended_why = $5 WHERE handler = $6 AND id = $7 RETURNING id";
    let values = vec![
        after.description.into(),
        after.expires_at.map(seconds).transpose()?.into(),
        write_restrictions(after.restrictions.as_ref())?.into(),
        replaced.then_some(at).into(),
        replaced.then(|| why(Ending::Replaced).to_owned()).into(),
        handler.into(),
        id.as_str().into(),
    ];
    let rows = lease.rows(sql, values).await?;
    if replaced {
        append_ended(lease, handler, &rows, at).await?;
    }
    Ok(Committed::Done)
}

async fn insert_if_room(lease: &mut Lease, handler: &str, insert: Insert, at: i64) -> Result<Committed, Trouble> {
    let Insert { stored, replace, most, most_per_actor, idle_before, same_is_fine } = insert;
    let good = Good { handler, at, idle_before: idle_before.map(seconds).transpose()? };
    let Record { id, actor_id, .. } = &stored.record;
    storable([id.as_str(), actor_id])?;
    if replace {
        replace_others(lease, handler, &stored.record, at).await?;
    }
    let sql = "SELECT ended_at FROM tokens WHERE handler = $1 AND id = $2";
    let same = lease.rows(sql, vec![handler.into(), id.as_str().into()]).await?;
    if let Some(same) = same.first() {
        return Ok(match (same_is_fine, same.get::<Option<i64>>(0)?) {
            (true, None) => Committed::Done,
            (true, Some(_)) => Committed::Ended,
            (false, _) => Committed::Duplicate,
        });
    }
    if stored.token_digest.is_some() {
        let sql = "SELECT 1 FROM tokens WHERE token_digest = $1 AND handler = $2";
        if !lease.rows(sql, vec![of_token(stored.token_digest), handler.into()]).await?.is_empty() {
            return Ok(Committed::Duplicate);
        }
    }
    // Where any number will do, millions are not counted for it.
    if most < u64::MAX && good.count(lease, None).await? >= most {
        return Ok(Committed::Full);
    }
    if let Some(most) = most_per_actor
        && good.count(lease, Some(actor_id)).await? >= most
    {
        return Ok(Committed::FullForActor);
    }
    insert_one(lease, handler, stored).await?;
    Ok(Committed::Done)
}

/// Those that have expired too: a clock that was wrong must not bring them back.
async fn replace_others(lease: &mut Lease, handler: &str, by: &Record, at: i64) -> Result<(), Trouble> {
    let sql = "UPDATE tokens SET ended_at = $1, ended_why = 'replaced' \
               WHERE handler = $2 AND actor_id = $3 AND id <> $4 AND ended_at IS NULL RETURNING id";
    let values = vec![at.into(), handler.into(), by.actor_id.as_str().into(), by.id.as_str().into()];
    let rows = lease.rows(sql, values).await?;
    append_ended(lease, handler, &rows, at).await
}

/// Other nodes learn from it that these records have ended.
async fn append_ended(lease: &mut Lease, handler: &str, rows: &[Row], at: i64) -> Result<(), Trouble> {
    for row in rows {
        let token_id = Some(row.get(0)?);
        let handler = Some(handler.to_owned());
        let ended = Revocation { handler, token_id, ..Revocation::default() };
        append(lease, &ended, at).await?;
    }
    Ok(())
}

/// Records of a handler that are good at that time.
struct Good<'a> {
    handler: &'a str,
    at: i64,
    idle_before: Option<i64>,
}

impl Good<'_> {
    /// How many there are, of an actor or of all.
    async fn count(&self, lease: &mut Lease, actor_id: Option<&str>) -> Result<u64, Trouble> {
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
        number(lease.row(AssertSqlSafe(sql), values).await?.get(0)?)
    }
}

pub(crate) async fn insert_one(lease: &mut Lease, handler: &str, stored: Stored) -> Result<(), Trouble> {
    let Stored { record, digest, token_digest } = stored;
    let Record { id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended, caller, key } =
        record;
    let optional = [&description, &caller, &key].into_iter().flatten().map(String::as_str);
    storable([id.as_str(), &actor_id].into_iter().chain(optional))?;
    let ended_at = ended.map(|ended| seconds(ended.at)).transpose()?;
    let ended_why = ended.map(|ended| why(ended.why).to_owned());
    let values = vec![
        handler.into(),
        id.as_str().into(),
        actor_id.as_str().into(),
        description.into(),
        write_restrictions(restrictions.as_ref())?.into(),
        seconds(issued_at)?.into(),
        expires_at.map(seconds).transpose()?.into(),
        last_used_at.map(seconds).transpose()?.into(),
        ended_at.into(),
        ended_why.into(),
        caller.into(),
        key.into(),
        Value::Bytes(digest.map(|digest| digest.bytes().to_vec())),
        of_token(token_digest),
    ];
    let sql = concat!(
        "INSERT INTO tokens (handler, ",
        columns!(),
        ", digest, token_digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    );
    lease.change(sql, values).await.map(drop)
}

pub(crate) async fn touch(pool: Arc<Pool>, used: Vec<(String, String, u64)>) -> Result<(), Trouble> {
    if used.is_empty() {
        return Ok(());
    }
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    // On PostgreSQL, a record that somebody is changing is left out, and nothing is synced: it may be lost, and must not
    // keep anybody waiting.
    let sql = if lease.is_sqlite() {
        "UPDATE tokens SET last_used_at = $3 \
         WHERE handler = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3)"
    } else {
        lease.run("SET LOCAL synchronous_commit = off").await?;
        "UPDATE tokens SET last_used_at = $3 WHERE (handler, id) IN (SELECT handler, id FROM tokens \
         WHERE handler = $1 AND id = $2 AND (last_used_at IS NULL OR last_used_at < $3) FOR UPDATE SKIP LOCKED)"
    };
    for (handler, id, at) in &used {
        // What cannot be kept is of no record; it must not be in the way of the others.
        if let Ok(at) = seconds(*at)
            && storable([handler.as_str(), id]).is_ok()
        {
            lease.change(sql, vec![handler.as_str().into(), id.as_str().into(), at.into()]).await?;
        }
    }
    lease.commit().await
}

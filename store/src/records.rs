//! Records of tokens.

use crate::database::{Row, Trouble, Value};
use crate::pool::{Lease, Pool};
use crate::revocations::{LOCK, append, tell};
use crate::{is_storable, number, seconds, storable};
use indexmap::IndexMap;
use keyward_runtime::{
    Changes, Committed, Ended, Ending, Insert, Record, Restrictions, Revocation, SecretDigest, Stored,
};
use serde::Deserialize;
use std::sync::Arc;

macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended_at, ended_why, digest",
            $from
        )
    };
}

/// The record of an id, or the one in front of where it would be: to find and to read that takes as long, so that time does not
/// tell an id that is unknown from a secret that is wrong. There always is one, as nobody's, which the schema puts there, comes
/// before all others.
const FIND: &str = select!(
    ", CAST(CASE WHEN handler = $1 AND id = $2 THEN 1 ELSE 0 END AS bigint) FROM tokens \
     WHERE (handler, id) <= ($1, $2) ORDER BY handler DESC, id DESC LIMIT 1"
);

const FIND_DIGEST: &str = select!(" FROM tokens WHERE handler = $1 AND digest = $2");

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
    if row.get::<i64>(10)? == 1 { read.map(Some) } else { Ok(None) }
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
    let Changes { at, insert, end, edit: _ } = changes;
    let at = seconds(at)?;
    storable([handler.as_str()])?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    // All in this order, so that nobody waits for somebody who waits for him: revocations, the handler, records.
    let revokes = !end.is_empty() || insert.as_ref().is_some_and(|insert| insert.replace);
    if revokes {
        lease.lock(LOCK).await?;
    }
    if insert.is_some() {
        lease.lock(&format!("handler {handler}")).await?;
    }
    for id in end {
        if !end_one(&mut lease, &handler, &id, at).await? {
            lease.roll_back().await;
            return Ok(Committed::Ended);
        }
    }
    if let Some(Insert { stored, replace, most, .. }) = insert {
        if replace {
            replace_others(&mut lease, &handler, &stored.record.actor_id, at).await?;
        }
        if live(&mut lease, &handler, at).await? >= most {
            lease.roll_back().await;
            return Ok(Committed::Full);
        }
        insert_one(&mut lease, &handler, stored).await?;
    }
    if revokes {
        tell(&mut lease).await?;
    }
    lease.commit().await?;
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

/// Those that have expired too: a clock that was wrong must not bring them back.
async fn replace_others(lease: &mut Lease, handler: &str, actor_id: &str, at: i64) -> Result<(), Trouble> {
    storable([actor_id])?;
    let sql = "UPDATE tokens SET ended_at = $1, ended_why = 'replaced' \
               WHERE handler = $2 AND actor_id = $3 AND ended_at IS NULL RETURNING id";
    let rows = lease.rows(sql, vec![at.into(), handler.into(), actor_id.into()]).await?;
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

/// How many records are good.
async fn live(lease: &mut Lease, handler: &str, at: i64) -> Result<u64, Trouble> {
    let sql = "SELECT count(*) FROM tokens \
               WHERE handler = $1 AND ended_at IS NULL AND (expires_at IS NULL OR expires_at >= $2)";
    number(lease.row(sql, vec![handler.into(), at.into()]).await?.get(0)?)
}

pub(crate) async fn insert_one(lease: &mut Lease, handler: &str, stored: Stored) -> Result<(), Trouble> {
    let Stored { record, digest } = stored;
    let Record { id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended, .. } = record;
    storable([id.as_str(), &actor_id].into_iter().chain(description.as_deref()))?;
    let restrictions = restrictions.map(|restrictions| serde_json::to_string(&restrictions)).transpose();
    let restrictions = restrictions.map_err(|_| Trouble::new("the restrictions cannot be written"))?;
    let ended_at = ended.map(|ended| seconds(ended.at)).transpose()?;
    let ended_why = ended.map(|ended| why(ended.why).to_owned());
    let values = vec![
        handler.into(),
        id.as_str().into(),
        actor_id.as_str().into(),
        description.into(),
        restrictions.into(),
        seconds(issued_at)?.into(),
        expires_at.map(seconds).transpose()?.into(),
        last_used_at.map(seconds).transpose()?.into(),
        ended_at.into(),
        ended_why.into(),
        Value::Bytes(digest.map(|digest| digest.bytes().to_vec())),
    ];
    let sql = "INSERT INTO tokens (handler, id, actor_id, description, restrictions, issued_at, expires_at, last_used_at, ended_at, ended_why, digest) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
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

fn why(ending: Ending) -> &'static str {
    match ending {
        Ending::Revoked => "revoked",
        Ending::Replaced => "replaced",
    }
}

/// A row of [`select`]. Whatever is odd in it, the token is no better for it.
fn stored(row: &Row) -> Result<Stored, Trouble> {
    let time = |column| row.get::<Option<i64>>(column)?.map(number).transpose();
    let why = row.get::<Option<String>>(8)?;
    let ended = match (time(7)?, why.as_deref()) {
        (None, None) => None,
        (Some(at), Some("replaced")) => Some(Ended { at, why: Ending::Replaced }),
        (Some(at), _) => Some(Ended { at, why: Ending::Revoked }),
        (None, Some(_)) => return Err(Trouble::new("a record has ended at no time")),
    };
    let restrictions = row.get::<Option<String>>(3)?;
    let digest = match row.get::<Option<Vec<u8>>>(9)? {
        Some(bytes) => {
            let bytes = bytes.try_into().map_err(|_| Trouble::new("a digest in the database is not 32 bytes long"))?;
            Some(SecretDigest::new(bytes))
        }
        None => None,
    };
    let record = Record {
        id: row.get(0)?,
        actor_id: row.get(1)?,
        description: row.get(2)?,
        restrictions: restrictions.as_deref().map(read_restrictions).transpose()?,
        issued_at: number(row.get(4)?)?,
        expires_at: time(5)?,
        last_used_at: time(6)?,
        ended,
        caller: None,
        key: None,
    };
    Ok(Stored { record, digest })
}

/// Datasette's `_r`. The runtime writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    a: Vec<String>,
    #[serde(default)]
    d: IndexMap<String, Vec<String>>,
    #[serde(default)]
    r: IndexMap<String, IndexMap<String, Vec<String>>>,
}

/// What cannot be read is an error: no restrictions would be all rights.
pub(crate) fn read_restrictions(text: &str) -> Result<Restrictions, Trouble> {
    // To serde a list is an object too.
    let object = Some(text).filter(|text| text.trim_start().starts_with('{'));
    let read = object.and_then(|text| serde_json::from_str(text).ok());
    let Written { a, d, r } = read.ok_or_else(|| Trouble::new("restrictions in the database cannot be read"))?;
    let mut restrictions = Restrictions::new();
    for action in a {
        restrictions = restrictions.allow_all(action);
    }
    for (database, actions) in d {
        for action in actions {
            restrictions = restrictions.allow_database(database.as_str(), action);
        }
    }
    for (database, resources) in r {
        for (resource, actions) in resources {
            for action in actions {
                restrictions = restrictions.allow_resource(database.as_str(), resource.as_str(), action);
            }
        }
    }
    Ok(restrictions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrictions_are_read_as_they_were_written_or_not_at_all() {
        let written = Restrictions::new()
            .allow_all("view")
            .allow_all("a\"\0\u{1f980}")
            .allow_database("d", "x")
            .allow_database("", "y")
            .allow_resource("d", "t", "z");
        let text = serde_json::to_string(&written).unwrap();
        assert!(read_restrictions(&text).ok() == Some(written), "{text}");
        assert!(read_restrictions("{}").ok() == Some(Restrictions::new()), "restrictions that allow nothing");
        for text in [
            "",
            "null",
            "[",
            "[]",
            "[[\"x\"]]",
            "1",
            r#"{"a":null}"#,
            r#"{"a":["x"],"b":[]}"#,
            r#"{"d":{"x":"y"}}"#,
            r#"{"a":[1]}"#,
        ] {
            assert!(read_restrictions(text).is_err(), "{text}");
        }
    }
}

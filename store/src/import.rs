//! Takes over the tokens of datasette-auth-tokens: the rows of its table, from a database of Datasette's.

use crate::database::{Connection, Row, Trouble};
use crate::pool::{Lease, Pool};
use crate::records::insert_one;
use crate::revocations::LOCK;
use crate::rows::{digest_of_token, read_restrictions};
use crate::{number, seconds};
use keyward_runtime::{Ended, Ending, Record, Restrictions, Revocation, Stored, TokenDigest};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::path::Path;
use std::sync::Arc;

/// New records get numbers this far behind the greatest that there is. The plugin gives the number of a deleted row to the
/// next one, and with it a token that somebody may still have: whoever has one for a number that is free must not find it
/// given out again.
const GAP: i64 = 1_000_000;

/// What was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Tokens that are active, whether their time has passed or not.
    pub active: u64,
    /// Tokens that were revoked, had expired, or are in a state that is not known.
    pub ended: u64,
}

/// All rows or none. What is odd in one is told with its number, and is never taken for less than it might have been.
pub(crate) async fn import(pool: Arc<Pool>, handler: String, file: &Path, at: u64) -> Result<Imported, Trouble> {
    let records = read(file, at).await?;
    let mut imported = Imported::default();
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let mut last = 0;
    // A record that has not ended postdates every revocation of its token: one that was revoked before it is imported has.
    lease.lock(LOCK).await?;
    let revocations = of_handler(&mut lease, &handler).await?;
    for (id, mut record) in records {
        if record.ended.is_none() && revocations.iter().any(|revocation| fits(revocation, &record)) {
            record.ended = Some(Ended { at, why: Ending::Revoked });
        }
        match record.ended {
            None => imported.active = imported.active.saturating_add(1),
            Some(_) => imported.ended = imported.ended.saturating_add(1),
        }
        last = last.max(id);
        if !is_new(&mut lease, &handler, &record.id).await? {
            return Err(Trouble::new(format!("handler `{handler}` has a record {id} already: nothing was imported")));
        }
        insert_one(&mut lease, &handler, Stored { record, digest: None, token_digest: None }).await?;
    }
    let sql = "INSERT INTO serials (handler, last) VALUES ($1, $2) \
               ON CONFLICT (handler) DO UPDATE SET last = CASE WHEN serials.last > $2 THEN serials.last ELSE $2 END";
    lease.change(sql, vec![handler.as_str().into(), last.saturating_add(GAP).into()]).await?;
    lease.commit().await?;
    Ok(imported)
}

/// The revocations so far that cover tokens of a handler.
async fn of_handler(lease: &mut Lease, handler: &str) -> Result<Vec<Revocation>, Trouble> {
    let sql = "SELECT token_id, actor_id, issued_until, token_digest FROM revocations \
               WHERE capped_at IS NULL AND (handler IS NULL OR handler = $1)";
    let rows = lease.rows(sql, vec![handler.into()]).await?;
    let revocation = |row: &Row| {
        let issued_until = row.get::<Option<i64>>(2)?.map(number).transpose()?;
        let (token_id, actor_id, token_digest) = (row.get(0)?, row.get(1)?, digest_of_token(row, 3)?);
        Ok(Revocation { handler: None, token_id, token_digest, actor_id, issued_until })
    };
    rows.iter().map(revocation).collect()
}

fn fits(revocation: &Revocation, record: &Record) -> bool {
    let Revocation { handler: _, token_id, token_digest, actor_id, issued_until } = revocation;
    // A digest is that of a token, which an imported record does not have, or of an id that looked like one.
    let is_named = match (token_id, token_digest) {
        (None, None) => true,
        (id, digest) => {
            id.as_ref() == Some(&record.id) || digest.is_some_and(|digest| digest == TokenDigest::of(&record.id))
        }
    };
    is_named
        && actor_id.as_ref().is_none_or(|id| *id == record.actor_id)
        && issued_until.is_none_or(|until| record.issued_at <= until)
}

async fn is_new(lease: &mut Lease, handler: &str, id: &str) -> Result<bool, Trouble> {
    let sql = "SELECT 1 FROM tokens WHERE handler = $1 AND id = $2";
    Ok(lease.rows(sql, vec![handler.into(), id.into()]).await?.is_empty())
}

/// The rows, by their numbers. The database is only read.
async fn read(file: &Path, at: u64) -> Result<Vec<(i64, Record)>, Trouble> {
    let connection =
        SqliteConnectOptions::new().filename(file).read_only(true).create_if_missing(false).connect().await;
    let mut database = Connection::Sqlite(connection?);
    // As text, whatever the columns hold: SQLite keeps any type in any column.
    let sql = "SELECT CAST(id AS INTEGER), token_status, description, CAST(actor_id AS TEXT), permissions, \
               CAST(created_timestamp AS INTEGER), CAST(last_used_timestamp AS INTEGER), \
               CAST(expires_after_seconds AS INTEGER), CAST(ended_timestamp AS INTEGER) \
               FROM _datasette_auth_tokens ORDER BY id";
    let rows = database.rows(sql, Vec::new()).await?;
    rows.iter().map(|row| record(row, at)).collect()
}

fn record(row: &Row, at: u64) -> Result<(i64, Record), Trouble> {
    let id: i64 = row.get(0)?;
    let odd = |what: &str| Trouble::new(format!("token {id} {what}: nothing was imported"));
    if id < 1 {
        return Err(odd("has a number below 1"));
    }
    let actor_id = row.get::<Option<String>>(3)?.filter(|id| !id.is_empty());
    let issued_at = row.get::<Option<i64>>(5)?.ok_or_else(|| odd("does not say when it was made"))?;
    let issued_at = number(issued_at)?;
    let expires_at = match row.get::<Option<i64>>(7)? {
        None => None,
        // A time before 1970 is as past as 1970.
        Some(after) => Some(seconds(issued_at)?.saturating_add(after).max(0)),
    };
    let ended_at = row.get::<Option<i64>>(8)?.and_then(|time| u64::try_from(time).ok()).unwrap_or(at);
    let ended = match row.get::<Option<String>>(1)?.as_deref() {
        // `L` is what `A` was called in the beginning.
        Some("A" | "L") => None,
        // One that had expired stays so, also when the clock goes back.
        _ => Some(Ended { at: ended_at, why: Ending::Revoked }),
    };
    let restrictions = restrictions(row.get::<Option<String>>(4)?.as_deref());
    let record = Record {
        id: id.to_string(),
        actor_id: actor_id.ok_or_else(|| odd("names no actor"))?,
        description: row.get(2)?,
        restrictions: restrictions.ok_or_else(|| odd("has restrictions that cannot be read"))?,
        issued_at,
        expires_at: expires_at.map(number).transpose()?,
        last_used_at: row.get::<Option<i64>>(6)?.and_then(|time| u64::try_from(time).ok()),
        ended,
        caller: None,
        key: None,
    };
    Ok((id, record))
}

/// What the plugin writes as `permissions`. An empty object restricts nothing there: it stays what it was.
fn restrictions(text: Option<&str>) -> Option<Option<Restrictions>> {
    match text {
        None | Some("null" | "{}") => Some(None),
        Some(text) => read_restrictions(text).ok().map(Some),
    }
}

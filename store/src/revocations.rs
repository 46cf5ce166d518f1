//! The list of revocations, in its order.

use crate::database::{Trouble, Value};
use crate::pool::{Lease, Pool};
use crate::records::of_token;
use crate::rows::digest_of_token;
use crate::{CHANNEL, number, seconds, storable};
use keyward_runtime::{Entry, Revocation, Revoked};
use sqlx::AssertSqlSafe;
use std::sync::Arc;

/// Whoever appends a revocation has this lock from before its number is drawn until it is committed, so that the order of
/// numbers is the order in which they can be read.
pub(crate) const LOCK: &str = "revocations";

/// Good at `$1`.
pub(crate) const GOOD: &str = "ended_at IS NULL AND (expires_at IS NULL OR expires_at >= $1)";

/// Past its time at `$1`. It ends like the others: a clock that was wrong must not bring it back. With the `+`, SQLite does
/// not go through all that has expired.
const EXPIRED: &str = "ended_at IS NULL AND +expires_at < $1";

pub(crate) async fn count(pool: Arc<Pool>, revocation: Revocation, at: u64) -> Result<u64, Trouble> {
    let revocation =
        if is_so_far(&revocation, at) { Revocation { issued_until: None, ..revocation } } else { revocation };
    let (fits, values) = fits(&revocation, seconds(at)?)?;
    let mut lease = pool.lease().await?;
    let count = lease.row(AssertSqlSafe(format!("SELECT count(*) FROM tokens WHERE {GOOD}{fits}")), values).await?;
    let count = number(count.get(0)?)?;
    lease.done();
    Ok(count)
}

pub(crate) async fn revoke(pool: Arc<Pool>, revocation: Revocation, at: u64) -> Result<Revoked, Trouble> {
    let is_so_far = is_so_far(&revocation, at);
    let at = seconds(at)?;
    // Looked at before anything is done.
    fits(&revocation, at)?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    lease.lock(LOCK).await?;
    let number = append(&mut lease, &revocation, at).await?;
    let good = end(&mut lease, GOOD, &revocation, at).await?;
    end(&mut lease, EXPIRED, &revocation, at).await?;
    let ahead = if is_so_far { end_ahead(&mut lease, revocation, at).await? } else { 0 };
    tell(&mut lease).await?;
    lease.commit().await?;
    Ok(Revoked { ended: good.saturating_add(ahead), number })
}

/// The entries behind `after`.
pub(crate) async fn list(pool: Arc<Pool>, after: u64, most: u32) -> Result<Vec<(u64, Entry)>, Trouble> {
    let last_read = seconds(after)?;
    let mut lease = pool.lease().await?;
    let sql = "SELECT seq, handler, token_id, actor_id, issued_until, capped_at, token_digest FROM revocations \
               WHERE seq > $1 ORDER BY seq LIMIT $2";
    let rows = lease.rows(sql, vec![last_read.into(), i64::from(most).into()]).await?;
    lease.done();
    let time = |time: Option<i64>| time.map(number).transpose();
    let entries = rows.iter().map(|row| {
        let entry = match time(row.get(5)?)? {
            Some(at) => Entry::Capped(at),
            None => Entry::Revoked(Revocation {
                handler: row.get(1)?,
                token_id: row.get(2)?,
                token_digest: digest_of_token(row, 6)?,
                actor_id: row.get(3)?,
                issued_until: time(row.get(4)?)?,
            }),
        };
        Ok((number(row.get(0)?)?, entry))
    });
    entries.collect()
}

/// Appends one, inside of a transaction that has the [`LOCK`], and returns its number.
pub(crate) async fn append(lease: &mut Lease, revocation: &Revocation, at: i64) -> Result<u64, Trouble> {
    let Revocation { handler, token_id, token_digest, actor_id, issued_until } = revocation.clone();
    let values = vec![
        handler.into(),
        token_id.into(),
        actor_id.into(),
        issued_until.map(seconds).transpose()?.into(),
        at.into(),
        of_token(token_digest),
    ];
    let sql = "INSERT INTO revocations (handler, token_id, actor_id, issued_until, at, token_digest) \
               VALUES ($1, $2, $3, $4, $5, $6) RETURNING seq";
    number(lease.row(sql, values).await?.get(0)?)
}

/// Tells other nodes that there is something to be read, once it is committed.
pub(crate) async fn tell(lease: &mut Lease) -> Result<(), Trouble> {
    if lease.is_sqlite() {
        return Ok(());
    }
    lease.rows("SELECT pg_notify($1, '')", vec![CHANNEL.into()]).await.map(drop)
}

async fn end(lease: &mut Lease, which: &str, revocation: &Revocation, at: i64) -> Result<u64, Trouble> {
    let (fits, values) = fits(revocation, at)?;
    let sql = format!("UPDATE tokens SET ended_at = $1, ended_why = 'revoked' WHERE {which}{fits}");
    lease.change(AssertSqlSafe(sql), values).await
}

/// Whether it is about all that has been issued up to now.
fn is_so_far(revocation: &Revocation, at: u64) -> bool {
    revocation.issued_until.is_some_and(|until| until >= at)
}

/// What has a record has been issued, also where a node with a fast clock has written a later time: such tokens are taken back one
/// by one.
async fn end_ahead(lease: &mut Lease, revocation: Revocation, at: i64) -> Result<u64, Trouble> {
    let (fits, mut values) = fits(&Revocation { issued_until: None, ..revocation.clone() }, at)?;
    values.push(revocation.issued_until.map(seconds).transpose()?.into());
    let sql = format!(
        "UPDATE tokens SET ended_at = $1, ended_why = 'revoked' WHERE ended_at IS NULL{fits} AND issued_at > ${} \
         RETURNING handler, id",
        values.len()
    );
    let rows = lease.rows(AssertSqlSafe(sql), values).await?;
    for row in &rows {
        let (handler, token_id) = (Some(row.get(0)?), Some(row.get(1)?));
        append(lease, &Revocation { handler, token_id, ..Revocation::default() }, at).await?;
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

/// The conditions that a record meets, made of what is written here, and the values in them; `$1` is `at`.
fn fits(revocation: &Revocation, at: i64) -> Result<(String, Vec<Value>), Trouble> {
    let Revocation { handler, token_id, token_digest, actor_id, issued_until } = revocation;
    storable([handler, token_id, actor_id].into_iter().flatten().map(String::as_str))?;
    if token_id.is_some() && handler.is_none() {
        return Err(Trouble::new("a token is revoked by its id only together with its handler"));
    }
    let mut values = vec![at.into()];
    let mut bind = |value: Value| {
        values.push(value);
        format!("${}", values.len())
    };
    let mut conditions = Vec::new();
    conditions.extend(handler.as_deref().map(|handler| format!("handler = {}", bind(handler.into()))));
    // Either names the token.
    let by_id = token_id.as_deref().map(|id| format!("id = {}", bind(id.into())));
    let by_digest = token_digest.map(|token| format!("token_digest = {}", bind(of_token(Some(token)))));
    let named: Vec<_> = by_id.into_iter().chain(by_digest).collect();
    if !named.is_empty() {
        conditions.push(format!("({})", named.join(" OR ")));
    }
    conditions.extend(actor_id.as_deref().map(|actor| format!("actor_id = {}", bind(actor.into()))));
    if let Some(until) = issued_until {
        conditions.push(format!("issued_at <= {}", bind(seconds(*until)?.into())));
    }
    let sql = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
    Ok((sql, values))
}

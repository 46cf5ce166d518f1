//! Tickets: links, sign-ins and forms, each until it is taken or purged.

use crate::database::{DbError, Row, Value};
use crate::pool::Pool;
use crate::{reject_nul, time_to_i64, to_time};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{SecretDigest, Ticket, TicketKind};
use std::sync::Arc;

/// Adds a ticket, unless there is one of this kind with this digest.
pub(crate) async fn add(pool: Arc<Pool>, ticket: Ticket) -> Result<bool, DbError> {
    let Ticket { kind, digest, actor_id, issued_at, expires_at } = ticket;
    reject_nul([actor_id.as_str()])?;
    // PostgreSQL waits for a transaction that is adding the same ticket.
    let sql = "INSERT INTO tickets (kind, digest, actor_id, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (kind, digest) DO NOTHING";
    let values = vec![
        kind.name().into(),
        bytes(&digest),
        actor_id.as_str().into(),
        time_to_i64(issued_at)?.into(),
        time_to_i64(expires_at)?.into(),
    ];
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let added = lease.change(sql, values).await? > 0;
    lease.commit().await?;
    Ok(added)
}

pub(crate) async fn find(
    pool: Arc<Pool>,
    kind: TicketKind,
    digest: SecretDigest,
    at: UnixTime,
) -> Result<Option<Ticket>, DbError> {
    let sql = "SELECT actor_id, issued_at, expires_at FROM tickets \
               WHERE kind = $1 AND digest = $2 AND expires_at >= $3";
    let values = vec![kind.name().into(), bytes(&digest), time_to_i64(at)?.into()];
    let mut lease = pool.lease().await?;
    let rows = lease.rows(sql, values).await?;
    lease.done();
    rows.first().map(|row| ticket(kind, digest, row)).transpose()
}

/// Removes a ticket that has not expired, and returns it. Of concurrent calls only one gets it: in
/// PostgreSQL the others wait for the lock of the row, which is then gone.
pub(crate) async fn take(
    pool: Arc<Pool>,
    kind: TicketKind,
    digest: SecretDigest,
    at: UnixTime,
) -> Result<Option<Ticket>, DbError> {
    let sql = "DELETE FROM tickets WHERE kind = $1 AND digest = $2 AND expires_at >= $3 \
               RETURNING actor_id, issued_at, expires_at";
    let values = vec![kind.name().into(), bytes(&digest), time_to_i64(at)?.into()];
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    let rows = lease.rows(sql, values).await?;
    let taken = rows.first().map(|row| ticket(kind, digest, row)).transpose()?;
    lease.commit().await?;
    Ok(taken)
}

pub(crate) async fn purge(pool: Arc<Pool>, before: UnixTime, max: u32) -> Result<u64, DbError> {
    // Fully ordered, so that PostgreSQL selects the same tickets however often it runs the inner
    // statement.
    let sql = "DELETE FROM tickets WHERE (kind, digest) IN \
               (SELECT kind, digest FROM tickets WHERE expires_at < $1 ORDER BY expires_at, kind, digest LIMIT $2)";
    let values = vec![time_to_i64(before)?.into(), i64::from(max).into()];
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    // Nodes that delete the same rows at once must not deadlock.
    lease.lock("tickets").await?;
    let purged = lease.change(sql, values).await?;
    lease.commit().await?;
    Ok(purged)
}

fn bytes(digest: &SecretDigest) -> Value {
    Value::Bytes(Some(digest.bytes().to_vec()))
}

fn ticket(kind: TicketKind, digest: SecretDigest, row: &Row) -> Result<Ticket, DbError> {
    let (issued_at, expires_at) = (to_time(row.get(1)?)?, to_time(row.get(2)?)?);
    Ok(Ticket { kind, digest, actor_id: row.get(0)?, issued_at, expires_at })
}

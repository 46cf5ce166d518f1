//! The newest time that the store has seen, and its correction if the clock of a node was ahead.

use crate::database::DbError;
use crate::pool::Pool;
use crate::revocations::{LOCK, notify};
use crate::{time_to_i64, to_time, to_u64};
use keyward_runtime::clock::UnixTime;
use std::sync::Arc;

pub(crate) async fn newest(pool: Arc<Pool>) -> Result<Option<UnixTime>, DbError> {
    let mut lease = pool.lease().await?;
    let rows = lease.rows("SELECT newest FROM clock", vec![]).await?;
    lease.done();
    rows.first().map(|row| to_time(row.get(0)?)).transpose()
}

/// Advances the newest time; never moves it backwards.
pub(crate) async fn note(pool: Arc<Pool>, at: UnixTime) -> Result<(), DbError> {
    let at = time_to_i64(at)?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    if !lease.is_sqlite() {
        // A loss does no harm: the next heartbeat notes it again.
        lease.run("SET LOCAL synchronous_commit = off").await?;
    }
    let sql = "INSERT INTO clock (one, newest) VALUES (1, $1) \
               ON CONFLICT (one) DO UPDATE SET newest = excluded.newest WHERE clock.newest < excluded.newest";
    lease.change(sql, vec![at.into()]).await?;
    lease.commit().await
}

/// Caps all times after `at`: the cutoffs appended until now, with an entry that every node reads,
/// and the newest time. Returns the number of these cutoffs, and whether the newest time was
/// capped. Writes nothing if no time is after `at`.
pub(crate) async fn cap(pool: Arc<Pool>, at: UnixTime) -> Result<Capped, DbError> {
    let at = time_to_i64(at)?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    lease.lock(LOCK).await?;
    let sql = "SELECT count(*) FROM revocations AS ahead WHERE issued_until > $1 AND NOT EXISTS \
               (SELECT 1 FROM revocations AS capped WHERE capped.capped_at <= $1 AND capped.seq > ahead.seq)";
    let cutoffs = to_u64(lease.row(sql, vec![at.into()]).await?.get(0)?)?;
    if cutoffs > 0 {
        lease.change("INSERT INTO revocations (capped_at, at) VALUES ($1, $1)", vec![at.into()]).await?;
        notify(&mut lease).await?;
    }
    let newest = lease.change("UPDATE clock SET newest = $1 WHERE newest > $1", vec![at.into()]).await? > 0;
    lease.commit().await?;
    Ok(Capped { cutoffs, newest })
}

/// The times that were capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capped {
    /// Number of cutoffs that were in the future.
    pub cutoffs: u64,
    /// Set if the newest time that the store had seen was in the future.
    pub newest: bool,
}

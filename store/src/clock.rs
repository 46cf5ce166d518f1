//! The newest time that the store has seen, and the operator's word that some clock was ahead.

use crate::database::Trouble;
use crate::pool::Pool;
use crate::revocations::{LOCK, tell};
use crate::{number, seconds};
use std::sync::Arc;

pub(crate) async fn newest(pool: Arc<Pool>) -> Result<Option<u64>, Trouble> {
    let mut lease = pool.lease().await?;
    let rows = lease.rows("SELECT newest FROM clock", vec![]).await?;
    lease.done();
    rows.first().map(|row| number(row.get(0)?)).transpose()
}

/// Moves it on, and never back.
pub(crate) async fn note(pool: Arc<Pool>, at: u64) -> Result<(), Trouble> {
    let at = seconds(at)?;
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

/// Caps at this second what lies behind it: the cut-offs so far, by an entry that every node reads, and the newest time.
/// Returns how many cut-offs those are, and whether the newest time was one of them. Where nothing lies behind it, nothing is
/// written.
pub(crate) async fn cap(pool: Arc<Pool>, at: u64) -> Result<Capped, Trouble> {
    let at = seconds(at)?;
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    lease.lock(LOCK).await?;
    let sql = "SELECT count(*) FROM revocations AS ahead WHERE issued_until > $1 AND NOT EXISTS \
               (SELECT 1 FROM revocations AS capped WHERE capped.capped_at <= $1 AND capped.seq > ahead.seq)";
    let cutoffs = number(lease.row(sql, vec![at.into()]).await?.get(0)?)?;
    if cutoffs > 0 {
        lease.change("INSERT INTO revocations (capped_at, at) VALUES ($1, $1)", vec![at.into()]).await?;
        tell(&mut lease).await?;
    }
    let newest = lease.change("UPDATE clock SET newest = $1 WHERE newest > $1", vec![at.into()]).await? > 0;
    lease.commit().await?;
    Ok(Capped { cutoffs, newest })
}

/// The times that an operator's word has capped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capped {
    /// The number of cut-offs that lay in the future.
    pub cutoffs: u64,
    /// True if the newest time that the store had seen lay there too.
    pub newest: bool,
}

//! Heartbeats of nodes: how far each has read the revocation list.

use crate::database::DbError;
use crate::pool::Pool;
use crate::{reject_nul, time_to_i64, to_i64, to_time, to_u64};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::NodeStatus;
use std::sync::Arc;

/// The age in seconds from which a node is deleted: many nodes have a new name at each start.
const FORGOTTEN: i64 = 30 * 86_400;

pub(crate) async fn note(pool: Arc<Pool>, node: String, last: u64, at: UnixTime) -> Result<(), DbError> {
    reject_nul([node.as_str()])?;
    let (last, at) = (to_i64(last)?, time_to_i64(at)?);
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    if !lease.is_sqlite() {
        // A loss does no harm: the next heartbeat follows soon.
        lease.run("SET LOCAL synchronous_commit = off").await?;
    }
    // Nodes that delete the same rows at once must not deadlock.
    lease.lock("nodes").await?;
    lease.change("DELETE FROM nodes WHERE at < $1", vec![at.saturating_sub(FORGOTTEN).into()]).await?;
    let sql = "INSERT INTO nodes (node, last, at) VALUES ($1, $2, $3) \
               ON CONFLICT (node) DO UPDATE SET last = excluded.last, at = excluded.at";
    lease.change(sql, vec![node.as_str().into(), last.into(), at.into()]).await?;
    lease.commit().await
}

pub(crate) async fn list(pool: Arc<Pool>) -> Result<Vec<NodeStatus>, DbError> {
    let mut lease = pool.lease().await?;
    let sql = "SELECT node, last, at, (SELECT count(*) FROM revocations WHERE seq > nodes.last) \
               FROM nodes ORDER BY node";
    let rows = lease.rows(sql, vec![]).await?;
    lease.done();
    let nodes = rows.iter().map(|row| {
        Ok(NodeStatus {
            node: row.get(0)?,
            last: to_u64(row.get(1)?)?,
            behind: to_u64(row.get(3)?)?,
            at: to_time(row.get(2)?)?,
        })
    });
    nodes.collect()
}

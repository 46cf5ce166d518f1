//! What nodes say of themselves: how far they have read.

use crate::database::Trouble;
use crate::pool::Pool;
use crate::{number, seconds, storable};
use keyward_runtime::NodeSeen;
use std::sync::Arc;

/// A node that has said nothing for so long is forgotten, in seconds: many have a new name at each start.
const FORGOTTEN: i64 = 30 * 86_400;

pub(crate) async fn note(pool: Arc<Pool>, node: String, last: u64, at: u64) -> Result<(), Trouble> {
    storable([node.as_str()])?;
    let (last, at) = (seconds(last)?, seconds(at)?);
    let mut lease = pool.lease().await?;
    lease.begin().await?;
    if !lease.is_sqlite() {
        // It may be lost: it is soon said again.
        lease.run("SET LOCAL synchronous_commit = off").await?;
    }
    // Those who forget the same ones at once must not wait for each other both ways.
    lease.lock("nodes").await?;
    lease.change("DELETE FROM nodes WHERE at < $1", vec![at.saturating_sub(FORGOTTEN).into()]).await?;
    let sql = "INSERT INTO nodes (node, last, at) VALUES ($1, $2, $3) \
               ON CONFLICT (node) DO UPDATE SET last = excluded.last, at = excluded.at";
    lease.change(sql, vec![node.as_str().into(), last.into(), at.into()]).await?;
    lease.commit().await
}

pub(crate) async fn list(pool: Arc<Pool>) -> Result<Vec<NodeSeen>, Trouble> {
    let mut lease = pool.lease().await?;
    let sql = "SELECT node, last, at, (SELECT count(*) FROM revocations WHERE seq > nodes.last) \
               FROM nodes ORDER BY node";
    let rows = lease.rows(sql, vec![]).await?;
    lease.done();
    let nodes = rows.iter().map(|row| {
        Ok(NodeSeen {
            node: row.get(0)?,
            last: number(row.get(1)?)?,
            behind: number(row.get(3)?)?,
            at: number(row.get(2)?)?,
        })
    });
    nodes.collect()
}

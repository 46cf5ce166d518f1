//! Periodic work: token counts for the metrics, this node's revocation heartbeat, and notes about
//! key sets in the audit log.

use crate::service::Service;
use keyward_service::{Inventory, KeySetNotes, note_list};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Interval of the heartbeat.
const NODE: Duration = Duration::from_secs(10);

/// Number of heartbeats between two token counts, which scan all records.
const COUNT_EVERY: u32 = 6;

/// Refreshes the [`Inventory`], and notes changes of key sets, for as long as it is polled.
pub(crate) async fn refresh(service: &Service) {
    let mut ticks = interval(NODE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_count = 0_u32;
    let mut key_sets = KeySetNotes::default();
    loop {
        ticks.tick().await;
        let live = service.live();
        key_sets.note(service.audit(), &live.registry);
        let (Ok(tokens), Ok(revocations)) = (live.registry.tokens(), live.registry.revocations()) else { continue };
        note_list(service.audit(), &live.registry);
        let mut stock = Inventory::clone(&service.stock().load());
        // Keep the previous values on failure; `/readyz` reports an unavailable store.
        if revocations.report_node(tokens.store(), &live.config.node).await.is_ok()
            && let Ok(nodes) = tokens.store().nodes().await
        {
            stock.nodes = nodes;
        }
        match until_count.checked_sub(1) {
            Some(rest) => until_count = rest,
            None => {
                until_count = COUNT_EVERY;
                if let Ok(tokens) = tokens.tally().await {
                    stock.tokens = tokens;
                }
            }
        }
        service.stock().store(stock.into());
    }
}

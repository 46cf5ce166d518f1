//! What is counted in the store now and then, for people and their machines; and this node's word there, up to where it knows what
//! was revoked.

use crate::intent::note_list;
use crate::service::Service;
use keyward_runtime::{NodeSeen, Tally};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often a node says so.
const NODE: Duration = Duration::from_secs(10);

/// How many times a node says so until the tokens are counted again: all records are looked at for it.
const COUNT_EVERY: u32 = 6;

/// What was counted last. Nothing, as long as the store has not answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stock {
    pub(crate) tokens: Vec<Tally>,
    pub(crate) nodes: Vec<NodeSeen>,
}

/// Takes stock for as long as it is polled. It ends at once where there is no store.
pub(crate) async fn keep(service: &Service) {
    let mut ticks = interval(NODE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_count = 0_u32;
    loop {
        ticks.tick().await;
        let live = service.live();
        if live.registry.records().is_err() {
            return;
        }
        note_list(service.audit(), &live.registry);
        let mut stock = Stock::clone(&service.stock().load());
        // What cannot be had stays as it was: whether the store answers is for `/readyz`.
        if live.registry.note_node(&live.config.node).await.is_ok()
            && let Ok(nodes) = live.registry.nodes().await
        {
            stock.nodes = nodes;
        }
        match until_count.checked_sub(1) {
            Some(rest) => until_count = rest,
            None => {
                until_count = COUNT_EVERY;
                if let Ok(tokens) = live.registry.tally().await {
                    stock.tokens = tokens;
                }
            }
        }
        service.stock().store(stock.into());
    }
}

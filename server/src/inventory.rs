//! The token counts and nodes of the store.

use keyward_runtime::store::{NodeStatus, StatusCount};

/// The latest token counts and nodes. Empty until the store has responded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    pub(crate) tokens: Vec<StatusCount>,
    pub(crate) nodes: Vec<NodeStatus>,
}

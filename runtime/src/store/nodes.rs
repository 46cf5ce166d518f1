//! The directory of the processes that share a store.

use super::{StoreFuture, unsupported};
use crate::clock::UnixTime;

/// A directory of the processes ("nodes") that share a store. By default, it returns an error.
pub trait NodeDirectory: Send + Sync + 'static {
    /// Notes the number up to which a node has read the log of revocations, and the time. Nodes
    /// without a note for 30 days are removed.
    fn note_node<'a>(&'a self, node: &'a str, last: u64, at: UnixTime) -> StoreFuture<'a, ()> {
        let _ = (node, last, at);
        unsupported("recording a node")
    }

    /// Returns the [`NodeStatus`] of each node, ordered by name.
    fn nodes(&self) -> StoreFuture<'_, Vec<NodeStatus>> {
        unsupported("listing nodes")
    }
}

/// The status that a node has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// The name of the node.
    pub node: String,
    /// The number of the last revocation that the node has read.
    pub last: u64,
    /// Number of revocations after that.
    pub behind: u64,
    /// When the node reported this.
    pub at: UnixTime,
}

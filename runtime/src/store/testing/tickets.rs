//! Tickets in memory.

use super::super::{SecretDigest, Ticket, TicketKind};
use crate::clock::UnixTime;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Tickets by their kind and digest.
#[derive(Clone, Default)]
pub(super) struct Tickets(BTreeMap<(TicketKind, [u8; 32]), Ticket>);

impl Tickets {
    pub(super) fn add(&mut self, ticket: &Ticket) -> bool {
        let Entry::Vacant(free) = self.0.entry((ticket.kind, *ticket.digest.bytes())) else { return false };
        free.insert(ticket.clone());
        true
    }

    pub(super) fn find(&self, kind: TicketKind, digest: &SecretDigest, at: UnixTime) -> Option<&Ticket> {
        self.0.get(&(kind, *digest.bytes())).filter(|ticket| !ticket.has_expired(at))
    }

    pub(super) fn take(&mut self, kind: TicketKind, digest: &SecretDigest, at: UnixTime) -> Option<Ticket> {
        self.find(kind, digest, at)?;
        self.0.remove(&(kind, *digest.bytes()))
    }

    /// Removes up to `max` tickets that have expired at `before`. Returns their number.
    pub(super) fn purge(&mut self, before: UnixTime, max: u32) -> u64 {
        let mut removed = 0_u32;
        self.0.retain(|_, ticket| {
            let is_kept = removed >= max || !ticket.has_expired(before);
            removed = removed.saturating_add(u32::from(!is_kept));
            is_kept
        });
        removed.into()
    }
}

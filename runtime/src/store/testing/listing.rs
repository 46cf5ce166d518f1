//! Lists and counts of records in memory.

use super::super::{CreatedBy, Cursor, Filter, KeyUsage, ListEntry, ListPage, Record, Status, StatusCount};
use crate::clock::UnixTime;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Returns a page of the records that match.
pub(super) fn page(all: &[ListEntry], filter: &Filter, after: Option<&Cursor>, max: usize, at: UnixTime) -> ListPage {
    let is_on_page =
        |entry: &&ListEntry| after.is_none_or(|after| entry.place() < *after) && matches(filter, entry, at);
    let mut entries: Vec<_> = all.iter().filter(is_on_page).cloned().collect();
    entries.sort_by_cached_key(|entry| Reverse(entry.place()));
    entries.truncate(max);
    ListPage { entries, stopped_at: None }
}

fn matches(filter: &Filter, ListEntry { handler, record }: &ListEntry, at: UnixTime) -> bool {
    let Filter { handlers, actor_id, client, status, unused_since, never_ends, idle } = filter;
    let is_by = |client: &CreatedBy| match client {
        CreatedBy::Operator => record.client.is_none(),
        CreatedBy::Client(client) => record.client.as_ref() == Some(client),
    };
    handlers.as_ref().is_none_or(|handlers| handlers.contains(handler))
        && actor_id.as_ref().is_none_or(|actor_id| *actor_id == record.actor_id)
        && client.as_ref().is_none_or(is_by)
        && status.is_none_or(|status| record.status(at, idle_before(idle, handler)) == status)
        && unused_since.is_none_or(|since| record.idle_since() < since)
        && (!never_ends || record.expires_at.is_none())
}

/// Returns the number of records by handler and status.
pub(super) fn tally(all: &[ListEntry], idle: &[(String, UnixTime)], at: UnixTime) -> Vec<StatusCount> {
    let mut counts = BTreeMap::<_, u64>::new();
    for ListEntry { handler, record } in all {
        let count = counts.entry((handler, record.status(at, idle_before(idle, handler)))).or_default();
        *count = count.saturating_add(1);
    }
    let count =
        |((handler, status), tokens): ((&String, _), _)| StatusCount { handler: handler.clone(), status, tokens };
    counts.into_iter().map(count).collect()
}

/// Returns the usage of each key.
pub(super) fn key_uses(all: &[ListEntry], at: UnixTime) -> Vec<KeyUsage> {
    let mut uses = BTreeMap::new();
    for ListEntry { record, .. } in all {
        let Record { key: Some(key), expires_at, .. } = record else { continue };
        let unused = || KeyUsage { key: key.clone(), minted: 0, good: 0, never_end: 0, newest_expiry: None };
        let usage: &mut KeyUsage = uses.entry(key).or_insert_with(unused);
        usage.minted = usage.minted.saturating_add(1);
        if record.status(at, None) == Status::Active {
            usage.good = usage.good.saturating_add(1);
            usage.never_end = usage.never_end.saturating_add(u64::from(expires_at.is_none()));
            usage.newest_expiry = usage.newest_expiry.max(*expires_at);
        }
    }
    uses.into_values().collect()
}

fn idle_before(idle: &[(String, UnixTime)], handler: &str) -> Option<UnixTime> {
    idle.iter().find(|(name, _)| name == handler).map(|(_, before)| *before)
}

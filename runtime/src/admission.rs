//! Call slots, divided so that no set of handlers can take them all.
//!
//! Half of the slots are guaranteed: every loaded handler owns an equal part of them, at least one,
//! which stays free for it regardless of the other handlers. The other half is shared: the more
//! slot time a handler has used recently, the more of it the handler must leave free. Colluding
//! handlers, however many, fill only their own parts and some of the shared slots.

use crate::usage::Usage;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The slots of a runtime, and the handlers that share them.
pub(crate) struct Admission {
    slots: usize,
    table: Mutex<Table>,
}

struct Table {
    free: usize,
    seats: Vec<Entry>,
    next_id: u64,
}

/// The slots that one handler uses.
struct Entry {
    id: u64,
    held: usize,
    /// Maximum number of slots it may hold, however many are free.
    max: usize,
    /// Time for which the handler held slots, decayed.
    usage: Usage,
}

/// A handler's place in the table. Dropping it hands its guaranteed slots to the others.
pub(crate) struct Seat {
    admission: Arc<Admission>,
    id: u64,
}

/// The reason that no slot is available, with the number of slots concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The handler's own limit is reached.
    Own(usize),
    /// All slots are in use, or the free ones are reserved for other handlers.
    All(usize),
}

/// A slot, held until it is dropped.
pub(crate) struct Slot {
    admission: Arc<Admission>,
    id: u64,
    since: Instant,
}

impl Admission {
    pub(crate) fn new(slots: usize) -> Arc<Self> {
        let table = Mutex::new(Table { free: slots, seats: Vec::new(), next_id: 0 });
        Arc::new(Self { slots, table })
    }

    /// Registers a handler that may hold at most `max` slots.
    pub(crate) fn seat(self: &Arc<Self>, max: usize, now: Instant) -> Seat {
        let mut table = self.table();
        let id = table.next_id;
        table.next_id = id.wrapping_add(1);
        table.seats.push(Entry { id, held: 0, max, usage: Usage::new(now) });
        Seat { admission: self.clone(), id }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Takes a slot without waiting.
    ///
    /// # Errors
    /// Returns [`Full`] if the handler has reached its maximum, or if all free slots belong to
    /// other handlers.
    pub(crate) fn admit(&self, now: Instant) -> Result<Slot, Full> {
        let slots = self.admission.slots;
        let mut table = self.admission.table();
        let guaranteed = guaranteed(slots, table.seats.len());
        let Some(&mut Entry { held, max, .. }) = table.entry(self.id) else { return Err(Full::All(slots)) };
        if held >= max {
            return Err(Full::Own(max));
        }
        if table.free == 0 || held >= guaranteed && !table.may_share(self.id, slots, guaranteed, now) {
            return Err(Full::All(slots));
        }
        table.free = table.free.saturating_sub(1);
        if let Some(entry) = table.entry(self.id) {
            entry.held = entry.held.saturating_add(1);
        }
        drop(table);
        Ok(Slot { admission: self.admission.clone(), id: self.id, since: now })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.admission.table().seats.retain(|entry| entry.id != self.id);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut table = self.admission.table();
        table.free = table.free.saturating_add(1);
        // The handler may have been unloaded while its call ran.
        if let Some(entry) = table.entry(self.id) {
            entry.held = entry.held.saturating_sub(1);
            entry.usage.add(now.saturating_duration_since(self.since), now);
        }
    }
}

impl Table {
    fn entry(&mut self, id: u64) -> Option<&mut Entry> {
        self.seats.iter_mut().find(|entry| entry.id == id)
    }

    /// Returns whether a handler that holds its guaranteed slots may take one of the shared ones.
    fn may_share(&mut self, id: u64, slots: usize, guaranteed: usize, now: Instant) -> bool {
        let owed: usize = self.seats.iter().map(|entry| guaranteed.saturating_sub(entry.held)).sum();
        let spare = self.free.saturating_sub(owed);
        if self.seats.len() < 2 {
            return spare > 0;
        }
        let shared = slots.saturating_sub(guaranteed.saturating_mul(self.seats.len()));
        let load = |entry: &mut Entry| entry.usage.level(now).saturating_add(window(entry.held));
        let Some(own) = self.entry(id).map(load) else { return false };
        let loads = self.seats.iter_mut().map(load);
        let (lighter, all) = loads.fold((Duration::ZERO, Duration::ZERO), |(lighter, all), load| {
            let lighter = if load <= own { lighter.saturating_add(load) } else { lighter };
            (lighter, all.saturating_add(load))
        });
        // The lightest handler may take the last shared slot, the heaviest must leave about half of
        // them.
        let rank = if all.is_zero() { 0.0 } else { lighter.div_duration_f64(all) };
        let left = shared.saturating_sub(1) / 2;
        spare as f64 > left as f64 * rank
    }
}

/// Returns how many slots each of `seats` handlers owns.
fn guaranteed(slots: usize, seats: usize) -> usize {
    if seats < 2 {
        return slots;
    }
    (slots / 2 / seats).max(usize::from(seats < slots))
}

/// Counts slots that are held now as if they had been held for a second each.
fn window(held: usize) -> Duration {
    Duration::from_secs(u64::try_from(held).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(seat: &Seat, max: usize, now: Instant) -> Vec<Slot> {
        (0..max).map_while(|_| seat.admit(now).ok()).collect()
    }

    #[test]
    fn a_single_handler_has_every_slot() {
        let now = Instant::now();
        let seat = Admission::new(8).seat(usize::MAX, now);
        assert_eq!(take(&seat, 9, now).len(), 8);
    }

    #[test]
    fn colluding_handlers_leave_every_other_handler_its_part() {
        for colluding in 1..20 {
            let now = Instant::now();
            let admission = Admission::new(64);
            let seats: Vec<_> = (0..=colluding).map(|_| admission.seat(usize::MAX, now)).collect();
            let (victim, hostile) = seats.split_last().unwrap();
            let held: Vec<_> = hostile.iter().flat_map(|seat| take(seat, 32, now)).collect();
            let left = take(victim, 32, now).len();
            assert!(left >= 32 / seats.len(), "{left} of {} slots beside {colluding}", 64 - held.len());
        }
    }

    #[test]
    fn light_users_get_the_shared_slots() {
        let start = Instant::now();
        let admission = Admission::new(64);
        let (heavy, light) = (admission.seat(usize::MAX, start), admission.seat(usize::MAX, start));
        let held = take(&heavy, 64, start);
        let later = start + Duration::from_millis(250);
        admission.table().entry(heavy.id).unwrap().usage.add(Duration::from_secs(12), later);
        drop(held);
        let heavy_slots = take(&heavy, 64, later);
        assert_eq!(heavy_slots.len(), 16 + 17, "its own and about half of the shared ones");
        let light_slots = take(&light, 64, later).len();
        assert!((25..=31).contains(&light_slots), "{light_slots}: its own and most of what is left");
    }

    #[test]
    fn an_unloaded_handler_owns_nothing() {
        let now = Instant::now();
        let admission = Admission::new(64);
        let (stays, goes) = (admission.seat(usize::MAX, now), admission.seat(usize::MAX, now));
        let running = goes.admit(now).ok().unwrap();
        drop(goes);
        let held = take(&stays, 64, now);
        assert_eq!(held.len(), 63);
        drop(running);
        assert_eq!(admission.table().free, 1);
    }

    proptest! {
        /// A handler that holds fewer slots than it owns finds one free after any order of
        /// admissions.
        #[test]
        fn guaranteed_slots_stay_free(slots in 2..70_usize, seats in 2..30_usize, calls in prop::collection::vec((0..30_usize, any::<bool>()), 0..200)) {
            let now = Instant::now();
            let admission = Admission::new(slots);
            let handlers: Vec<_> = (0..seats).map(|_| admission.seat(usize::MAX, now)).collect();
            let mut held: Vec<Vec<Slot>> = handlers.iter().map(|_| Vec::new()).collect();
            for (handler, enters) in calls {
                let handler = handler % seats;
                if enters { held[handler].extend(handlers[handler].admit(now)) } else { held[handler].pop(); }
                let owned = guaranteed(slots, seats);
                let owed: usize = held.iter().map(|held| owned.saturating_sub(held.len())).sum();
                let free = slots - held.iter().map(Vec::len).sum::<usize>();
                prop_assert!(free >= owed || owned * seats > slots, "{free} free, {owed} owed");
            }
        }
    }
}

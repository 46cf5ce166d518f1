//! The slots of requests in progress.

use crate::config::Limits;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The slots of one configuration.
pub(crate) struct Slots {
    known: Arc<Semaphore>,
    forms: Arc<FormSlots>,
}

/// A slot, free again when all its clones are dropped.
#[derive(Clone)]
pub(crate) enum Slot {
    /// A slot of a request whose client authenticates in the header, or not at all.
    Known { _permit: Arc<OwnedSemaphorePermit> },
    /// A slot of a request whose client authenticates in the body.
    Form(Arc<FormSlot>),
}

impl Slots {
    /// Creates the slots: a quarter as many for requests whose client authenticates in the body, so
    /// that these cannot block others.
    pub(crate) fn new(limits: &Limits) -> Self {
        let forms = FormSlots { count: limits.requests.div_ceil(4), taken: Mutex::default() };
        Self { known: Arc::new(Semaphore::new(limits.requests)), forms: Arc::new(forms) }
    }

    /// Takes a slot, or returns `None` if none is free.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = self.known.clone().try_acquire_owned().ok()?;
        Some(Slot::Known { _permit: Arc::new(permit) })
    }

    /// Takes a slot for a request whose client authenticates in the body. If all are taken, it is
    /// the slot of the request that has been reading its body for the longest time; returns `None`
    /// if all bodies are read.
    pub(crate) fn take_for_form(&self) -> Option<Slot> {
        self.forms.take().map(|slot| Slot::Form(Arc::new(slot)))
    }
}

/// The slots of requests whose client authenticates in the body.
struct FormSlots {
    count: usize,
    taken: Mutex<Taken>,
}

/// The taken slots by number, in the order of their requests, each with the notification for a
/// request that is still reading its body.
#[derive(Default)]
struct Taken {
    next: u64,
    slots: BTreeMap<u64, Option<Arc<Notify>>>,
}

/// A slot of a request whose client authenticates in the body.
pub(crate) struct FormSlot {
    slots: Arc<FormSlots>,
    number: u64,
    lost: Arc<Notify>,
}

impl FormSlots {
    fn take(self: &Arc<Self>) -> Option<FormSlot> {
        self.with(|taken| {
            if taken.slots.len() >= self.count {
                let slowest = taken.slots.iter().find_map(|(number, lost)| Some((*number, lost.clone()?)));
                let (number, lost) = slowest?;
                taken.slots.remove(&number);
                lost.notify_one();
            }
            let (number, lost) = (taken.next, Arc::new(Notify::new()));
            taken.next = number.wrapping_add(1);
            taken.slots.insert(number, Some(lost.clone()));
            Some(FormSlot { slots: self.clone(), number, lost })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Taken) -> T) -> T {
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FormSlot {
    /// Waits until another request takes the slot.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Keeps the slot until it is dropped, now that the body is read. Returns whether the request
    /// still has the slot.
    pub(crate) fn keeps(&self) -> bool {
        self.slots.with(|taken| taken.slots.get_mut(&self.number).map(|reading| *reading = None).is_some())
    }
}

impl Drop for FormSlot {
    fn drop(&mut self) {
        self.slots.with(|taken| taken.slots.remove(&self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(slots: &Slots) -> Option<Arc<FormSlot>> {
        match slots.take_for_form()? {
            Slot::Form(slot) => Some(slot),
            Slot::Known { .. } => None,
        }
    }

    #[test]
    fn the_slowest_body_loses_its_slot() {
        let slots = Slots::new(&Limits { requests: 8, ..Limits::default() });
        let [first, second] = [form(&slots).unwrap(), form(&slots).unwrap()];
        assert!(first.keeps());
        let third = form(&slots).unwrap();
        assert!(first.keeps() && !second.keeps() && third.keeps(), "the first has read its body");
        assert!(form(&slots).is_none(), "both have read their bodies");
        drop(second);
        assert!(form(&slots).is_none(), "the second has no slot any more");
        drop(first);
        let fourth = form(&slots).unwrap();
        assert!(fourth.keeps() && form(&slots).is_none());
        assert!((0..8).map(|_| slots.take()).collect::<Vec<_>>().iter().all(Option::is_some));
    }

    #[test]
    fn known_clients_have_slots_of_their_own() {
        let slots = Slots::new(&Limits { requests: 2, ..Limits::default() });
        let taken = [slots.take(), slots.take()];
        assert!(taken.iter().all(Option::is_some) && slots.take().is_none());
        assert!(form(&slots).is_some());
        drop(taken);
        assert!(slots.take().is_some());
    }
}

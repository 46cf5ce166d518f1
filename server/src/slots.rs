//! The slots of requests in progress, held until the response is written.

use crate::config::Limits;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The slots of one configuration.
pub(crate) struct Slots {
    known: Arc<Semaphore>,
    forms: Arc<FormSlots>,
    lists: Arc<ListSlots>,
}

/// A slot, free again when all its clones are dropped.
#[derive(Clone)]
pub(crate) enum Slot {
    /// A slot of a request whose client authenticates in the header, or not at all.
    Known { _permit: Arc<OwnedSemaphorePermit> },
    /// A slot of a request whose body is read before its client or person is known.
    Form(Arc<FormSlot>),
}

impl Slots {
    /// Creates the slots: a quarter as many for requests whose body is read before their client or
    /// person is known, so that these cannot block others.
    pub(crate) fn new(limits: &Limits) -> Self {
        let forms = FormSlots { count: limits.requests.div_ceil(4), taken: Mutex::default() };
        Self { known: Arc::new(Semaphore::new(limits.requests)), forms: Arc::new(forms), lists: Arc::default() }
    }

    /// Takes a slot, or returns `None` if none is free.
    pub(crate) fn take(&self) -> Option<Slot> {
        let permit = self.known.clone().try_acquire_owned().ok()?;
        Some(Slot::Known { _permit: Arc::new(permit) })
    }

    /// Takes a slot for a request whose body is read before its client or person is known. If all
    /// are taken, it is the slot of the request that has been reading its body for the longest
    /// time; returns `None` if all bodies are read.
    pub(crate) fn take_for_form(&self) -> Option<Slot> {
        self.forms.take().map(|slot| Slot::Form(Arc::new(slot)))
    }

    /// Takes a slot for a list or a count of a client, or returns `None` if it has as many in
    /// progress as it may.
    pub(crate) fn take_for_list(&self, client: &str) -> Option<ListSlot> {
        let mut slots = self.lists.lock();
        let taken = slots.entry(client.to_owned()).or_default();
        if *taken >= LISTS {
            return None;
        }
        *taken = taken.saturating_add(1);
        Some(ListSlot { slots: self.lists.clone(), client: client.to_owned() })
    }
}

/// Maximum number of lists and counts of one client in progress. Each reads many records, and they
/// wait for each other.
const LISTS: usize = 8;

/// The numbers of lists and counts in progress, by client.
#[derive(Default)]
struct ListSlots(Mutex<BTreeMap<String, usize>>);

/// A slot of a list or a count, free again when it is dropped.
pub(crate) struct ListSlot {
    slots: Arc<ListSlots>,
    client: String,
}

impl ListSlots {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ListSlot {
    fn drop(&mut self) {
        let mut slots = self.slots.lock();
        if let Some(taken) = slots.get_mut(&self.client) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                slots.remove(&self.client);
            }
        }
    }
}

/// Size of the pieces in which a response is written while it holds its slot. A smaller response
/// needs no slot.
const PIECE: usize = 16 << 10;

/// A response body that holds the slot of its request until nearly all of it is written. The HTTP
/// library drops a body with its last piece, so a body must have several.
pub(crate) struct HeldBody {
    body: Body,
    rest: Bytes,
    _slot: Slot,
}

impl HeldBody {
    /// Returns a body that holds the slot if it is large.
    pub(crate) fn hold(body: Body, slot: Slot) -> Body {
        let is_small = body.size_hint().upper().is_some_and(|bytes| bytes <= PIECE as u64);
        if is_small { body } else { Body::new(Self { body, rest: Bytes::new(), _slot: slot }) }
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Ok(Ok(data))) => self.rest = data,
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        let upper = hint.upper().map(|bytes| bytes.saturating_add(rest));
        let lower = hint.lower().saturating_add(rest);
        match upper {
            Some(exact) if exact == lower => hint.set_exact(exact),
            _ => hint = SizeHint::new(),
        }
        hint
    }
}

/// The slots of requests whose body is read before their client or person is known.
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

/// A slot of a request whose body is read before its client or person is known.
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

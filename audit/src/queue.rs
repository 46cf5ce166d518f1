//! The queue of the writer thread. Adding a record never waits for the disk.

use crate::body::Body;
use crate::chain::List;
use crate::dropped::Losses;
use crate::entry::Entry;
use crate::pending::PendingWrite;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of queued notes.
const NOTES: usize = 4_096;

/// Maximum number of queued records with a waiting caller.
const RECORDS: usize = 4_096;

/// Maximum number of records in a batch.
const BATCH: usize = 256;

/// The delay before a retry, or before losses are reported, unless new records come first.
const AGAIN: Duration = Duration::from_secs(1);

/// The interval of reports while the allowance of notes is used up, in seconds.
const MINUTE: u64 = 60;

/// A queued record.
pub(crate) struct Item {
    pub(crate) entry: Entry,
    /// The time since 1970.
    pub(crate) at: Duration,
    pub(crate) came: Instant,
    /// The pending write; `None` for notes.
    pub(crate) ticket: Option<Arc<PendingWrite>>,
}

/// The next records to write.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) losses: Losses,
    /// Number of late records and the time of the first one; the audit log reports them itself.
    pub(crate) late: Option<(u64, Duration)>,
    pub(crate) list: Option<List>,
    /// Set if losses must be reported with this batch.
    pub(crate) is_flushed: bool,
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    more: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// Number of notes among the items.
    notes: usize,
    losses: Losses,
    late: Option<(u64, Duration)>,
    /// The end of the revocation list, if it must be noted.
    list: Option<List>,
    /// The second of the last note, and the number of notes in that second.
    second: (u64, u32),
    /// The last minute in which notes were dropped because of their allowance or the reserved
    /// space, if losses have not been reported since.
    used_up: Option<u64>,
    /// Set if a failed write should be retried at once.
    urgent: bool,
    /// Number of records being written, and when the first of them was queued.
    writing: Option<(usize, Instant)>,
    /// Set if losses must be reported at once.
    flushing: bool,
    ending: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a note, at most `max` in one second, if given. Returns `false` if the note is only
    /// counted.
    pub(crate) fn note(&self, entry: Entry, at: Duration, max: Option<u32>) -> bool {
        let mut state = self.state();
        let second = at.as_secs();
        if state.second.0 != second {
            state.second = (second, 0);
        }
        if let Some(max) = max {
            if state.second.1 >= max || state.notes >= NOTES {
                state.losses.add(&entry);
                return false;
            }
            state.second.1 = state.second.1.saturating_add(1);
        }
        state.notes = state.notes.saturating_add(1);
        state.items.push_back(Item { entry, at, came: Instant::now(), ticket: None });
        drop(state);
        self.more.notify_one();
        true
    }

    /// Queues a record whose caller waits for it. Returns `false` if the queue is full; then the
    /// record is counted, unless `refused` is set.
    pub(crate) fn record(&self, entry: Entry, at: Duration, ticket: &Arc<PendingWrite>, refused: bool) -> bool {
        let mut state = self.state();
        if refused && state.records() >= RECORDS {
            // The changes of these records were refused.
            state.items.retain(|item| !item.is_given_up());
        }
        if state.records() >= RECORDS || state.ending {
            if !refused {
                state.losses.add(&entry);
            }
            return false;
        }
        state.items.push_back(Item { entry, at, came: Instant::now(), ticket: Some(ticket.clone()) });
        state.urgent = true;
        drop(state);
        self.more.notify_one();
        true
    }

    /// Queues entries of the audit log itself, beyond all limits.
    pub(crate) fn add(&self, entries: impl Iterator<Item = Entry>, at: Duration) {
        let items = entries.map(|entry| Item { entry, at, came: Instant::now(), ticket: None });
        let mut state = self.state();
        let before = state.items.len();
        state.items.extend(items);
        state.notes = state.notes.saturating_add(state.items.len().saturating_sub(before));
    }

    /// Counts notes that were dropped. Losses are not reported before the minute of `now` ends,
    /// because the reports take bytes, too.
    pub(crate) fn put_off(&self, losses: Losses, now: Duration) {
        let mut state = self.state();
        state.losses.merge(losses);
        state.used_up = Some(now.as_secs() / MINUTE);
    }

    /// Reports that `count` records were written late, the first at `since`.
    pub(crate) fn add_late(&self, count: u64, since: Duration) {
        let mut state = self.state();
        let (counted, first) = state.late.unwrap_or((0, since));
        state.late = Some((counted.saturating_add(count), first.min(since)));
    }

    /// Queues a note of the end of the revocation list. A pending acceptance by an operator is not
    /// replaced by an end that was read.
    pub(crate) fn note_list(&self, list: List) {
        let mut state = self.state();
        let is_overtaken = matches!((state.list, list), (Some(List::Accepted(_)), List::ReadTo(_)));
        if !is_overtaken {
            state.list = Some(list);
        }
        drop(state);
        self.more.notify_one();
    }

    /// Waits for the next batch; `now` returns the time since 1970. After a failure it waits
    /// longer, unless a caller waits. Returns `None` after the last batch.
    pub(crate) fn take(&self, failed: bool, now: &dyn Fn() -> Duration) -> Option<Batch> {
        let since = Instant::now();
        let mut state = self.state();
        loop {
            let waited = since.elapsed() >= AGAIN;
            // Once their second or minute is over, the number of losses is final.
            let at_once = state.ending || state.flushing;
            let now = now().as_secs();
            let is_over = match state.used_up {
                Some(minute) => now / MINUTE != minute,
                None => waited || now != state.second.0,
            };
            let tell = !state.losses.is_empty() && (at_once || is_over);
            let tell = tell || state.late.is_some();
            let there = !state.items.is_empty() || tell || state.list.is_some();
            if there && (!failed || waited || state.urgent || state.ending) {
                return Some(state.batch(tell));
            }
            if state.ending {
                return None;
            }
            state = if !state.has_any() {
                self.more.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let left = AGAIN.saturating_sub(since.elapsed());
                self.more.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Finishes a batch. A batch that could not be written is passed as `back` and queued again.
    pub(crate) fn done(&self, back: Option<Batch>) {
        let mut state = self.state();
        state.writing = None;
        if let Some(Batch { items, losses, late, list, is_flushed: _ }) = back {
            state.losses.merge(losses);
            state.list = state.list.or(list);
            if let Some((count, since)) = late {
                let (counted, first) = state.late.unwrap_or((0, since));
                state.late = Some((counted.saturating_add(count), first.min(since)));
            }
            for item in items.into_iter().rev() {
                if item.ticket.is_none() {
                    state.notes = state.notes.saturating_add(1);
                }
                state.items.push_front(item);
            }
        }
        drop(state);
        self.written.notify_all();
    }

    /// Waits until nothing is left to write or to report. Returns `false` if `max` passes first.
    pub(crate) fn flush(&self, max: Duration) -> bool {
        let mut state = self.state();
        state.flushing = true;
        self.more.notify_all();
        let busy = |state: &mut State| state.has_any() || state.writing.is_some();
        let waited = self.written.wait_timeout_while(state, max, busy);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        !waited.timed_out()
    }

    /// Returns the number of queued records, including those being written, and when the first of
    /// them was queued.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.state();
        let (writing, first) = state.writing.unzip();
        let first = first.or_else(|| state.items.front().map(|item| item.came));
        (state.items.len().saturating_add(writing.unwrap_or(0)), first)
    }

    /// Returns `true` if the queue has been closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ending
    }

    /// Closes the queue.
    pub(crate) fn end(&self) {
        self.state().ending = true;
        self.more.notify_all();
    }
}

impl State {
    fn records(&self) -> usize {
        self.items.len().saturating_sub(self.notes)
    }

    /// Returns `true` if there is anything to write.
    fn has_any(&self) -> bool {
        !(self.items.is_empty() && self.losses.is_empty() && self.late.is_none() && self.list.is_none())
    }

    fn batch(&mut self, tell: bool) -> Batch {
        self.urgent = false;
        let items: Vec<Item> = self.items.drain(..self.items.len().min(BATCH)).collect();
        self.writing = Some((items.len(), items.first().map_or_else(Instant::now, |item| item.came)));
        let notes = items.iter().filter(|item| item.ticket.is_none()).count();
        self.notes = self.notes.saturating_sub(notes);
        let losses = if tell { std::mem::take(&mut self.losses) } else { Losses::default() };
        self.used_up = self.used_up.filter(|_| !tell);
        let is_flushed = self.flushing || self.ending;
        Batch { items, losses, late: self.late.take(), list: self.list.take(), is_flushed }
    }
}

impl Item {
    fn can_be_dropped(&self) -> bool {
        self.ticket.is_none() && !self.entry.event.is_always_noted()
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.is_given_up())
    }
}

impl Batch {
    /// Returns `true` if the batch contains anything that the reserved space is not for.
    pub(crate) fn has_notes(&self) -> bool {
        !self.losses.is_empty() || self.items.iter().any(Item::can_be_dropped)
    }

    /// Moves notes to the losses, except for the first `exempt` ones. Returns their number.
    pub(crate) fn drop_notes(&mut self, mut exempt: usize) -> u64 {
        let Self { items, losses, .. } = self;
        let mut dropped = 0_u64;
        items.retain(|item| {
            let is_exempt = !item.can_be_dropped() || exempt > 0;
            if item.can_be_dropped() {
                exempt = exempt.saturating_sub(1);
            }
            if !is_exempt {
                losses.add(&item.entry);
                dropped = dropped.saturating_add(1);
            }
            is_exempt
        });
        dropped
    }

    /// Returns the lines to write: first the items, then losses and late records. The first
    /// `exempt` notes are not limited.
    pub(crate) fn records(&self, now: Duration, mut exempt: usize) -> Vec<(Duration, Body)> {
        let items = self.items.iter().map(|item| {
            let entry = Box::new(item.entry.clone());
            let is_exempt = !item.can_be_dropped() || exempt > 0;
            if item.can_be_dropped() {
                exempt = exempt.saturating_sub(1);
            }
            (item.at, if is_exempt { Body::Entry(entry) } else { Body::Note(entry) })
        });
        let losses = self.losses.told().into_iter().map(|losses| (now, Body::Lost(losses)));
        let late = self.late.map(|(count, since)| (now, Body::Late(count, since)));
        items.chain(losses).chain(late).collect()
    }
}

//! Records on their way to the thread that writes them. Whoever brings one never waits for the disk.

use crate::chain::List;
use crate::entry::{Body, Entry};
use crate::losses::Losses;
use crate::ticket::Ticket;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many notes may wait.
const NOTES: usize = 4_096;

/// How many records that somebody waits for may wait.
const RECORDS: usize = 4_096;

/// How many are written at once.
const BATCH: usize = 256;

/// How long to wait until it is tried again to write, or said what was lost, if nobody comes before.
const AGAIN: Duration = Duration::from_secs(1);

/// A record that waits.
pub(crate) struct Item {
    pub(crate) entry: Entry,
    /// Since 1970.
    pub(crate) at: Duration,
    pub(crate) came: Instant,
    /// None: nobody waits for it.
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// What is to be written next.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    pub(crate) losses: Losses,
    /// How many of those that somebody waits for are late, and since when: the audit says so itself.
    pub(crate) late: Option<(u64, Duration)>,
    pub(crate) list: Option<List>,
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
    /// How many of them are notes.
    notes: usize,
    losses: Losses,
    late: Option<(u64, Duration)>,
    /// The end of the list of revocations that is to be noted.
    list: Option<List>,
    /// The second of the last note, and how many came in it.
    second: (u64, u32),
    /// Whether what failed should be tried again at once.
    urgent: bool,
    /// How many are being written, and since when the first of them waits.
    writing: Option<(usize, Instant)>,
    /// Whether what was lost is to be told at once.
    flushing: bool,
    ending: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a note; `most` is how many of a second are taken, if they are limited. False: it is only counted.
    pub(crate) fn note(&self, entry: Entry, at: Duration, most: Option<u32>) -> bool {
        let mut state = self.state();
        let second = at.as_secs();
        if state.second.0 != second {
            state.second = (second, 0);
        }
        if let Some(most) = most {
            if state.second.1 >= most || state.notes >= NOTES {
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

    /// Takes a record that somebody waits for. False: there are too many, and it is counted unless it is `refused`.
    pub(crate) fn record(&self, entry: Entry, at: Duration, ticket: &Arc<Ticket>, refused: bool) -> bool {
        let mut state = self.state();
        if refused && state.records() >= RECORDS {
            // Nobody wants those any more.
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

    /// Takes what the audit itself has to say, whoever else waits.
    pub(crate) fn add(&self, entries: impl Iterator<Item = Entry>, at: Duration) {
        let items = entries.map(|entry| Item { entry, at, came: Instant::now(), ticket: None });
        let mut state = self.state();
        let before = state.items.len();
        state.items.extend(items);
        state.notes = state.notes.saturating_add(state.items.len().saturating_sub(before));
    }

    /// Says that so many were written late.
    pub(crate) fn add_late(&self, count: u64, since: Duration) {
        let mut state = self.state();
        let (counted, first) = state.late.unwrap_or((0, since));
        state.late = Some((counted.saturating_add(count), first.min(since)));
    }

    /// Takes the end of the list of revocations to be noted. What was read before an operator's word does not replace it.
    pub(crate) fn note_list(&self, list: List) {
        let mut state = self.state();
        let is_overtaken = matches!((state.list, list), (Some(List::Accepted(_)), List::ReadTo(_)));
        if !is_overtaken {
            state.list = Some(list);
        }
        drop(state);
        self.more.notify_one();
    }

    /// Waits for what is to be written next; `now` is the time, since 1970. After a failure it waits longer, unless somebody
    /// waits. `None`: that was all.
    pub(crate) fn take(&self, failed: bool, now: &dyn Fn() -> Duration) -> Option<Batch> {
        let since = Instant::now();
        let mut state = self.state();
        loop {
            let waited = since.elapsed() >= AGAIN;
            // Once its second is over, it is known how many they are.
            let at_once = state.ending || state.flushing;
            let tell = !state.losses.is_empty() && (waited || at_once || now().as_secs() != state.second.0);
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

    /// A batch is written, or not: then it is put back, for another time.
    pub(crate) fn done(&self, back: Option<Batch>) {
        let mut state = self.state();
        state.writing = None;
        if let Some(Batch { items, losses, late, list }) = back {
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

    /// Waits until nothing waits to be written, nor what was lost to be told, for so long at most. Says whether it is so.
    pub(crate) fn flush(&self, most: Duration) -> bool {
        let mut state = self.state();
        state.flushing = true;
        self.more.notify_all();
        let busy = |state: &mut State| state.has_any() || state.writing.is_some();
        let waited = self.written.wait_timeout_while(state, most, busy);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        state.flushing = false;
        !waited.timed_out()
    }

    /// How many wait, those included that are being written, and since when the first of them does.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let state = self.state();
        let (writing, first) = state.writing.unzip();
        let first = first.or_else(|| state.items.front().map(|item| item.came));
        (state.items.len().saturating_add(writing.unwrap_or(0)), first)
    }

    /// Whether no more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().ending
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        self.state().ending = true;
        self.more.notify_all();
    }
}

impl State {
    fn records(&self) -> usize {
        self.items.len().saturating_sub(self.notes)
    }

    /// Whether there is anything to be written.
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
        Batch { items, losses, late: self.late.take(), list: self.list.take() }
    }
}

impl Item {
    pub(crate) fn is_given_up(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.is_given_up())
    }
}

impl Batch {
    /// As it is to stand in the file, the items first.
    pub(crate) fn records(&self, now: Duration) -> Vec<(Duration, Body)> {
        let items = self.items.iter().map(|item| (item.at, Body::Entry(Box::new(item.entry.clone()))));
        let losses = self.losses.told().into_iter().map(|losses| (now, Body::Lost(losses)));
        let late = self.late.map(|(count, since)| (now, Body::Late(count, since)));
        items.chain(losses).chain(late).collect()
    }
}

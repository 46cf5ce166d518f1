//! The writer thread: takes everything that is queued, makes it durable with one sync, and settles
//! the pending writes.

use crate::chain::{Appended, Chain, List};
use crate::dropped::Losses;
use crate::entry::{Entry, Event};
use crate::files::reason;
use crate::queue::Batch;
use crate::storage::Storage;
use crate::{OnWriteFailure, Recorded, Shared};
use std::mem;
use std::sync::PoisonError;
use std::sync::mpsc::Sender;

/// Writes until the queue ends. First reports over `opened` whether the file can be written.
pub(crate) fn run(shared: &Shared, storage: Box<dyn Storage>, opened: &Sender<Result<(), String>>) {
    let Shared { settings, clock, queue, ended, has_ended, .. } = shared;
    let mut chain = Chain::new(settings.clone(), storage);
    match chain.append(&[], clock()) {
        Ok(Appended { head, .. }) => {
            shared.status().head = head;
            let _ = opened.send(Ok(()));
        }
        Err(error) => {
            let _ = opened.send(Err(reason(&error)));
        }
    }
    let mut failed = false;
    while let Some(batch) = queue.take(failed, clock) {
        failed = !write(shared, &mut chain, batch);
        if failed && queue.has_ended() {
            break;
        }
    }
    *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
    has_ended.notify_all();
}

/// Writes a batch and settles its pending writes. Returns `false` if the batch could not be
/// written.
fn write(shared: &Shared, chain: &mut Chain, mut batch: Batch) -> bool {
    let Shared { settings, clock, queue, .. } = shared;
    let refuse = settings.when_stuck == OnWriteFailure::Refuse;
    if refuse {
        // The changes of refused records were not made.
        batch.items.retain(|item| !item.is_given_up());
    }
    let now = clock();
    // After a failure one note is always written: its success shows that writing works again.
    let exempt = usize::from(shared.status().trouble.is_some());
    if batch.has_notes() && chain.is_low_on_space() {
        shared.count_lost(batch.drop_notes(exempt));
        if !batch.is_flushed {
            queue.put_off(mem::take(&mut batch.losses), now);
        }
    }
    let records = batch.records(now, exempt);
    if records.is_empty() {
        return note_list(shared, chain, batch.list);
    }
    match chain.append(&records, now) {
        Ok(Appended { first, head, dropped, is_used_up }) => {
            let [written, lost] = [records.len().saturating_sub(dropped.len()), dropped.len()];
            let [written, lost] = [written, lost].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
            let mut status = shared.status();
            status.head = head;
            status.written = status.written.saturating_add(written);
            if written > 0 {
                status.trouble = None;
            }
            drop(status);
            shared.count_lost(lost);
            let is_dropped = |index: &usize| dropped.contains(index);
            if is_used_up {
                let mut losses = Losses::default();
                let items = batch.items.iter().enumerate().filter(|(index, _)| is_dropped(index));
                items.for_each(|(_, item)| losses.add(&item.entry));
                queue.put_off(losses, now);
            }
            let mut refused = Vec::new();
            let mut late = None;
            let written = batch.items.iter().enumerate().filter(|(index, _)| !is_dropped(index));
            for ((_, item), seq) in written.zip(first..) {
                let Some(ticket) = &item.ticket else { continue };
                if ticket.answer(Ok(Recorded::Written(seq)), || {}) || !ticket.is_given_up() {
                    continue;
                }
                if refuse {
                    let (refers_to, reason) = (Some(seq), Some("late".to_owned()));
                    let (handler, request) = (item.entry.handler.clone(), item.entry.request.clone());
                    refused.push(Entry { refers_to, handler, request, reason, ..Entry::new(Event::Failed) });
                } else {
                    let (count, since) = late.unwrap_or((0_u64, item.at));
                    late = Some((count.saturating_add(1), since));
                }
            }
            queue.add(refused.into_iter(), now);
            if let Some((count, since)) = late {
                queue.add_late(count, since);
            }
            note_list(shared, chain, batch.list)
        }
        Err(error) => {
            let why = reason(&error);
            shared.status().trouble = Some(why.clone());
            // Records that are not refused are retried.
            batch.items.retain(|item| {
                let Some(ticket) = &item.ticket else { return true };
                if refuse {
                    ticket.answer(Err(shared.error(&why)), || shared.count_refused());
                } else {
                    let _ = shared.give_up(ticket);
                }
                !refuse
            });
            queue.done(Some(batch));
            false
        }
    }
}

/// Notes the end of the revocation list, after everything else in the batch. Returns `false` if it
/// must be retried.
fn note_list(shared: &Shared, chain: &mut Chain, list: Option<List>) -> bool {
    let Some(list) = list else {
        shared.queue.done(None);
        return true;
    };
    match chain.note_list(list, (shared.clock)()) {
        Ok(()) => {
            shared.queue.done(None);
            true
        }
        // The same error keeps records from being written, and is reported with them.
        Err(_) => {
            shared.queue.done(Some(Batch { list: Some(list), ..Batch::default() }));
            false
        }
    }
}

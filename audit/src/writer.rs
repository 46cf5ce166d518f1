//! The thread that writes: it takes all that waits, makes it durable at once, and answers all who wait.

use crate::chain::{Chain, List};
use crate::disk::Storage;
use crate::entry::{Entry, Event};
use crate::files::reason;
use crate::queue::Batch;
use crate::{Recorded, Shared, WhenStuck};
use std::sync::PoisonError;
use std::sync::mpsc::Sender;

/// Writes until the end. Says first whether the file can be written at all.
pub(crate) fn run(shared: &Shared, storage: Box<dyn Storage>, opened: &Sender<Result<(), String>>) {
    let Shared { settings, clock, queue, ended, has_ended, .. } = shared;
    let mut chain = Chain::new(settings.clone(), storage);
    match chain.append(&[], clock()) {
        Ok((_, head)) => {
            shared.standing().head = head;
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

/// Writes a batch and answers for it. False: it could not be written.
fn write(shared: &Shared, chain: &mut Chain, mut batch: Batch) -> bool {
    let Shared { settings, clock, queue, .. } = shared;
    let refuse = settings.when_stuck == WhenStuck::Refuse;
    if refuse {
        // What was refused did not happen.
        batch.items.retain(|item| !item.is_given_up());
    }
    let now = clock();
    let records = batch.records(now);
    if records.is_empty() {
        return note_list(shared, chain, batch.list);
    }
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    match chain.append(&records, now) {
        Ok((first, head)) => {
            let mut standing = shared.standing();
            standing.head = head;
            standing.written = standing.written.saturating_add(count);
            standing.trouble = None;
            drop(standing);
            let mut refused = Vec::new();
            let mut late = None;
            for (item, seq) in batch.items.iter().zip(first..) {
                let Some(ticket) = &item.ticket else { continue };
                if ticket.answer(Ok(Recorded::Written(seq)), || {}) || !ticket.is_given_up() {
                    continue;
                }
                if refuse {
                    let (of, reason) = (Some(seq), Some("late".to_owned()));
                    let (handler, request) = (item.entry.handler.clone(), item.entry.request.clone());
                    refused.push(Entry { of, handler, request, reason, ..Entry::new(Event::Failed) });
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
            shared.standing().trouble = Some(why.clone());
            // What is not refused is tried again.
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

/// Notes the end of the list of revocations, once all else of a batch is written. False: it is tried again.
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
        // The same trouble keeps records from being written, and is reported with them.
        Err(_) => {
            shared.queue.done(Some(Batch { list: Some(list), ..Batch::default() }));
            false
        }
    }
}

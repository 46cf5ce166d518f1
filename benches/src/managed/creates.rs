//! Token creation, with and without an audit, by one thread and by several at once.

use super::{Counting, audit, micros, shown};
use crate::kept::{FEW, HANDLER, Kept, each_kind};
use crate::stats::{nanos, per_call, spread};
use keyward_audit::{Audit, Entry, Event, Recorded, Settings};
use keyward_runtime::IssueOptions;
use keyward_runtime::{CreateRequest, Creation};
use keyward_service::AuditedChange;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

const ROUNDS: usize = 21;
/// Number of calls of each thread.
const CALLS: u32 = 20;
const THREADS: u32 = 8;
/// A line about as long as a line of the audit.
const LINE: [u8; 300] = [b'a'; 300];

/// The operations that are compared.
const ROWS: [&str; 4] = ["a token", "a token, with an audit", "a record of the audit alone", "a bare write and sync"];

pub(super) fn run() {
    println!("\n| made durable | one thread, µs | {THREADS} threads, µs each | ratio of rates |");
    println!("| --- | --- | --- | --- |");
    for (what, lines) in each_kind([FEW], |what, [kept]| measure(what, &kept)) {
        for line in lines {
            println!("* {what}: {line}");
        }
    }
}

fn measure(what: &str, kept: &Kept) -> [String; 4] {
    let folder = TempDir::new().unwrap();
    let disk = Counting::default();
    let notes = Settings::new("").notes_per_second;
    let audit = audit(&folder, "audit.jsonl", notes, disk.clone());
    let file = File::create(folder.path().join("bare")).unwrap();
    let create = |audit: Option<&Audit>| create(kept, audit);
    let record = || assert!(matches!(audit.record_blocking(entry()), Ok(Recorded::Written(_))));
    let bare = || {
        file.write_all_at(&LINE, file.metadata().unwrap().len()).unwrap();
        file.sync_data().unwrap();
    };
    let work: [&(dyn Fn() + Sync); 4] = [&|| create(None), &|| create(Some(&audit)), &record, &bare];
    let counted = || (audit.status().written, disk.syncs());
    let mut one = [const { Vec::new() }; 4];
    let mut several = [const { Vec::new() }; 4];
    // Number of audit records that one sync made durable.
    let mut gathered = [const { Vec::new() }; 4];
    for round in 0..=ROUNDS {
        let measured = work.iter().zip(&mut one).zip(&mut several).zip(&mut gathered);
        for (((work, one), several), gathered) in measured {
            let alone = nanos(CALLS, work);
            let before = counted();
            let at_once = at_once(work);
            let after = counted();
            // The first round is a warm-up.
            if round == 0 {
                continue;
            }
            one.push(alone);
            several.push(at_once);
            gathered.push((after.0 - before.0) as f64 / (after.1 - before.1) as f64);
        }
    }
    for ((row, one), several) in ROWS.iter().zip(&one).zip(&several) {
        let (alone, at_once) = (micros(one), micros(several));
        println!("| {what}: {row} | {alone:.0} | {at_once:.0} | **{}** times |", shown(one, several));
    }
    [
        format!("a token with an audit, of one without, one thread: **{}**", shown(&one[1], &one[0])),
        format!("the same, {THREADS} threads: **{}**", shown(&several[1], &several[0])),
        format!("records of it that one sync makes durable, {THREADS} threads: **{}**", spread(&gathered[1])),
        format!("the same of the audit alone, {THREADS} threads: **{}**", spread(&gathered[2])),
    ]
}

/// Returns the nanoseconds per operation if several threads run it at once.
fn at_once(work: &(dyn Fn() + Sync)) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CALLS).for_each(|_| work()));
        }
    });
    per_call(start.elapsed(), CALLS * THREADS)
}

/// Creates a token as the daemon does.
fn create(kept: &Kept, audit: Option<&Audit>) {
    let intent = AuditedChange::new(audit, entry());
    let request = CreateRequest::new("ann@example.com").handler(HANDLER);
    let creation = pollster::block_on(kept.registry.create_with(request, IssueOptions::new().hook(&intent)));
    assert!(matches!(creation, Ok(Creation::Created(_))), "{creation:?}");
    intent.made(&creation);
}

fn entry() -> Entry {
    Entry {
        request: Some("0123456789abcdef0123456789abcdef".to_owned()),
        client: Some("app".to_owned()),
        actor: Some("somebody@example.com".to_owned()),
        handler: Some(HANDLER.to_owned()),
        handler_sha256: Some("0".repeat(64)),
        ..Entry::new(Event::Create)
    }
}

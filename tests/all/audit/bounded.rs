//! The bound on notes: unauthenticated requests neither fill the disk nor stop changes.

use super::{NOW, Place, entry};
use keyward_audit::{Audit, Disk, Entry, Event, Record, Recorded, Storage, verify};
use keyward_tests::daemon::wait_for;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// Maximum bytes of notes in 24 hours, in these tests.
const PER_DAY: u64 = 200_000;

fn place() -> Place {
    let mut place = Place::new();
    (place.settings.notes_per_second, place.settings.notes_bytes_per_day) = (u32::MAX, PER_DAY);
    place
}

/// Notes `count` refused verifications.
fn note(audit: &Audit, count: usize) {
    for _ in 0..count {
        let [handler, reason] = ["h", "malformed"].map(|text| Some(text.to_owned()));
        audit.note(Entry { handler, reason, ..Entry::new(Event::Verify) });
    }
    assert!(audit.flush());
}

fn events(records: &[Record], event: &str) -> u64 {
    records.iter().filter(|record| record.event == event).count() as u64
}

/// Returns the number of bytes in all lines with this event.
fn bytes(place: &Place, event: &str) -> u64 {
    let is_of = |line: &&str| line.split("\"event\":\"").nth(1).is_some_and(|rest| rest.starts_with(event));
    let text: String = place.files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().filter(is_of).map(|line| line.len() as u64 + 1).sum()
}

#[test]
fn notes_beyond_the_bytes_of_a_day_are_counted() {
    let place = place();
    let audit = place.open();
    note(&audit, 2_000);
    let first = bytes(&place, "verify");
    assert!((PER_DAY * 45 / 100..=PER_DAY / 2).contains(&first), "{first} bytes at once");
    // Changes and their outcomes are not limited.
    for number in 0..100 {
        audit.record_blocking(entry(number)).unwrap();
        audit.note(Entry { refers_to: Some(1), ..Entry::new(Event::Failed) });
    }
    let mut noted = 2_000;
    for _ in 0..23 {
        place.hand.forward(HOUR);
        let before = bytes(&place, "verify");
        note(&audit, 100);
        noted += 100;
        assert!(bytes(&place, "verify") > before, "samples of each hour");
    }
    let [notes, losses] = ["verify", "lost"].map(|event| bytes(&place, event));
    // Each flush has reported losses, for which few bytes were left.
    assert!(notes <= PER_DAY && losses <= PER_DAY / 10, "{notes} and {losses} bytes in a day");
    assert!(notes + losses >= PER_DAY * 9 / 10, "{notes} and {losses} bytes in a day");
    let lost = audit.status().lost;
    drop(audit);
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.lost), (None, lost));
    let records = place.records();
    assert_eq!(events(&records, "verify") + lost, noted);
    assert_eq!((events(&records, "create"), events(&records, "failed")), (100, 100));
}

#[test]
fn the_bytes_of_a_day_are_shared_by_processes_and_kept_over_restarts() {
    let place = place();
    let (first, other) = (place.open(), place.open());
    note(&first, 2_000);
    note(&other, 2_000);
    // A command does not note anything, and keeps the rest.
    other.record_blocking(entry("change")).unwrap();
    drop((first, other));
    let used = bytes(&place, "verify");
    assert!(used <= PER_DAY / 2, "{used}");
    for _ in 0..3 {
        place.write([entry("change")]);
        note(&place.open(), 2_000);
    }
    assert_eq!(bytes(&place, "verify"), used);
    place.hand.forward(12 * HOUR);
    note(&place.open(), 2_000);
    let later = bytes(&place, "verify") - used;
    assert!((PER_DAY / 5..=PER_DAY / 4).contains(&later), "{later}");
    place.is_whole();
}

#[test]
fn a_jump_of_the_clock_neither_lifts_the_bound_nor_blocks_notes() {
    let place = place();
    let set = |audit: &Audit, now: u64| {
        place.hand.0.store(now, Ordering::SeqCst);
        let before = bytes(&place, "verify");
        note(audit, 1_000);
        bytes(&place, "verify") - before
    };
    let (year, hour) = (365 * 86_400_000, 3_600_000);
    let audit = place.open();
    assert!(set(&audit, NOW) <= PER_DAY / 2);
    let ahead = set(&audit, NOW + 10 * year);
    assert!(ahead > 0 && ahead <= PER_DAY / 2, "{ahead}");
    assert_eq!(set(&audit, NOW), 0);
    let back = set(&audit, NOW + 12 * hour);
    assert!(back > 0 && back <= PER_DAY / 4, "{back}");
    drop(audit);
    let audit = place.open();
    assert!(set(&audit, NOW - year) <= PER_DAY / 2);
    assert!(set(&audit, NOW - year + 12 * hour) > 0);
    place.is_whole();
}

/// The reports take bytes, too.
#[test]
fn losses_beyond_the_bytes_of_a_day_are_reported_once_a_minute() {
    let place = place();
    let audit = place.open();
    note(&audit, 2_000);
    let reports = || events(&place.records(), "lost");
    let before = reports();
    for _ in 0..600 {
        place.hand.forward(Duration::from_secs(1));
        for _ in 0..10 {
            audit.note(entry("flood"));
        }
        wait_for("the notes to be handled", || audit.status().waiting == 0);
    }
    let reported = reports() - before;
    assert!((5..=12).contains(&reported), "{reported} reports in ten minutes");
    assert!(audit.flush());
    let lost = audit.status().lost;
    drop(audit);
    assert_eq!(verify(place.file(), None).unwrap().lost, lost);
}

/// A disk with few free bytes.
#[derive(Clone)]
struct Small(Arc<AtomicU64>);

impl Small {
    fn free(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Storage for Small {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(left) = self.free().checked_sub(bytes.len() as u64) else {
            return Err(io::Error::from_raw_os_error(28));
        };
        self.0.store(left, Ordering::SeqCst);
        Disk.write(file, bytes, at)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&mut self, _: &File) -> io::Result<u64> {
        Ok(self.free())
    }
}

const RESERVE: u64 = 1 << 20;

/// Opens an audit log on a disk with `free` bytes, of which [`RESERVE`] are reserved.
fn open_small(free: u64) -> (Place, Audit, Small) {
    let (mut place, disk) = (Place::new(), Small(Arc::new(AtomicU64::new(free))));
    (place.settings.notes_per_second, place.settings.reserve_bytes) = (u32::MAX, RESERVE);
    let audit = Audit::open_on(place.settings.clone(), place.hand.clock(), Box::new(disk.clone())).unwrap();
    (place, audit, disk)
}

#[test]
fn notes_leave_the_reserved_space_to_changes() {
    let (place, audit, disk) = open_small(RESERVE + 50_000);
    for _ in 0..20 {
        note(&audit, 1_000);
    }
    let left = disk.free();
    // It is compared once in a batch.
    assert!((RESERVE - 100_000..RESERVE).contains(&left), "{left}");
    let mut made = 0;
    while disk.free() > 1_000 {
        assert!(matches!(audit.record_blocking(entry(made)), Ok(Recorded::Written(_))), "{} bytes left", disk.free());
        made += 1;
        audit.note(Entry { refers_to: Some(1), ..Entry::new(Event::Failed) });
        audit.note(Entry::new(Event::Verify));
        wait_for("the notes to be handled", || audit.status().waiting == 0);
    }
    assert!(made > 1_000, "{made}");
    disk.0.store(RESERVE * 2, Ordering::SeqCst);
    note(&audit, 100);
    let lost = audit.status().lost;
    drop(audit);
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.lost), (None, lost));
    let records = place.records();
    assert_eq!(events(&records, "verify") + lost, 20_100 + made);
    assert_eq!((events(&records, "create"), events(&records, "failed")), (made, made));
}

#[test]
fn losses_are_reported_once_space_is_free() {
    let (place, audit, disk) = open_small(RESERVE - 1);
    let minutes = || {
        for _ in 0..300 {
            place.hand.forward(Duration::from_secs(1));
            audit.note(Entry::new(Event::Verify));
            wait_for("the note to be handled", || audit.status().waiting == 0);
        }
    };
    minutes();
    assert_eq!((place.records().len(), audit.status().lost, disk.free()), (0, 300, RESERVE - 1));
    disk.0.store(RESERVE * 2, Ordering::SeqCst);
    minutes();
    let lost = || verify(place.file(), None).unwrap().lost;
    wait_for("the losses to be reported", || lost() == 300);
    assert_eq!(events(&place.records(), "verify"), 300);
    // A stop does not lose the counts.
    disk.0.store(RESERVE - 1, Ordering::SeqCst);
    audit.note(Entry::new(Event::Verify));
    drop(audit);
    assert_eq!(lost(), 301);
}

/// A revocation that was refused is retried once it can be recorded, which a note has to show.
#[test]
fn a_full_disk_is_noticed_to_have_space_again() {
    let (_place, audit, disk) = open_small(100);
    assert!(audit.record_blocking(entry("refused")).is_err());
    assert!(audit.status().trouble.is_some());
    audit.note(Entry::new(Event::Revoke));
    disk.0.store(RESERVE / 2, Ordering::SeqCst);
    wait_for("the trouble to end", || audit.status().trouble.is_none());
}

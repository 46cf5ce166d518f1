//! A disk that is full, fails or hangs: the configured policy applies, within the deadline.

use super::{Place, entry, records};
use keyward_audit::{Audit, Disk, Entry, Event, OnWriteFailure, Recorded, Storage, verify};
use keyward_tests::daemon::wait_for;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Short, so that the tests are fast; no test depends on the exact value.
const SOON: Duration = Duration::from_millis(100);

/// The behavior of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Works,
    /// A write hangs until the mood changes.
    BlocksWrite,
    /// A sync hangs until the mood changes.
    BlocksSync,
    /// Half of the data is written, and then the disk is full.
    Full,
    /// The data is written, but the sync fails.
    FailsSync,
}

/// A disk whose behavior the test controls.
#[derive(Clone)]
struct Moody(Arc<(Mutex<(Mood, usize)>, Condvar)>);

impl Moody {
    fn new() -> Self {
        Self(Arc::new((Mutex::new((Mood::Works, 0)), Condvar::new())))
    }

    fn set(&self, mood: Mood) {
        self.0.0.lock().unwrap().0 = mood;
        self.0.1.notify_all();
    }

    /// Waits while the mood is `blocks`. Returns the current mood.
    fn pass(&self, blocks: Mood) -> Mood {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| state.0 == blocks).unwrap();
        state.1 -= 1;
        state.0
    }

    /// Waits until a call hangs.
    fn is_held(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.1 == 0).unwrap());
    }
}

impl Storage for Moody {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.pass(Mood::BlocksWrite) == Mood::Full {
            Disk.write(file, &bytes[..bytes.len() / 2], at)?;
            return Err(io::Error::from_raw_os_error(28));
        }
        Disk.write(file, bytes, at)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        match self.pass(Mood::BlocksSync) {
            Mood::FailsSync => Err(io::Error::from_raw_os_error(5)),
            _ => Ok(()),
        }
    }
}

fn open(place: &mut Place, when_stuck: OnWriteFailure) -> (Audit, Moody) {
    let disk = Moody::new();
    (place.settings.when_stuck, place.settings.deadline) = (when_stuck, SOON);
    // Opening may be slow.
    let audit = loop {
        match Audit::open_on(place.settings.clone(), place.hand.clock(), Box::new(disk.clone())) {
            Ok(audit) => break audit,
            Err(error) => println!("retrying: {error}"),
        }
    };
    (audit, disk)
}

/// Writes until it succeeds: on a busy machine a write may miss the short deadline.
fn write(audit: &Audit, name: &str) {
    while !matches!(audit.record_blocking(entry(name)), Ok(Recorded::Written(_))) {}
}

fn requests(place: &Place) -> Vec<String> {
    place.records().into_iter().filter(|record| record.event == "create").filter_map(|record| record.request).collect()
}

#[test]
fn changes_are_refused_within_the_deadline_while_the_disk_hangs() {
    for mood in [Mood::BlocksWrite, Mood::BlocksSync] {
        let mut place = Place::new();
        let (audit, disk) = open(&mut place, OnWriteFailure::Refuse);
        write(&audit, "before");
        let refused = audit.status().refused;
        disk.set(mood);
        let error = audit.record_blocking(entry("first")).unwrap_err().to_string();
        assert!(error.ends_with("audit.jsonl: could not be written within 100 ms"), "{error}");
        // A record that the disk has not accepted yet waits, too.
        disk.is_held();
        let standing = audit.status();
        assert!(standing.waiting == 1 && standing.lag > Duration::ZERO, "{standing:?}");
        wait_for("the log to be reported as stuck", || audit.status().trouble.is_some());
        // Without an executor, and from many threads.
        thread::scope(|scope| {
            for number in 0..20 {
                let recording = audit.record(entry(format!("later {number}")));
                scope.spawn(move || assert!(pollster::block_on(recording).is_err()));
            }
        });
        assert_eq!(audit.status().refused - refused, 21);
        assert!(audit.status().lag > Duration::ZERO);
        disk.is_held();
        disk.set(Mood::Works);
        write(&audit, "after");
        assert!(audit.flush() || audit.flush());
        drop(audit);
        place.is_whole();
        // The record in progress was written, so a later one says that its change was not made.
        let requests = requests(&place);
        assert_eq!(requests.iter().filter(|name| *name == "first").count(), 1, "{requests:?}");
        assert!(!requests.iter().any(|name| name.starts_with("later")), "{requests:?}");
        let records = place.records();
        let first = records.iter().find(|record| record.request.as_deref() == Some("first")).unwrap();
        let failed = records.iter().find(|record| record.refers_to == Some(first.seq)).unwrap();
        assert_eq!((failed.event.as_str(), failed.reason.as_deref()), ("failed", Some("late")));
    }
}

#[test]
fn changes_proceed_while_the_disk_hangs_if_configured() {
    for mood in [Mood::BlocksWrite, Mood::BlocksSync] {
        let mut place = Place::new();
        let (audit, disk) = open(&mut place, OnWriteFailure::Continue);
        disk.set(mood);
        assert_eq!(audit.record_blocking(entry(0)), Ok(Recorded::Deferred));
        for number in 1..20 {
            assert_eq!(pollster::block_on(audit.record(entry(number))), Ok(Recorded::Deferred));
        }
        disk.set(Mood::Works);
        while !audit.flush() {}
        drop(audit);
        place.is_whole();
        assert_eq!(requests(&place), (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
        let late = place.records().into_iter().filter(|record| record.event == "late");
        assert_eq!(late.map(|record| record.count.unwrap()).sum::<u64>(), 20);
    }
}

#[test]
fn a_full_disk_fails_at_once_and_leaves_nothing_behind() {
    for mood in [Mood::Full, Mood::FailsSync] {
        let mut place = Place::new();
        let (audit, disk) = open(&mut place, OnWriteFailure::Refuse);
        write(&audit, "before");
        let refused = audit.status().refused;
        disk.set(mood);
        for number in 0..10 {
            let error = audit.record_blocking(entry(number)).unwrap_err().to_string();
            let why = if mood == Mood::Full { "no space left on device" } else { "input/output error" };
            assert!(error.contains(why) || error.contains("within 100 ms"), "{error}");
        }
        audit.note(entry("noted"));
        assert_eq!(audit.status().refused - refused, 10);
        assert!(audit.status().trouble.is_some());
        place.is_whole();
        assert_eq!(requests(&place), ["before"]);
        disk.set(Mood::Works);
        write(&audit, "after");
        while !audit.flush() {}
        assert_eq!(audit.status().trouble, None);
        drop(audit);
        let verified = verify(place.file(), None).unwrap();
        assert_eq!((verified.problem, verified.cut), (None, 0));
        let requests = requests(&place);
        assert_eq!(requests[0], "before");
        assert!(requests.contains(&"noted".to_owned()), "{requests:?}");
        assert_eq!(requests.last().unwrap(), "after");
    }
}

#[test]
fn a_full_disk_blocks_nothing_if_configured() {
    let mut place = Place::new();
    let (audit, disk) = open(&mut place, OnWriteFailure::Continue);
    disk.set(Mood::Full);
    // More than the queue can hold.
    for number in 0..6_000 {
        drop(audit.record(entry(number)));
    }
    assert_eq!(audit.record_blocking(entry("last")), Ok(Recorded::Deferred));
    let lost = audit.status().lost;
    assert!(lost > 0);
    disk.set(Mood::Works);
    while !audit.flush() {}
    drop(audit);
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.lost), (None, lost));
    assert_eq!(requests(&place).len() as u64 + lost, 6_001);
    let counted = place.records().into_iter().find_map(|record| record.lost).unwrap();
    assert_eq!(counted[0].event.as_deref(), Some("create"));
}

/// The shutdown waits, but not indefinitely. Waiting requests still get their responses.
#[test]
fn the_shutdown_does_not_hang() {
    for when_stuck in [OnWriteFailure::Refuse, OnWriteFailure::Continue] {
        for mood in [Mood::BlocksWrite, Mood::BlocksSync, Mood::Full] {
            let mut place = Place::new();
            let (audit, disk) = open(&mut place, when_stuck);
            disk.set(mood);
            let recordings: Vec<_> = (0..5).map(|number| audit.record(entry(number))).collect();
            audit.note(entry("noted"));
            drop(audit);
            for recording in recordings {
                assert_eq!(pollster::block_on(recording).is_ok(), when_stuck == OnWriteFailure::Continue);
            }
            disk.set(Mood::Works);
        }
    }
}

#[test]
fn a_flood_of_notes_is_counted_by_kind() {
    let mut place = Place::new();
    place.settings.notes_per_second = 100;
    let audit = place.open();
    let note = |handler: &str, reason: &str| {
        let (handler, reason) = (Some(handler.to_owned()), Some(reason.to_owned()));
        audit.note(Entry { handler, reason, ..Entry::new(Event::Verify) });
    };
    for number in 0..350 {
        note(if number % 2 == 0 { "a" } else { "b" }, if number < 300 { "expired" } else { "unknown" });
    }
    // Records of changes are not counted among them.
    audit.record_blocking(entry("in the same second")).unwrap();
    place.hand.forward(Duration::from_secs(1));
    for _ in 0..50 {
        note("a", "expired");
    }
    while !audit.flush() {}
    drop(audit);
    place.is_whole();
    let records = place.records();
    assert_eq!(records.iter().filter(|record| record.event == "verify").count(), 150);
    let lost = records.iter().filter_map(|record| record.lost.clone()).flatten();
    let mut lost: Vec<_> = lost.map(|loss| (loss.handler.unwrap(), loss.reason.unwrap(), loss.count)).collect();
    lost.sort();
    let kind = |handler: &str, reason: &str, count| (handler.to_owned(), reason.to_owned(), count);
    let wanted =
        [kind("a", "expired", 100), kind("a", "unknown", 25), kind("b", "expired", 100), kind("b", "unknown", 25)];
    assert_eq!(lost, wanted);
}

/// The number of other records is up to untrusted clients.
#[test]
fn the_outcome_of_a_record_is_never_dropped() {
    let mut place = Place::new();
    place.settings.notes_per_second = 0;
    let audit = place.open();
    for event in [Event::Start, Event::Failed, Event::Verify, Event::Verify, Event::Failed, Event::Stop] {
        audit.note(Entry::new(event));
    }
    assert!(audit.flush());
    // The drops have been recorded by then, too.
    assert_eq!(verify(place.file(), None).unwrap().lost, 2);
    let events: Vec<_> = place.records().into_iter().map(|record| record.event).collect();
    assert_eq!(
        events.iter().filter(|event| *event != "lost").collect::<Vec<_>>(),
        ["start", "failed", "failed", "stop"]
    );
}

#[test]
fn dropped_notes_are_counted() {
    let mut place = Place::new();
    place.settings.notes_per_second = u32::MAX;
    let (audit, disk) = open(&mut place, OnWriteFailure::Refuse);
    disk.set(Mood::BlocksSync);
    for number in 0..10_000 {
        audit.note(entry(number));
    }
    let lost = audit.status().lost;
    assert!((5_000..6_000).contains(&lost), "{lost}");
    // The outcome of a record always finds space.
    audit.note(Entry { refers_to: Some(1), ..Entry::new(Event::Failed) });
    assert_eq!(audit.status().lost, lost);
    disk.set(Mood::Works);
    while !audit.flush() {}
    drop(audit);
    let verified = verify(place.file(), None).unwrap();
    assert_eq!((verified.problem, verified.lost), (None, lost));
    assert_eq!(requests(&place).len() as u64 + lost, 10_000);
}

/// Another process keeps the file locked.
#[test]
fn a_locked_file_counts_as_a_stuck_disk() {
    let mut place = Place::new();
    let (audit, _disk) = open(&mut place, OnWriteFailure::Refuse);
    write(&audit, "before");
    let other = File::open(place.file()).unwrap();
    other.lock().unwrap();
    assert!(audit.record_blocking(entry("refused")).is_err());
    let opened = Audit::open(place.settings.clone(), place.hand.clock());
    assert!(opened.unwrap_err().to_string().contains("within 100 ms"));
    other.unlock().unwrap();
    write(&audit, "after");
    drop(audit);
    place.is_whole();
    assert_eq!(records(place.file())[0].request.as_deref(), Some("before"));
}

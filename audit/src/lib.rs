//! Keeps the audit: who did what to which token, in a file that shows whether it is whole.
//!
//! ```no_run
//! use keyward_audit::{Audit, Entry, Event, Settings};
//! use std::time::{SystemTime, UNIX_EPOCH};
//!
//! # fn main() -> Result<(), keyward_audit::AuditError> {
//! let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
//! let audit = Audit::open(Settings::new("/var/lib/keyward/audit.jsonl"), now)?;
//! let entry = Entry { actor: Some("alice".to_owned()), ..Entry::new(Event::Create) };
//! // Only when this has come back may the token be made.
//! audit.record_blocking(entry)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What can be counted on
//!
//! * What [`Audit::record`] has answered is durable, and it is answered within [`Settings::deadline`], whatever the disk does.
//! * Each line has a number and a hash of itself and of the line before it: [`verify()`] says which is the first that was
//!   changed, removed or moved. A file that is rotated away or removed after its time leaves the rest provable.
//! * Several processes may write one file, and others read it meanwhile.
//! * A line is printable ASCII, whatever strangers have sent, and no text of theirs in it is longer than 1 KiB.
//!
//! The chain has no key: who may write the file can write another history. A head that was noted elsewhere tells that too.

mod chain;
mod disk;
mod entry;
mod files;
mod head;
mod line;
mod losses;
mod queue;
mod read;
mod retention;
mod tail;
mod ticket;
mod time;
mod verify;
mod writer;

use chain::List;
use queue::Queue;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use ticket::{Deadlines, Ticket};

pub use disk::{Disk, Storage};
pub use entry::{Entry, Event};
pub use head::{Head, ListEnd};
pub use line::Record;
pub use losses::Loss;
pub use read::{BadLine, Lines, ReadError, ReadLine, last, lines, noted_list};
pub use ticket::Recording;
pub use time::rfc3339;
pub use verify::{Noted, Problem, Verified, Wrong, verify};

/// An open audit. It writes on a thread of its own; another keeps the deadlines.
pub struct Audit {
    shared: Arc<Shared>,
}

/// Where and how the audit is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file. Those that are rotated away, and the head, stand beside it.
    pub file: PathBuf,
    /// The name of this process, in each of its records.
    pub node: String,
    /// Over so many bytes the file is renamed and another begun.
    pub rotate_bytes: u64,
    /// For how many days a record is kept, at least; `None`: for ever. It is removed before twice that time.
    pub keep_days: Option<u32>,
    /// How many files are kept, besides the one that is written; `None`: all.
    pub keep_files: Option<u32>,
    /// What becomes of a change that cannot be written down.
    pub when_stuck: WhenStuck,
    /// Within this time a record is written, or it is not.
    pub deadline: Duration,
    /// How many notes of one second are written; more are counted.
    pub notes_per_second: u32,
}

impl Settings {
    /// The defaults, and this file.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            node: "keyward".to_owned(),
            rotate_bytes: 64 << 20,
            keep_days: None,
            keep_files: None,
            when_stuck: WhenStuck::Refuse,
            deadline: Duration::from_secs(1),
            notes_per_second: 1_000,
        }
    }
}

/// What becomes of a change that cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenStuck {
    /// It is not made.
    #[default]
    Refuse,
    /// It is made. It is written down when that is possible again, or else counted, and so is that it was late.
    Continue,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable, under this number.
    Written(u64),
    /// It could not be written, and the change is to be made all the same.
    Later,
}

/// The audit cannot be opened or written. One sentence for the operator, without a word of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditError(String);

/// How the audit is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last line that this process has written or found.
    pub head: Head,
    /// How many records this process has written.
    pub written: u64,
    /// How many wait to be written, those included that the disk has not taken yet.
    pub waiting: usize,
    /// How long ago the first of these came.
    pub lag: Duration,
    /// How many records were counted instead of being written, since the start.
    pub lost: u64,
    /// How many changes were refused because they could not be written down, since the start.
    pub refused: u64,
    /// Why nothing can be written at present.
    pub trouble: Option<String>,
}

/// Tells the time, since 1970-01-01T00:00:00Z.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// What the threads share.
struct Shared {
    settings: Settings,
    clock: Clock,
    queue: Queue,
    deadlines: Deadlines,
    standing: Mutex<Standing>,
    /// Whether the thread that writes has come to its end.
    ended: Mutex<bool>,
    has_ended: Condvar,
}

impl Audit {
    /// Opens the audit, or begins it: its file is made for its owner alone (0600). Waits.
    ///
    /// # Errors
    /// The file cannot be written within the deadline, or its last line is none that can be gone on from.
    pub fn open(settings: Settings, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Result<Self, AuditError> {
        Self::open_on(settings, clock, Box::new(Disk))
    }

    /// The same, with other ways to write to a file: tests have disks that are full or stuck.
    ///
    /// # Errors
    /// Like [`Audit::open`].
    pub fn open_on(
        settings: Settings,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        storage: Box<dyn Storage>,
    ) -> Result<Self, AuditError> {
        let (deadline, when_stuck) = (settings.deadline, settings.when_stuck);
        let shared = Arc::new(Shared {
            clock: Box::new(clock),
            queue: Queue::default(),
            deadlines: Deadlines::default(),
            standing: Mutex::default(),
            ended: Mutex::new(false),
            has_ended: Condvar::new(),
            settings,
        });
        let (opened, is_open) = mpsc::channel();
        let begin = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
            spawned.map_err(|error| AuditError(format!("no thread for the audit: {error}")))
        };
        // From here on, what fails ends the threads too.
        let this = Self { shared };
        let shared = this.shared.clone();
        begin("keyward-audit", Box::new(move || writer::run(&shared, storage, &opened)))?;
        let shared = this.shared.clone();
        begin("keyward-audit-due", Box::new(move || shared.deadlines.keep(&shared)))?;
        match is_open.recv_timeout(deadline) {
            Ok(Ok(())) => Ok(this),
            Ok(Err(why)) => Err(this.shared.error(&why)),
            Err(_) if when_stuck == WhenStuck::Continue => Ok(this),
            Err(_) => Err(this.shared.late()),
        }
    }

    /// Writes a record down before something is changed: what it answers is durable. It needs no executor of its caller's.
    ///
    /// With [`WhenStuck::Refuse`] an error means that the change must not be made, and is noted if the record turns out to
    /// have been written later. One that is not waited for is written all the same.
    pub fn record(&self, entry: Entry) -> Recording {
        let ticket = self.shared.put(entry);
        self.shared.deadlines.add(&ticket);
        Recording(ticket)
    }

    /// The same, for callers that may wait.
    ///
    /// # Errors
    /// It is not written, and the change must not be made.
    pub fn record_blocking(&self, entry: Entry) -> Result<Recorded, AuditError> {
        let ticket = self.shared.put(entry);
        ticket.wait().unwrap_or_else(|| self.shared.give_up(&ticket))
    }

    /// Writes a record down soon, without waiting. Of too many in a second, or more than the disk takes, it is only said how
    /// many there were. What came of another record, and that a process began or ended, is never one too many.
    pub fn note(&self, entry: Entry) {
        let Shared { settings, clock, queue, .. } = &*self.shared;
        let entry = entry.cut();
        // Strangers choose how many others there are; of these there are no more than of records that were written.
        let most = match entry.event {
            Event::Failed | Event::Start | Event::Stop => None,
            _ => Some(settings.notes_per_second),
        };
        if !queue.note(entry, clock(), most) {
            self.shared.count_lost(1);
        }
    }

    /// Notes soon, beside the file, up to where the store's list of revocations has been read. A smaller number than the one
    /// there changes nothing.
    pub fn note_list(&self, end: ListEnd) {
        self.shared.queue.note_list(List::ReadTo(end));
    }

    /// Notes soon that an operator takes the list of revocations as it is, whatever was noted before.
    pub fn accept_list(&self, end: ListEnd) {
        self.shared.queue.note_list(List::Accepted(end));
    }

    /// Waits until all that was noted so far is written, or told to be lost, but no longer than the deadline. Says whether it is.
    pub fn flush(&self) -> bool {
        self.shared.queue.flush(self.shared.settings.deadline)
    }

    /// How it is doing.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let (waiting, since) = self.shared.queue.waiting();
        let lag = since.map_or(Duration::ZERO, |since| since.elapsed());
        let standing = self.shared.standing().clone();
        // A disk that does not answer says nothing.
        let is_stuck = lag > self.shared.settings.deadline;
        let trouble = standing.trouble.or_else(|| is_stuck.then(|| "it does not answer".to_owned()));
        Standing { waiting, lag, trouble, ..standing }
    }

    /// The settings that it was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl Drop for Audit {
    /// Writes what waits, but does not wait longer than the deadline for it.
    fn drop(&mut self) {
        let Shared { settings, queue, deadlines, ended, has_ended, .. } = &*self.shared;
        queue.end();
        deadlines.end();
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(has_ended.wait_timeout_while(ended, settings.deadline, |ended| !*ended));
    }
}

impl Shared {
    /// Lets a record wait for the thread that writes.
    fn put(&self, entry: Entry) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::new(Instant::now().checked_add(self.settings.deadline)));
        let refuse = self.settings.when_stuck == WhenStuck::Refuse;
        if !self.queue.record(entry.cut(), (self.clock)(), &ticket, refuse) {
            if refuse {
                ticket.answer(Err(self.error("too many records wait to be written")), || self.count_refused());
            } else {
                ticket.answer(Ok(Recorded::Later), || self.count_lost(1));
            }
        }
        ticket
    }

    /// The deadline has passed.
    fn give_up(&self, ticket: &Ticket) -> Result<Recorded, AuditError> {
        let outcome = match self.settings.when_stuck {
            WhenStuck::Refuse => Err(self.late()),
            WhenStuck::Continue => Ok(Recorded::Later),
        };
        let is_refused = outcome.is_err();
        let count = || {
            if is_refused {
                self.count_refused()
            }
        };
        // It may have been answered at the last moment.
        ticket.give_up(outcome.clone(), count).unwrap_or(outcome)
    }

    fn late(&self) -> AuditError {
        let trouble = self.standing().trouble.clone();
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        let ms = self.settings.deadline.as_millis();
        self.error(&format!("it could not be written within {ms} ms{trouble}"))
    }

    fn error(&self, why: &str) -> AuditError {
        AuditError(format!("the audit {}: {why}", self.settings.file.display()))
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_lost(&self, lost: u64) {
        let mut standing = self.standing();
        standing.lost = standing.lost.saturating_add(lost);
    }

    fn count_refused(&self) {
        let mut standing = self.standing();
        standing.refused = standing.refused.saturating_add(1);
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuditError {}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

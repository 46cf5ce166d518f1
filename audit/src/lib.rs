//! The audit log: records who did what to which token, in a file that shows whether it is complete.
//!
//! ```no_run
//! use keyward_audit::{Audit, Entry, Event, Settings};
//! use std::time::{SystemTime, UNIX_EPOCH};
//!
//! # fn main() -> Result<(), keyward_audit::AuditError> {
//! let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
//! let audit = Audit::open(Settings::new("/var/lib/keyward/audit.jsonl"), now)?;
//! let entry = Entry { actor: Some("alice".to_owned()), ..Entry::new(Event::Create) };
//! // Issue the token only after this call has returned `Ok`.
//! audit.record_blocking(entry)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! * A record that [`Audit::record`] has confirmed is durable. The call is settled within
//!   [`Settings::deadline`], even if the disk does not respond.
//! * Each line has a number, and a hash of itself and of the line before it: [`verify()`] reports
//!   the first line that was changed, removed or moved. After a file is rotated or removed by
//!   retention, the remaining lines can still be verified.
//! * Several processes may write one file while others read it.
//! * A line is printable ASCII, whatever untrusted input it contains, and each text is at most
//!   1 KiB long.
//!
//! The chain has no key: a process that may write the file can write another history. Compare with
//! a head that was stored elsewhere to detect that.

mod allowance;
mod body;
mod chain;
mod dropped;
mod entry;
mod files;
mod head;
mod line;
mod pending;
mod queue;
mod read;
mod retention;
mod storage;
mod tail;
mod time;
mod verify;
mod writer;

use chain::List;
use pending::{Deadlines, PendingWrite};
use queue::Queue;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub use dropped::Loss;
pub use entry::{Entry, Event};
pub use files::other_files;
pub use head::{Head, ListEnd};
pub use line::Record;
pub use pending::Recording;
pub use read::{LineError, Lines, ReadError, ReadLine, last, lines, noted_list};
pub use storage::{Disk, Storage};
pub use time::rfc3339;
pub use verify::{AnchorCheck, Defect, Problem, Verified, verify};

/// An open audit log. One thread writes it, another enforces the deadlines.
pub struct Audit {
    shared: Arc<Shared>,
}

/// Location, rotation and retention of an audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file. Rotated files and the head are stored in the same folder.
    pub file: PathBuf,
    /// The name of this process, written to each of its records.
    pub node: String,
    /// The size in bytes from which the file is rotated.
    pub rotate_bytes: u64,
    /// Minimum retention of a record in days; `None` keeps records forever. A record is removed
    /// before twice that time. The default is 400 days: a year, and a month to examine it.
    pub keep_days: Option<u32>,
    /// Number of rotated files to keep; `None` keeps all.
    pub keep_files: Option<u32>,
    /// The effect of a write failure on changes.
    pub when_stuck: OnWriteFailure,
    /// Maximum time to write a record; after that, it counts as not written.
    pub deadline: Duration,
    /// Maximum number of notes written in one second; further ones are only counted.
    pub notes_per_second: u32,
    /// Maximum number of bytes of the notes of 24 hours, of all processes that write the file.
    /// Half of it can be used at once, the other half becomes available evenly over the day;
    /// further notes are only counted.
    pub notes_bytes_per_day: u64,
    /// Number of bytes of the file system that are reserved for changes: while fewer are free,
    /// notes are only counted.
    pub reserve_bytes: u64,
}

impl Settings {
    /// Creates settings for `file`, with defaults for everything else.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            node: "keyward".to_owned(),
            rotate_bytes: 64 << 20,
            keep_days: Some(400),
            keep_files: None,
            when_stuck: OnWriteFailure::Refuse,
            deadline: Duration::from_secs(1),
            notes_per_second: 1_000,
            notes_bytes_per_day: 64 << 20,
            reserve_bytes: 64 << 20,
        }
    }
}

/// The effect of a failed audit write on the change that it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnWriteFailure {
    /// The change is refused.
    #[default]
    Refuse,
    /// The change proceeds. Its record is written as soon as that is possible, and the audit log
    /// then says that it was late; if there are too many, the record is only counted.
    Continue,
}

/// The outcome of writing a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The record is durable and has this number.
    Written(u64),
    /// The record could not be written in time, but the change may proceed.
    Deferred,
}

/// The audit log cannot be opened or written: a message for the operator, without any content of a
/// record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditError(String);

/// The state of an audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// The last line that this process has written or found.
    pub head: Head,
    /// Number of records written by this process.
    pub written: u64,
    /// Number of records waiting to be written, including those that the disk has not yet
    /// acknowledged.
    pub waiting: usize,
    /// Age of the oldest waiting record.
    pub lag: Duration,
    /// Number of records that were counted instead of written, since the start.
    pub lost: u64,
    /// Number of changes refused because their record could not be written, since the start.
    pub refused: u64,
    /// The reason why nothing can be written at present.
    pub trouble: Option<String>,
}

/// Returns the time since 1970-01-01T00:00:00Z.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// State shared by the threads.
struct Shared {
    settings: Settings,
    clock: Clock,
    queue: Queue,
    deadlines: Deadlines,
    status: Mutex<AuditStatus>,
    /// Set once the writer thread has finished.
    ended: Mutex<bool>,
    has_ended: Condvar,
}

impl Audit {
    /// Opens an audit log, or creates it, readable by its owner only (0600). Blocks.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written within the deadline, or if its last line is
    /// not one that can be continued.
    pub fn open(settings: Settings, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Result<Self, AuditError> {
        Self::open_on(settings, clock, Box::new(Disk))
    }

    /// Like [`Audit::open`], with a custom [`Storage`], such as the full or stuck disks of tests.
    ///
    /// # Errors
    /// Returns the same errors as [`Audit::open`].
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
            status: Mutex::default(),
            ended: Mutex::new(false),
            has_ended: Condvar::new(),
            settings,
        });
        let (opened, is_open) = mpsc::channel();
        let begin = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
            spawned.map_err(|error| AuditError(format!("cannot start a thread for the audit log: {error}")))
        };
        // From here on, an early return drops `this`, which stops the threads.
        let this = Self { shared };
        let shared = this.shared.clone();
        begin("keyward-audit", Box::new(move || writer::run(&shared, storage, &opened)))?;
        let shared = this.shared.clone();
        begin("keyward-audit-due", Box::new(move || shared.deadlines.keep(&shared)))?;
        match is_open.recv_timeout(deadline) {
            Ok(Ok(())) => Ok(this),
            Ok(Err(why)) => Err(this.shared.error(&why)),
            Err(_) if when_stuck == OnWriteFailure::Continue => Ok(this),
            Err(_) => Err(this.shared.late()),
        }
    }

    /// Writes a record before the change that it describes. Once the future returns `Ok`, the
    /// record is durable. Needs no particular executor.
    ///
    /// With [`OnWriteFailure::Refuse`], an error means that the change must not be made; if the
    /// record turns out to have been written later, the audit log notes that the change failed. A
    /// record is written even if the future is dropped.
    pub fn record(&self, entry: Entry) -> Recording {
        let ticket = self.shared.put(entry);
        self.shared.deadlines.add(&ticket);
        Recording(ticket)
    }

    /// Like [`Audit::record`], but blocks.
    ///
    /// # Errors
    /// Returns an error if the record was not written; the change must not be made.
    pub fn record_blocking(&self, entry: Entry) -> Result<Recorded, AuditError> {
        let ticket = self.shared.put(entry);
        ticket.wait().unwrap_or_else(|| self.shared.give_up(&ticket))
    }

    /// Queues a record without waiting for it. Notes over [`Settings::notes_per_second`] or
    /// [`Settings::notes_bytes_per_day`], or more than the disk can take outside of
    /// [`Settings::reserve_bytes`], are only counted. `Failed`, `Start` and `Stop` are never
    /// dropped.
    pub fn note(&self, entry: Entry) {
        let Shared { settings, clock, queue, .. } = &*self.shared;
        let entry = entry.cut();
        let max = (!entry.event.is_always_noted()).then_some(settings.notes_per_second);
        if !queue.note(entry, clock(), max) {
            self.shared.count_lost(1);
        }
    }

    /// Queues a note of how far the store's revocation list has been read, to be written beside the
    /// file. A number lower than the noted one changes nothing.
    pub fn note_list(&self, end: ListEnd) {
        self.shared.queue.note_list(List::ReadTo(end));
    }

    /// Queues a note that an operator accepts the revocation list as it is, whatever was noted
    /// before.
    pub fn accept_list(&self, end: ListEnd) {
        self.shared.queue.note_list(List::Accepted(end));
    }

    /// Waits until everything queued is written or reported as lost. Returns `false` if the
    /// deadline passes first.
    pub fn flush(&self) -> bool {
        self.shared.queue.flush(self.shared.settings.deadline)
    }

    /// Returns the state of the audit log.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        let (waiting, since) = self.shared.queue.waiting();
        let lag = since.map_or(Duration::ZERO, |since| since.elapsed());
        let status = self.shared.status().clone();
        // A stuck disk reports no error.
        let is_stuck = lag > self.shared.settings.deadline;
        let trouble = status.trouble.or_else(|| is_stuck.then(|| "the disk does not respond".to_owned()));
        AuditStatus { waiting, lag, trouble, ..status }
    }

    /// Returns the settings that the audit log was opened with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }
}

impl Drop for Audit {
    /// Writes what is queued, but waits no longer than the deadline.
    fn drop(&mut self) {
        let Shared { settings, queue, deadlines, ended, has_ended, .. } = &*self.shared;
        queue.end();
        deadlines.end();
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(has_ended.wait_timeout_while(ended, settings.deadline, |ended| !*ended));
    }
}

impl Shared {
    /// Queues a record for the writer thread.
    fn put(&self, entry: Entry) -> Arc<PendingWrite> {
        let ticket = Arc::new(PendingWrite::new(Instant::now().checked_add(self.settings.deadline)));
        let refuse = self.settings.when_stuck == OnWriteFailure::Refuse;
        if !self.queue.record(entry.cut(), (self.clock)(), &ticket, refuse) {
            if refuse {
                ticket.answer(Err(self.error("too many records are waiting to be written")), || self.count_refused());
            } else {
                ticket.answer(Ok(Recorded::Deferred), || self.count_lost(1));
            }
        }
        ticket
    }

    /// Settles a record whose deadline has passed.
    fn give_up(&self, ticket: &PendingWrite) -> Result<Recorded, AuditError> {
        let outcome = match self.settings.when_stuck {
            OnWriteFailure::Refuse => Err(self.late()),
            OnWriteFailure::Continue => Ok(Recorded::Deferred),
        };
        let is_refused = outcome.is_err();
        let count = || {
            if is_refused {
                self.count_refused()
            }
        };
        // It may have been settled at the last moment.
        ticket.give_up(outcome.clone(), count).unwrap_or(outcome)
    }

    fn late(&self) -> AuditError {
        let trouble = self.status().trouble.clone();
        let trouble = trouble.map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        let ms = self.settings.deadline.as_millis();
        self.error(&format!("could not be written within {ms} ms{trouble}"))
    }

    fn error(&self, why: &str) -> AuditError {
        AuditError(format!("audit log {}: {why}", self.settings.file.display()))
    }

    fn status(&self) -> std::sync::MutexGuard<'_, AuditStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_lost(&self, lost: u64) {
        let mut status = self.status();
        status.lost = status.lost.saturating_add(lost);
    }

    fn count_refused(&self) {
        let mut status = self.status();
        status.refused = status.refused.saturating_add(1);
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

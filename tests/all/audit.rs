//! The audit log: every verdict is recorded, and any tampering with its files is detected.

mod bounded;
mod broken;
mod commands;
mod daemon;
mod kept;
mod killed;
mod list;
mod odd;
mod program;
mod python;
mod stuck;

use keyward_audit::{Audit, Disk, Entry, Event, Head, Record, Recorded, Settings, Storage, lines, verify};
use proptest::prelude::*;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// 2026-11-22T14:00:00Z, in milliseconds.
const NOW: u64 = 1_795_356_000_000;

/// A clock that tests advance manually, in milliseconds.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOW)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn clock(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let clock = self.0.clone();
        move || Duration::from_millis(clock.load(Ordering::SeqCst))
    }
}

/// Storage that does not sync, which would only slow down tests in which no process exits.
struct Quick;

impl Storage for Quick {
    fn write(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        Disk.write(file, bytes, at)
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        Ok(())
    }
}

/// A folder with an audit log.
struct Place {
    folder: TempDir,
    hand: Hand,
    settings: Settings,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            node: "here".to_owned(),
            // The machine may be busy.
            deadline: Duration::from_secs(60),
            ..Settings::new(folder.path().join("audit.jsonl"))
        };
        Self { folder, hand: Hand::new(), settings }
    }

    fn file(&self) -> &Path {
        &self.settings.file
    }

    fn open(&self) -> Audit {
        Audit::open_on(self.settings.clone(), self.hand.clock(), Box::new(Quick)).unwrap()
    }

    /// Writes the records one at a time, and returns the head after each.
    fn write(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<Head> {
        let audit = self.open();
        let written = entries.into_iter().map(|entry| {
            assert!(matches!(audit.record_blocking(entry), Ok(Recorded::Written(_))));
            self.hand.forward(Duration::from_millis(7));
            audit.status().head
        });
        written.collect()
    }

    /// Returns the files in the order of their records.
    fn files(&self) -> Vec<PathBuf> {
        let name = self.file().file_name().unwrap().to_str().unwrap();
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| {
                let end = path.file_name().unwrap().to_str().unwrap().strip_prefix(name);
                end.is_some_and(|end| end.starts_with('.') && end != ".head")
            })
            .collect();
        files.sort();
        if self.file().exists() {
            files.push(self.file().to_owned());
        }
        files
    }

    fn records(&self) -> Vec<Record> {
        records(self.file())
    }

    fn head(&self) -> Head {
        let text = fs::read_to_string(self.folder.path().join("audit.jsonl.head")).unwrap();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[track_caller]
    fn is_whole(&self) {
        let verified = verify(self.file(), None).unwrap();
        assert_eq!(verified.problem, None);
    }
}

fn records(file: &Path) -> Vec<Record> {
    lines(file).unwrap().map(|line| line.unwrap().1).collect()
}

/// Returns a record that is identified by `request`.
fn entry(request: impl ToString) -> Entry {
    Entry { request: Some(request.to_string()), actor: Some("alice".to_owned()), ..Entry::new(Event::Create) }
}

/// Generates arbitrary entries.
fn any_entry() -> impl Strategy<Value = Entry> {
    let events = [Event::Create, Event::Revoke, Event::Edit, Event::Rotate, Event::Verify, Event::Reload];
    let text = || {
        let text = prop_oneof![
            "[a-z0-9-]{0,12}",
            "\\PC{0,12}",
            any::<String>(),
            Just("\n\",\"hash\":\"\u{0}\u{1b}[2J\u{202e}é😀\\".to_owned()),
            "[é\n]{2000}",
        ];
        proptest::option::of(text)
    };
    let texts = (text(), text(), text(), text(), text(), text());
    (0..events.len(), texts, any::<u64>()).prop_map(move |(event, texts, micros)| {
        let (request, client, actor, token_id, reason, detail) = texts;
        let duration = Some(Duration::from_micros(micros));
        Entry { request, client, actor, token_id, reason, detail, duration, ..Entry::new(events[event]) }
    })
}

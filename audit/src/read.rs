//! Reads the lines of all files in order, while other processes write.

use crate::files::{is_no_file, noted, open_beside, reason, rotated};
use crate::head::{Head, ListEnd};
use crate::line::{Line, MAX_LINE, Record};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Maximum time that a reader waits for a writer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The files cannot be read: a message for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

impl ReadError {
    pub(crate) fn new(file: &Path, error: &io::Error) -> Self {
        Self(format!("audit log {} cannot be read: {}", file.display(), reason(error)))
    }

    fn nothing(file: &Path) -> Self {
        Self(format!("audit log {} does not exist: nothing has been written yet, or `file` is wrong", file.display()))
    }
}

/// The files at a moment at which no process was writing.
pub(crate) struct Snapshot {
    pub(crate) rotated: Vec<PathBuf>,
    /// The current file and its length.
    pub(crate) current: Option<(File, u64)>,
    pub(crate) head: Option<Head>,
    pub(crate) list: Option<ListEnd>,
}

impl Snapshot {
    pub(crate) fn take(file: &Path) -> Result<Self, ReadError> {
        let failed = |error: io::Error| ReadError::new(file, &error);
        if is_no_file(file) {
            return Err(failed(io::Error::other("not a regular file")));
        }
        let mut current = open(file).map_err(failed)?;
        let until = Instant::now().checked_add(PATIENCE);
        let locked = loop {
            let Some(open_file) = &current else { break false };
            let left = until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()));
            let locked = wait_for(open_file, left);
            // The holder of the lock may have renamed the file.
            if is_at(open_file, file) || !locked {
                break locked;
            }
            current = open(file).map_err(failed)?;
        };
        // Without the lock, the head must be read before the length, so that it is never newer than
        // the lines.
        let beside = noted(file).map_err(failed)?;
        let (head, list) = (beside.map(|beside| beside.head), beside.and_then(|beside| beside.list));
        let rotated = rotated(file).map_err(failed)?;
        let current = match current {
            Some(file) => {
                let len = file.metadata().map_err(failed)?.len();
                if locked {
                    // If this fails, closing the file unlocks it.
                    let _ = file.unlock();
                }
                Some((file, len))
            }
            None => None,
        };
        if current.is_none() && rotated.is_empty() && head.is_none() {
            return Err(ReadError::nothing(file));
        }
        Ok(Self { rotated, current, head, list })
    }
}

fn is_at(open: &File, file: &Path) -> bool {
    matches!((crate::files::id_of(open), crate::files::id_at(file)), (Ok(open), Ok(Some(there))) if open == there)
}

fn open(file: &Path) -> io::Result<Option<File>> {
    match File::open(file) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until no process is writing, and keeps others from writing until the file is unlocked or
/// closed. Returns `false` after `max`.
fn wait_for(file: &File, max: Duration) -> bool {
    if file.try_lock_shared().is_ok() {
        return true;
    }
    // Polling would never hit the moment between two writers; a blocked lock request is woken.
    let Ok(same) = file.try_clone() else { return false };
    let (tell, told) = mpsc::sync_channel(0);
    let waits = thread::Builder::new().spawn(move || {
        let locked = same.lock_shared().is_ok();
        if tell.send(locked).is_err() {
            let _ = same.unlock();
        }
    });
    waits.is_ok() && told.recv_timeout(max).unwrap_or(false)
}

/// The next part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line.
    Line,
    /// A line beyond the maximum length.
    TooLong,
    /// A line without a line feed, at the end of the file.
    Unfinished,
    /// The end of the file.
    End,
}

/// A file that is read line by line.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    reader: BufReader<Take<File>>,
    /// The number of the line that was read last.
    pub(crate) number: u64,
}

impl Source {
    pub(crate) fn new(path: PathBuf, file: File, len: u64) -> Self {
        Self { path, reader: BufReader::with_capacity(256 << 10, file.take(len)), number: 0 }
    }

    /// Reads a line without its line feed. Skips the rest of a line that is too long.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Next> {
        line.clear();
        let max = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        if self.reader.by_ref().take(max).read_until(b'\n', line)? == 0 {
            return Ok(Next::End);
        }
        self.number = self.number.saturating_add(1);
        if line.last() == Some(&b'\n') {
            line.pop();
            return Ok(Next::Line);
        }
        if line.len() < MAX_LINE {
            return Ok(Next::Unfinished);
        }
        self.reader.skip_until(b'\n')?;
        Ok(Next::TooLong)
    }
}

/// An iterator over all lines in order.
#[derive(Debug)]
pub struct Lines {
    file: PathBuf,
    rotated: VecDeque<PathBuf>,
    current: Option<(File, u64)>,
    source: Option<Source>,
    line: Vec<u8>,
}

/// A line as it is in the file, and its parsed record.
pub type ReadLine = Result<(String, Record), LineError>;

/// An error in place of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineError {
    /// The line with this number in this file is not an audit record.
    Unreadable(PathBuf, u64),
    /// The file cannot be read any further.
    Failed(ReadError),
}

/// Reads all lines of an audit log. Use [`verify`](crate::verify()) to check the chain.
///
/// # Errors
/// Returns an error if the audit log does not exist or cannot be read.
pub fn lines(file: &Path) -> Result<Lines, ReadError> {
    let Snapshot { rotated, current, .. } = Snapshot::take(file)?;
    Ok(Lines { file: file.to_owned(), rotated: rotated.into(), current, source: None, line: Vec::new() })
}

/// Reads the last lines of an audit log, at most `max`.
///
/// # Errors
/// Returns an error if the audit log does not exist or cannot be read.
pub fn last(file: &Path, max: usize) -> Result<Vec<ReadLine>, ReadError> {
    let Snapshot { mut rotated, mut current, .. } = Snapshot::take(file)?;
    let mut found = VecDeque::new();
    while found.len() < max {
        let (rotated, current) = match current.take() {
            Some(current) => (VecDeque::new(), Some(current)),
            None => match rotated.pop() {
                Some(path) => (VecDeque::from([path]), None),
                None => break,
            },
        };
        let lines = Lines { file: file.to_owned(), rotated, current, source: None, line: Vec::new() };
        let mut here = VecDeque::new();
        for line in lines {
            if found.len().saturating_add(here.len()) >= max {
                here.pop_front();
            }
            here.push_back(line);
        }
        here.append(&mut found);
        found = here;
    }
    Ok(found.into())
}

/// Reads the end of the store's revocation list that is noted beside an audit log; `None` if none
/// is noted.
///
/// # Errors
/// Returns an error if the file beside the audit log cannot be read.
pub fn noted_list(file: &Path) -> Result<Option<ListEnd>, ReadError> {
    let Some(beside) = noted(file).map_err(|error| ReadError::new(file, &error))? else { return Ok(None) };
    // Read again under the lock of the audit log, so that a half-written line does not count.
    Ok(Snapshot::take(file).map_or(beside.list, |snapshot| snapshot.list))
}

impl Lines {
    /// Opens the next file, if there is one.
    fn open(&mut self) -> Option<io::Result<Source>> {
        while let Some(path) = self.rotated.pop_front() {
            match open_beside(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((len, file)) => return Some(Ok(Source::new(path, file, len))),
                // Retention has removed the file since the snapshot.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
        let (file, len) = self.current.take()?;
        Some(Ok(Source::new(self.file.clone(), file, len)))
    }
}

impl Iterator for Lines {
    type Item = ReadLine;

    fn next(&mut self) -> Option<ReadLine> {
        loop {
            let source = match &mut self.source {
                Some(source) => source,
                None => match self.open()? {
                    Ok(source) => self.source.insert(source),
                    Err(error) => return Some(Err(LineError::Failed(ReadError::new(&self.file, &error)))),
                },
            };
            match source.next(&mut self.line) {
                Ok(Next::Line) => {
                    let bad = || LineError::Unreadable(source.path.clone(), source.number);
                    let line = Line::read(&self.line).ok_or_else(bad);
                    return Some(line.map(|line| (String::from_utf8_lossy(&self.line).into_owned(), line.record)));
                }
                // Only the current file may end with an unfinished line.
                Ok(next) if next == Next::TooLong || next == Next::Unfinished && source.path != self.file => {
                    return Some(Err(LineError::Unreadable(source.path.clone(), source.number)));
                }
                Ok(_) => self.source = None,
                Err(error) => {
                    let error = ReadError::new(&source.path, &error);
                    self.source = None;
                    return Some(Err(LineError::Failed(error)));
                }
            }
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, number) => {
                write!(f, "{}:{number}: not an audit record; see `keyward audit verify`", file.display())
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

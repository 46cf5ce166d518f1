//! Reading the lines of all files in order, while others write.

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

/// For how long a reader waits for whoever writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The files cannot be read. One sentence for the operator.
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
        Self(format!("the audit {} cannot be read: {}", file.display(), reason(error)))
    }

    fn nothing(file: &Path) -> Self {
        Self(format!("there is no audit {}: nothing has been written yet, or `file` is wrong", file.display()))
    }
}

/// The files at one moment at which nobody wrote.
pub(crate) struct Snapshot {
    pub(crate) rotated: Vec<PathBuf>,
    /// The file that is written, and how much of it there was.
    pub(crate) current: Option<(File, u64)>,
    pub(crate) head: Option<Head>,
    pub(crate) list: Option<ListEnd>,
}

impl Snapshot {
    pub(crate) fn take(file: &Path) -> Result<Self, ReadError> {
        let failed = |error: io::Error| ReadError::new(file, &error);
        if is_no_file(file) {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        let mut current = open(file).map_err(failed)?;
        let until = Instant::now().checked_add(PATIENCE);
        let locked = loop {
            let Some(open_file) = &current else { break false };
            let left = until.map_or(PATIENCE, |until| until.saturating_duration_since(Instant::now()));
            let locked = wait_for(open_file, left);
            // Whoever had the lock may have renamed it.
            if is_at(open_file, file) || !locked {
                break locked;
            }
            current = open(file).map_err(failed)?;
        };
        // Whoever goes on without the lock must not find a head that is younger than the lines.
        let beside = noted(file).map_err(failed)?;
        let (head, list) = (beside.map(|beside| beside.head), beside.and_then(|beside| beside.list));
        let rotated = rotated(file).map_err(failed)?;
        let current = match current {
            Some(file) => {
                let len = file.metadata().map_err(failed)?.len();
                if locked {
                    // What cannot be unlocked is unlocked when it is closed.
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

/// Waits until nobody writes, and keeps them from it until the file is unlocked or closed. False: they do not come to an end.
fn wait_for(file: &File, most: Duration) -> bool {
    if file.try_lock_shared().is_ok() {
        return true;
    }
    // To ask again and again would never find the moment between two who write. Whoever waits is woken.
    let Ok(same) = file.try_clone() else { return false };
    let (tell, told) = mpsc::sync_channel(0);
    let waits = thread::Builder::new().spawn(move || {
        let locked = same.lock_shared().is_ok();
        if tell.send(locked).is_err() {
            let _ = same.unlock();
        }
    });
    waits.is_ok() && told.recv_timeout(most).unwrap_or(false)
}

/// What a file has next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line.
    Line,
    /// More than a line may have.
    TooLong,
    /// The file ends within a line.
    Unfinished,
    /// The file ends.
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

    /// Reads a line, without its line feed. Of one that is too long the rest is passed over.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Next> {
        line.clear();
        let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        if self.reader.by_ref().take(most).read_until(b'\n', line)? == 0 {
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

/// All lines in order, as they stand in the files, each with what it says.
#[derive(Debug)]
pub struct Lines {
    file: PathBuf,
    rotated: VecDeque<PathBuf>,
    current: Option<(File, u64)>,
    source: Option<Source>,
    line: Vec<u8>,
}

/// A line as it stands in the file, and what it says.
pub type ReadLine = Result<(String, Record), BadLine>;

/// A line that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadLine {
    /// The line of this file that has this number cannot be understood.
    Unreadable(PathBuf, u64),
    /// The file cannot be read any further.
    Failed(ReadError),
}

/// Reads all lines of an audit. Whether they are right is for [`verify`](crate::verify()) to say.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn lines(file: &Path) -> Result<Lines, ReadError> {
    let Snapshot { rotated, current, .. } = Snapshot::take(file)?;
    Ok(Lines { file: file.to_owned(), rotated: rotated.into(), current, source: None, line: Vec::new() })
}

/// Reads the last lines of an audit, at most so many.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn last(file: &Path, most: usize) -> Result<Vec<ReadLine>, ReadError> {
    let Snapshot { mut rotated, mut current, .. } = Snapshot::take(file)?;
    let mut found = VecDeque::new();
    while found.len() < most {
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
            if found.len().saturating_add(here.len()) >= most {
                here.pop_front();
            }
            here.push_back(line);
        }
        here.append(&mut found);
        found = here;
    }
    Ok(found.into())
}

/// Reads the end of the store's list of revocations as it is noted beside an audit; nothing where none is.
///
/// # Errors
/// The file beside the audit cannot be read.
pub fn noted_list(file: &Path) -> Result<Option<ListEnd>, ReadError> {
    let Some(beside) = noted(file).map_err(|error| ReadError::new(file, &error))? else { return Ok(None) };
    // Reads it again under the lock of the audit, so that no half-written line counts.
    Ok(Snapshot::take(file).map_or(beside.list, |snapshot| snapshot.list))
}

impl Lines {
    /// The next file, if there is one.
    fn open(&mut self) -> Option<io::Result<Source>> {
        while let Some(path) = self.rotated.pop_front() {
            match open_beside(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((len, file)) => return Some(Ok(Source::new(path, file, len))),
                // It has had its time meanwhile.
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
                    Err(error) => return Some(Err(BadLine::Failed(ReadError::new(&self.file, &error)))),
                },
            };
            match source.next(&mut self.line) {
                Ok(Next::Line) => {
                    let bad = || BadLine::Unreadable(source.path.clone(), source.number);
                    let line = Line::read(&self.line).ok_or_else(bad);
                    return Some(line.map(|line| (String::from_utf8_lossy(&self.line).into_owned(), line.record)));
                }
                // The one that is written may end so, and another may not.
                Ok(next) if next == Next::TooLong || next == Next::Unfinished && source.path != self.file => {
                    return Some(Err(BadLine::Unreadable(source.path.clone(), source.number)));
                }
                Ok(_) => self.source = None,
                Err(error) => {
                    let error = ReadError::new(&source.path, &error);
                    self.source = None;
                    return Some(Err(BadLine::Failed(error)));
                }
            }
        }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, number) => {
                write!(f, "{}:{number}: this is no line of an audit; see `keyward audit verify`", file.display())
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

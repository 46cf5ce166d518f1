//! Verifies the chain, and finds the first place at which it is broken.

use crate::files::{first_of, open_beside};
use crate::head::Head;
use crate::line::Line;
use crate::read::{Next, ReadError, Snapshot, Source};
use crate::tail::could_be_ours;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Maximum number of attempts, if retention removes files in the meantime.
const TRIES: u32 = 5;

/// The result of verifying an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Number of files.
    pub files: usize,
    /// Number of valid lines: all, or those before the problem.
    pub records: u64,
    /// The number and time of the first valid line.
    pub first: Option<(u64, String)>,
    /// The number and time of the last valid line.
    pub last: Option<(u64, String)>,
    /// The head: the last valid line.
    pub head: Head,
    /// The last line of the files that retention has removed.
    pub removed: Option<Head>,
    /// Set if the last line is unfinished. It was not acknowledged, and the next writer cuts it.
    pub unfinished: bool,
    /// Set if there is a head beside the file. Without one, a truncation cannot be detected.
    pub has_head: bool,
    /// Number of unfinished lines that were cut.
    pub cut: u64,
    /// Number of records that were counted instead of written.
    pub lost: u64,
    /// The result for the head that was passed in.
    pub noted: AnchorCheck,
    /// The first problem.
    pub problem: Option<Problem>,
}

/// The result of checking a head that was stored elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnchorCheck {
    /// No head was passed in, or the chain is broken before it.
    #[default]
    Unseen,
    /// The history leads to the head.
    Found,
    /// The line of the head was removed by retention, so it cannot be checked.
    TooOld,
}

/// The place at which the chain is broken, and the kind of defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of defect.
    pub wrong: Defect,
    /// The file.
    pub file: PathBuf,
    /// The line in that file, from 1. For a missing line, the place where it should be.
    pub line: u64,
    /// The number of the record that is not as it was written.
    pub seq: u64,
}

/// The ways in which a chain can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A line is not as it was written, or does not follow from the line before it.
    Changed,
    /// A line is missing, and later ones exist.
    Removed,
    /// A line is at another place, or exists twice.
    Reordered,
    /// All lines from here on are missing.
    Truncated,
    /// The line is not an audit record.
    Unreadable,
}

/// Verifies all lines of an audit log in order. `noted` is a head that was stored elsewhere, to
/// which the history must lead.
///
/// # Errors
/// Returns an error if the audit log does not exist or cannot be read. Defects are reported in
/// [`Verified::problem`].
pub fn verify(file: &Path, noted: Option<&Head>) -> Result<Verified, ReadError> {
    let mut tries = 1;
    loop {
        match Check::new(noted).run(file, Snapshot::take(file)?) {
            Ok(verified) => return Ok(verified),
            Err(error) if error.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            Err(error) => return Err(ReadError::new(file, &error)),
        }
    }
}

/// The state of a verification.
struct Check<'a> {
    so_far: Verified,
    noted: Option<&'a Head>,
    /// The head beside the file.
    own: Option<Head>,
    /// Set if the first line does not have the first number: a later line must confirm that those
    /// before it were removed.
    start: Option<Start>,
    /// Set if a line has an unexpected number.
    leap: Option<Leap>,
    /// The number in the name of the file being read, if it was rotated.
    named: Option<u64>,
    /// The last line that was read, valid or not.
    before: Option<Head>,
}

/// A first line whose predecessor was removed.
struct Start {
    file: PathBuf,
    text: Vec<u8>,
    leap: Leap,
    /// Set if a record reports that all lines up to this one were removed.
    is_named: bool,
    vouched: Option<Head>,
    /// The last line before this one known to have been removed.
    removed: u64,
}

/// An unexpected number. Later lines reveal what happened.
struct Leap {
    expected: u64,
    found: u64,
    /// The number of the next line.
    next: Option<u64>,
    /// Set if the expected line exists further on.
    is_later: bool,
}

impl<'a> Check<'a> {
    fn new(noted: Option<&'a Head>) -> Self {
        Self { so_far: Verified::default(), noted, own: None, start: None, leap: None, named: None, before: None }
    }

    fn run(mut self, file: &Path, snapshot: Snapshot) -> io::Result<Verified> {
        let Snapshot { rotated, current, head, .. } = snapshot;
        self.own = head;
        self.so_far.has_head = head.is_some();
        self.so_far.files = rotated.len().saturating_add(usize::from(current.is_some()));
        // The place where a missing line would be.
        let mut end = (file.to_owned(), 1);
        for path in rotated {
            let open = open_beside(&path)?;
            let len = open.metadata()?.len();
            end = self.read(Source::new(path, open, len), false)?;
        }
        if let Some((open, len)) = current {
            end = self.read(Source::new(file.to_owned(), open, len), true)?;
        }
        Ok(self.judge(end))
    }

    /// Checks all lines of a file. Returns the place where the next line would be.
    fn read(&mut self, mut source: Source, is_current: bool) -> io::Result<(PathBuf, u64)> {
        let mut line = Vec::new();
        self.named = first_of(&source.path).filter(|_| !is_current);
        loop {
            let next = source.next(&mut line)?;
            let at = (&source.path, source.number);
            match next {
                // A file without lines is never rotated.
                Next::End if source.number == 0 && !is_current => {
                    self.wrong(Defect::Truncated, (&source.path, 1), self.expected());
                    break;
                }
                Next::End => break,
                Next::Line => match Line::read(&line) {
                    Some(read) => self.line(at, &line, &read),
                    None => self.wrong(Defect::Unreadable, at, self.expected()),
                },
                Next::TooLong => self.wrong(Defect::Unreadable, at, self.expected()),
                // The head reveals whether the line was acknowledged. Bytes that cannot be part of
                // a first line are not cut.
                Next::Unfinished if is_current && source.number == 1 && !could_be_ours(&line) => {
                    self.wrong(Defect::Unreadable, at, self.expected());
                }
                Next::Unfinished if is_current => {
                    self.so_far.unfinished = true;
                    return Ok((source.path, source.number));
                }
                Next::Unfinished => self.wrong(Defect::Truncated, at, self.expected()),
            }
        }
        Ok((source.path, source.number.saturating_add(1)))
    }

    /// Returns the number of the next line. The very first line has the number in the name of its
    /// file.
    fn expected(&self) -> u64 {
        let next = self.so_far.head.seq.saturating_add(1);
        if self.before.is_some() { next } else { self.named.unwrap_or(next) }
    }

    /// Records a problem, unless there is an earlier one.
    fn wrong(&mut self, wrong: Defect, (file, line): (&PathBuf, u64), seq: u64) {
        if self.so_far.problem.is_none() {
            self.so_far.problem = Some(Problem { wrong, file: file.clone(), line, seq });
        }
    }

    fn line(&mut self, at: (&PathBuf, u64), text: &[u8], line: &Line<'_>) {
        let seq = line.record.seq;
        for leap in self.leap.iter_mut().chain(self.start.iter_mut().map(|start| &mut start.leap)) {
            leap.next = leap.next.or(Some(seq));
            leap.is_later |= seq == leap.expected;
        }
        let expected = self.so_far.head.seq.saturating_add(1);
        if self.so_far.problem.is_none() {
            if self.before.is_none() && seq > 1 {
                self.start = Some(Start::new(at.0, text, seq));
                self.accept(at, line);
            } else if seq != expected {
                self.leap = Some(Leap { expected, found: seq, next: None, is_later: false });
                self.wrong(Defect::Removed, at, expected);
            } else if !line.follows(&self.so_far.head) {
                self.wrong(Defect::Changed, at, seq);
            } else if at.1 == 1 && self.named.is_some_and(|named| named != seq) {
                // The whole file is in the place of another, or was renamed while it was the
                // current one.
                self.wrong(Defect::Reordered, at, seq);
            } else {
                self.accept(at, line);
            }
        }
        if let (Some(start), Some(removed)) = (&mut self.start, line.record.removed()) {
            start.hears(removed);
        }
        self.before = Some(line.head());
    }

    /// Accepts a line that follows from the one before it.
    fn accept(&mut self, at: (&PathBuf, u64), line: &Line<'_>) {
        let head = line.head();
        let is_other = |noted: &Head| noted.seq == head.seq && noted.hash != head.hash;
        if self.own.as_ref().is_some_and(is_other) || self.noted.is_some_and(is_other) {
            return self.wrong(Defect::Changed, at, head.seq);
        }
        if self.noted.is_some_and(|noted| *noted == head) {
            self.so_far.noted = AnchorCheck::Found;
        }
        if line.record.event == "missing" {
            // The process that wrote it found that lines were missing.
            return self.wrong(Defect::Truncated, at, head.seq);
        }
        let so_far = &mut self.so_far;
        so_far.head = head;
        so_far.records = so_far.records.saturating_add(1);
        so_far.cut = so_far.cut.saturating_add(u64::from(line.record.event == "cut"));
        let lost = line.record.lost.iter().flatten().fold(0_u64, |sum, loss| sum.saturating_add(loss.count));
        so_far.lost = so_far.lost.saturating_add(lost);
        so_far.last = Some((head.seq, line.record.time.clone()));
        so_far.first.get_or_insert_with(|| (head.seq, line.record.time.clone()));
    }

    fn judge(mut self, end: (PathBuf, u64)) -> Verified {
        if let Some(start) = self.start.take() {
            self.judge_start(start);
        }
        if let (Some(leap), Some(problem)) = (&self.leap, &mut self.so_far.problem)
            && problem.wrong == Defect::Removed
        {
            problem.wrong = leap.judge(self.own.as_ref());
        }
        let last = self.so_far.head.seq;
        let is_beyond = |head: &Head| head.seq > last;
        if self.own.as_ref().is_some_and(is_beyond) || self.noted.is_some_and(is_beyond) {
            self.wrong(Defect::Truncated, (&end.0, end.1), last.saturating_add(1));
        }
        if let (Some(noted), Some((first, _))) = (self.noted, &self.so_far.first)
            && noted.seq < *first
        {
            self.so_far.noted = match self.so_far.removed {
                _ if noted.seq == 0 => AnchorCheck::Found,
                Some(removed) if removed == *noted => AnchorCheck::Found,
                _ => AnchorCheck::TooOld,
            };
        }
        self.so_far
    }

    /// Checks the first line: a later one must confirm the removal of the line that it follows
    /// from.
    fn judge_start(&mut self, Start { file, text: _, mut leap, is_named, vouched, removed }: Start) {
        if vouched.is_some() {
            self.so_far.removed = vouched;
            return;
        }
        let problem = if is_named {
            Problem { wrong: Defect::Changed, file, line: 1, seq: leap.found }
        } else {
            // Lines removed by retention are not missing.
            leap.expected = removed.saturating_add(1);
            Problem { wrong: leap.judge(self.own.as_ref()), file, line: 1, seq: leap.expected }
        };
        let Verified { files, has_head, .. } = self.so_far;
        self.so_far = Verified { files, has_head, problem: Some(problem), ..Verified::default() };
    }
}

impl Start {
    /// Creates a start that is accepted until the whole chain has been read.
    fn new(file: &Path, text: &[u8], found: u64) -> Self {
        let leap = Leap { expected: 1, found, next: None, is_later: false };
        Self { file: file.to_owned(), text: text.to_vec(), leap, is_named: false, vouched: None, removed: 0 }
    }

    /// Handles a record that all lines up to `removed` were removed.
    fn hears(&mut self, removed: Head) {
        let first = self.leap.found;
        if removed.seq < first {
            self.removed = self.removed.max(removed.seq);
        }
        if removed.seq.saturating_add(1) == first && self.vouched.is_none() {
            self.is_named = true;
            let follows = Line::read(&self.text).is_some_and(|line| line.follows(&removed));
            self.vouched = Some(removed).filter(|_| follows);
        }
    }
}

impl Leap {
    fn judge(&self, own: Option<&Head>) -> Defect {
        let behind = self.expected.checked_add(1);
        let is_next = match self.next {
            Some(next) => Some(next) == behind,
            None => own.is_some_and(|own| own.seq == self.expected),
        };
        if self.is_later {
            Defect::Reordered
        } else if is_next {
            // One line replaces one line.
            Defect::Changed
        } else if self.found > self.expected {
            Defect::Removed
        } else {
            Defect::Reordered
        }
    }
}

impl Defect {
    /// Returns the name of the defect.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wrong, file, line, seq } = self;
        write!(f, "{}:{line}: record {seq} ", file.display())?;
        f.write_str(match wrong {
            Defect::Changed => "was changed, or does not follow from the record before it",
            Defect::Removed => "was removed, but not by retention",
            Defect::Reordered => "is out of order, or this line is a duplicate",
            Defect::Truncated => "and all later records are missing: the end was truncated",
            Defect::Unreadable => "cannot be read: not an audit record",
        })
    }
}

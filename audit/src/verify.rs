//! Whether the chain is whole; if not, which is the first place at which it is not.

use crate::files::{first_of, open_beside};
use crate::head::Head;
use crate::line::Line;
use crate::read::{Next, ReadError, Snapshot, Source};
use crate::tail::could_be_ours;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// How often it begins again because files have had their time meanwhile.
const TRIES: u32 = 5;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// How many files there are.
    pub files: usize,
    /// How many lines follow from one another: all, or those before the problem.
    pub records: u64,
    /// Number and time of the first.
    pub first: Option<(u64, String)>,
    /// Number and time of the last.
    pub last: Option<(u64, String)>,
    /// The last of them.
    pub head: Head,
    /// Up to which line files have had their time, and were removed.
    pub removed: Option<Head>,
    /// Whether the last line is not finished: it was not answered for, and whoever writes next cuts it.
    pub unfinished: bool,
    /// Whether a head stands beside the file. Without one nobody can tell whether the end is missing.
    pub has_head: bool,
    /// How often an unfinished line was cut.
    pub cut: u64,
    /// How many records were counted instead of being written.
    pub lost: u64,
    /// What became of the head that was given.
    pub noted: Noted,
    /// The first thing that is wrong.
    pub problem: Option<Problem>,
}

/// What became of a head that was noted elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Noted {
    /// None was given, or the chain is broken before its place.
    #[default]
    Unseen,
    /// It is where it should be.
    Found,
    /// Its line has had its time: nothing can be said of it.
    TooOld,
}

/// Where the chain is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In which way.
    pub wrong: Wrong,
    /// The file.
    pub file: PathBuf,
    /// The line in that file, from 1. For what is not there: where it should stand.
    pub line: u64,
    /// The number of the record that is not as it was.
    pub seq: u64,
}

/// In which way a chain can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A line is not what was written, or does not follow from the one before it.
    Changed,
    /// There is nothing in its place but what came later.
    Removed,
    /// It stands somewhere else, or twice.
    Reordered,
    /// There is nothing from here on, and there was.
    Truncated,
    /// It is no line of an audit.
    Unreadable,
}

/// Looks at all lines of an audit in order. `noted` is a head that was noted elsewhere: the history must lead to it.
///
/// # Errors
/// There is none, or it cannot be read. What is wrong with it is no error.
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

/// What is known so far.
struct Check<'a> {
    so_far: Verified,
    noted: Option<&'a Head>,
    /// The head beside the file.
    own: Option<Head>,
    /// The first line does not have the first number: who vouches for it?
    start: Option<Start>,
    /// A line with another number than it should have.
    leap: Option<Leap>,
    /// The number by which the file that is read is named, if it is rotated away.
    named: Option<u64>,
    /// The last line that was looked at, believed or not.
    before: Option<Head>,
}

/// A first line whose line before it was removed.
struct Start {
    file: PathBuf,
    text: Vec<u8>,
    leap: Leap,
    /// Whether a line says that all up to this one were removed, and the head that it says so of, if this one follows from it.
    is_named: bool,
    vouched: Option<Head>,
    /// Up to which line before it others were removed, according to the lines that are there.
    removed: u64,
}

/// There should be one number, and there is another. What follows tells what has happened.
struct Leap {
    expected: u64,
    found: u64,
    /// The number of the line behind it.
    next: Option<u64>,
    /// Whether the one that was expected stands somewhere behind it.
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
        // Where a line would stand that is not there.
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

    /// Looks at all lines of a file. Returns where the next one would stand.
    fn read(&mut self, mut source: Source, is_current: bool) -> io::Result<(PathBuf, u64)> {
        let mut line = Vec::new();
        self.named = first_of(&source.path).filter(|_| !is_current);
        loop {
            let next = source.next(&mut line)?;
            let at = (&source.path, source.number);
            match next {
                // Only what has a line is rotated away.
                Next::End if source.number == 0 && !is_current => {
                    self.wrong(Wrong::Truncated, (&source.path, 1), self.expected());
                    break;
                }
                Next::End => break,
                Next::Line => match Line::read(&line) {
                    Some(read) => self.line(at, &line, &read),
                    None => self.wrong(Wrong::Unreadable, at, self.expected()),
                },
                Next::TooLong => self.wrong(Wrong::Unreadable, at, self.expected()),
                // Whether it was answered for, the head says. What cannot be a part of a first line is not cut.
                Next::Unfinished if is_current && source.number == 1 && !could_be_ours(&line) => {
                    self.wrong(Wrong::Unreadable, at, self.expected());
                }
                Next::Unfinished if is_current => {
                    self.so_far.unfinished = true;
                    return Ok((source.path, source.number));
                }
                Next::Unfinished => self.wrong(Wrong::Truncated, at, self.expected()),
            }
        }
        Ok((source.path, source.number.saturating_add(1)))
    }

    /// The number of the next line. The first of all that are left has the one that its file is named by.
    fn expected(&self) -> u64 {
        let next = self.so_far.head.seq.saturating_add(1);
        if self.before.is_some() { next } else { self.named.unwrap_or(next) }
    }

    /// The first thing that is wrong counts.
    fn wrong(&mut self, wrong: Wrong, (file, line): (&PathBuf, u64), seq: u64) {
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
                self.wrong(Wrong::Removed, at, expected);
            } else if !line.follows(&self.so_far.head) {
                self.wrong(Wrong::Changed, at, seq);
            } else if at.1 == 1 && self.named.is_some_and(|named| named != seq) {
                // All of the file stands where another should, or the one that is written was taken for one.
                self.wrong(Wrong::Reordered, at, seq);
            } else {
                self.accept(at, line);
            }
        }
        if let (Some(start), Some(removed)) = (&mut self.start, line.record.removed()) {
            start.hears(removed);
        }
        self.before = Some(line.head());
    }

    /// A line that is as it should be.
    fn accept(&mut self, at: (&PathBuf, u64), line: &Line<'_>) {
        let head = line.head();
        let is_other = |noted: &Head| noted.seq == head.seq && noted.hash != head.hash;
        if self.own.as_ref().is_some_and(is_other) || self.noted.is_some_and(is_other) {
            return self.wrong(Wrong::Changed, at, head.seq);
        }
        if self.noted.is_some_and(|noted| *noted == head) {
            self.so_far.noted = Noted::Found;
        }
        if line.record.event == "missing" {
            // Whoever wrote it saw that lines were gone.
            return self.wrong(Wrong::Truncated, at, head.seq);
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
            && problem.wrong == Wrong::Removed
        {
            problem.wrong = leap.judge(self.own.as_ref());
        }
        let last = self.so_far.head.seq;
        let is_beyond = |head: &Head| head.seq > last;
        if self.own.as_ref().is_some_and(is_beyond) || self.noted.is_some_and(is_beyond) {
            self.wrong(Wrong::Truncated, (&end.0, end.1), last.saturating_add(1));
        }
        if let (Some(noted), Some((first, _))) = (self.noted, &self.so_far.first)
            && noted.seq < *first
        {
            self.so_far.noted = match self.so_far.removed {
                _ if noted.seq == 0 => Noted::Found,
                Some(removed) if removed == *noted => Noted::Found,
                _ => Noted::TooOld,
            };
        }
        self.so_far
    }

    /// The first line must follow from one of which a later one says that it was removed.
    fn judge_start(&mut self, Start { file, text: _, mut leap, is_named, vouched, removed }: Start) {
        if vouched.is_some() {
            self.so_far.removed = vouched;
            return;
        }
        let problem = if is_named {
            Problem { wrong: Wrong::Changed, file, line: 1, seq: leap.found }
        } else {
            // What was removed in order is not what is missing.
            leap.expected = removed.saturating_add(1);
            Problem { wrong: leap.judge(self.own.as_ref()), file, line: 1, seq: leap.expected }
        };
        let Verified { files, has_head, .. } = self.so_far;
        self.so_far = Verified { files, has_head, problem: Some(problem), ..Verified::default() };
    }
}

impl Start {
    /// Until it is known who vouches for it, it is believed.
    fn new(file: &Path, text: &[u8], found: u64) -> Self {
        let leap = Leap { expected: 1, found, next: None, is_later: false };
        Self { file: file.to_owned(), text: text.to_vec(), leap, is_named: false, vouched: None, removed: 0 }
    }

    /// A line says that all up to this one were removed.
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
    fn judge(&self, own: Option<&Head>) -> Wrong {
        let behind = self.expected.checked_add(1);
        let is_next = match self.next {
            Some(next) => Some(next) == behind,
            None => own.is_some_and(|own| own.seq == self.expected),
        };
        if self.is_later {
            Wrong::Reordered
        } else if is_next {
            // One line in the place of one line.
            Wrong::Changed
        } else if self.found > self.expected {
            Wrong::Removed
        } else {
            Wrong::Reordered
        }
    }
}

impl Wrong {
    /// The word for it.
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
            Wrong::Changed => "was changed, or does not follow from the one before it",
            Wrong::Removed => "was removed, and nothing says that its time was over",
            Wrong::Reordered => "stands elsewhere, or this line stands here for the second time",
            Wrong::Truncated => "and what came behind it is gone: the end was cut off",
            Wrong::Unreadable => "cannot be read: this is no line of an audit",
        })
    }
}

//! The current file: opens and locks it, finds its end after writes of other processes, and appends
//! to it.

use crate::Settings;
use crate::allowance::Allowance;
use crate::body::Body;
use crate::entry::cut;
use crate::files::{
    folder_of, head_of, id_at, id_of, is_no_file, must_be_file, noted, noted_head, of, open_beside, rotated,
    rotated_name,
};
use crate::head::{Beside, Head, ListEnd};
use crate::line::{Line, MAX_LINE, push};
use crate::retention::{self, Removal};
use crate::storage::Storage;
use crate::tail::Tail;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

/// Maximum number of times that the file may have been replaced before that is an error.
const TRIES: u32 = 100;

/// A record and its time since 1970.
pub(crate) type Stamped = (Duration, Body);

/// The outcome of an append.
#[derive(Debug)]
pub(crate) struct Appended {
    /// The number of the first record.
    pub(crate) first: u64,
    /// The last line.
    pub(crate) head: Head,
    /// The indexes of the notes that were dropped.
    pub(crate) dropped: BTreeSet<usize>,
    /// Set if the allowance of notes is used up.
    pub(crate) is_used_up: bool,
}

/// A note of the end of the revocation list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum List {
    /// The list has been read up to here.
    ReadTo(ListEnd),
    /// An operator accepts the list as it ends here.
    Accepted(ListEnd),
}

/// The chain, as this process knows it.
pub(crate) struct Chain {
    settings: Settings,
    storage: Box<dyn Storage>,
    open: Option<Open>,
    /// The last line that this process has written or found. It must remain, whatever happens to
    /// the files.
    last: Option<Head>,
    /// Findings to record before anything else.
    findings: Vec<Body>,
    /// Number of bytes of unfinished lines that were cut but not recorded yet.
    cut: u64,
    /// The used allowance of notes, which is also noted beside the file.
    allowance: Allowance,
    /// The day on which retention was last checked.
    looked: Option<u64>,
}

/// The open file, and its state when it was last locked.
struct Open {
    file: File,
    id: (u64, u64),
    head_file: File,
    head_id: (u64, u64),
    /// The offset of the end of the last line; `None` if it must be determined.
    known: Option<u64>,
    end: Head,
    /// The number and time of its first line.
    first: Option<(u64, String)>,
}

impl Chain {
    pub(crate) fn new(mut settings: Settings, storage: Box<dyn Storage>) -> Self {
        cut(&mut settings.node, 256);
        let allowance = Allowance::default();
        Self { settings, storage, open: None, last: None, findings: Vec::new(), cut: 0, allowance, looked: None }
    }

    /// Appends records and makes them durable, except for notes beyond their allowance. If it
    /// fails, none of them counts as written.
    pub(crate) fn append(&mut self, records: &[Stamped], now: Duration) -> io::Result<Appended> {
        let done = self.locked(now).and_then(|()| self.append_locked(records, now));
        match (&done, &self.open) {
            (Ok(_), Some(open)) if open.file.unlock().is_ok() => {}
            // Closing the file unlocks it, and the next append reads its end again.
            _ => self.open = None,
        }
        self.last = done.as_ref().map_or(self.last, |appended| Some(appended.head));
        done
    }

    /// Notes the end of the revocation list beside the file, if its number is greater than the
    /// noted one or an operator has accepted it.
    pub(crate) fn note_list(&mut self, list: List, now: Duration) -> io::Result<()> {
        let done = self.locked(now).and_then(|()| match &self.open {
            Some(open) => open.note_list(&self.settings, list),
            None => Err(io::Error::other("the file is not open")),
        });
        match (&done, &self.open) {
            (Ok(()), Some(open)) if open.file.unlock().is_ok() => {}
            _ => self.open = None,
        }
        done
    }

    /// Returns `true` if so little space is free that the rest is reserved for changes. If that
    /// cannot be determined, nothing is reserved.
    pub(crate) fn is_low_on_space(&mut self) -> bool {
        let Self { settings: Settings { file, reserve_bytes, .. }, storage, open, .. } = self;
        let free = match open {
            Some(open) => storage.free_bytes(&open.file),
            None => File::open(folder_of(file)).and_then(|folder| storage.free_bytes(&folder)),
        };
        free.is_ok_and(|free| free < *reserve_bytes)
    }

    /// Locks the file at the path and finds its end.
    fn locked(&mut self, now: Duration) -> io::Result<()> {
        for _ in 0..TRIES {
            if self.open.is_none() {
                self.open = Some(Open::new(&self.settings)?);
            }
            let Some(open) = &mut self.open else { continue };
            open.file.lock()?;
            // The previous holder of the lock may have renamed the file. A deleted head would not
            // reveal a truncation.
            let Settings { file, .. } = &self.settings;
            if id_at(file)? != Some(open.id) || id_at(&head_of(file))? != Some(open.head_id) {
                self.open = None;
                continue;
            }
            let len = open.file.metadata()?.len();
            if open.known != Some(len) {
                self.findings = open.find_end(&self.settings, len, self.last)?;
            }
            if open.is_full(&self.settings, now) {
                self.rotate()?;
                continue;
            }
            return Ok(());
        }
        Err(io::Error::other("the file was replaced by another one too many times"))
    }

    /// Renames the file to its final name.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (Some((first, _)), Some(len)) = (&open.first, open.known) else { return Ok(()) };
        let name = rotated_name(&self.settings.file, *first);
        if id_at(&name)?.is_some() {
            return Err(io::Error::other(format!("{} already exists: move it away", name.display())));
        }
        // An unfinished line belongs to no file.
        let unfinished = open.file.metadata()?.len().saturating_sub(len);
        if unfinished > 0 {
            open.file.set_len(len)?;
            self.cut = self.cut.saturating_add(unfinished);
            self.storage.sync(&open.file)?;
        }
        fs::rename(&self.settings.file, name)?;
        self.looked = None;
        Ok(())
    }

    fn append_locked(&mut self, records: &[Stamped], now: Duration) -> io::Result<Appended> {
        let removals = self.removals(now);
        let noted = self.used_allowance(records, now);
        let mut used = noted.unwrap_or(self.allowance);
        let (mut dropped, mut is_used_up) = (BTreeSet::new(), false);
        let Self { settings, storage, open, last: _, findings, cut, allowance, looked: _ } = self;
        let Some(open) = open else { return Err(io::Error::other("the file is not open")) };
        let unfinished = Some(*cut).filter(|bytes| *bytes > 0).map(Body::Cut);
        let own = unfinished.into_iter().chain(findings.iter().cloned());
        let own = own.chain(removals.iter().map(|removal| Body::Removed(removal.up_to)));
        let own: Vec<Stamped> = own.map(|body| (now, body)).collect();
        let (mut text, mut end) = (Vec::new(), open.end);
        let mut first = None;
        let own = own.iter().map(|stamped| (None, stamped));
        for (index, (at, body)) in own.chain(records.iter().enumerate().map(|(index, stamped)| (Some(index), stamped)))
        {
            let (before, length) = (end, text.len());
            end = push(&mut text, &end, *at, &settings.node, body)?;
            let bytes = text.len().saturating_sub(length);
            match (body, index) {
                (Body::Note(_), Some(index)) if !used.take(bytes, settings.notes_bytes_per_day, now) => {
                    text.truncate(length);
                    end = before;
                    dropped.insert(index);
                    continue;
                }
                (Body::Lost(_), _) => is_used_up |= !used.charge(bytes, settings.notes_bytes_per_day, now),
                _ => {}
            }
            let time = || crate::rfc3339(*at);
            first.get_or_insert_with(|| (end.seq, time()));
        }
        is_used_up |= !dropped.is_empty();
        let before = open.known.unwrap_or_default();
        if !text.is_empty() {
            if let Err(error) = open.write(storage.as_mut(), &text, before) {
                // No caller learns that the text was written, so remove it. If that fails too, the
                // next append finds it.
                let unfinished = findings.iter().map(|finding| if let Body::Cut(bytes) = finding { *bytes } else { 0 });
                if open.file.set_len(before).is_ok() {
                    *cut = cut.saturating_add(unfinished.sum());
                }
                return Err(error);
            }
            open.known = Some(before.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX)));
            open.end = end;
            open.first = open.first.take().or(first);
            findings.clear();
            *cut = 0;
            // The head may lag behind: it is only read to detect a truncation.
            let _ = open.note_head(settings, noted.map(|_| used));
        }
        *allowance = used;
        for removal in &removals {
            // If one file stays, all later ones stay, or there would be a gap.
            if fs::remove_file(&removal.file).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
                break;
            }
        }
        let count = u64::try_from(records.len().saturating_sub(dropped.len())).unwrap_or(u64::MAX);
        Ok(Appended { first: end.seq.saturating_sub(count).saturating_add(1), head: end, dropped, is_used_up })
    }

    /// Returns the used allowance of notes, which all processes that write the file share; `None`
    /// if no record needs it.
    fn used_allowance(&self, records: &[Stamped], now: Duration) -> Option<Allowance> {
        let is_limited = |body: &Body| matches!(body, Body::Note(_) | Body::Lost(_));
        records.iter().any(|(_, body)| is_limited(body)).then(|| {
            let noted = noted(&self.settings.file).ok().flatten().and_then(|beside| beside.allowance);
            self.allowance.or_noted(noted, now)
        })
    }

    /// Returns the files whose retention has expired. They are determined once a day, and after
    /// each rotation.
    fn removals(&mut self, now: Duration) -> Vec<Removal> {
        let day = now.as_secs() / 86_400;
        if self.looked == Some(day) {
            return Vec::new();
        }
        self.looked = Some(day);
        // Files that cannot be checked stay.
        retention::due(&self.settings, now).unwrap_or_default()
    }
}

impl Open {
    fn new(settings: &Settings) -> io::Result<Self> {
        let path = &settings.file;
        if is_no_file(path) {
            return Err(io::Error::other("not a regular file: name one"));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.clone().create_new(true).open(path) {
            Ok(file) => {
                File::open(folder_of(path))?.sync_all()?;
                file
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path)?,
            Err(error) => return Err(error),
        };
        let head = head_of(path);
        must_be_file(&head)?;
        let head_file = options.create(true).truncate(false).open(&head).map_err(of(&head))?;
        let (id, head_id) = (id_of(&file)?, id_of(&head_file)?);
        Ok(Self { id, file, head_file, head_id, known: None, end: Head::default(), first: None })
    }

    /// Finds the end of the file, which another process may have written to; `before` is the last
    /// line that this process knows. Returns the findings to record.
    fn find_end(&mut self, settings: &Settings, len: u64, before: Option<Head>) -> io::Result<Vec<Body>> {
        let noted = noted_head(&settings.file)?.into_iter().chain(before).max_by_key(|head| head.seq);
        let Tail { last, good } = Tail::read(&self.file, len, noted.as_ref(), self.known.is_none())?;
        self.end = match &last {
            Some((head, _)) => *head,
            // It continues where the last rotated file ended.
            None => match rotated(&settings.file)?.last() {
                None => Head::default(),
                Some(before) => {
                    let open = open_beside(before)?;
                    let tail = Tail::read(&open, open.metadata()?.len(), noted.as_ref(), false).map_err(of(before))?;
                    tail.last.map_or_else(Head::default, |(head, _)| head)
                }
            },
        };
        self.first = match last {
            Some(_) => first_line(&self.file)?,
            None => None,
        };
        self.known = Some(good);
        let mut findings = Vec::new();
        if good < len {
            findings.push(Body::Cut(len.saturating_sub(good)));
        }
        let is_behind = |noted: &Head| noted.seq < self.end.seq || *noted == self.end;
        if let Some(noted) = noted.filter(|noted| !is_behind(noted)) {
            findings.push(Body::Missing(noted));
        }
        Ok(findings)
    }

    /// Returns `true` if the file must be rotated.
    fn is_full(&self, settings: &Settings, now: Duration) -> bool {
        let Some((_, since)) = &self.first else { return false };
        let is_old = retention::oldest(settings, now).is_some_and(|oldest| *since < oldest);
        self.known.is_some_and(|len| len >= settings.rotate_bytes) || is_old
    }

    /// Writes behind the last line, over the remains of an unfinished one.
    fn write(&self, storage: &mut dyn Storage, text: &[u8], at: u64) -> io::Result<()> {
        storage.write(&self.file, text, at)?;
        let end = at.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        storage.sync(&self.file)
    }

    /// Notes the last line and the used allowance of notes, if given, and keeps everything else
    /// that is noted.
    fn note_head(&self, settings: &Settings, used: Option<Allowance>) -> io::Result<()> {
        let noted = noted(&settings.file)?;
        let (list, before) = noted.map_or((None, None), |beside| (beside.list, beside.allowance));
        self.note(Beside { head: self.end, list, allowance: used.or(before) })
    }

    fn note_list(&self, settings: &Settings, list: List) -> io::Result<()> {
        let noted = noted(&settings.file)?;
        let (before, allowance) = noted.map_or((None, None), |beside| (beside.list, beside.allowance));
        let list = match list {
            List::ReadTo(end) if before.is_some_and(|before| end.number <= before.number) => return Ok(()),
            List::ReadTo(end) | List::Accepted(end) => end,
        };
        self.note(Beside { head: self.end, list: Some(list), allowance })?;
        self.head_file.sync_data()
    }

    fn note(&self, beside: Beside) -> io::Result<()> {
        let text = format!("{beside}\n");
        self.head_file.write_all_at(text.as_bytes(), 0)?;
        self.head_file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
    }
}

/// Returns the number and time of a file's first line.
fn first_line(file: &File) -> io::Result<Option<(u64, String)>> {
    let mut line = Vec::new();
    let mut begin = vec![0; MAX_LINE];
    let read = file.read_at(&mut begin, 0)?;
    BufReader::new(begin.as_slice().take(u64::try_from(read).unwrap_or(0))).read_until(b'\n', &mut line)?;
    line.pop();
    Ok(Line::read(&line).map(|line| (line.record.seq, line.record.time)))
}

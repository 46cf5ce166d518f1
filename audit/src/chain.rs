//! The file that is written: opened, locked, gone on from whoever wrote last, and added to.

use crate::Settings;
use crate::disk::Storage;
use crate::entry::{Body, cut};
use crate::files::{
    folder_of, head_of, id_at, id_of, is_no_file, must_be_file, noted, noted_head, of, open_beside, rotated,
    rotated_name,
};
use crate::head::{Beside, Head, ListEnd};
use crate::line::{Line, MAX_LINE, push};
use crate::retention::{self, Removal};
use crate::tail::Tail;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

/// How often the file may turn out to be another one before that is an error.
const TRIES: u32 = 100;

/// A record and its time, since 1970.
pub(crate) type Stamped = (Duration, Body);

/// A note of where the list of revocations ends.
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
    /// The last line that this process has written or found: it stays there, whatever becomes of the files.
    last: Option<Head>,
    /// What is to be said before anything else.
    findings: Vec<Body>,
    /// How many bytes of unfinished lines are gone already, and not told yet.
    cut: u64,
    /// The day on which it was last seen what is to be removed.
    looked: Option<u64>,
}

/// The file, and what is known of it as of the last time that it was locked.
struct Open {
    file: File,
    id: (u64, u64),
    head_file: File,
    head_id: (u64, u64),
    /// Up to the end of the last line; none: to be found out.
    known: Option<u64>,
    end: Head,
    /// Number and time of its first line.
    first: Option<(u64, String)>,
}

impl Chain {
    pub(crate) fn new(mut settings: Settings, storage: Box<dyn Storage>) -> Self {
        cut(&mut settings.node, 256);
        Self { settings, storage, open: None, last: None, findings: Vec::new(), cut: 0, looked: None }
    }

    /// Adds records behind all others. They are durable when it returns; where it fails none of them is to be believed in.
    /// Says which number the first one has, and which is the last line.
    pub(crate) fn append(&mut self, records: &[Stamped], now: Duration) -> io::Result<(u64, Head)> {
        let done = self.locked(now).and_then(|()| self.append_locked(records, now));
        match (&done, &self.open) {
            (Ok(_), Some(open)) if open.file.unlock().is_ok() => {}
            // Closing it unlocks it. What is in it is looked at anew.
            _ => self.open = None,
        }
        self.last = done.as_ref().map_or(self.last, |(_, head)| Some(*head));
        done
    }

    /// Notes the end of the list of revocations beside the file: a greater number than the one there, or whichever an
    /// operator has accepted.
    pub(crate) fn note_list(&mut self, list: List, now: Duration) -> io::Result<()> {
        let done = self.locked(now).and_then(|()| match &self.open {
            Some(open) => open.note_list(&self.settings, list),
            None => Err(io::Error::other("it is not open")),
        });
        match (&done, &self.open) {
            (Ok(()), Some(open)) if open.file.unlock().is_ok() => {}
            _ => self.open = None,
        }
        done
    }

    /// Locks the file that stands at the path, and finds out where to go on.
    fn locked(&mut self, now: Duration) -> io::Result<()> {
        for _ in 0..TRIES {
            if self.open.is_none() {
                self.open = Some(Open::new(&self.settings)?);
            }
            let Some(open) = &mut self.open else { continue };
            open.file.lock()?;
            // Whoever had the lock may have renamed it. A head that somebody has removed would tell nobody that the end is gone.
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
        Err(io::Error::other("it is replaced by another file again and again"))
    }

    /// Gives the file its last name.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let (Some((first, _)), Some(len)) = (&open.first, open.known) else { return Ok(()) };
        let name = rotated_name(&self.settings.file, *first);
        if id_at(&name)?.is_some() {
            return Err(io::Error::other(format!("{} is in the way: move it away", name.display())));
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

    fn append_locked(&mut self, records: &[Stamped], now: Duration) -> io::Result<(u64, Head)> {
        let removals = self.removals(now);
        let Self { settings, storage, open, last: _, findings, cut, looked: _ } = self;
        let Some(open) = open else { return Err(io::Error::other("it is not open")) };
        let unfinished = Some(*cut).filter(|bytes| *bytes > 0).map(Body::Cut);
        let own = unfinished.into_iter().chain(findings.iter().cloned());
        let own = own.chain(removals.iter().map(|removal| Body::Removed(removal.up_to)));
        let own: Vec<Stamped> = own.map(|body| (now, body)).collect();
        let (mut text, mut end) = (Vec::new(), open.end);
        let mut first = None;
        for (at, body) in own.iter().chain(records) {
            end = push(&mut text, &end, *at, &settings.node, body)?;
            let time = || crate::rfc3339(*at);
            first.get_or_insert_with(|| (end.seq, time()));
        }
        let before = open.known.unwrap_or_default();
        if !text.is_empty() {
            if let Err(error) = open.write(storage.as_mut(), &text, before) {
                // Nobody will be told that it is there, so it should not be. If that fails too, the next one finds it.
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
            // It may be behind, and it is only read by those who ask whether the end is missing.
            let _ = open.note_head(settings);
        }
        for removal in &removals {
            // Behind one that stays, all others stay: else there would be a gap.
            if fs::remove_file(&removal.file).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
                break;
            }
        }
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok((end.seq.saturating_sub(count).saturating_add(1), end))
    }

    /// Which files have had their time. That is looked up once a day, and when a file was finished.
    fn removals(&mut self, now: Duration) -> Vec<Removal> {
        let day = now.as_secs() / 86_400;
        if self.looked == Some(day) {
            return Vec::new();
        }
        self.looked = Some(day);
        // What cannot be removed stays.
        retention::due(&self.settings, now).unwrap_or_default()
    }
}

impl Open {
    fn new(settings: &Settings) -> io::Result<Self> {
        let path = &settings.file;
        if is_no_file(path) {
            return Err(io::Error::other("it is no regular file: name one"));
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

    /// Where the file ends that somebody else has written to last, or nobody; `before` is the last line of which this process
    /// knows. Returns what there is to say of it.
    fn find_end(&mut self, settings: &Settings, len: u64, before: Option<Head>) -> io::Result<Vec<Body>> {
        let noted = noted_head(&settings.file)?.into_iter().chain(before).max_by_key(|head| head.seq);
        let Tail { last, good } = Tail::read(&self.file, len, noted.as_ref(), self.known.is_none())?;
        self.end = match &last {
            Some((head, _)) => *head,
            // It goes on where the last one ended.
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

    /// Whether another file is to be begun.
    fn is_full(&self, settings: &Settings, now: Duration) -> bool {
        let Some((_, since)) = &self.first else { return false };
        let is_old = retention::oldest(settings, now).is_some_and(|oldest| *since < oldest);
        self.known.is_some_and(|len| len >= settings.rotate_bytes) || is_old
    }

    /// Writes behind the last line, over what is left of an unfinished one.
    fn write(&self, storage: &mut dyn Storage, text: &[u8], at: u64) -> io::Result<()> {
        storage.write(&self.file, text, at)?;
        let end = at.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        if self.file.metadata()?.len() > end {
            self.file.set_len(end)?;
        }
        storage.sync(&self.file)
    }

    /// Notes the last line. What is noted of the list stays.
    fn note_head(&self, settings: &Settings) -> io::Result<()> {
        let list = noted(&settings.file)?.and_then(|beside| beside.list);
        self.note(Beside { head: self.end, list })
    }

    fn note_list(&self, settings: &Settings, list: List) -> io::Result<()> {
        let before = noted(&settings.file)?.and_then(|beside| beside.list);
        let list = match list {
            List::ReadTo(end) if before.is_some_and(|before| end.number <= before.number) => return Ok(()),
            List::ReadTo(end) | List::Accepted(end) => end,
        };
        self.note(Beside { head: self.end, list: Some(list) })?;
        self.head_file.sync_data()
    }

    fn note(&self, beside: Beside) -> io::Result<()> {
        let text = format!("{beside}\n");
        self.head_file.write_all_at(text.as_bytes(), 0)?;
        self.head_file.set_len(u64::try_from(text.len()).unwrap_or(u64::MAX))
    }
}

/// Number and time of a file's first line.
fn first_line(file: &File) -> io::Result<Option<(u64, String)>> {
    let mut line = Vec::new();
    let mut begin = vec![0; MAX_LINE];
    let read = file.read_at(&mut begin, 0)?;
    BufReader::new(begin.as_slice().take(u64::try_from(read).unwrap_or(0))).read_until(b'\n', &mut line)?;
    line.pop();
    Ok(Line::read(&line).map(|line| (line.record.seq, line.record.time)))
}

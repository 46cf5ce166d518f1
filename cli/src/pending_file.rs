//! The file of revocations that only this process applies, from which the next start resumes them.
//!
//! Its size never changes, so that a full disk does not prevent a write. It has two slots, which
//! are written in turn: if a write is interrupted, the other slot holds the state before it.

use crate::CliError;
use crate::private_file::file_error;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::revocation::PendingRevocation;
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenDigest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The size of a slot in bytes: enough for all pending revocations that the runtime allows.
const SLOT: u64 = 5 << 19;

/// The content that earlier versions wrote while revocations were pending.
const EARLIER: &[u8] = b"pending\n";

/// The first word of a slot.
const NAME: &str = "keyward-pending";

/// The content of a slot.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    /// Set if an earlier process may have lost revocations, until the operator accepts it.
    may_be_lost: bool,
    revocations: Vec<Saved>,
}

/// A pending revocation. It holds ids and digests, and no tokens.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    handler: Option<String>,
    token_id: Option<String>,
    /// In hexadecimal digits.
    token_digest: Option<String>,
    actor_id: Option<String>,
    issued_until: Option<u64>,
    keep_children: bool,
    at: u64,
    leeway: u64,
    note: Option<String>,
}

impl Saved {
    fn of(pending: &PendingRevocation) -> Self {
        let PendingRevocation { revocation, at, leeway, note } = pending.clone();
        let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children } = revocation;
        let token_digest = token_digest.map(|digest| hex::encode(digest.bytes()));
        Self {
            handler,
            token_id,
            token_digest,
            actor_id,
            issued_until: issued_until.map(|time| time.seconds),
            keep_children,
            at: at.seconds,
            leeway: leeway.as_secs(),
            note,
        }
    }

    /// Returns the revocation, or `None` if its digest is not one.
    fn pending(self) -> Option<PendingRevocation> {
        let Self { handler, token_id, token_digest, actor_id, issued_until, keep_children, at, leeway, note } = self;
        let digest = |text: String| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).ok().map(|()| TokenDigest::new(bytes))
        };
        let token_digest = match token_digest {
            Some(text) => Some(digest(text)?),
            None => None,
        };
        let revocation = Revocation {
            handler,
            token_id,
            token_digest,
            actor_id,
            issued_until: issued_until.map(UnixTime::from_seconds),
            keep_children,
        };
        Some(PendingRevocation {
            revocation,
            at: UnixTime::from_seconds(at),
            leeway: Duration::from_secs(leeway),
            note,
        })
    }
}

/// The state of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PendingState {
    /// Set if revocations may have been lost, and no operator has accepted it.
    pub(crate) may_be_lost: bool,
    pub(crate) revocations: Vec<PendingRevocation>,
}

/// The open file, which one process writes.
pub(crate) struct PendingFile {
    path: PathBuf,
    file: File,
    /// The number of the last write.
    number: u64,
    may_be_lost: bool,
}

impl PendingFile {
    /// Opens the file, or creates it, and returns what an earlier process has left in it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, PendingState)> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file: move it away"));
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        let bytes = read(&mut file)?;
        let (number, mut state) = parse(&bytes);
        if file.metadata()?.len() < SLOT.saturating_mul(2) {
            // Anything else stays until the first write, in case this process ends before it.
            let is_blank = bytes.len() <= EARLIER.len() && !state.may_be_lost;
            fill(&file, if is_blank { 0 } else { bytes.len() })?;
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        let mut this = Self { path: path.to_owned(), file, number, may_be_lost: state.may_be_lost };
        this.is_accepted()?;
        state.may_be_lost = this.may_be_lost;
        Ok((this, state))
    }

    /// Replaces the content, durably.
    pub(crate) fn write(&mut self, pending: &[PendingRevocation]) -> io::Result<()> {
        let content = Content { may_be_lost: self.may_be_lost, revocations: pending.iter().map(Saved::of).collect() };
        let json = serde_json::to_string(&content).map_err(io::Error::other)?;
        let number = self.number.saturating_add(1);
        let text = format!("{NAME} {number} {} {}\n{json}\n", json.len(), checksum(number, &json));
        if u64::try_from(text.len()).is_ok_and(|length| length <= SLOT) {
            self.file.write_all_at(text.as_bytes(), SLOT.saturating_mul(number % 2))?;
            self.file.sync_data()?;
            self.number = number;
            Ok(())
        } else {
            Err(io::Error::other("the pending revocations are too long for it"))
        }
    }

    /// Returns whether the file was moved away or removed.
    pub(crate) fn is_gone(&self) -> io::Result<bool> {
        self.path.try_exists().map(|exists| !exists)
    }

    /// Returns whether the operator has accepted that revocations may be lost. The next write
    /// records it; until [`end_acceptance`](Self::end_acceptance), the next process sees it as
    /// well.
    pub(crate) fn is_accepted(&mut self) -> io::Result<bool> {
        let is_accepted = acceptance(&self.path).try_exists()?;
        self.may_be_lost &= !is_accepted;
        Ok(is_accepted)
    }

    /// Removes the operator's acceptance, after it was recorded.
    pub(crate) fn end_acceptance(&self) -> io::Result<()> {
        fs::remove_file(acceptance(&self.path))
    }

    /// Returns the state of a file that a daemon may be using; the default if there is no file.
    pub(crate) fn look(path: &Path) -> Result<PendingState, CliError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PendingState::default()),
            Err(error) => return Err(unusable(path, &error)),
        };
        let (_, state) = parse(&read(&mut file).map_err(|error| unusable(path, &error))?);
        let is_accepted = acceptance(path).try_exists().map_err(|error| unusable(path, &error))?;
        Ok(PendingState { may_be_lost: state.may_be_lost && !is_accepted, ..state })
    }

    /// Accepts that revocations may be lost, for the process that uses the file now or next.
    pub(crate) fn accept(path: &Path) -> io::Result<()> {
        File::create(acceptance(path)).and_then(|file| file.sync_all())
    }
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    CliError::Unavailable(format!("{} cannot be used: {}", path.display(), file_error(error)))
}

/// Returns the path of the file by which the operator accepts that revocations may be lost.
fn acceptance(path: &Path) -> PathBuf {
    path.with_added_extension("accepted")
}

fn read(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SLOT.saturating_mul(2)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes zeros from this position on, so that the file has its full size on the disk.
fn fill(file: &File, from: usize) -> io::Result<()> {
    let mut at = u64::try_from(from).unwrap_or(u64::MAX);
    while at < SLOT.saturating_mul(2) {
        let length = SLOT.saturating_mul(2).saturating_sub(at).min(64 << 10);
        file.write_all_at(&vec![0; usize::try_from(length).unwrap_or(0)], at)?;
        at = at.saturating_add(length);
    }
    file.sync_all()
}

fn checksum(number: u64, json: &str) -> String {
    hex::encode(Sha256::new_with_prefix(format!("{number}\n")).chain_update(json).finalize())
}

/// Returns the number and the content of the last complete write. If anything else is there, the
/// last write may be missing.
fn parse(bytes: &[u8]) -> (u64, PendingState) {
    if bytes.len() <= EARLIER.len() {
        return (0, PendingState { may_be_lost: bytes == EARLIER, ..PendingState::default() });
    }
    let (first, second) = bytes.split_at(usize::try_from(SLOT).unwrap_or(usize::MAX).min(bytes.len()));
    let mut last = (0, Content::default());
    let mut is_damaged = false;
    for slot in [first, second] {
        if slot.first().is_none_or(|byte| *byte == 0) {
            continue;
        }
        match parse_slot(slot) {
            Some(slot) if slot.0 > last.0 => last = slot,
            Some(_) => {}
            None => is_damaged = true,
        }
    }
    let (number, Content { may_be_lost, revocations }) = last;
    let count = revocations.len();
    let revocations: Vec<_> = revocations.into_iter().filter_map(Saved::pending).collect();
    let may_be_lost = may_be_lost || is_damaged || revocations.len() < count;
    (number, PendingState { may_be_lost, revocations })
}

fn parse_slot(slot: &[u8]) -> Option<(u64, Content)> {
    let end = slot.iter().position(|byte| *byte == b'\n')?;
    let (head, rest) = slot.split_at_checked(end)?;
    let mut words = str::from_utf8(head).ok()?.split(' ');
    let (NAME, number, length, sum, None) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next())
    else {
        return None;
    };
    let (number, length) = (number.parse().ok()?, length.parse::<usize>().ok()?);
    let json = str::from_utf8(rest.get(1..)?.get(..length)?).ok()?;
    if checksum(number, json) != sum {
        return None;
    }
    Some((number, serde_json::from_str(json).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(actor: &str) -> PendingRevocation {
        let revocation = Revocation {
            handler: Some("h".to_owned()),
            actor_id: Some(actor.to_owned()),
            token_digest: Some(TokenDigest::of("x")),
            issued_until: Some(UnixTime::from_seconds(7)),
            keep_children: true,
            ..Revocation::default()
        };
        PendingRevocation {
            revocation,
            at: UnixTime::from_seconds(7),
            leeway: Duration::from_secs(60),
            note: Some("{\"client\":\"\\\"\"}".to_owned()),
        }
    }

    fn left(path: &Path) -> PendingState {
        PendingFile::open(path).unwrap().1
    }

    #[test]
    fn pending_revocations_are_read_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.pending");
        let (mut file, state) = PendingFile::open(&path).unwrap();
        assert_eq!(state, PendingState::default());
        assert!(PendingFile::open(&path).is_err(), "only one process may use it");
        let mut all: Vec<PendingRevocation> = vec![];
        for actor in ["alice", "b\u{e9}\"\\", "carol"] {
            all.push(pending(actor));
            file.write(&all).unwrap();
            let state = PendingState { may_be_lost: false, revocations: all.clone() };
            assert_eq!(PendingFile::look(&path).unwrap(), state);
        }
        drop(file);
        assert_eq!(left(&path).revocations, all);
        let (mut file, _) = PendingFile::open(&path).unwrap();
        file.write(&[]).unwrap();
        drop(file);
        assert_eq!(left(&path), PendingState::default());
        let length = fs::metadata(&path).unwrap().len();
        assert_eq!(length, SLOT * 2, "the file has its full size from the start");
    }

    /// After any change to the last write, the one before it is read, or the loss is reported.
    #[test]
    fn an_interrupted_write_is_detected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.pending");
        let (mut file, _) = PendingFile::open(&path).unwrap();
        file.write(&[pending("alice")]).unwrap();
        let before = fs::read(&path).unwrap();
        file.write(&[pending("alice"), pending("bob")]).unwrap();
        drop(file);
        let after = fs::read(&path).unwrap();
        let written = (0..after.len()).filter(|at| after[*at] != 0 && *at < after.len() / 2);
        let last = written.max().unwrap();
        for cut in 1..=last {
            let mut torn = before.clone();
            torn[..cut].copy_from_slice(&after[..cut]);
            let (_, state) = parse(&torn);
            if state.revocations.len() == 1 {
                assert!(state.may_be_lost, "{cut}");
            } else {
                assert!(!state.may_be_lost && state.revocations.len() == 2, "{cut}");
            }
        }
    }

    #[test]
    fn a_possible_loss_is_reported_until_it_is_accepted() {
        for text in [EARLIER, b"something else", b"keyward-pending 1 2 x\n{}"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keyward.pending");
            fs::write(&path, text).unwrap();
            assert!(PendingFile::look(&path).unwrap().may_be_lost);
            for _ in 0..3 {
                assert!(left(&path).may_be_lost, "also if the process ends before it writes");
            }
            let (mut file, _) = PendingFile::open(&path).unwrap();
            file.write(&[pending("alice")]).unwrap();
            drop(file);
            assert!(left(&path).may_be_lost, "the next start reports it again");
            PendingFile::accept(&path).unwrap();
            assert!(!PendingFile::look(&path).unwrap().may_be_lost);
            for _ in 0..2 {
                assert!(!left(&path).may_be_lost, "also if the process ends before it writes");
            }
            let (mut file, state) = PendingFile::open(&path).unwrap();
            assert_eq!((state.may_be_lost, state.revocations), (false, vec![pending("alice")]));
            for actor in ["bob", "carol"] {
                file.write(&[pending(actor)]).unwrap();
            }
            file.end_acceptance().unwrap();
            drop(file);
            assert!(!left(&path).may_be_lost);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.pending");
        fs::write(&path, "none   \n").unwrap();
        for _ in 0..2 {
            assert_eq!(left(&path), PendingState::default(), "as an earlier version left it");
        }
        let (mut file, _) = PendingFile::open(&path).unwrap();
        file.write(&[pending("alice")]).unwrap();
        file.file.set_len(SLOT * 2 - 1).unwrap();
        drop(file);
        let state = PendingState { may_be_lost: false, revocations: vec![pending("alice")] };
        assert_eq!(left(&path), state, "a file that is too short");
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PendingFile::open(folder.path()).is_err());
    }
}

//! The end of a file: its last line, and what stands behind it because a write did not come to its end.

use crate::head::Head;
use crate::line::{BEGIN, Line, MAX_LINE};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is looked at. A line that is not finished is shorter; what a crash of the machine leaves of one write is, too.
const WINDOW: usize = 8 << 20;

/// The end of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last line, and its time. None: there is none.
    pub(crate) last: Option<(Head, String)>,
    /// How many bytes the file has up to the end of that line.
    pub(crate) good: u64,
}

impl Tail {
    /// Reads the end of a file that has `len` bytes, the last line at least; `after_crash` looks for what a machine may have
    /// left that lost its power. Up to `noted` its lines were answered for, and are not given up whatever stands in them.
    ///
    /// # Errors
    /// It cannot be read, or its last line is not one of ours.
    pub(crate) fn read(file: &File, len: u64, noted: Option<&Head>, after_crash: bool) -> io::Result<Self> {
        if !after_crash && let Ok(Some(tail)) = Self::read_last(file, len, MAX_LINE.saturating_mul(2), noted) {
            return Ok(tail);
        }
        Self::read_last(file, len, WINDOW, noted)?.ok_or_else(not_ours)
    }

    /// The same, from the last bytes only. `None`: they are too few to tell.
    fn read_last(file: &File, len: u64, most: usize, noted: Option<&Head>) -> io::Result<Option<Self>> {
        let start = len.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
        let size = usize::try_from(len.saturating_sub(start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, start)?;
        let mut end = line_end(&bytes, size);
        // A machine that lost its power may leave zeros in the place of what was not durable yet.
        if let Some(zero) = bytes.iter().position(|byte| *byte == 0) {
            let before = line_end(&bytes, zero);
            let answered = match (last_line(&bytes, before), noted) {
                (Some(line), Some(noted)) => Line::read(line).is_none_or(|line| line.head().seq < noted.seq),
                (None, Some(noted)) => noted.seq > 0,
                (_, None) => false,
            };
            if !answered {
                end = before;
            }
        }
        let Some(line) = last_line(&bytes, end) else {
            return match start {
                0 if could_be_ours(&bytes) => Ok(Some(Self::default())),
                0 => Err(not_ours()),
                _ => Ok(None),
            };
        };
        // One whose beginning is not here cannot be read.
        let Some(line) = Line::read(line) else { return Err(not_ours()) };
        let good = start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
        Ok(Some(Self { last: Some((line.head(), line.record.time)), good }))
    }
}

fn not_ours() -> io::Error {
    io::Error::other(
        "its last line is none of an audit; see what `keyward audit verify` says, and move the file and those beside it away",
    )
}

/// Whether a file without a line is a part of a first one, or what lost power left of that: anything else is not ours to cut.
pub(crate) fn could_be_ours(bytes: &[u8]) -> bool {
    let is_left = || bytes.first() == Some(&0) && bytes.iter().all(|byte| matches!(byte, 0 | b'\n' | b' '..=b'~'));
    bytes.iter().zip(BEGIN).all(|(byte, begin)| byte == begin) || is_left()
}

/// Behind the last line feed of the first `size` bytes.
fn line_end(bytes: &[u8], size: usize) -> usize {
    let feed = bytes.get(..size).and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n'));
    feed.map_or(0, |at| at.saturating_add(1))
}

/// The line that ends there, without its line feed.
fn last_line(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let line = bytes.get(..end.checked_sub(1)?)?;
    line.rsplit(|byte| *byte == b'\n').next()
}

//! The end of a file: its last line, and the remains of a write that did not complete.

use crate::head::Head;
use crate::line::{BEGIN, Line, MAX_LINE};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The number of bytes read from the end. Unfinished lines are shorter, and so are the remains of
/// one write after a power failure.
const WINDOW: usize = 8 << 20;

/// The end of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last line and its time; `None` if there is none.
    pub(crate) last: Option<(Head, String)>,
    /// Length of the file up to the end of that line, in bytes.
    pub(crate) good: u64,
}

impl Tail {
    /// Reads the end of a file of `len` bytes, at least its last line. `after_crash` also looks for
    /// the remains of a power failure. Lines up to `noted` were acknowledged, and are never cut,
    /// whatever they contain.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if its last line is not an audit record.
    pub(crate) fn read(file: &File, len: u64, noted: Option<&Head>, after_crash: bool) -> io::Result<Self> {
        if !after_crash && let Ok(Some(tail)) = Self::read_last(file, len, MAX_LINE.saturating_mul(2), noted) {
            return Ok(tail);
        }
        Self::read_last(file, len, WINDOW, noted)?.ok_or_else(not_ours)
    }

    /// Reads the end from the last `max` bytes. Returns `None` if they are too few.
    fn read_last(file: &File, len: u64, max: usize, noted: Option<&Head>) -> io::Result<Option<Self>> {
        let start = len.saturating_sub(u64::try_from(max).unwrap_or(u64::MAX));
        let size = usize::try_from(len.saturating_sub(start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, start)?;
        let mut end = line_end(&bytes, size);
        // A power failure may leave zeros in place of bytes that were not durable yet.
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
        // A line whose start is outside the window cannot be read.
        let Some(line) = Line::read(line) else { return Err(not_ours()) };
        let good = start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
        Ok(Some(Self { last: Some((line.head(), line.record.time)), good }))
    }
}

fn not_ours() -> io::Error {
    io::Error::other(
        "the last line is not an audit record: run `keyward audit verify`, and move the file and those beside it away",
    )
}

/// Returns `true` if a file without a complete line is a part of a first line, or the remains of
/// one after a power failure. Anything else must not be cut.
pub(crate) fn could_be_ours(bytes: &[u8]) -> bool {
    let is_left = || bytes.first() == Some(&0) && bytes.iter().all(|byte| matches!(byte, 0 | b'\n' | b' '..=b'~'));
    bytes.iter().zip(BEGIN).all(|(byte, begin)| byte == begin) || is_left()
}

/// Returns the offset behind the last line feed in the first `size` bytes.
fn line_end(bytes: &[u8], size: usize) -> usize {
    let feed = bytes.get(..size).and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n'));
    feed.map_or(0, |at| at.saturating_add(1))
}

/// Returns the line that ends at `end`, without its line feed.
fn last_line(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let line = bytes.get(..end.checked_sub(1)?)?;
    line.rsplit(|byte| *byte == b'\n').next()
}

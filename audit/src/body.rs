//! The content of one line.

use crate::dropped::Loss;
use crate::entry::Entry;
use crate::head::Head;
use std::time::Duration;

/// The content of a line: an entry, or a statement of the audit log about itself.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Entry(Box<Entry>),
    /// An entry that is dropped if it exceeds the allowance of notes.
    Note(Box<Entry>),
    /// Records that were counted instead of written.
    Lost(Vec<Loss>),
    /// Number of records written after their deadline, and the time of the first, since 1970.
    Late(u64, Duration),
    /// The lines up to this one were removed by retention.
    Removed(Head),
    /// Number of bytes cut from an unfinished last line.
    Cut(u64),
    /// The lines up to this one are missing.
    Missing(Head),
}

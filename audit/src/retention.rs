//! Retention: removes old files. The removal is recorded first, so that the remaining lines can
//! still be verified.

use crate::Settings;
use crate::files::{open_beside, rotated};
use crate::head::Head;
use crate::tail::Tail;
use crate::time::rfc3339;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A file whose retention has expired.
pub(crate) struct Removal {
    pub(crate) file: PathBuf,
    /// Its last line.
    pub(crate) up_to: Head,
}

/// Returns the time before which records need not be kept, or `None` if retention is not limited by
/// time.
pub(crate) fn oldest(settings: &Settings, now: Duration) -> Option<String> {
    let kept = Duration::from_secs(u64::from(settings.keep_days?).saturating_mul(86_400));
    now.checked_sub(kept).map(rfc3339)
}

/// Returns the files whose retention has expired, oldest first.
pub(crate) fn due(settings: &Settings, now: Duration) -> io::Result<Vec<Removal>> {
    let Settings { keep_files, file, .. } = settings;
    let oldest = oldest(settings, now);
    if keep_files.is_none() && oldest.is_none() {
        return Ok(Vec::new());
    }
    let files = rotated(file)?;
    let kept = keep_files.and_then(|kept| usize::try_from(kept).ok()).unwrap_or(usize::MAX);
    let too_many = files.len().saturating_sub(kept);
    let mut due = Vec::new();
    for (number, file) in files.into_iter().enumerate() {
        let open = open_beside(&file)?;
        // A file that cannot be parsed is kept, and so are all later ones.
        let Some((up_to, time)) = Tail::read(&open, open.metadata()?.len(), None, false)?.last else { break };
        if number >= too_many && oldest.as_ref().is_none_or(|oldest| time >= *oldest) {
            break;
        }
        due.push(Removal { file, up_to });
    }
    Ok(due)
}

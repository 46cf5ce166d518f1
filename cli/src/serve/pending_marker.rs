//! The marker of revocations that only this process applies: a file that shows after a restart that
//! some may be lost.

use crate::config::StorePlace;
use crate::config_file::ConfigFile;
use crate::private_file::file_error;
use keyward_runtime::Revocations;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// The content while no revocation is pending. Both contents have the same length, so that a full
/// disk does not keep one from replacing the other.
const NONE: &[u8; 8] = b"none   \n";

/// The content while revocations are pending.
const PENDING: &[u8; 8] = b"pending\n";

/// Interval at which the revocations are compared with the file.
const POLL: Duration = Duration::from_millis(200);

/// The file, which one process writes.
pub(super) struct PendingMarker {
    path: PathBuf,
    file: File,
    is_set: bool,
    /// Set if an earlier process has left the file set.
    is_left: bool,
}

impl PendingMarker {
    /// Returns the path for this configuration: beside the audit log, or else beside an SQLite
    /// store. `None` if there is neither.
    pub(super) fn path(loaded: &ConfigFile) -> Option<PathBuf> {
        let store = || match &loaded.config.store.as_ref()?.place.value {
            StorePlace::Sqlite(path) => Some(loaded.path(path)),
            StorePlace::Postgres(_) => None,
        };
        let beside = loaded.audit_settings().map(|settings| settings.file).or_else(store)?;
        let mut name = beside.file_name().map(OsString::from)?;
        name.push(format!(".{}.pending", loaded.node()));
        Some(beside.with_file_name(name))
    }

    /// Follows the revocations with the file at `path` on a thread, for as long as they live. Logs
    /// that revocations may be lost, or that the file cannot be used.
    pub(super) fn follow(path: &Path, revocations: &Arc<Revocations>) {
        let weak = Arc::downgrade(revocations);
        let followed = Self::open(path).and_then(|this| {
            let thread = thread::Builder::new().name("keyward-pending".to_owned());
            thread.spawn(move || this.poll(&weak)).map(drop)
        });
        if let Err(error) = followed {
            tracing::error!(target: "keyward::server", file = %path.display(), error = file_error(&error), "the file cannot be used: a restart will not report that revocations may be lost");
        }
    }

    /// Opens the file, or creates it. One that is set stays so until the operator removes it.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file: move it away"));
        }
        let mut text = [0; 8];
        let length = file.read_at(&mut text, 0)?;
        let is_left = length == text.len() && text == *PENDING;
        if is_left {
            tracing::error!(target: "keyward::server", file = %path.display(), "revocations that were requested before the restart may be lost: request them again, then remove the file");
        } else {
            file.write_all_at(NONE, 0)?;
            file.sync_all()?;
        }
        Ok(Self { path: path.to_owned(), file, is_set: is_left, is_left })
    }

    fn poll(mut self, revocations: &Weak<Revocations>) {
        let mut complained = false;
        loop {
            thread::sleep(POLL);
            let Some(has_pending) = revocations.upgrade().map(|revocations| revocations.has_unwritten()) else {
                return;
            };
            match self.compare(has_pending) {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    complained = true;
                    tracing::error!(target: "keyward::server", file = %self.path.display(), error = file_error(&error), "the file cannot be written: a restart may not report that revocations are lost");
                }
                Err(_) => {}
            }
        }
    }

    /// Writes the file if it differs, or was removed.
    fn compare(&mut self, has_pending: bool) -> io::Result<()> {
        if !self.path.try_exists()? {
            *self = Self::open(&self.path)?;
        }
        let is_set = has_pending || self.is_left;
        if is_set != self.is_set {
            self.file.write_all_at(if is_set { PENDING } else { NONE }, 0)?;
            self.file.sync_data()?;
            self.is_set = is_set;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_file_is_set_while_revocations_are_pending_and_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.pending");
        let text = || fs::read(&path).unwrap();
        let mut marker = PendingMarker::open(&path).unwrap();
        assert_eq!(text(), NONE);
        for (has_pending, wanted) in [(false, NONE), (true, PENDING), (true, PENDING), (false, NONE), (true, PENDING)] {
            marker.compare(has_pending).unwrap();
            assert_eq!(text(), wanted);
        }
        // The next process knows of no revocation, and the file stays set.
        let mut marker = PendingMarker::open(&path).unwrap();
        for has_pending in [false, true, false] {
            marker.compare(has_pending).unwrap();
            assert_eq!(text(), PENDING);
        }
        fs::remove_file(&path).unwrap();
        marker.compare(false).unwrap();
        assert_eq!(text(), NONE);
        fs::remove_file(&path).unwrap();
        marker.compare(true).unwrap();
        assert_eq!(text(), PENDING);
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PendingMarker::open(folder.path()).is_err());
    }
}

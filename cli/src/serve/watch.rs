//! Detection of changed files by polling, which works on every file system, across mounts, and for
//! a file that is replaced by a link.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, each with its fingerprint when it was added.
#[derive(Default)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// The fingerprints of the last poll, if any differed from the initial ones.
    changed: Option<Vec<Option<Fingerprint>>>,
}

/// Metadata that change with a file's content or permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// The time of the last status change, which includes permissions and cannot be set back.
    touched: (i64, i64),
}

impl Watched {
    /// Adds a file with its current fingerprint. A file that is already watched keeps its own.
    pub(super) fn add(&mut self, file: PathBuf) {
        if self.files.iter().all(|(known, _)| *known != file) {
            let fingerprint = Fingerprint::of(&file);
            self.files.push((file, fingerprint));
        }
    }

    /// Polls the files. Returns `true` if they have changed and are the same as at the previous
    /// poll, so that no file is read while it is being written. A removed file has changed.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(|(file, _)| Fingerprint::of(file)).collect();
        let changed = self.files.iter().map(|(_, then)| then).ne(&now);
        let settled = self.changed.as_ref() == Some(&now);
        self.changed = changed.then_some(now);
        changed && settled
    }
}

impl Fingerprint {
    /// Returns the fingerprint of a file; `None` if its metadata cannot be read.
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            touched: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_change_is_reported_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
        write("a", "1");
        write("b", "1");
        symlink("b", path("link")).unwrap();
        let watch = || {
            let mut watched = Watched::default();
            for name in ["a", "link", "none"] {
                watched.add(path(name));
            }
            watched
        };
        let looks = |watched: &mut Watched| [0; 3].map(|_| watched.has_settled_change());

        let mut watched = watch();
        assert_eq!(looks(&mut watched), [false; 3]);
        write("a", "22");
        assert!(!watched.has_settled_change(), "it may be half written");
        write("a", "333");
        assert_eq!(looks(&mut watched), [false, true, true]);
        // Adding a file again does not hide its change.
        watched.add(path("a"));
        assert!(watched.has_settled_change());

        let changes: [&dyn Fn(); 5] = [
            &|| write("none", ""),
            &|| fs::remove_file(path("none")).unwrap(),
            &|| fs::set_permissions(path("a"), fs::Permissions::from_mode(0o600)).unwrap(),
            &|| {
                write("c", "333");
                fs::rename(path("c"), path("a")).unwrap();
            },
            &|| {
                symlink("a", path("new")).unwrap();
                fs::rename(path("new"), path("link")).unwrap();
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut watched = watch();
            change();
            assert_eq!(looks(&mut watched), [false, true, true], "{number}");
        }
        assert_eq!(looks(&mut watch()), [false; 3]);
    }
}

//! Whether files have changed, by looking at them now and then. It works on every file system, across mounts, and
//! for a file that is replaced by a link to another one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files, and what each was like when it was added.
#[derive(Default)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// What they were like when they were last looked at, if that was different.
    changed: Option<Vec<Option<Fingerprint>>>,
}

/// What changes with a file's content or permissions.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Changes with permissions too, and cannot be set back.
    touched: (i64, i64),
}

impl Watched {
    /// Adds a file as it is now. One that is there already stays as it was.
    pub(super) fn add(&mut self, file: PathBuf) {
        if self.files.iter().all(|(known, _)| *known != file) {
            let fingerprint = Fingerprint::of(&file);
            self.files.push((file, fingerprint));
        }
    }

    /// Looks at them. Says that they have changed once they are the same for the second time in a row, so that nobody
    /// reads what is being written. A file that is not there any more has changed.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(|(file, _)| Fingerprint::of(file)).collect();
        let changed = self.files.iter().map(|(_, then)| then).ne(&now);
        let settled = self.changed.as_ref() == Some(&now);
        self.changed = changed.then_some(now);
        changed && settled
    }
}

impl Fingerprint {
    /// `None` is a file that cannot be looked at.
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
    fn a_change_counts_when_it_has_settled() {
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
        // One that is added again has not changed for that.
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

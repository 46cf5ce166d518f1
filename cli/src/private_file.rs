//! Safe reading of files: regular files of bounded size, secrets that only their owner can read,
//! and files that only their owner can write to.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Maximum size of a secret, in bytes.
const MAX_SECRET: usize = 64 << 10;

/// Reads a regular file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: usize, what_to_do: &str) -> Result<Vec<u8>, String> {
    Opened::new(path, what_to_do)?.read(max)
}

/// Reads a file that only its owner can access.
pub(crate) fn read_private(path: &Path, what_to_do: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = Opened::new(path, what_to_do)?;
    let metadata = &opened.metadata;
    if !is_private(metadata.mode(), metadata.uid(), metadata.gid()) {
        let shown = path.display();
        return Err(format!("{shown} can be read or written by others: run `chmod 600 {shown}`"));
    }
    opened.read(MAX_SECRET).map(Zeroizing::new)
}

/// Returns whether only its owner can access a file.
///
/// Also accepts a file of root that only root and root's group can read: this is how a systemd
/// credential of a service user appears, to which an access control list admits the user.
fn is_private(mode: u32, uid: u32, gid: u32) -> bool {
    mode & 0o077 == 0 || (mode & 0o777 == 0o440 && uid == 0 && gid == 0)
}

/// Returns an error if the group or others can write to a file or replace it, which includes the
/// target of a link. A file that does not exist yet is checked by its folder only.
///
/// Folders further up are not checked. In a sticky folder only the owner of a file can replace it.
pub(crate) fn refuse_shared(path: &Path) -> Result<(), String> {
    refuse_shared_folder(folder_of(path))?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.mode() & 0o022 != 0 => {
            return Err(shared("", path, metadata.mode()));
        }
        // Opening the file reports any error.
        _ => {}
    }
    match path.canonicalize() {
        Ok(target) => refuse_shared_folder(folder_of(&target)),
        Err(_) => Ok(()),
    }
}

fn refuse_shared_folder(folder: &Path) -> Result<(), String> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() && metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 => {
            Err(shared("the folder ", folder, metadata.mode()))
        }
        _ => Ok(()),
    }
}

fn shared(what: &str, path: &Path, mode: u32) -> String {
    let (path, mode) = (path.display(), mode & 0o7777);
    format!("{what}{path} can be written by group or others (mode {mode:04o}): run `chmod go-w {path}`")
}

/// Returns the folder of a file.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// An open regular file. Its metadata belong to the file that is read.
struct Opened<'a> {
    path: &'a Path,
    what_to_do: &'a str,
    file: File,
    metadata: Metadata,
}

impl<'a> Opened<'a> {
    /// Opens a file. Rejects anything but a regular file first, because opening or reading it could
    /// block forever.
    fn new(path: &'a Path, what_to_do: &'a str) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("there is no file {shown}: {what_to_do}"),
            // The fix is a change of owner, not another path.
            io::ErrorKind::PermissionDenied => {
                format!(
                    "{shown} cannot be read ({}): change its owner to the user that runs keyward",
                    file_error(&error)
                )
            }
            _ => format!("{shown} cannot be read ({}): {what_to_do}", file_error(&error)),
        };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(format!("{shown} is not a regular file"));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self { path, what_to_do, file, metadata })
    }

    /// Reads the file into memory that does not move, so that no copy of a secret is left behind.
    fn read(self, max: usize) -> Result<Vec<u8>, String> {
        let Self { path, what_to_do, file, metadata } = self;
        let shown = path.display();
        let too_large = || format!("{shown} is larger than the maximum of {max} bytes: {what_to_do}");
        let size = usize::try_from(metadata.len()).ok().filter(|size| *size <= max).ok_or_else(too_large)?;
        let mut bytes = Vec::with_capacity(size.saturating_add(64));
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{shown} cannot be read ({}): {what_to_do}", file_error(&error)))?;
        if bytes.len() > max { Err(too_large()) } else { Ok(bytes) }
    }
}

/// Returns the system's error message without the error number.
pub(crate) fn file_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_or_the_group_of_root_can_read_a_secret() {
        for (mode, uid, gid) in [(0o600, 7, 7), (0o400, 7, 7), (0o100_600, 0, 0), (0o100_440, 0, 0)] {
            assert!(is_private(mode, uid, gid), "{mode:o} {uid} {gid}");
        }
        for (mode, uid, gid) in
            [(0o440, 7, 7), (0o440, 0, 7), (0o440, 7, 0), (0o444, 0, 0), (0o460, 0, 0), (0o402, 0, 0), (0o640, 0, 0)]
        {
            assert!(!is_private(mode, uid, gid), "{mode:o} {uid} {gid}");
        }
    }
}

//! The files of an audit log: the current file, the rotated ones, named by their first line, and
//! the head.

use crate::head::{Beside, Head};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the path of `file` with a suffix.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(end);
    file.with_file_name(name)
}

/// Returns the path of the head.
pub(crate) fn head_of(file: &Path) -> PathBuf {
    beside(file, ".head")
}

/// Returns the paths of the files beside the current one: its head, whether or not it exists, and
/// the rotated files. Omits the latter if the folder cannot be read.
#[must_use]
pub fn other_files(file: &Path) -> Vec<PathBuf> {
    let mut files = rotated(file).unwrap_or_default();
    files.push(head_of(file));
    files
}

/// Returns the name of a rotated file. Names sort in the order of their lines.
pub(crate) fn rotated_name(file: &Path, first: u64) -> PathBuf {
    beside(file, &format!(".{first:012}"))
}

/// Returns the number of the first line of a rotated file, from its name.
pub(crate) fn first_of(rotated: &Path) -> Option<u64> {
    rotated.extension()?.to_str()?.parse().ok()
}

/// Returns the folder of `file`.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Returns the rotated files, in the order of their lines.
pub(crate) fn rotated(file: &Path) -> io::Result<Vec<PathBuf>> {
    let begin = beside(file, ".").file_name().map(OsString::from).unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(file))? {
        let name = entry?.file_name();
        let (Some(name), Some(begin)) = (name.to_str(), begin.to_str()) else { continue };
        let Some(digits) = name.strip_prefix(begin) else { continue };
        let first = digits.parse::<u64>().ok().filter(|first| digits == format!("{first:012}"));
        if let Some(first) = first {
            found.push(first);
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|first| rotated_name(file, first)).collect())
}

/// Returns the head that was noted beside the file, or `None` if it is missing or invalid.
pub(crate) fn noted_head(file: &Path) -> io::Result<Option<Head>> {
    Ok(noted(file)?.map(|beside| beside.head))
}

/// Reads the line beside the file, or `None` if it is missing or invalid.
pub(crate) fn noted(file: &Path) -> io::Result<Option<Beside>> {
    /// Maximum length of that line.
    const MOST: u64 = 256;
    let path = head_of(file);
    let mut text = Vec::new();
    match open_beside(&path) {
        Ok(open) => open.take(MOST).read_to_end(&mut text).map_err(of(&path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(std::str::from_utf8(&text).ok().and_then(Beside::read))
}

/// Opens a file beside the current one for reading.
pub(crate) fn open_beside(path: &Path) -> io::Result<File> {
    must_be_file(path)?;
    File::open(path).map_err(of(path))
}

/// Returns `true` if `path` is something other than a regular file: reading it may block forever or
/// never end.
pub(crate) fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Returns an error if `path` exists and is not a regular file.
pub(crate) fn must_be_file(path: &Path) -> io::Result<()> {
    if is_no_file(path) {
        return Err(io::Error::other(format!("{} is not a regular file: move it away", path.display())));
    }
    Ok(())
}

/// Adds `path` to an error, for files other than the current one.
pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    |error| io::Error::new(error.kind(), format!("{}: {}", path.display(), reason(&error)))
}

/// Returns the system's message without the error number, or the error's own message, which may
/// name a file.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}

/// Returns the identity of an open file: device and inode.
pub(crate) fn id_of(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Returns the identity of the file at a path, or `None` if there is none.
pub(crate) fn id_at(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

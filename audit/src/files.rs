//! The files of an audit: the one that is written, those before it, named by their first line, and the head.

use crate::head::{Beside, Head};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file with something behind its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(end);
    file.with_file_name(name)
}

/// Where the head stands.
pub(crate) fn head_of(file: &Path) -> PathBuf {
    beside(file, ".head")
}

/// What a file is called that is not written any more. As names, they are in the order of their lines.
pub(crate) fn rotated_name(file: &Path, first: u64) -> PathBuf {
    beside(file, &format!(".{first:012}"))
}

/// The number of the first line of a file that is called so.
pub(crate) fn first_of(rotated: &Path) -> Option<u64> {
    rotated.extension()?.to_str()?.parse().ok()
}

/// The folder that it is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The files that are not written any more, in the order of their lines.
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

/// The head that was noted beside the file, if there is one that can be understood.
pub(crate) fn noted_head(file: &Path) -> io::Result<Option<Head>> {
    Ok(noted(file)?.map(|beside| beside.head))
}

/// Reads the line beside the file, if there is one that can be understood.
pub(crate) fn noted(file: &Path) -> io::Result<Option<Beside>> {
    /// The longest such line.
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

/// Opens a file beside the one that is written, to be read.
pub(crate) fn open_beside(path: &Path) -> io::Result<File> {
    must_be_file(path)?;
    File::open(path).map_err(of(path))
}

/// Whether something else than a file stands there: it may block for ever, or have no end.
pub(crate) fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// What stands beside the file that is written is a file, or not there.
pub(crate) fn must_be_file(path: &Path) -> io::Result<()> {
    if is_no_file(path) {
        return Err(io::Error::other(format!("{} is no regular file: move it away", path.display())));
    }
    Ok(())
}

/// The same error, with the name of a file that is not the one that everybody knows.
pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    |error| io::Error::new(error.kind(), format!("{}: {}", path.display(), reason(&error)))
}

/// The system's reason, without the number of the error; or our own words, which may name a file.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or_default().to_lowercase(),
        None => text,
    }
}

/// Which file it is, whatever it is called.
pub(crate) fn id_of(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Which file stands at a path, if one does.
pub(crate) fn id_at(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

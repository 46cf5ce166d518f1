//! `keyward keygen`: a new secret in a file.

use crate::args::Keygen;
use crate::load::file_error;
use crate::{Status, Stop, World};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// 256 bits, as 43 characters that can be pasted.
const BYTES: usize = 32;

pub(crate) fn run(args: &Keygen, world: &mut World<'_>) -> Result<Status, Stop> {
    let file = &args.file;
    let text = line()?;
    create(file, text.as_bytes()).map_err(|error| {
        Stop::Mistake(if error.kind() == io::ErrorKind::AlreadyExists {
            format!(
                "{} exists and is not overwritten: name another file, or remove it if nothing is signed with it",
                file.display()
            )
        } else {
            format!("{} cannot be created: {}", file.display(), file_error(&error))
        })
    })?;
    writeln!(world.stdout, "{}: a new secret, readable by its owner only", file.display()).map_err(Stop::stdout)?;
    Ok(Status::Good)
}

/// Makes a file that only its owner can read, if there is none. Whenever this ends, the file is there and whole, or not there:
/// it is written under another name, and given its own when it has been.
fn create(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let new = folder.join(format!(".keyward-{:016x}.new", u64::from_ne_bytes(number)));
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    // A link, and no new name: it does not take the place of a file that is there.
    let made = opened.write_all(content).and_then(|()| opened.sync_all()).and_then(|()| fs::hard_link(&new, file));
    let removed = fs::remove_file(&new);
    made.and(removed)?;
    File::open(folder)?.sync_all()
}

/// A new secret, and the end of its line.
pub(crate) fn line() -> Result<Zeroizing<String>, Stop> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| Stop::NoVerdict(format!("the operating system gives no random bytes: {error}")))?;
    let mut text = Zeroizing::new(String::with_capacity(64));
    BASE64_URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    text.push('\n');
    Ok(text)
}

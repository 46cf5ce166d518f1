//! `keyward keygen`: a new secret in a file.

use crate::args::Keygen;
use crate::load::file_error;
use crate::{Status, Stop, World};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use zeroize::Zeroizing;

/// 256 bits, as 43 characters that can be pasted.
const BYTES: usize = 32;

pub(crate) fn run(args: &Keygen, world: &mut World<'_>) -> Result<Status, Stop> {
    let file = &args.file;
    let text = line()?;
    let mut created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|error| {
        Stop::Mistake(if error.kind() == io::ErrorKind::AlreadyExists {
            format!(
                "{} exists and is not overwritten: name another file, or remove it if nothing is signed with it",
                file.display()
            )
        } else {
            format!("{} cannot be created: {}", file.display(), file_error(&error))
        })
    })?;
    if let Err(error) = created.write_all(text.as_bytes()).and_then(|()| created.sync_all()) {
        let _ = fs::remove_file(file);
        return Err(Stop::Mistake(format!("{} cannot be written: {}", file.display(), file_error(&error))));
    }
    writeln!(world.stdout, "{}: a new secret, readable by its owner only", file.display()).map_err(Stop::stdout)?;
    Ok(Status::Good)
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

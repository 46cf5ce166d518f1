//! `keyward keygen`: writes a new secret to a file.

use crate::args::Keygen;
use crate::private_file::file_error;
use crate::{CliError, ExitStatus, Io};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Number of random bytes of a secret: 256 bits, encoded as 43 characters.
const BYTES: usize = 32;

pub(crate) fn run(args: &Keygen, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let file = &args.file;
    let text = if args.ed25519 { ed25519()? } else { line()? };
    create(file, text.as_bytes()).map_err(|error| {
        CliError::Usage(if error.kind() == io::ErrorKind::AlreadyExists {
            format!(
                "{} exists and is not overwritten: use another name, or remove it if no token is signed with it",
                file.display()
            )
        } else {
            format!("{} cannot be created: {}", file.display(), file_error(&error))
        })
    })?;
    let what = if args.ed25519 { "private key" } else { "secret" };
    writeln!(io.stdout, "{}: a new {what}, readable by its owner only", file.display()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Creates a file that only its owner can read. Fails if it exists.
///
/// The file is written under another name and linked once it is complete, so even an interrupted
/// process leaves either the complete file or none.
pub(crate) fn create(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let new = folder.join(format!(".keyward-{:016x}.new", u64::from_ne_bytes(number)));
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    // A hard link, unlike a rename, does not replace an existing file.
    let made = opened.write_all(content).and_then(|()| opened.sync_all()).and_then(|()| fs::hard_link(&new, file));
    let removed = fs::remove_file(&new);
    made.and(removed)?;
    File::open(folder)?.sync_all()
}

fn random() -> Result<Zeroizing<[u8; BYTES]>, CliError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(&mut *bytes)
        .map_err(|error| CliError::Unavailable(format!("the operating system returned no random bytes: {error}")))?;
    Ok(bytes)
}

/// Generates an Ed25519 private key. Returns it as PKCS#8 in PEM (RFC 8410 section 7).
fn ed25519() -> Result<Zeroizing<String>, CliError> {
    /// A `PrivateKeyInfo` up to the 32 bytes of the key.
    const START: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let der = Zeroizing::new([START.as_slice(), random()?.as_slice()].concat());
    let mut text = Zeroizing::new(String::with_capacity(128));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    BASE64_STANDARD.encode_string(der.as_slice(), &mut text);
    text.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(text)
}

/// Generates a secret. Returns it with a line feed.
pub(crate) fn line() -> Result<Zeroizing<String>, CliError> {
    let bytes = random()?;
    let mut text = Zeroizing::new(String::with_capacity(64));
    BASE64_URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    text.push('\n');
    Ok(text)
}

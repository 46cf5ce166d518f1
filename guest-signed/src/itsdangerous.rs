//! The text form of itsdangerous' `URLSafeSerializer`: `VALUE.SIGNATURE`.
//!
//! The value is the JSON text in base64url without padding, or a dot and the same of the zlib stream, where that is
//! shorter. The signature covers the value as it stands, leading dot and all, and is itself in base64url.
//!
//! The original reads more spellings of one token than it writes (padding, the other alphabet, stray characters, free
//! bits of the last character). Here there is one: what decodes is the canonical base64 of what it decodes to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// The most that a value may hold once it is inflated, in bytes: a short token must not cost a long time.
pub const MAX_JSON: usize = 64 * 1024;

/// Appends the value of a JSON text.
pub fn push_value(to: &mut String, json: &str) {
    match compress(json.as_bytes()) {
        Some(stream) => {
            to.push('.');
            push_base64(to, &stream);
        }
        None => push_base64(to, json.as_bytes()),
    }
}

/// Appends a dot and the signature.
pub fn push_signature(to: &mut String, signature: &[u8]) {
    to.push('.');
    push_base64(to, signature);
}

/// Takes a signed text apart, at its last dot, into the value that is signed and the signature. `None`: there is no dot,
/// or what follows is no base64.
#[must_use]
pub fn split(signed: &str) -> Option<(&str, Vec<u8>)> {
    let (value, signature) = signed.rsplit_once('.')?;
    Some((value, URL_SAFE_NO_PAD.decode(signature).ok()?))
}

/// The JSON text in a value. Look at it only after the signature. `None`: bad base64, a bad zlib stream, more than
/// [`MAX_JSON`], or no UTF-8.
#[must_use]
pub fn json(value: &str) -> Option<String> {
    let bytes = match value.strip_prefix('.') {
        Some(stream) => inflate(&URL_SAFE_NO_PAD.decode(stream).ok()?)?,
        None => URL_SAFE_NO_PAD.decode(value).ok()?,
    };
    String::from_utf8(bytes).ok().filter(|json| json.len() <= MAX_JSON)
}

fn push_base64(to: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, to);
}

/// The zlib stream of a JSON text, if it is worth it by the rule of the original.
fn compress(json: &[u8]) -> Option<Vec<u8>> {
    if !may_shrink(json) {
        return None;
    }
    let stream = compress_to_vec_zlib(json, 6);
    (stream.len() + 1 < json.len()).then_some(stream)
}

/// Whether compressing is worth a try. A short text in which no three bytes occur twice gives deflate nothing to copy,
/// and a code table of its own costs more than it saves. Asking zlib would need five more pages of memory.
fn may_shrink(json: &[u8]) -> bool {
    const SHORT: usize = 44;
    json.len() > SHORT
        || json.windows(3).enumerate().any(|(at, three)| json.windows(3).skip(at + 1).any(|other| other == three))
}

/// The bytes of a zlib stream that is whole, right and followed by nothing.
fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    const FLAGS: u32 =
        inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut inflater = Box::<DecompressorOxide>::default();
    // One byte more than may be: a stream that fills it is too long.
    let mut out = vec![0; (stream.len() * 4).clamp(256, MAX_JSON + 1)];
    let (mut read, mut written) = (0, 0);
    loop {
        let (status, more_read, more_written) =
            decompress(&mut inflater, stream.get(read..)?, &mut out, written, FLAGS);
        read += more_read;
        written += more_written;
        match status {
            TINFLStatus::Done if read == stream.len() => {
                out.truncate(written);
                return Some(out);
            }
            TINFLStatus::HasMoreOutput if out.len() <= MAX_JSON => out.resize((out.len() * 2).min(MAX_JSON + 1), 0),
            _ => return None,
        }
    }
}

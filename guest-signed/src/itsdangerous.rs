//! The text form of itsdangerous' `URLSafeSerializer`: `VALUE.SIGNATURE`.
//!
//! The value is the JSON text in base64url without padding or, where it is shorter, a dot followed
//! by the zlib stream of that text in base64url. The signature covers the value, including a
//! leading dot, and is itself in base64url.
//!
//! itsdangerous reads more spellings of a token than it writes (padding, the other alphabet, stray
//! characters, free bits of the last character). This module accepts only the canonical base64 of
//! the decoded bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// Maximum size of an inflated value in bytes: a short token must not cost a long time.
pub const MAX_JSON: usize = 64 * 1024;

/// Appends the value that represents a JSON text.
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

/// Splits a signed text at its last dot into the signed value and the signature. Returns `None` if
/// there is no dot, or if the signature is not base64.
#[must_use]
pub fn split(signed: &str) -> Option<(&str, Vec<u8>)> {
    let (value, signature) = signed.rsplit_once('.')?;
    Some((value, URL_SAFE_NO_PAD.decode(signature).ok()?))
}

/// Returns the JSON text of a value. Call it only after the signature was verified.
///
/// Returns `None` for bad base64, a bad zlib stream, more than [`MAX_JSON`] bytes, or text that is
/// not UTF-8.
#[must_use]
pub fn json(value: &str) -> Option<String> {
    let bytes = match value.strip_prefix('.') {
        Some(stream) => inflate(&URL_SAFE_NO_PAD.decode(stream).ok()?)?,
        None => URL_SAFE_NO_PAD.decode(value).ok()?,
    };
    String::from_utf8(bytes).ok().filter(|json| json.len() <= MAX_JSON)
}

pub(crate) fn push_base64(to: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_string(bytes, to);
}

/// Returns the zlib stream of a JSON text if itsdangerous would use it.
fn compress(json: &[u8]) -> Option<Vec<u8>> {
    if !may_shrink(json) {
        return None;
    }
    let stream = compress_to_vec_zlib(json, 6);
    (stream.len() + 1 < json.len()).then_some(stream)
}

/// Returns whether zlib may make the text shorter. Running it to find out needs five more pages of
/// memory, which costs the host more than the rest of the call.
///
/// An estimate: it pays if one in eight places repeats three earlier bytes, or if the text has so
/// few different bytes that a code table of its own saves more than it takes.
fn may_shrink(json: &[u8]) -> bool {
    const SLOTS: usize = 4_096;
    let mut seen = [false; SLOTS];
    let mut is_new = |three: &[u8]| {
        let hash = three.iter().fold(0_usize, |hash, byte| hash.wrapping_mul(47).wrapping_add(usize::from(*byte)));
        seen.get_mut(hash % SLOTS).is_none_or(|seen| !std::mem::replace(seen, true))
    };
    let repeats = json.windows(3).filter(|three| !is_new(three)).count();
    if repeats > json.len() / 8 {
        return true;
    }
    let mut occurs = [false; 256];
    for byte in json {
        if let Some(occurs) = occurs.get_mut(usize::from(*byte)) {
            *occurs = true;
        }
    }
    let different = occurs.iter().filter(|occurs| **occurs).count();
    let bits = different.next_power_of_two().trailing_zeros() as usize;
    let saved = json.len() * 8_usize.saturating_sub(bits) / 8;
    saved > 20 + different / 3
}

/// Inflates a zlib stream that is complete, valid and followed by nothing.
fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    const FLAGS: u32 =
        inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut inflater = Box::<DecompressorOxide>::default();
    // One byte more than allowed: a stream that fills the buffer is too long.
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

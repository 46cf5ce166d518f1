//! Builds the bytes of a component from the text of a core module, and files that are not
//! components.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

const WIT: [(&str, &str); 3] = [
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("imports.wit", include_str!("../../../wit/imports.wit")),
    ("world.wit", include_str!("../../../wit/world.wit")),
];

/// The parts of WASI for the worlds that begin with `wasi`, and those worlds.
const WASI: [(&str, &str); 2] = [
    ("wasi.wit", include_str!("wasi.wit")),
    (
        "worlds.wit",
        "world wasi { include handler; include wasi-imports; }
         world wasi-token-and-session { include token-and-session; include wasi-imports; }
         world wasi-imports {
           import wasi:io/error@0.2.0; import wasi:io/poll@0.2.0; import wasi:io/streams@0.2.0;
           import wasi:cli/environment@0.2.0; import wasi:cli/exit@0.2.0; import wasi:cli/stdin@0.2.0;
           import wasi:cli/stderr@0.2.0;
           import wasi:clocks/monotonic-clock@0.2.0; import wasi:clocks/wall-clock@0.2.0;
           import wasi:random/random@0.2.0;
           import wasi:filesystem/types@0.2.0; import wasi:filesystem/preopens@0.2.0;
           import wasi:sockets/network@0.2.0; import wasi:sockets/tcp@0.2.0;
           import wasi:sockets/tcp-create-socket@0.2.0; import wasi:sockets/udp@0.2.0;
           import wasi:sockets/udp-create-socket@0.2.0; import wasi:sockets/instance-network@0.2.0;
           import wasi:sockets/ip-name-lookup@0.2.0;
         }",
    ),
];

/// The largest file that Keyward loads by default: 32 MiB.
const MAX_FILE: usize = 32 << 20;

/// Returns whether the contract contains `text`.
pub(super) fn in_contract(text: &str) -> bool {
    WIT.iter().any(|(_, wit)| wit.contains(text))
}

/// Builds a component of a world around a core module.
///
/// The replacements in `wit` are applied to the contract.
pub(super) fn component(
    module: &str,
    wit: &[(String, String)],
    world: &str,
    encoding: &str,
) -> Result<Vec<u8>, String> {
    let encoding = match encoding {
        "utf8" => StringEncoding::UTF8,
        "utf16" => StringEncoding::UTF16,
        "latin1+utf16" => StringEncoding::CompactUTF16,
        other => return Err(format!("`encoding: {other}` is not one of utf8, utf16, latin1+utf16")),
    };
    let mut sources = SourceMap::new();
    for (name, text) in WIT {
        let text = wit.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
        sources.push(Path::new(name), text);
    }
    if world.starts_with("wasi") {
        WASI.iter().for_each(|(name, text)| sources.push(Path::new(name), (*text).to_owned()));
    }
    let mut resolve = Resolve::default();
    let group = sources.parse().map_err(|(_, error)| format!("the contract: {error}"))?;
    let package = resolve.push_group(group).map_err(|error| format!("the contract: {error:#}"))?;
    let world = resolve.select_world(&[package], Some(world)).map_err(|error| format!("{error:#}"))?;

    let mut module = wat::parse_str(module).map_err(|error| error.to_string())?;
    embed_component_metadata(&mut module, &resolve, world, encoding).map_err(|error| format!("{error:#}"))?;
    ComponentEncoder::default()
        .validate(false) // the host must detect what a case breaks
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|error| format!("{error:#}"))
}

/// Returns a file that is not a handler, derived from the benign handler if `kind` corrupts one.
pub(super) fn raw(kind: &str, benign: &str) -> Result<Vec<u8>, String> {
    let core = || wat::parse_str(benign).map_err(|error| error.to_string());
    let whole = || component(benign, &[], "handler", "utf8");
    Ok(match kind {
        "empty" => Vec::new(),
        "text" => b"Not a component, but a sentence about one.\n".to_vec(),
        "wat-text" => benign.as_bytes().to_vec(),
        "zeros" => vec![0; 4096],
        "gzip" => [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03".as_slice(), &whole()?].concat(),
        "elf" => elf(0, 0),
        "cwasm-component" => elf(200, 2),
        "cwasm-module" => elf(200, 1),
        "core-module" => core()?,
        "core-empty" => b"\0asm\x01\0\0\0".to_vec(),
        "magic-only" => b"\0asm".to_vec(),
        "header-short" => b"\0asm\x0d\0\x01".to_vec(),
        "bad-layer" => patched(whole()?, 6, 0x02),
        "bad-version" => patched(whole()?, 4, 0x7f),
        "truncated-50" => truncated(whole()?, 50),
        "truncated-99" => truncated(whole()?, 99),
        // A custom section whose size is a LEB128 of more than 32 bits.
        "leb-overflow" => b"\0asm\x0d\0\x01\0\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        // A type section that claims to be 4 GiB long.
        "section-len-4g" => b"\0asm\x0d\0\x01\0\x07\xff\xff\xff\xff\x0f".to_vec(),
        // A type section of one byte that claims to hold 4,294,967,295 types.
        "section-count-4g" => b"\0asm\x0d\0\x01\0\x07\x05\xff\xff\xff\xff\x0f".to_vec(),
        "unknown-section" => [whole()?, b"\x7f\x00".to_vec()].concat(),
        "at-size-limit" => padded(whole()?, MAX_FILE),
        "over-size-limit" => padded(whole()?, MAX_FILE + 1),
        other => return Err(format!("`bytes: {other}` is unknown")),
    })
}

fn patched(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
    bytes
}

fn truncated(mut bytes: Vec<u8>, percent: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() * percent / 100);
    bytes
}

/// Appends a custom section that brings the file to exactly `size` bytes.
fn padded(mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
    // The section's number, its size in five bytes of LEB128, and an empty name.
    let payload = size - bytes.len() - 6;
    bytes.push(0);
    for shift in [0, 7, 14, 21, 28] {
        let more = if shift == 28 { 0 } else { 0x80 };
        bytes.push((payload >> shift & 0x7f) as u8 | more);
    }
    bytes.resize(size, 0);
    bytes
}

/// Returns the 64 bytes of an ELF file without content.
///
/// Precompiled components are ELF files with the system number 200, and encode their kind in the
/// flags: 1 for a module, 2 for a component.
fn elf(system: u8, flags: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.push(system);
    bytes.resize(16, 0);
    bytes.extend([1, 0, 0x3e, 0, 1, 0, 0, 0]); // relocatable, x86-64, version 1
    bytes.resize(48, 0);
    bytes.extend([flags, 0, 0, 0, 64, 0]);
    bytes.resize(64, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_produces_the_exact_size() {
        assert_eq!(padded(vec![1; 10], 1 << 20).len(), 1 << 20);
        assert_eq!(padded(vec![1; 10], 200)[10..16], [0, 0xb8, 0x81, 0x80, 0x80, 0]);
    }
}

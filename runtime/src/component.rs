//! From bytes that a stranger sent to a component that may be run.
//!
//! Read once, digested here, looked at before anything compiles it. The compiler's appetite is not bounded here: a cage for
//! it would stand around [`CheckedComponent::new`], which takes bytes and an engine and nothing else.

use crate::error::LoadError;
use crate::text::printable;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmparser::{ComponentInstance, Encoding, Instance, Parser, Payload};
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// The package and the version that this host speaks. Patch releases of it are compatible.
const PACKAGE: &str = "keyward:handler/";
const VERSION: &str = "0.1";

/// Instances that a component may come to when it is taken apart, core instances and nested components together. Those that
/// tools make have fewer than ten. It must be bounded before compiling: 1,470 bytes can ask for 10^8.
const MAX_INSTANCES: u64 = 100;

/// How deep components may nest.
const MAX_NESTING: usize = 8;

/// The section in which a component names the settings that it knows, one a line.
const SETTINGS_SECTION: &str = "keyward:settings";

/// A component that is whole, speaks this version of the contract and asks for nothing unknown. Only
/// [`CheckedComponent::new`] makes one.
pub(crate) struct CheckedComponent {
    pub(crate) component: Component,
    pub(crate) info: ComponentInfo,
}

/// What a component is and asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentInfo {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub bytes: usize,
    /// The interfaces of `keyward:handler` that it imports, such as `keys`.
    pub imports: BTreeSet<String>,
    /// The settings that it knows.
    pub settings: BTreeSet<String>,
}

impl ComponentInfo {
    /// The SHA-256 in lower-case hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl CheckedComponent {
    /// Checks and compiles. `digest` is that of `bytes`.
    pub(crate) fn new(engine: &wasmtime::Engine, bytes: &[u8], digest: [u8; 32]) -> Result<Self, LoadError> {
        refuse_other_files(bytes)?;
        let settings = look_at_shape(bytes)?;
        let component = catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, bytes)))
            .map_err(|_| LoadError::new("invalid", "the component makes the compiler panic; it is refused"))?
            .map_err(|error| {
                let text = format!("{error:#}");
                let code = if text.contains("pooling allocator") { "too-complex" } else { "invalid" };
                LoadError::new(code, format!("the component does not compile: {}", printable(&text, 500)))
            })?;
        let imports = imports(engine, &component)?;
        Ok(Self { component, info: ComponentInfo { sha256: digest, bytes: bytes.len(), imports, settings } })
    }
}

/// One sentence for each thing that is commonly mistaken for a component.
fn refuse_other_files(bytes: &[u8]) -> Result<(), LoadError> {
    let (code, text) = match bytes {
        [] => ("not-a-component", "the file is empty; give a WebAssembly component"),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => (
            "core-module",
            "this is a core module, not a component: turn it into one with `cargo xtask componentize IN.wasm OUT.wasm`",
        ),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', ..] => {
            ("invalid", "this is WebAssembly of a version that is not known; build a component with current tools")
        }
        [0x7f, b'E', b'L', b'F', ..] => (
            "precompiled",
            "this is native code (a precompiled `.cwasm` perhaps), which is never run: give the `.wasm` it was made from",
        ),
        [0x1f, 0x8b, ..] => ("not-a-component", "this is a gzip file; unpack it and give the component"),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_start().starts_with("(component") || text.trim_start().starts_with("(module") => {
                ("not-a-component", "this is WebAssembly text; assemble it and give the binary component")
            }
            _ => ("not-a-component", "this is not a WebAssembly component (it does not begin with `\\0asm`)"),
        },
    };
    Err(LoadError::new(code, text))
}

/// Refuses what would be too much to take apart, and finds the settings that the component names.
fn look_at_shape(bytes: &[u8]) -> Result<BTreeSet<String>, LoadError> {
    let invalid = |error: wasmparser::BinaryReaderError| {
        LoadError::new("invalid", format!("the component is damaged: {}", printable(&error.to_string(), 300)))
    };
    let too_complex = |what: &str| LoadError::new("too-complex", format!("the component {what}; it is refused unread"));
    let mut settings = BTreeSet::new();
    // What each open component comes to, outermost first; modules do not count, but end in the same way.
    let mut open: Vec<(Encoding, u64)> = Vec::new();
    // The largest that any finished component comes to: what an instance of one may cost.
    let mut largest: u64 = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let added = match payload.map_err(invalid)? {
            Payload::Version { encoding, .. } => {
                open.push((encoding, 0));
                if open.len() > MAX_NESTING {
                    return Err(too_complex("nests components too deep"));
                }
                0
            }
            Payload::End(_) => {
                if let Some((Encoding::Component, instances)) = open.pop() {
                    largest = largest.max(instances);
                }
                0
            }
            Payload::InstanceSection(section) => {
                let mut added = 0_u64;
                for instance in section {
                    added = added
                        .saturating_add(u64::from(matches!(instance.map_err(invalid)?, Instance::Instantiate { .. })));
                }
                added
            }
            Payload::ComponentInstanceSection(section) => {
                let mut added = 0_u64;
                for instance in section {
                    if let ComponentInstance::Instantiate { .. } = instance.map_err(invalid)? {
                        added = added.saturating_add(largest).saturating_add(1);
                    }
                }
                added
            }
            Payload::CustomSection(section) if section.name() == SETTINGS_SECTION => {
                let names = std::str::from_utf8(section.data())
                    .map_err(|_| LoadError::new("invalid", "the section `keyward:settings` is not text"))?;
                settings.extend(names.lines().filter(|name| !name.is_empty()).map(str::to_owned));
                0
            }
            _ => 0,
        };
        if let Some((_, instances)) = open.last_mut() {
            *instances = instances.saturating_add(added);
            if *instances > MAX_INSTANCES {
                return Err(too_complex("comes to too many instances"));
            }
        }
    }
    Ok(settings)
}

/// The names of the interfaces that the component imports; refuses those that this host does not have, and a component
/// without the one export that matters.
fn imports(engine: &wasmtime::Engine, component: &Component) -> Result<BTreeSet<String>, LoadError> {
    const KNOWN: [&str; 7] = ["types", "clock", "keys", "settings", "secrets", "random", "log"];
    let kind = component.component_type();
    let mut names = BTreeSet::new();
    for (name, _) in kind.imports(engine) {
        let shown = printable(name, 100);
        if name.starts_with("wasi:") {
            return Err(LoadError::new(
                "wasi-import",
                format!(
                    "the component asks for `{shown}`: WASI is not offered. Build it without (in Rust for wasm32-unknown-unknown)"
                ),
            ));
        }
        let Some((interface, version)) = split(name).filter(|(interface, _)| KNOWN.contains(interface)) else {
            return Err(LoadError::new(
                "unknown-import",
                format!(
                    "the component asks for `{shown}`, which is no interface of this host; it has {}",
                    KNOWN.join(", ")
                ),
            ));
        };
        check_version(&shown, version)?;
        names.insert(interface.to_owned());
    }
    names.remove("types");
    let exports: Vec<String> = kind
        .exports(engine)
        .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
        .filter_map(|(name, _)| {
            split(name).filter(|(interface, _)| *interface == "token-handler").map(|_| name.to_owned())
        })
        .collect();
    match exports.first() {
        None => Err(LoadError::new(
            "missing-export",
            "the component exports no `keyward:handler/token-handler`; it is a component, but no token handler",
        )),
        Some(name) => check_version(&printable(name, 100), split(name).map(|(_, version)| version).unwrap_or_default())
            .map(|()| names),
    }
}

/// The interface and the version in `keyward:handler/INTERFACE@VERSION`.
fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').unwrap_or((name, "")))
}

fn check_version(shown: &str, version: &str) -> Result<(), LoadError> {
    let same = version.strip_prefix(VERSION).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if same {
        return Ok(());
    }
    Err(LoadError::new(
        "other-version",
        format!(
            "the component is made for `{shown}`; this host speaks {VERSION}: build it against that version of `wit/`"
        ),
    ))
}

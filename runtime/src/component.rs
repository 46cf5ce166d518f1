//! From bytes that a stranger sent to a component that may be run.
//!
//! Read once, digested here, looked at before anything compiles it. The compiler's appetite is not bounded here: a cage for
//! it would stand around [`CheckedComponent::new`], which takes bytes and an engine and nothing else.

mod shape;

use crate::error::LoadError;
use crate::form::Form;
use crate::text::{MAX_NAME, printable};
use sha2::{Digest, Sha256};
use shape::Shape;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmtime::component::Component;
use wasmtime::component::types::{self, ComponentItem};

/// The package and the version that this host speaks.
const PACKAGE: &str = "keyward:handler/";
const VERSION: &str = "0.1.0";

/// A component that is whole, speaks this version of the contract and asks for nothing unknown. Only
/// [`CheckedComponent::new`] makes one.
pub(crate) struct CheckedComponent {
    pub(crate) component: Component,
    /// The forms of its tokens. None: it has not stated any.
    pub(crate) forms: Vec<Form>,
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
        let Shape { settings, forms, .. } = Shape::read(bytes)?;
        let (settings, forms) = (settings.unwrap_or_default(), forms.unwrap_or_default());
        let component = catch_unwind(AssertUnwindSafe(|| Component::from_binary(engine, bytes)))
            .map_err(|_| LoadError::new("invalid", "the component makes the compiler panic; it is refused"))?
            .map_err(|error| {
                let text = format!("{error:#}");
                let code = if text.contains("pooling allocator") { "too-complex" } else { "invalid" };
                LoadError::new(code, format!("the component does not compile: {}", printable(&text, 500)))
            })?;
        let imports = imports(engine, &component)?;
        Ok(Self { component, forms, info: ComponentInfo { sha256: digest, bytes: bytes.len(), imports, settings } })
    }
}

/// One sentence for each thing that is commonly mistaken for a component.
fn refuse_other_files(bytes: &[u8]) -> Result<(), LoadError> {
    let (code, text) = match bytes {
        [] => ("not-a-component", "the file is empty; give a WebAssembly component"),
        [b'\0', b'a', b's', b'm', rest @ ..] if rest.len() < 4 => {
            ("not-a-component", "the file ends within its first eight bytes; give the whole component")
        }
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

/// The names of the interfaces that the component imports; refuses those that this host does not have, and a component
/// without the one export that matters.
fn imports(engine: &wasmtime::Engine, component: &Component) -> Result<BTreeSet<String>, LoadError> {
    const KNOWN: [&str; 10] =
        ["types", "clock", "keys", "settings", "secrets", "random", "digest", "log", "store", "queries"];
    let kind = component.component_type();
    let mut names = BTreeSet::new();
    for (name, _) in kind.imports(engine) {
        let shown = printable(name, MAX_NAME);
        if name.starts_with("wasi:") {
            return Err(LoadError::new(
                "wasi-import",
                format!(
                    "the component asks for `{shown}`: WASI is not offered, so build it without (in Rust: for wasm32-unknown-unknown)"
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
    check_export(engine, &kind)?;
    Ok(names)
}

/// The component must export the handler's two functions; whether their types fit shows when it is linked.
fn check_export(engine: &wasmtime::Engine, component: &types::Component) -> Result<(), LoadError> {
    let missing = |what: &str| {
        Err(LoadError::new("missing-export", format!("the component exports no {what}, so it is no token handler")))
    };
    let exported = component.exports(engine).find_map(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) => split(name)
            .filter(|(interface, _)| *interface == "token-handler")
            .map(|(_, version)| (name, version, instance)),
        _ => None,
    });
    let Some((name, version, instance)) = exported else { return missing("interface `keyward:handler/token-handler`") };
    check_version(&printable(name, MAX_NAME), version)?;
    for function in ["create", "verify"] {
        let found = instance
            .exports(engine)
            .any(|(name, item)| name == function && matches!(item.ty, ComponentItem::ComponentFunc(_)));
        if !found {
            return missing(&format!("function `{function}` in `keyward:handler/token-handler`"));
        }
    }
    Ok(())
}

/// The interface and the version in `keyward:handler/INTERFACE@VERSION`.
fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').unwrap_or((name, "")))
}

fn check_version(shown: &str, version: &str) -> Result<(), LoadError> {
    if version == VERSION {
        return Ok(());
    }
    Err(LoadError::new(
        "other-version",
        format!(
            "the component is made for `{shown}`; this host speaks {VERSION}: build it against that version of `wit/`"
        ),
    ))
}

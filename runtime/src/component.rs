//! Untrusted components, and what they declare.
//!
//! The bytes are read once and digested. Their size, structure and imports are checked before they
//! are compiled, in a time that is linear in the size. This bounds the largest costs of compiling;
//! the limits of the compile worker bound all.

mod bound;
mod code;
mod imports;
mod setting;
mod shape;
pub(crate) mod source;

use crate::compile::Compilation;
use crate::engine::Engine;
use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::{MAX_NAME, escape_untrusted};
use crate::token_pattern::TokenPattern;
pub use setting::SettingType;
use sha2::{Digest, Sha256};
use shape::Shape;
pub use source::Component;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use wasmtime::component::types::{self, ComponentItem};

/// A valid component that targets this version of the contract and has no unknown imports. Created
/// only by [`CheckedComponent::new`].
pub(crate) struct CheckedComponent {
    pub(crate) component: wasmtime::component::Component,
    /// The [`TokenPattern`]s of its tokens; empty if it declares none.
    pub(crate) patterns: Vec<TokenPattern>,
    pub(crate) info: ComponentInfo,
}

/// The identity, imports and settings of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentInfo {
    /// The SHA-256 of the bytes.
    pub sha256: [u8; 32],
    /// Number of bytes.
    pub bytes: usize,
    /// The interfaces of `keyward:handler` that it imports, such as `keys`.
    pub imports: BTreeSet<String>,
    /// The interfaces of WASI 0.2 that it imports, such as `wasi:cli/stdout`. They are granted with
    /// [`HandlerConfig::wasi`](crate::HandlerConfig::wasi).
    pub wasi: BTreeSet<String>,
    /// The interfaces of `keyward:handler` that it exports: `token-handler`, `session-handler` or
    /// both.
    pub exports: BTreeSet<String>,
    /// The settings that it declares, by name.
    pub settings: BTreeMap<String, SettingType>,
}

impl ComponentInfo {
    /// Returns whether it is a token handler.
    pub fn handles_tokens(&self) -> bool {
        self.exports.contains("token-handler")
    }

    /// Returns whether it is a session handler.
    pub fn handles_sessions(&self) -> bool {
        self.exports.contains("session-handler")
    }

    /// Returns the SHA-256 in lowercase hexadecimal digits.
    pub fn sha256_hex(&self) -> String {
        hex::encode(self.sha256)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl CheckedComponent {
    /// Checks a component, whose SHA-256 is `digest`, and obtains its machine code before
    /// `deadline`.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if it is not a valid component, or one that this host refuses.
    pub(crate) fn new(
        engine: &Engine,
        compilation: &Compilation,
        source: &Component,
        digest: [u8; 32],
        deadline: Instant,
    ) -> Result<Self, LoadError> {
        let bytes = source.bytes();
        refuse_other_files(bytes)?;
        // Machine code exists only for a component whose functions were checked before.
        let mut known = compilation.find(source, digest).peekable();
        let is_known = known.peek().is_some();
        let read = if is_known { Shape::read_declarations } else { Shape::read };
        let Shape { settings, patterns, mut imports, wasi, .. } = read(bytes)?;
        // It has types only.
        imports.remove("types");
        let (settings, patterns) = (settings.unwrap_or_default(), patterns.unwrap_or_default());
        let engine = if wasi.is_empty() { engine.pure() } else { engine.wasi()? };
        let component = match known.find_map(|artifact| Compilation::load(engine, artifact, digest)) {
            Some(component) => component,
            None => {
                if is_known {
                    Shape::read(bytes)?;
                }
                compilation.compile(engine, source, digest, deadline)?
            }
        };
        let exports = exports(engine, &component.component_type())?;
        let info = ComponentInfo { sha256: digest, bytes: bytes.len(), imports, wasi, exports, settings };
        Ok(Self { component, patterns, info })
    }
}

/// Refuses files that are commonly mistaken for a component, each with its own [`LoadError`].
fn refuse_other_files(bytes: &[u8]) -> Result<(), LoadError> {
    let (kind, text) = match bytes {
        [] => (LoadErrorKind::NotAComponent, "the file is empty; give a WebAssembly component"),
        [b'\0', b'a', b's', b'm', rest @ ..] if rest.len() < 4 => {
            (LoadErrorKind::NotAComponent, "the file ends within its first eight bytes; give the whole component")
        }
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => (
            LoadErrorKind::CoreModule,
            "this is a core module, not a component: turn it into one with `keyward build FILE`",
        ),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', ..] => {
            (LoadErrorKind::Invalid, "this is WebAssembly of an unknown version; build a component with current tools")
        }
        [0x7f, b'E', b'L', b'F', ..] => (
            LoadErrorKind::Precompiled,
            "this is native code (perhaps a precompiled `.cwasm`), which is never run: give the `.wasm` that it was compiled from",
        ),
        [0x1f, 0x8b, ..] => (LoadErrorKind::NotAComponent, "this is a gzip file; unpack it and give the component"),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) if text.trim_start().starts_with("(component") || text.trim_start().starts_with("(module") => (
                LoadErrorKind::NotAComponent,
                "this is WebAssembly text: make a component of it with `keyward build FILE`",
            ),
            _ => {
                (LoadErrorKind::NotAComponent, "this is not a WebAssembly component (it does not begin with `\\0asm`)")
            }
        },
    };
    Err(LoadError::new(kind, text))
}

/// The interfaces that a handler may export, with their functions.
const EXPORTS: [(&str, &[&str]); 2] = [("token-handler", &["create", "verify"]), ("session-handler", &["identify"])];

/// Returns the names of the interfaces of a handler that the component exports, at least one, with
/// all of their functions. The types of those are checked when the component is linked.
fn exports(engine: &wasmtime::Engine, component: &types::Component) -> Result<BTreeSet<String>, LoadError> {
    let missing = |what: &str| {
        Err(LoadError::new(
            LoadErrorKind::MissingExport,
            format!("the component does not export the {what}, so it is not a handler"),
        ))
    };
    let mut found = BTreeSet::new();
    for (name, item) in component.exports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        let Some((interface, version)) = imports::split(name) else { continue };
        let Some((interface, functions)) = EXPORTS.iter().find(|(known, _)| *known == interface) else { continue };
        imports::check_version(&escape_untrusted(name, MAX_NAME), version)?;
        for function in *functions {
            let is_exported = instance
                .exports(engine)
                .any(|(name, item)| name == *function && matches!(item.ty, ComponentItem::ComponentFunc(_)));
            if !is_exported {
                return missing(&format!("function `{function}` in `keyward:handler/{interface}`"));
            }
        }
        found.insert((*interface).to_owned());
    }
    if found.is_empty() {
        return missing("interface `keyward:handler/token-handler`, or `keyward:handler/session-handler`");
    }
    Ok(found)
}

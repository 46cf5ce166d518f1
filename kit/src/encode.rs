//! Components from core modules.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{ComponentSection, CustomSection, RawSection};
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// An error of [`encode()`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The bytes are not WebAssembly.
    #[error("not WebAssembly: {0}; give a core module, such as cargo builds for the target wasm32-unknown-unknown")]
    NotWasm(String),
    /// The bytes are already a component.
    #[error("already a component; use it as it is")]
    AlreadyComponent,
    /// The module does not match the contract: an export is missing, an import is unknown, or a
    /// type differs.
    #[error("not a handler: {0}; the contract is that of keyward:handler@0.1.0")]
    NotAHandler(String),
}

impl EncodeError {
    /// Returns a stable code for `keyward explain`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotWasm(_) => "not-wasm",
            Self::AlreadyComponent => "already-component",
            Self::NotAHandler(_) => "not-a-handler",
        }
    }
}

/// The declarations that a component adds to its exports: see `keyward check`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "written in full")]
pub struct Declarations {
    /// Its settings, such as `prefix: text`.
    pub settings: Vec<String>,
    /// The patterns of its tokens.
    pub patterns: Vec<String>,
}

/// Converts a core module, binary or as text, into a component.
///
/// The module's imports and exports have the names of the canonical ABI
/// (`keyward:handler/clock@0.1.0` `now`, …), and it exports `memory` and `cabi_realloc`. If it has
/// metadata of `wit-bindgen`, that is used; otherwise the metadata of the whole world is added, and
/// the component still imports only what the module imports. Imports of WASI preview 1 become those
/// of WASI 0.2. Exports that clean up after a call are dropped: the instance no longer exists then.
///
/// # Errors
/// The bytes are not a core module, or the module does not match the contract.
pub fn encode(core: &[u8], declarations: &Declarations) -> Result<Vec<u8>, EncodeError> {
    let core = wat::parse_bytes(core).map_err(|error| {
        // A drawing of the line follows.
        let text = one_line(&error).replace(" --> <anon>:", " at ");
        EncodeError::NotWasm(text.split(" | ").next().unwrap_or_default().to_owned())
    })?;
    let mut module = without_post_returns(&core)?;
    let Names { has_metadata, has_tokens, has_sessions, has_wasi } = Names::of(&module);
    if !has_metadata {
        let world = match (has_tokens, has_sessions) {
            (true, true) => "token-and-session",
            (false, true) => "session",
            _ => "handler",
        };
        let (resolve, world) = contract(world);
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(not_a_handler)?;
    }
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).map_err(not_a_handler)?;
    if has_wasi {
        let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
        encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter).map_err(not_a_handler)?;
    }
    Ok(declare(encoder.encode().map_err(not_a_handler)?, declarations))
}

/// Appends the sections of declarations to a component.
pub(crate) fn declare(mut component: Vec<u8>, declarations: &Declarations) -> Vec<u8> {
    let Declarations { settings, patterns } = declarations;
    for (name, lines) in [("keyward:settings", settings), ("keyward:token-patterns", patterns)] {
        if !lines.is_empty() {
            let data = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into_bytes();
            CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut component);
        }
    }
    component
}

/// The properties of a module that its sections and names show.
#[derive(Default)]
struct Names {
    /// Metadata of `wit-bindgen`.
    has_metadata: bool,
    has_tokens: bool,
    has_sessions: bool,
    /// Imports of WASI preview 1.
    has_wasi: bool,
}

impl Names {
    fn of(module: &[u8]) -> Self {
        let mut names = Self::default();
        for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
            match payload {
                Payload::CustomSection(section) => names.has_metadata |= section.name().starts_with("component-type"),
                Payload::ImportSection(imports) => {
                    let mut imports = imports.into_imports().map_while(Result::ok);
                    names.has_wasi |= imports.any(|import| import.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME);
                }
                Payload::ExportSection(exports) => {
                    for export in exports.into_iter().map_while(Result::ok) {
                        names.has_tokens |= export.name.starts_with("keyward:handler/token-handler@");
                        names.has_sessions |= export.name.starts_with("keyward:handler/session-handler@");
                    }
                }
                _ => {}
            }
        }
        names
    }
}

/// Returns the module without its exports named `cabi_post_…`; everything else is unchanged byte
/// for byte.
fn without_post_returns(core: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(core) {
        match payload.map_err(not_wasm)? {
            Payload::Version { encoding: Encoding::Component, .. } => return Err(EncodeError::AlreadyComponent),
            Payload::ExportSection(exports) => {
                let mut kept = wasm_encoder::ExportSection::new();
                for export in exports {
                    let export = export.map_err(not_wasm)?;
                    if !export.name.starts_with("cabi_post_") {
                        kept.export(export.name, export.kind.into(), export.index);
                    }
                }
                module.section(&kept);
            }
            other => {
                if let Some((id, range)) = other.as_section() {
                    let data = core.get(range).unwrap_or_default();
                    module.section(&RawSection { id, data });
                }
            }
        }
    }
    Ok(module.finish())
}

/// Parses the contract, and returns one of its worlds.
#[expect(clippy::expect_used, reason = "the text is constant, and a test parses it")]
fn contract(world: &str) -> (Resolve, WorldId) {
    let mut sources = wit_parser::SourceMap::new();
    sources.push_str("types.wit", include_str!("../wit/types.wit"));
    sources.push_str("imports.wit", include_str!("../wit/imports.wit"));
    sources.push_str("world.wit", include_str!("../wit/world.wit"));
    let group = sources.parse().map_err(|(_, error)| error).expect("the contract is WIT");
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).expect("the contract needs no other package");
    let world = resolve.select_world(&[package], Some(world)).expect("the contract has the world");
    (resolve, world)
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> EncodeError {
    EncodeError::NotWasm(error.to_string())
}

fn not_a_handler(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::NotAHandler(one_line(&error))
}

/// Formats all causes on one line.
fn one_line(error: &impl std::fmt::Display) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handwritten handler: returns `not-mine` for every token, and an internal failure for every
    /// request.
    const HANDLER: &str = r#"(module
        (import "keyward:handler/clock@0.1.0" "now" (func $now (param i32)))
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            global.get $next
            (global.set $next (i32.add (global.get $next) (local.get 3))))
        (func (export "keyward:handler/token-handler@0.1.0#create")
            (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (call $now (i32.const 512))
            (i32.store8 (i32.const 64) (i32.const 1))
            (i32.store8 (i32.const 72) (i32.const 1))
            (i32.store8 (i32.const 76) (i32.const 1))
            i32.const 64)
        (func (export "keyward:handler/token-handler@0.1.0#verify") (param i32 i32) (result i32)
            (i32.store8 (i32.const 72) (i32.const 1))
            i32.const 64)
        (func (export "cabi_post_keyward:handler/token-handler@0.1.0#verify") (param i32))
        (@custom "keyward:settings" "one\ntwo\n"))"#;

    fn module(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    /// Returns the names of a component's imports and of its main module's exports.
    fn names(component: &[u8]) -> (Vec<String>, Vec<String>) {
        let (mut imports, mut exports, mut modules, mut depth) = (Vec::new(), Vec::new(), 0, 0);
        for payload in Parser::new(0).parse_all(component) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } => {
                    modules += 1;
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 0 => {
                    imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
                }
                Payload::ExportSection(section) if modules == 1 => {
                    exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
                }
                _ => {}
            }
        }
        (imports, exports)
    }

    #[test]
    fn a_handwritten_module_becomes_a_component_with_its_imports_only() {
        let component = encode(&module(HANDLER), &Declarations::default()).unwrap();
        let (imports, exports) = names(&component);
        assert_eq!(imports, ["keyward:handler/types@0.1.0", "keyward:handler/clock@0.1.0"]);
        assert!(exports.iter().any(|name| name.ends_with("#verify")), "{exports:?}");
        assert_eq!(encode(HANDLER.as_bytes(), &Declarations::default()).unwrap(), component, "as text");
        assert!(!exports.iter().any(|name| name.starts_with("cabi_post_")), "{exports:?}");
    }

    #[test]
    fn custom_sections_of_the_module_are_kept() {
        let component = encode(&module(HANDLER), &Declarations::default()).unwrap();
        let found = Parser::new(0).parse_all(&component).find_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) if section.name() == "keyward:settings" => Some(section.data().to_vec()),
            _ => None,
        });
        assert_eq!(found.unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn declarations_become_sections() {
        let declarations =
            Declarations { settings: vec!["a: text".into(), "b: u64".into()], patterns: vec!["x".into()] };
        let component =
            encode(&module(&HANDLER.replace("(@custom", "(@custom \"other\" \"\") (@custom")), &declarations).unwrap();
        let found: Vec<_> = Parser::new(0)
            .parse_all(&component)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CustomSection(section) if section.name().starts_with("keyward:") => {
                    Some((section.name().to_owned(), String::from_utf8(section.data().to_vec()).unwrap()))
                }
                _ => None,
            })
            .collect();
        let last = [("keyward:settings", "a: text\nb: u64\n"), ("keyward:token-patterns", "x\n")];
        assert_eq!(found[1..], last.map(|(name, data)| (name.to_owned(), data.to_owned())));
    }

    #[test]
    fn everything_but_the_dropped_exports_is_unchanged() {
        let with = module(HANDLER);
        let without = without_post_returns(&with).unwrap();
        let sections = |bytes: &[u8]| -> Vec<(u8, Vec<u8>)> {
            Parser::new(0)
                .parse_all(bytes)
                .filter_map(|payload| payload.unwrap().as_section())
                .filter(|(id, _)| *id != wasm_encoder::SectionId::Export as u8)
                .map(|(id, range)| (id, bytes[range].to_vec()))
                .collect()
        };
        assert_eq!(sections(&with), sections(&without));
        assert!(with.len() > without.len());
    }

    #[test]
    fn other_files_and_modules_are_rejected_with_the_reason() {
        let component = encode(&module(HANDLER), &Declarations::default()).unwrap();
        assert!(matches!(encode(&component, &Declarations::default()), Err(EncodeError::AlreadyComponent)));
        for bytes in [&b""[..], b"(modul", b"\x7fELF", b"\0asm", &component[..9]] {
            assert!(
                matches!(
                    encode(bytes, &Declarations::default()),
                    Err(EncodeError::NotWasm(_) | EncodeError::AlreadyComponent)
                ),
                "{bytes:?}"
            );
        }
        let text = |module: &str| encode(module.as_bytes(), &Declarations::default()).unwrap_err().to_string();
        let missing = text("(module)");
        assert!(missing.starts_with("not a handler: ") && missing.contains("token-handler"), "{missing}");
        let unknown = text(&HANDLER.replace("keyward:handler/clock", "keyward:handler/clocks"));
        assert!(unknown.contains("clocks"), "{unknown}");
        let foreign = text(&HANDLER.replace("keyward:handler/clock@0.1.0", "wasi:clocks/wall-clock@0.2.0"));
        assert!(foreign.contains("wasi:clocks"), "{foreign}");
        let mistyped = text(&HANDLER.replace("(func $now (param i32))", "(func $now (param i64))"));
        assert!(mistyped.contains("now"), "{mistyped}");
        for text in [missing, unknown, foreign, mistyped] {
            assert!(!text.contains('\n'), "{text}");
        }
    }
}

//! Turns a core module into a component of the contract in `wit/`, and builds the handlers of this
//! workspace.

mod build;

use wasm_encoder::RawSection;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

pub use build::{build_guest, rerun_if_changed};

/// The built-in handlers, in the order in which they are listed: `builtin:NAME` is the package
/// `keyward-guest-NAME`.
pub const BUILTIN_HANDLERS: [&str; 6] = ["signed", "hardcoded", "stored", "hypothesis", "auth-tokens", "query"];

/// What went wrong, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no WebAssembly.
    #[error("not WebAssembly: {0}; give a core module, such as cargo makes for the target wasm32-unknown-unknown")]
    NotWasm(String),
    /// Nothing is left to do.
    #[error("already a component; use it as it is")]
    AlreadyComponent,
    /// The module does not fit the contract: an export is missing, an import is unknown, or a type
    /// differs.
    #[error("not a handler: {0}; the contract is the world `handler` of keyward:handler@0.1.0")]
    NotAHandler(String),
    /// The target's standard library is missing.
    #[error("rust has no wasm32-unknown-unknown target here; run `rustup target add wasm32-unknown-unknown`")]
    NoTarget,
    /// cargo could not be run, or its result not be read.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// cargo failed.
    #[error("cargo could not build {package}:\n{output}")]
    Build {
        /// The crate that was to be built.
        package: String,
        /// What cargo and the compiler said.
        output: String,
    },
}

/// The component of a core module.
///
/// The module's imports and exports have the names of the canonical ABI
/// (`keyward:handler/clock@0.1.0` `now`, …), and it exports `memory` and `cabi_realloc`. Metadata
/// of `wit-bindgen` is used where there is some; a module without gets that of the whole world, and
/// asks for what it imports all the same. Exports that tidy up after a call are dropped: the
/// instance is gone by then.
///
/// # Errors
/// The bytes are no core module, or not of this contract.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>, Error> {
    let mut module = without_post_returns(core)?;
    if !has_metadata(&module) {
        let (resolve, world) = contract();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(not_a_handler)?;
    }
    ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(not_a_handler)
}

/// The module without its exports named `cabi_post_…`; all else byte for byte.
fn without_post_returns(core: &[u8]) -> Result<Vec<u8>, Error> {
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(core) {
        match payload.map_err(not_wasm)? {
            Payload::Version { encoding: Encoding::Component, .. } => return Err(Error::AlreadyComponent),
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

fn has_metadata(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).any(|payload| {
        matches!(payload, Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type"))
    })
}

/// The world `handler`.
#[expect(clippy::expect_used, reason = "our own text, which a test parses")]
fn contract() -> (Resolve, WorldId) {
    let mut sources = wit_parser::SourceMap::new();
    sources.push_str("types.wit", include_str!("../../wit/types.wit"));
    sources.push_str("imports.wit", include_str!("../../wit/imports.wit"));
    sources.push_str("world.wit", include_str!("../../wit/world.wit"));
    let group = sources.parse().map_err(|(_, error)| error).expect("the contract is WIT");
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).expect("the contract needs no other package");
    let world = resolve.select_world(&[package], Some("handler")).expect("the contract has a world `handler`");
    (resolve, world)
}

fn not_wasm(error: wasmparser::BinaryReaderError) -> Error {
    Error::NotWasm(error.to_string())
}

/// All causes in one line.
fn not_a_handler(error: impl std::fmt::Display) -> Error {
    Error::NotAHandler(format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handler by hand: answers every token with `not-mine`, and every request with an internal
    /// failure.
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

    /// The names of what a component imports and of what its main module exports.
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
    fn a_module_by_hand_becomes_a_component_that_asks_for_what_it_imports() {
        let component = componentize(&module(HANDLER)).unwrap();
        let (imports, exports) = names(&component);
        assert_eq!(imports, ["keyward:handler/types@0.1.0", "keyward:handler/clock@0.1.0"]);
        assert!(exports.iter().any(|name| name.ends_with("#verify")), "{exports:?}");
        assert!(!exports.iter().any(|name| name.starts_with("cabi_post_")), "{exports:?}");
    }

    #[test]
    fn custom_sections_of_the_module_stay() {
        let component = componentize(&module(HANDLER)).unwrap();
        let found = Parser::new(0).parse_all(&component).find_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) if section.name() == "keyward:settings" => Some(section.data().to_vec()),
            _ => None,
        });
        assert_eq!(found.unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn all_but_the_dropped_exports_stays_byte_for_byte() {
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
    fn what_is_no_core_module_or_no_handler_is_told_so() {
        let component = componentize(&module(HANDLER)).unwrap();
        assert!(matches!(componentize(&component), Err(Error::AlreadyComponent)));
        for bytes in [&b""[..], b"(module)", b"\x7fELF", b"\0asm", &component[..9]] {
            assert!(matches!(componentize(bytes), Err(Error::NotWasm(_) | Error::AlreadyComponent)), "{bytes:?}");
        }
        let text = |module: &str| componentize(&wat::parse_str(module).unwrap()).unwrap_err().to_string();
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

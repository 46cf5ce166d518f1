//! `cargo xtask handlers`: builds the components of `keyward-handlers`.

use crate::run::{Step, target, wasm_target, workspace};
use keyward_kit::Declarations;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The built-in handlers in listing order: `builtin:NAME` is the package `keyward-guest-NAME`.
pub(crate) const NAMES: [&str; 8] =
    ["signed", "hardcoded", "stored", "hypothesis", "auth-tokens", "query", "jwt", "session"];

/// Builds every component, and the table that includes them. Files that would not change are not
/// written, so that nothing is compiled again.
pub(crate) fn build() -> Step {
    wasm_target()?;
    let (root, mut table) = (workspace(), String::new());
    let folder = root.join("handlers/components");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in NAMES {
        let component = keyward_guests::build(&format!("keyward-guest-{name}"), &target().join("guests"))
            .map_err(|error| format!("the built-in handler `{name}` could not be built: {error}"))?;
        add(&mut table, &folder, name, &component)?;
    }
    let constants = NAMES.map(constant);
    let _ = writeln!(table, "/// All built-in handlers.\npub const ALL: &[BuiltIn] = &[{}];\n", constants.join(", "));
    let canary = wat::parse_file(root.join("handlers/canary.wat")).map_err(|error| error.to_string())?;
    add(
        &mut table,
        &folder,
        "canary",
        &keyward_kit::encode(&canary, &Declarations::default()).map_err(|error| error.to_string())?,
    )?;
    write(&folder.join("table.rs"), table.as_bytes())
}

/// Writes a component, and its constant to the table.
fn add(table: &mut String, folder: &Path, name: &str, component: &[u8]) -> Step {
    let digest: [u8; 32] = Sha256::digest(component).into();
    let _ = writeln!(
        table,
        "/// The handler `{name}`.\npub const {}: BuiltIn = BuiltIn {{\n    name: {name:?},\n    \
         component: include_bytes!(\"{name}.wasm\"),\n    sha256: {digest:?},\n    code: code!({name:?}),\n}};\n",
        constant(name)
    );
    write(&folder.join(name).with_extension("wasm"), component)
}

/// Returns the name of a handler's constant.
fn constant(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn write(path: &Path, bytes: &[u8]) -> Step {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

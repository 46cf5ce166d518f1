//! `cargo xtask handlers`: builds the components of `keyward-handlers`.

use crate::run::{Step, target, wasm_target, workspace};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The built-in handlers in listing order: `builtin:NAME` is the package `keyward-guest-NAME`.
pub(crate) const NAMES: [&str; 6] = ["signed", "hardcoded", "stored", "hypothesis", "auth-tokens", "query"];

/// Builds every component, and the table that includes them. Files that would not change are not
/// written, so that nothing is compiled again.
pub(crate) fn build() -> Step {
    wasm_target()?;
    let (root, mut table) = (workspace(), String::new());
    let folder = root.join("handlers/components");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for name in NAMES {
        let component = keyward_componentize::build_guest(&format!("keyward-guest-{name}"), &target().join("guests"))
            .map_err(|error| format!("the built-in handler `{name}` could not be built: {error}"))?;
        let digest: [u8; 32] = Sha256::digest(&component).into();
        write(&folder.join(name).with_extension("wasm"), &component)?;
        let constant = name.to_uppercase().replace('-', "_");
        let _ = writeln!(
            table,
            "/// The handler `{name}`.\npub const {constant}: BuiltIn = BuiltIn {{\n    name: {name:?},\n    \
             component: include_bytes!(\"{name}.wasm\"),\n    sha256: {digest:?},\n    code: code!({name:?}),\n}};\n"
        );
    }
    let constants = NAMES.map(|name| name.to_uppercase().replace('-', "_"));
    let _ = writeln!(table, "/// All built-in handlers.\npub const ALL: &[BuiltIn] = &[{}];", constants.join(", "));
    write(&folder.join("table.rs"), table.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Step {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

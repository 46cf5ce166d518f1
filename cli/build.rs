//! Embeds the built-in handlers into the command, so that operators install a single file.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(out) = env::var_os("OUT_DIR") else { return fail("cargo did not set OUT_DIR") };
    match build(Path::new(&out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Writes each component, and `builtin.rs`, which includes all of them.
fn build(out: &Path) -> Result<(), String> {
    let (mut constants, mut table) = (String::new(), String::new());
    for name in keyward_componentize::BUILTIN_HANDLERS {
        let package = format!("keyward-guest-{name}");
        keyward_componentize::rerun_if_changed(&package);
        // A separate target directory, because the outer cargo holds the lock on its own.
        let component = keyward_componentize::build_guest(&package, &out.join("guests"))
            .map_err(|error| format!("the built-in handler `{name}` could not be built: {error}"))?;
        let path = out.join(name).with_extension("wasm");
        fs::write(&path, component).map_err(|error| format!("{}: {error}", path.display()))?;
        let constant = name.to_uppercase().replace('-', "_");
        let include = format!("include_bytes!({path:?})");
        let _ =
            writeln!(constants, "/// The component of `builtin:{name}`.\npub const {constant}: &[u8] = {include};\n");
        let _ = writeln!(table, "    Builtin {{ name: {name:?}, component: {constant} }},");
    }
    let len = keyward_componentize::BUILTIN_HANDLERS.len();
    let source = format!("{constants}/// All built-in handlers.\nconst ALL: [Builtin; {len}] = [\n{table}];\n");
    let path = out.join("builtin.rs");
    fs::write(&path, source).map_err(|error| format!("{}: {error}", path.display()))
}

fn fail(text: &str) -> ExitCode {
    for line in text.lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

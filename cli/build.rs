//! Builds the handlers that are part of the command, so that one file is all that an operator installs.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(out) = env::var_os("OUT_DIR") else { return fail("cargo did not set OUT_DIR") };
    let out = Path::new(&out);
    for name in ["signed", "hardcoded", "stored", "opaque", "dsatok", "query"] {
        let package = format!("keyward-guest-{name}");
        keyward_componentize::rerun_if_changed(&package);
        // A target folder of its own: the outer cargo holds the lock of the other one.
        let component = match keyward_componentize::build_guest(&package, &out.join("guests")) {
            Ok(component) => component,
            Err(error) => return fail(&format!("the built-in handler `{name}` could not be built: {error}")),
        };
        if let Err(error) = fs::write(out.join(name).with_extension("wasm"), component) {
            return fail(&format!("the built-in handler `{name}` could not be written: {error}"));
        }
    }
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    for line in text.lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

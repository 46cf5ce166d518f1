//! Running programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Done, or a sentence that says what went wrong.
pub(crate) type Step = Result<(), String>;

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// The cargo that runs this, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Shows a command and runs it; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Step {
    let shown = show(command);
    eprintln!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed ({status})")),
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

/// Runs a command without showing it, and gives what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<Output, String> {
    let shown = show(command);
    command.stdin(Stdio::null()).output().map_err(|error| format!("`{shown}` could not be started: {error}"))
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// Builds all there is, tests included: with one selection of packages and so of features everywhere, nothing big is compiled
/// twice.
pub(crate) fn build_all() -> Step {
    run(cargo().args(["build", "--workspace", "--all-targets", "--locked"]))
}

/// What handlers are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Makes sure that handlers can be built.
pub(crate) fn wasm_target() -> Step {
    let sysroot = capture(Command::new("rustc").current_dir(workspace()).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    println!("The target {TARGET}, for which handlers are built, is missing; installing it.");
    run(Command::new("rustup").current_dir(workspace()).args(["target", "add", TARGET]))
}

//! Runs programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// The result of a task; an error is a sentence that describes the failure.
pub(crate) type Step = Result<(), String>;

/// Returns the root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Returns cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// Copies a file and its permissions, and creates its folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Step {
    let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(from, to));
    copied.map(drop).map_err(|error| format!("{} could not be copied to {}: {error}", from.display(), to.display()))
}

/// Returns a command for the cargo that runs this program, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Prints a command, runs it, and prints the seconds that it took. Any exit status but success is
/// an error.
pub(crate) fn run(command: &mut Command) -> Step {
    let shown = show(command);
    eprintln!("$ {shown}");
    let started = Instant::now();
    match command.status() {
        Ok(status) if status.success() => {
            eprintln!("  {} s", started.elapsed().as_secs());
            Ok(())
        }
        Ok(status) => Err(format!("`{shown}` failed ({status})")),
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

/// Runs a command without printing it, and returns its output.
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

/// Builds the whole workspace including tests: one selection of packages, and so of features, means
/// that nothing large is compiled twice.
pub(crate) fn build_all() -> Step {
    run(cargo().args(["build", "--workspace", "--all-targets", "--locked"]))
}

/// The target that handlers are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Ensures that handlers can be built.
pub(crate) fn wasm_target() -> Step {
    let sysroot = capture(Command::new("rustc").current_dir(workspace()).args(["--print", "sysroot"]))?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    println!("The target {TARGET}, for which handlers are built, is missing; installing it.");
    run(Command::new("rustup").current_dir(workspace()).args(["target", "add", TARGET]))
}

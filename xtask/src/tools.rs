//! Tools that are installed on demand, in their pinned versions.

use crate::run::{cargo, run, target, workspace};
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Builds Debian packages.
pub(crate) const DEB: &str = "cargo-deb@3.8.0";
/// Embeds the list of dependencies into a program, for `cargo audit bin` and scanners.
pub(crate) const AUDITABLE: &str = "cargo-auditable@0.7.7";
/// Writes software bills of materials.
pub(crate) const CYCLONEDX: &str = "cargo-cyclonedx@0.5.9";
/// Compares public interfaces.
pub(crate) const SEMVER_CHECKS: &str = "cargo-semver-checks@0.51.0";
/// Builds the site of the documentation.
const MDBOOK: &str = "mdbook@0.5.4";

/// Builds the site of the documentation, in `book` in the target folder.
pub(crate) fn book() -> Result<(), String> {
    run(Command::new(install(MDBOOK)?.join("mdbook")).arg("build").arg(workspace()))
}

/// Installs a tool into the target folder, unless this version is there, and returns the folder of
/// its program.
fn install(tool: &str) -> Result<PathBuf, String> {
    let root = target().join("tools");
    let install = ["install", "--locked", "--quiet", "--debug", "--root"];
    // Without the variable, cargo builds in a temporary folder.
    run(cargo().env_remove("CARGO_TARGET_DIR").args(install).arg(&root).arg(tool))?;
    Ok(root.join("bin"))
}

/// Returns a command for cargo with a subcommand, which it installs if necessary.
pub(crate) fn cargo_with(tool: &str) -> Result<Command, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [install(tool)?].into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(folders).map_err(|error| format!("PATH: {error}"))?;
    let mut cargo = cargo();
    cargo.env("PATH", path);
    Ok(cargo)
}

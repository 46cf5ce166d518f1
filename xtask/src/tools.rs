//! Cargo subcommands that are installed on demand, in their pinned versions.

use crate::run::{cargo, run, target};
use std::env;
use std::process::Command;

/// Builds Debian packages.
pub(crate) const DEB: &str = "cargo-deb@3.8.0";
/// Embeds the list of dependencies into a program, for `cargo audit bin` and scanners.
pub(crate) const AUDITABLE: &str = "cargo-auditable@0.7.7";
/// Writes software bills of materials.
pub(crate) const CYCLONEDX: &str = "cargo-cyclonedx@0.5.9";
/// Compares public interfaces.
pub(crate) const SEMVER_CHECKS: &str = "cargo-semver-checks@0.51.0";

/// Returns a command for cargo with a subcommand, which it installs into the target folder unless
/// this version is there.
pub(crate) fn cargo_with(tool: &str) -> Result<Command, String> {
    let root = target().join("tools");
    let install = ["install", "--locked", "--quiet", "--debug", "--root"];
    // Without the variable, cargo builds in a temporary folder.
    run(cargo().env_remove("CARGO_TARGET_DIR").args(install).arg(&root).arg(tool))?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [root.join("bin")].into_iter().chain(env::split_paths(&path));
    let path = env::join_paths(folders).map_err(|error| format!("PATH: {error}"))?;
    let mut cargo = cargo();
    cargo.env("PATH", path);
    Ok(cargo)
}

//! The Debian package, and its installation in a private copy of this machine's files.

use super::{commit_time, list, read, renew, write};
use crate::peers::is_root;
use crate::run::{Step, capture, run, target, workspace};
use crate::tools::{DEB, cargo_with};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the package of staged files, with `options` of cargo-deb. Returns its path in `folder`.
pub(super) fn package(staged: &Path, folder: &Path, options: &[&str]) -> Result<PathBuf, String> {
    // cargo-deb takes files from the folder `release` of cargo's target folder.
    let target = staged.parent().unwrap_or(staged);
    run(cargo_with(DEB)?
        .args(["deb", "--no-build", "--locked", "--quiet", "--package", "keyward-cli", "--output"])
        .arg(folder)
        .args(options)
        .env("CARGO_TARGET_DIR", target)
        .env("SOURCE_DATE_EPOCH", commit_time()?))?;
    let mut written = list(folder)?.into_iter();
    let package = written.find(|path| path.extension().is_some_and(|end| end == "deb"));
    package.ok_or_else(|| "cargo-deb wrote no package".to_owned())
}

/// Returns whether [`check`] works on this machine, and reports if it does not.
///
/// # Errors
///
/// Returns an error if it does not and `KEYWARD_REQUIRE_PACKAGE` is set, as in the workflows.
pub(super) fn can_check() -> Result<bool, String> {
    let can_mount = || capture(Command::new("unshare").args(["--mount", "true"])).is_ok_and(|run| run.status.success());
    if Path::new("/etc/debian_version").exists() && is_root() && can_mount() {
        return Ok(true);
    }
    let text = "the Debian package is not tested: only root on Debian, with the right to mount, can install it";
    let is_required = env::var_os("KEYWARD_REQUIRE_PACKAGE").is_some_and(|value| value != "0");
    if is_required {
        return Err(text.to_owned());
    }
    println!("SKIPPED: {text}");
    Ok(false)
}

/// Installs the package in a copy of this machine's files, follows the README, and removes it.
pub(super) fn check(package: &Path) -> Step {
    let folder = target().join("dist-check");
    renew(&folder)?;
    let readme = read(&workspace().join("README.md"))?;
    write(&folder.join("readme.sh"), &commands(&readme, "## Install")?)?;
    write(&folder.join("root.sh"), include_str!("root.sh"))?;
    write(&folder.join("check.sh"), include_str!("check.sh"))?;
    let name = package.file_name().unwrap_or_default();
    fs::copy(package, folder.join(name)).map_err(|error| format!("{}: {error}", package.display()))?;
    // Mounts and processes of these namespaces end with the command.
    run(Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "bash", "-euo", "pipefail", "root.sh"])
        .current_dir(&folder))
}

/// Returns the first block of shell commands below a heading.
fn commands(page: &str, heading: &str) -> Result<String, String> {
    let section = page.split_once(&format!("\n{heading}\n")).map(|(_, section)| section).unwrap_or_default();
    let block = section.split_once("```sh\n").and_then(|(_, block)| block.split_once("```"));
    block.map(|(commands, _)| commands.to_owned()).ok_or_else(|| format!("`{heading}` has no commands"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_below_the_heading_is_run() {
        let page = "# A\n\n```sh\na\n```\n\n## Install\n\nb\n\n```sh\nc\nd\n```\n\n```sh\ne\n```\n";
        assert_eq!(commands(page, "## Install").unwrap(), "c\nd\n");
        assert!(commands(page, "## Other").is_err());
    }
}

//! `cargo xtask package`: the published packages, and programs that use nothing else.

use crate::run::{Step, capture, cargo, run, target, workspace};
use crate::{handlers, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders of the published packages, each after those that it depends on.
const PACKAGES: [&str; 8] = ["sdk", "handlers", "runtime", "store", "audit", "service", "server", "cli"];

/// The programs in `examples/embedder/`.
const PROGRAMS: [&str; 2] = ["verify", "custom_store"];

/// The profile of the checks: as fast to compile as possible.
const QUICK: [&str; 2] = ["--config", "profile.dev.debug=false"];

/// Packages what is committed. cargo compiles every package from its archive, with the others'
/// archives in the place of a registry; then the embedder's programs are built from them, and run.
pub(crate) fn package() -> Step {
    is_committed()?;
    handlers::build()?;
    run(archives().args(QUICK))?;
    embed()
}

/// Packages the work tree, and builds and runs the embedder's programs with the archives. The
/// packages are not compiled one by one.
pub(crate) fn test() -> Step {
    run(archives().arg("--no-verify"))?;
    embed()
}

fn archives() -> Command {
    let mut package = cargo();
    // cargo takes the components for changes, because git ignores them. `is_committed` replaces its
    // check.
    package.args(["package", "--locked", "--allow-dirty"]);
    package.args(PACKAGES.map(|folder| format!("--package=keyward-{folder}")));
    package
}

/// Compares the public interfaces with those of the last release, if there is one.
pub(crate) fn semver() -> Step {
    let tag = capture(Command::new("git").current_dir(workspace()).args(["describe", "--abbrev=0", "--match=v*"]))?;
    if !tag.status.success() {
        println!("INTERFACES NOT COMPARED: there is no release to compare with.");
        return Ok(());
    }
    let tag = String::from_utf8_lossy(&tag.stdout).trim().to_owned();
    // The library of `keyward-cli` exists for tests. The components of `keyward-handlers` are not
    // in the repository, so an older version of it does not compile.
    let names = PACKAGES.iter().filter(|folder| !["cli", "handlers"].contains(folder));
    let names = names.map(|folder| format!("--package=keyward-{folder}"));
    run(tools::cargo_with(tools::SEMVER_CHECKS)?.args(["semver-checks", "--baseline-rev", &tag]).args(names))
}

/// Returns an error if files differ from the last commit, as they would become part of a package.
fn is_committed() -> Step {
    let status = capture(Command::new("git").current_dir(workspace()).args(["status", "--porcelain"]))?;
    if !status.status.success() {
        return Err("the packages need a clone of the repository: `git status` failed".to_owned());
    }
    let changed = String::from_utf8_lossy(&status.stdout).into_owned();
    if changed.is_empty() {
        return Ok(());
    }
    Err(format!("these files are not committed; commit or stash them, then repeat:\n{}", changed.trim_end()))
}

/// Builds and runs the embedder's programs with the archives, offline.
fn embed() -> Step {
    let folder = target().join("embedder");
    let _ = fs::remove_dir_all(&folder);
    let source = workspace().join("examples/embedder");
    for file in ["Cargo.toml"].into_iter().map(PathBuf::from).chain(PROGRAMS.map(program)) {
        copy(&source.join(&file), &folder.join(&file))?;
    }
    // The versions that the packages were verified with, which are on this machine.
    copy(&workspace().join("Cargo.lock"), &folder.join("Cargo.lock"))?;
    let mut patches = Vec::new();
    for package in PACKAGES.map(|folder| format!("keyward-{folder}")) {
        let name = format!("{package}-{}", env!("CARGO_PKG_VERSION"));
        let archive = target().join("package").join(&name).with_added_extension("crate");
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&folder))?;
        patches.push("--config".to_owned());
        patches.push(format!("patch.crates-io.{package}.path={:?}", folder.join(&name)));
    }
    for program in PROGRAMS {
        let program = ["--bin", program];
        let manifest = folder.join("Cargo.toml");
        run(cargo()
            .args(["run", "--quiet", "--offline"])
            .args(QUICK)
            .args(&patches)
            .args(program)
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(target()))?;
    }
    Ok(())
}

fn program(name: &str) -> PathBuf {
    Path::new("src/bin").join(name).with_extension("rs")
}

fn copy(from: &Path, to: &Path) -> Step {
    let copied = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(from, to));
    copied.map(drop).map_err(|error| format!("{} could not be copied to {}: {error}", from.display(), to.display()))
}

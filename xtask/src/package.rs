//! `cargo xtask package`: the published packages, and programs that use nothing else.

use crate::run::{Step, capture, cargo, copy, run, target, workspace};
use crate::{handlers, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders of the published packages, each after those that it depends on.
const PACKAGES: [&str; 12] =
    ["sdk", "kit", "engine", "handlers", "runtime", "store", "fetch", "audit", "service", "pages", "server", "cli"];

/// The programs in `examples/embedder/`.
const PROGRAMS: [&str; 2] = ["verify", "custom_store"];

/// Packages what is committed, compiles every package from its archive and the archives of the
/// others, and runs the embedder's programs with them.
pub(crate) fn package() -> Step {
    is_committed()?;
    handlers::build()?;
    archives()?;
    compile("--workspace")
}

/// Packages the work tree, and builds and runs the embedder's programs with the archives. The
/// packages that they do not use are not compiled.
pub(crate) fn test() -> Step {
    archives()?;
    compile("--package=keyward-embedder")
}

/// Writes the archives.
fn archives() -> Step {
    let names = PACKAGES.map(|folder| format!("--package=keyward-{folder}"));
    // cargo takes the components for changes, because git ignores them: `is_committed` replaces its
    // check. Its verification keeps the sources of a version forever, so it would compile old ones.
    run(cargo().args(["package", "--locked", "--allow-dirty", "--no-verify"]).args(names))
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

/// Compiles packages of a workspace with the archives and the embedder's programs, offline, and
/// runs the programs.
fn compile(packages: &str) -> Step {
    let (folder, built) = (target().join("packaged"), target().join("packaged-target"));
    let _ = fs::remove_dir_all(&folder);
    let source = workspace().join("examples/embedder");
    for file in PROGRAMS.map(program) {
        copy(&source.join(&file), &folder.join(&file))?;
    }
    // The versions that the workspace is tested with.
    copy(&workspace().join("Cargo.lock"), &folder.join("Cargo.lock"))?;
    let manifest = source.join("Cargo.toml");
    let mut text = fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    text.push_str("\n[patch.crates-io]\n");
    let mut members = Vec::new();
    for package in PACKAGES.map(|folder| format!("keyward-{folder}")) {
        let name = format!("{package}-{}", env!("CARGO_PKG_VERSION"));
        let archive = target().join("package").join(&name).with_added_extension("crate");
        // With the current time: the times in an archive are constant, and cargo compares them.
        run(Command::new("tar").arg("-xzmf").arg(archive).arg("-C").arg(&folder))?;
        text.push_str(&format!("{package}.path = {name:?}\n"));
        members.push(name);
    }
    let text = text.replace("[workspace]\n", &format!("[workspace]\nmembers = {members:?}\n"));
    let manifest = folder.join("Cargo.toml");
    fs::write(&manifest, text).map_err(|error| format!("{}: {error}", manifest.display()))?;
    run(cargo()
        .args(["build", packages, "--offline", "--config", "profile.dev.debug=false", "--target-dir"])
        .arg(&built)
        .arg("--manifest-path")
        .arg(manifest))?;
    PROGRAMS.iter().try_for_each(|program| run(&mut Command::new(built.join("debug").join(program))))
}

fn program(name: &str) -> PathBuf {
    Path::new("src/bin").join(name).with_extension("rs")
}

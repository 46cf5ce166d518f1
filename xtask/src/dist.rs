//! `cargo xtask dist`: the files of a release, for the architecture of this machine.

mod debian;
mod files;

use crate::handlers;
use crate::run::{Step, capture, run, target, workspace};
use crate::tools::{AUDITABLE, CYCLONEDX, cargo_with};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of all packages of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds the program with `profile`, and writes the files of a release to `dist` in the target
/// folder. With a `tag`, also writes the release notes.
///
/// # Errors
///
/// Returns an error if the tag, the version and the changelog do not agree.
pub(crate) fn dist(profile: &str, tag: Option<&str>) -> Step {
    handlers::build()?;
    let folder = target().join("dist");
    renew(&folder)?;
    let changelog = read(&workspace().join("CHANGELOG.md"))?;
    let notes = tag.map(|tag| notes(tag, &changelog)).transpose()?;
    let name = format!("keyward-{VERSION}-{}", triple()?);

    let build = ["auditable", "build", "--package", "keyward-cli", "--locked", "--profile", profile];
    run(cargo_with(AUDITABLE)?.args(build))?;
    let program = target().join(profile).join("keyward");
    if !is_auditable(&program)? {
        return Err(format!("{} does not contain the list of its dependencies", program.display()));
    }

    let staged = files::stage(&program, &target().join("dist-files"))?;
    archive(&staged, &name, &folder.join(format!("{name}.tar.gz")))?;
    write(&folder.join(format!("{name}.cdx.json")), &bill_of_materials()?)?;
    let package = debian::package(&staged, &folder, &[])?;
    checksums(&folder)?;
    if let Some(notes) = notes {
        write(&folder.join("NOTES.md"), &notes)?;
    }
    if debian::can_check()? {
        debian::check(&package)?;
    }
    println!("The files of the release are in {}.", folder.display());
    Ok(())
}

/// Builds the Debian package of the program that the tests built, and checks it.
pub(crate) fn test() -> Step {
    if !debian::can_check()? {
        return Ok(());
    }
    let folder = target().join("dist-test");
    renew(&folder)?;
    let staged = files::stage(&target().join("debug/keyward"), &target().join("dist-files"))?;
    debian::check(&debian::package(&staged, &folder, &["--fast"])?)
}

/// Returns the section of the changelog for a release.
fn notes(tag: &str, changelog: &str) -> Result<String, String> {
    if tag != format!("v{VERSION}") {
        return Err(format!("the tag is {tag}, but the version in Cargo.toml is {VERSION}: correct one of them"));
    }
    let is_start = |line: &str| line.strip_prefix("## ").is_some_and(|title| title.split(' ').next() == Some(VERSION));
    let lines = changelog.lines().skip_while(|line| !is_start(line)).skip(1);
    let section: Vec<_> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let section = section.join("\n");
    if section.trim().is_empty() {
        return Err(format!("CHANGELOG.md has no section `## {VERSION}`: rename `## Unreleased`"));
    }
    Ok(section.trim().to_owned() + "\n")
}

/// Returns the target that programs are built for by default, such as `x86_64-unknown-linux-gnu`.
fn triple() -> Result<String, String> {
    let output = capture(Command::new("rustc").current_dir(workspace()).args(["--print", "host-tuple"]))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the time of the last commit, so that the same source results in the same archive.
fn commit_time() -> Result<String, String> {
    let output = capture(Command::new("git").current_dir(workspace()).args(["log", "-1", "--format=%ct"]))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if text.is_empty() { Err("a release is built in a git checkout, and this is none".to_owned()) } else { Ok(text) }
}

fn is_auditable(program: &Path) -> Result<bool, String> {
    const SECTION: &[u8] = b".dep-v0";
    let bytes = fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(bytes.windows(SECTION.len()).any(|window| window == SECTION))
}

/// Packs the staged files into one folder of an archive.
fn archive(staged: &Path, name: &str, to: &Path) -> Step {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"]);
    tar.arg(format!("--mtime=@{}", commit_time()?)).arg(format!("--transform=s,^,{name}/,")).arg("--file").arg(to);
    tar.arg("--directory").arg(staged).args(["LICENSE", "completions", "keyward", "man"]);
    tar.arg("--directory").arg(staged.join("share")).args(files::SHARED);
    run(&mut tar)
}

/// Returns the CycloneDX document of the program, with its dependencies and their licenses.
fn bill_of_materials() -> Result<String, String> {
    // The tool writes a file beside each manifest of a workspace, so it gets a copy of the sources.
    let sources = target().join("dist-sources");
    renew(&sources)?;
    let exported = sources.join("sources.tar");
    run(Command::new("git").current_dir(workspace()).args(["archive", "--output"]).arg(&exported).arg("HEAD"))?;
    run(Command::new("tar").arg("--extract").arg("--file").arg(&exported).arg("--directory").arg(&sources))?;
    let manifest = sources.join("cli/Cargo.toml");
    let options = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--describe", "binaries"];
    run(cargo_with(CYCLONEDX)?
        .args(options)
        .args(["--quiet", "--target", &triple()?, "--manifest-path"])
        .arg(manifest)
        .env("SOURCE_DATE_EPOCH", commit_time()?))?;
    let document = read(&sources.join("cli/keyward_bin.cdx.json"))?;
    Ok(document.replace(&sources.display().to_string(), "/keyward"))
}

/// Writes the SHA-256 digests of all files in a folder.
fn checksums(folder: &Path) -> Step {
    let mut names: Vec<_> = list(folder)?.iter().filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect();
    names.sort();
    let output = capture(Command::new("sha256sum").current_dir(folder).arg("--").args(names))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    write(&folder.join("SHA256SUMS"), &String::from_utf8_lossy(&output.stdout))
}

/// Creates an empty folder.
fn renew(folder: &Path) -> Step {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::read_dir(folder).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Step {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_are_the_section_of_the_version() {
        let changelog =
            format!("# Changelog\n\n## Unreleased\n\n* c\n\n## {VERSION} (2026-12-01)\n\n* b\n\n## 0.0.1\n\n* a\n");
        assert_eq!(notes(&format!("v{VERSION}"), &changelog).unwrap(), "* b\n");
        for (tag, changelog, wanted) in [
            ("v99.0.0", changelog.as_str(), "the tag is v99.0.0, but"),
            (&format!("v{VERSION}"), "## Unreleased\n\n* c\n", "CHANGELOG.md has no section"),
        ] {
            let error = notes(tag, changelog).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}

//! The files that are distributed with the program.

use super::{read, renew, write};
use crate::run::{capture, copy, workspace};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Files and folders of the repository that are distributed, so that links between them work.
pub(super) const SHARED: &[&str] = &["CHANGELOG.md", "README.md", "SECURITY.md", "docs", "examples"];

/// Changes to the configuration of the first start for the Debian package.
const CONFIGURATION: &[(&str, &str)] = &[
    ("created by the first start", "installed by the package"),
    ("\"secret.key\"", "\"/var/lib/keyward/secret.key\""),
    ("\"old.key\"", "\"/var/lib/keyward/old.key\""),
    ("\"keyward.db\"", "\"/var/lib/keyward/keyward.db\""),
    ("\"audit.jsonl\"", "\"/var/lib/keyward/audit.jsonl\""),
    ("\n[clients.admin]\n", "\n#[clients.admin]\n"),
    ("\nsecret_sha256 = \"ADMIN_SHA256\"\nmay", "\n#secret_sha256 = \"…\"\n#may"),
];

/// Changes to the example of a systemd unit for the Debian package.
const UNIT: &[(&str, &str)] = &[("=/usr/local/bin/keyward ", "=/usr/bin/keyward ")];

/// Writes a program and its files to `folder`, in the layout that the package's manifest names.
/// Returns the folder that contains them.
pub(super) fn stage(program: &Path, folder: &Path) -> Result<PathBuf, String> {
    let staged = folder.join("release");
    renew(&staged)?;
    let copied = staged.join("keyward");
    copy(program, &copied)?;
    copy(&workspace().join("LICENSE"), &staged.join("LICENSE"))?;
    for path in tracked(SHARED)? {
        copy(&workspace().join(&path), &staged.join("share").join(&path))?;
    }

    for pages in [staged.join("man"), staged.join("debian/man")] {
        renew(&pages)?;
        output(Command::new(&copied).arg("man").arg(pages))?;
    }
    // Debian's pages are compressed.
    output(Command::new("gzip").args(["--best", "--no-name", "--recursive"]).arg(staged.join("debian/man")))?;
    renew(&staged.join("completions"))?;
    for (shell, file) in [("bash", "keyward.bash"), ("zsh", "_keyward"), ("fish", "keyward.fish")] {
        let script = output(Command::new(&copied).args(["completions", shell]))?;
        write(&staged.join("completions").join(file), &String::from_utf8_lossy(&script.stdout))?;
    }

    let config = read(&workspace().join("cli/src/default.toml"))?;
    write(&staged.join("debian/keyward.toml"), &changed(&config, CONFIGURATION)?)?;
    let unit = read(&workspace().join("examples/systemd/keyward.service"))?;
    // The comment at the top is for an installation by hand.
    let unit = unit.split_once("\n[Unit]").map(|(_, unit)| format!("[Unit]{unit}")).unwrap_or_default();
    write(&staged.join("debian/keyward.service"), &changed(&unit, UNIT)?)?;
    Ok(staged)
}

/// Replaces texts that each occur exactly once.
fn changed(text: &str, changes: &[(&str, &str)]) -> Result<String, String> {
    let mut text = text.to_owned();
    for (from, to) in changes {
        let count = text.matches(from).count();
        if count != 1 {
            return Err(format!("`{from}` occurs {count} times, not once: correct xtask/src/dist/files.rs"));
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

/// Returns the files that git tracks: a key that lies beside the examples is not distributed.
fn tracked(paths: &[&str]) -> Result<Vec<PathBuf>, String> {
    let listed = output(Command::new("git").current_dir(workspace()).args(["ls-files", "-z", "--"]).args(paths))?;
    let names = listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect())
}

fn output(command: &mut Command) -> Result<Output, String> {
    let output = capture(command)?;
    if output.status.success() { Ok(output) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_does_not_occur_once_is_an_error() {
        assert_eq!(changed("a b", &[("a", "c"), ("b", "a")]).unwrap(), "c a");
        for text in ["", "a a"] {
            assert!(changed(text, &[("a", "c")]).is_err(), "{text}");
        }
    }
}

//! The workflows in `.github/`, and the shell scripts, which run elsewhere than in these tests.

use keyward_tests::peers;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Checks keys, expressions, permissions, and that actions are pinned by commit; and, where
/// shellcheck is installed, the commands.
#[test]
fn the_workflows_are_valid_and_pinned() {
    let Some(lint) = peers::program("jactionlint") else {
        peers::skip("workflows", "jactionlint is not installed");
        return;
    };
    // The digest of a container image changes with every update of Debian.
    let options = ["--no-color", "--no-online", "--strict-exit", "--ignore", "unpinned-images"];
    let output = Command::new(lint).args(options).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for workflow in ["ci.yml", "release.yml"] {
        assert!(root().join(".github/workflows").join(workflow).is_file(), "{workflow}");
    }
}

#[test]
fn shellcheck_accepts_the_scripts() {
    let Some(lint) = peers::program("shellcheck") else {
        peers::skip("scripts", "shellcheck is not installed");
        return;
    };
    let scripts = [".ci/run", "packaging/debian/postinst", "packaging/debian/postrm"];
    let output = Command::new(lint).args(scripts).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

//! The examples for systemd and for containers.

use super::keyward::example;
use super::proxy::commented;
use keyward_tests::{cli, peers};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

#[test]
fn systemd_accepts_the_unit() {
    let Some(analyze) = peers::program("systemd-analyze") else {
        peers::skip("keyward.service", "systemd is not installed");
        return;
    };
    let unit = example("systemd/keyward.service");
    let program = "/usr/local/bin/keyward";
    assert!(unit.contains(&format!("ExecStart={program} serve")), "{unit}");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keyward.service");
    fs::write(&file, unit.replace(program, &cli::keyward().display().to_string())).unwrap();
    let output = Command::new(analyze).args(["verify", "--man=no"]).arg(file).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
}

/// Runs the commands at the top of the unit, except for those that change the system.
#[test]
fn the_commands_for_systemd_result_in_a_valid_configuration() {
    let unit = example("systemd/keyward.service");
    let folder = TempDir::new().unwrap();
    let root = folder.path().display();
    let commands = commented(&unit, "# repository, as root:")
        .replace("target/release/keyward", &cli::keyward().display().to_string())
        .replace(" /usr/local/", &format!(" {root}/usr/local/"))
        .replace("/etc/", &format!("{root}/etc/"))
        .replace("/var/lib/", &format!("{root}/var/lib/"))
        .replace(" -o keyward -g keyward", "")
        .replace("runuser -u keyward -- ", "");
    let commands = without(&commands, &["useradd ", "systemctl ", "curl "]);
    let output = shell(&commands, folder.path());
    assert!(output.status.success(), "{commands}{output:?}");
    accepts(&folder.path().join("etc/keyward/keyward.toml"));
    assert!(unit.contains(&format!("--config {}", "/etc/keyward/keyward.toml")), "{unit}");
    // The service starts as this user, in this folder, and not again after a wrong configuration.
    for line in ["User=keyward", "StateDirectory=keyward", "RestartPreventExitStatus=2"] {
        assert!(unit.lines().any(|given| given == line), "{line}");
    }
}

/// Runs the commands at the top of the file with a `podman run` that has no container.
#[test]
fn the_commands_for_a_container_result_in_a_valid_configuration() {
    const PODMAN: &str = r#"
        podman() {(
            while [ "$1" != keyward ]; do
                case $1 in --volume) cd "${2%%:*}" ;; esac
                shift
            done
            "$@"
        )}
    "#;
    let file = example("container/Containerfile");
    let commands = commented(&file, "# Keyward in a container.");
    let commands = without(&commands, &["podman build ", "run --detach ", "curl ", "podman stop "]);
    let folder = TempDir::new().unwrap();
    // As in distributions where each user has a group.
    let output = shell(&format!("umask 002\n{PODMAN}{commands}"), folder.path());
    assert!(output.status.success(), "{commands}{output:?}");
    let config = folder.path().join("keyward/keyward.toml");
    accepts(&config);
    assert!(fs::read_to_string(config).unwrap().contains("\nlisten = \"0.0.0.0:8787\"\n"));
    assert!(file.contains("\nCMD [\"serve\", \"--config\", \"keyward.toml\"]\n"), "{file}");
}

/// Runs commands in the root of the repository, with a home folder.
fn shell(commands: &str, home: &Path) -> Output {
    let commands = format!("keyward() {{ {} \"$@\"; }}\n{commands}", cli::keyward().display());
    Command::new("sh")
        .args(["-euc", &commands])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("HOME", home)
        .output()
        .unwrap()
}

/// Checks that `keyward serve` would run this configuration.
fn accepts(config: &Path) {
    let output =
        Command::new(cli::keyward()).args(["check", "builtin:signed", "--config"]).arg(config).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn without(commands: &str, beginnings: &[&str]) -> String {
    let kept = commands.lines().filter(|line| !beginnings.iter().any(|begins| line.starts_with(begins)));
    kept.map(|line| format!("{line}\n")).collect()
}

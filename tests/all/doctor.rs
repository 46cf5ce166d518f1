//! `keyward doctor`, and the proofs that the daemon makes before it serves.

use keyward_cli::{ExitStatus, Io};
use keyward_runtime::{Runtime, proofs};
use keyward_tests::cli::{Folder, keyward};
use keyward_tests::hostile;
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::Path;

const BUILT_IN: &str = "[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"\nkeys.token.ring = \"main\"\n\
                        [keys.main]\nsecret = { file = \"secret.key\" }\n";
const THIRD_PARTY: &str = "[[handlers]]\nname = \"h\"\ncomponent = \"h.wasm\"\nactors = \"any\"\n";

fn folder(name: &str, config: &str) -> Folder {
    let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor").join(name));
    folder.write("keyward.toml", config, 0o600);
    folder.write("secret.key", [b'x'; 40], 0o600);
    folder.write("h.wasm", hostile::case("benign").bytes, 0o600);
    folder
}

/// Returns the exit status of `keyward doctor`, and its findings as `state: check: detail`.
fn doctor(folder: &Folder, args: &[&str]) -> (i32, Vec<String>) {
    let ran = folder.run(&[&["doctor", "--config", "keyward.toml", "--json"], args].concat(), "");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(report["safe"], ran.status == 0);
    let text = |finding: &Value| ["state", "check", "detail"].map(|name| finding[name].as_str().unwrap()).join(": ");
    (ran.status, report["findings"].as_array().unwrap().iter().map(text).collect())
}

#[test]
fn the_sandbox_holds_on_this_machine() {
    let runtime = Runtime::builder().worker(keyward()).build().unwrap();
    // Twice: the second time, every slot was used by the first.
    for _ in 0..2 {
        for proof in proofs::sandbox(&runtime).unwrap() {
            assert_eq!(proof.failure, None, "{}", proof.property);
        }
    }
    assert_eq!(proofs::compile_worker(&runtime).unwrap().failure, None);
}

#[test]
fn built_in_handlers_are_safe() {
    let (status, findings) = doctor(&folder("built-in", BUILT_IN), &[]);
    assert_eq!(status, 0, "{findings:#?}");
    let proofs = findings.iter().filter(|finding| finding.starts_with("ok: sandbox: ")).count();
    assert_eq!(proofs, 4, "no worker is needed: {findings:#?}");
    assert!(findings.iter().any(|finding| finding.starts_with("ok: engine: wasmtime 48.")), "{findings:#?}");
}

#[test]
fn what_is_unsafe_is_found() {
    let unpinned = "unsafe: configuration: handler `h` is not pinned: add the `sha256` that `keyward check` prints";
    let store = "store.sqlite = \"missing/keyward.db\"\n";
    for (name, config, args, wanted) in [
        ("unpinned", THIRD_PARTY.to_owned(), &[][..], unpinned),
        ("no-backup", BUILT_IN.to_owned(), &["--backup", "none.db"], "unsafe: backup: there is no backup none.db"),
        (
            "no-folder",
            format!("{store}{BUILT_IN}"),
            &[],
            "unsafe: store: missing cannot be written: no such file or directory",
        ),
    ] {
        let (status, findings) = doctor(&folder(name, &config), args);
        assert_eq!(status, 1, "{name}: {findings:#?}");
        assert!(findings.iter().any(|finding| finding == wanted), "{name}: {findings:#?}");
    }
}

#[test]
fn a_store_and_an_audit_log_are_ready() {
    let config = format!("store.sqlite = \"keyward.db\"\naudit.file = \"audit.jsonl\"\n{BUILT_IN}");
    let folder = folder("store", &config);
    let created = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann", "--expires-after", "60"], "");
    assert_eq!(created.status, 0, "{created:?}");
    folder.write("backup.db", "", 0o600);
    let (status, findings) = doctor(&folder, &["--backup", "backup.db"]);
    assert_eq!(status, 0, "{findings:#?}");
    for wanted in [
        "ok: store: ./keyward.db can be written",
        "ok: audit log: ./audit.jsonl can be written",
        "ok: store: it can be read, and agrees with the audit log",
        "ok: backup: backup.db is 0s old",
    ] {
        assert!(
            findings.iter().any(|finding| finding.replace("./", "") == wanted.replace("./", "")),
            "{wanted}: {findings:#?}"
        );
    }
}

/// Runs a command in this process, with a worker that is no cage.
fn without_a_cage(folder: &Folder, args: &[&str]) -> (ExitStatus, String) {
    let mut stderr = Vec::new();
    let args = args.iter().map(OsString::from).chain([folder.path().join("keyward.toml").into()]);
    let status = keyward_cli::run(
        args,
        Io {
            stdin: &mut io::empty(),
            stdout: &mut io::sink(),
            stdout_is_terminal: false,
            columns: 80,
            stderr: &mut stderr,
            stderr_is_terminal: false,
            env: &|_| None,
            worker: Path::new("/bin/true"),
        },
    );
    (status, String::from_utf8(stderr).unwrap())
}

#[test]
fn the_daemon_does_not_serve_where_a_proof_fails() {
    let folder = folder("no-cage", THIRD_PARTY);
    let (status, _) = without_a_cage(&folder, &["keyward", "doctor", "--config"]);
    assert_eq!(status, ExitStatus::Negative);
    let (status, stderr) = without_a_cage(&folder, &["keyward", "serve", "--config"]);
    assert_eq!(status, ExitStatus::Unavailable, "{stderr}");
    assert!(stderr.starts_with("keyward: the sandbox does not hold on this machine: sandbox: "), "{stderr}");
}

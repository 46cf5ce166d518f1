//! Copies of the store: `keyward.db` alone after a clean stop, `keyward store backup`, and
//! `keyward store check`.

use super::{ALL, SECRET, create, folder_with, keyward, outcomes};
use keyward_tests::cli::{Folder, Ran};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::Request;
use keyward_tests::postgres::cluster;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const AUDITED: (&str, &str) = ("[store]", "[audit]\nfile = \"audit.jsonl\"\n\n[store]");

fn folder(name: &str) -> Folder {
    folder_with(&format!("backup-{name}"), &[AUDITED])
}

/// Replaces the store with a copy of one file, and nothing else.
fn put_back(folder: &Folder, copy: &str) {
    let path = |name: &str| folder.path().join(name);
    for name in ["keyward.db", "keyward.db-wal", "keyward.db-shm"] {
        fs::remove_file(path(name)).ok();
    }
    fs::copy(path(copy), path("keyward.db")).unwrap();
}

fn copy(folder: &Folder, to: &str) {
    fs::copy(folder.path().join("keyward.db"), folder.path().join(to)).unwrap();
}

/// Returns the length of the journal.
fn journal(folder: &Folder) -> u64 {
    fs::metadata(folder.path().join("keyward.db-wal")).map_or(0, |metadata| metadata.len())
}

/// Creates a valid token and a revoked token of each handler.
fn live_and_dead(folder: &Folder) -> (Vec<String>, Vec<String>) {
    let live: Vec<String> = ALL.iter().map(|handler| create(folder, handler, "")).collect();
    let dead: Vec<String> = ["stored", "managed", "signed"]
        .iter()
        .map(|handler| {
            let ran = keyward(folder, &format!("create --handler {handler} --actor bob"), "");
            ran.stdout.trim_end().to_owned()
        })
        .collect();
    let ran = keyward(folder, "tokens revoke --actor bob", "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    (live, dead)
}

fn are(folder: &Folder, tokens: &[String], wanted: &str) {
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    assert!(outcomes(folder, &tokens).iter().all(|outcome| outcome == wanted), "{:?}", outcomes(folder, &tokens));
}

#[test]
fn the_file_alone_contains_all_writes_of_commands() {
    let folder = folder("commands");
    let (live, dead) = live_and_dead(&folder);
    assert_eq!(journal(&folder), 0, "a command's writes are in the file when it exits");
    copy(&folder, "copy.db");
    put_back(&folder, "copy.db");
    are(&folder, &live, "accepted");
    are(&folder, &dead, "revoked");
}

#[test]
fn the_file_alone_is_complete_after_a_clean_stop() {
    let folder = folder("stopped");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let make = |handler: &str, actor: &str| {
        let request = Request::json("/v1/tokens", &json!({"actor": actor, "handler": handler})).bearer(SECRET);
        request.send(daemon.service()).json()["token"].as_str().unwrap().to_owned()
    };
    let live: Vec<String> = ALL.iter().map(|handler| make(handler, "alice")).collect();
    let dead: Vec<String> = ALL.iter().map(|handler| make(handler, "bob")).collect();
    let answer = Request::json("/v1/revocations", &json!({"actor": "bob"})).bearer(SECRET).send(daemon.service());
    assert_eq!(answer.status, 200);
    let ended = daemon.stop();
    assert!(ended.status.success());
    assert_eq!(journal(&folder), 0);
    copy(&folder, "copy.db");
    put_back(&folder, "copy.db");
    are(&folder, &live, "accepted");
    are(&folder, &dead, "revoked");
}

/// Follows the steps of `docs/backup.md`.
#[test]
fn a_backup_is_taken_while_the_daemon_runs_and_restored() {
    let folder = folder("running");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let (live, dead) = live_and_dead(&folder);
    let ran = keyward(&folder, "store backup copy.db", "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(fs::metadata(folder.path().join("copy.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = keyward(&folder, "store backup copy.db", "");
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("copy.db") && ran.stderr.contains("exists and is not overwritten"), "{}", ran.stderr);
    daemon.stop();
    put_back(&folder, "copy.db");
    let ran = keyward(&folder, "store check", "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let daemon = Daemon::start(&folder, "keyward.toml");
    are(&folder, &live, "accepted");
    are(&folder, &dead, "revoked");
    let status = |token: &str| Request::get("/v1/actor").bearer(token).send(daemon.service()).status;
    wait_for("the daemon to be ready", || status(&live[0]) == 200);
    assert!(dead.iter().all(|token| status(token) == 401));
}

#[test]
fn a_backup_that_does_not_fit_fails_and_leaves_nothing() {
    let folder = folder("full");
    create(&folder, "stored", "");
    let command = folder.command();
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh"]).arg(command.get_program()).current_dir(folder.path()).env_clear();
    let output = limited.args(["store", "backup", "--config", "keyward.toml", "copy.db"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("copy.db"), "{stderr}");
    assert!(!folder.path().join("copy.db").exists());
    assert_eq!(keyward(&folder, "store backup copy.db", "").status, 0, "the backup succeeds with enough space");
}

fn check(folder: &Folder) -> (Ran, Value) {
    let ran = keyward(folder, "store check --json", "");
    let facts = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran, facts)
}

#[test]
fn a_check_names_what_is_wrong() {
    let folder = folder("check");
    live_and_dead(&folder);
    let (ran, facts) = check(&folder);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(facts["problems"], json!([]));
    assert_eq!(facts["revocations"], facts["audit_revocations"]);

    // A page of an index with other content.
    copy(&folder, "good.db");
    let path = folder.path().join("keyward.db");
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4_096).skip(10) {
        page[8..72].fill(0x55);
    }
    fs::write(&path, bytes).unwrap();
    let ran = keyward(&folder, "store check", "");
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("problem: the database is damaged: "), "{ran:?}");
    fs::write(&path, "no database").unwrap();
    let ran = keyward(&folder, "store check", "");
    assert!(ran.status == 1 && ran.stdout.contains("cannot be opened"), "{ran:?}");
    put_back(&folder, "good.db");
    assert_eq!(check(&folder).0.status, 0);
}

#[test]
fn postgresql_has_its_own_program_for_backups() {
    let Some(cluster) = cluster() else { return };
    let place = (r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#);
    let mut folder = folder_with("backup-postgres", &[AUDITED, place]);
    folder.set("DATABASE_URL", &cluster.database().0);
    let (live, _) = live_and_dead(&folder);
    are(&folder, &live, "accepted");
    let ran = keyward(&folder, "store backup copy.db", "");
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("pg_dump"), "{}", ran.stderr);
    let (ran, facts) = check(&folder);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(facts["revocations"], facts["audit_revocations"]);
}

//! Revocations that the store has not confirmed survive a restart, also without an audit log.

use super::{SECRET, create, folder_with};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::Request;
use keyward_tests::postgres::{block_on, cluster};
use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// The warning of a daemon without a place for the file.
const NOWHERE: &str = "a restart would lose revocations that the store has not confirmed";

#[test]
fn a_revocation_that_the_store_has_not_confirmed_survives_a_restart() {
    let folder = folder_with("pending-sqlite", &[]);
    let daemon = Daemon::start(&folder, "keyward.toml");
    assert!(!daemon.stderr().contains(NOWHERE));
    let (token, other) = (create(&folder, "signed", ""), create(&folder, "signed", ""));
    let verify = |daemon: &Daemon, token: &str| Request::get("/v1/actor").bearer(token).send(daemon.service()).status;
    let options = SqliteConnectOptions::new().filename(folder.path().join("keyward.db")).disable_statement_logging();
    let mut connection = block_on(options.connect()).unwrap();
    block_on(connection.execute("BEGIN IMMEDIATE")).unwrap();
    let revoke = Request::form("/v1/revoke", format!("token={token}")).bearer(SECRET);
    assert_eq!(revoke.send(daemon.service()).status, 503);
    daemon.signal(Signal::KILL);
    let _ = daemon.wait();
    block_on(connection.close()).unwrap();
    for path in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let is_pending = path.extension().is_some_and(|end| end == "pending");
        assert!(!is_pending || !fs::read(&path).unwrap().windows(token.len()).any(|text| text == token.as_bytes()));
    }

    let daemon = Daemon::start(&folder, "keyward.toml");
    assert_eq!((verify(&daemon, &token), verify(&daemon, &other)), (401, 200), "from the first request on");
    wait_for("the revocation to be confirmed", || revoke.send(daemon.service()).status == 200);
    assert_eq!((verify(&daemon, &token), verify(&daemon, &other)), (401, 200));
}

#[test]
fn without_a_place_for_the_file_the_daemon_says_so() {
    let Some(cluster) = cluster() else { return };
    let postgres = |more: &str| format!("postgres = {{ env = \"DATABASE_URL\" }}\n{more}");
    for (name, more, is_nowhere) in [("nowhere", "", true), ("somewhere", "pending_file = \"pending\"", false)] {
        let place = postgres(more);
        let mut folder = folder_with(&format!("pending-{name}"), &[(r#"sqlite = "keyward.db""#, &place)]);
        folder.set("DATABASE_URL", &cluster.database().0);
        let daemon = Daemon::start(&folder, "keyward.toml");
        wait_for("the daemon to start", || daemon.stderr().contains("\"started\""));
        assert_eq!(daemon.stderr().contains(NOWHERE), is_nowhere, "{name}");
        let file = fs::metadata(folder.path().join("pending"));
        assert_eq!(file.is_err(), is_nowhere, "{name}");
        if let Ok(file) = file {
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }
}

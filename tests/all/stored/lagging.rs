//! An older copy of the store that is restored while nothing runs: the audit log knows of
//! revocations that the store lacks, and the daemon gives no verdict until the operator accepts the
//! store.

use super::{SECRET, folder_with, keyward, outcomes};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::Request;
use keyward_tests::postgres::{block_on, cluster, connect};
use serde_json::json;
use sqlx::Executor;
use std::fs;

const AUDITED: (&str, &str) = ("[store]", "[audit]\nfile = \"audit.jsonl\"\n\n[store]");

/// A daemon, its store, and the means to restore an older copy.
struct Place {
    folder: Folder,
    url: Option<String>,
}

impl Place {
    fn all(name: &str, audited: bool) -> Vec<Self> {
        let audit = if audited { vec![AUDITED] } else { Vec::new() };
        let mut places = vec![Self { folder: folder_with(&format!("lagging-{name}"), &audit), url: None }];
        if let Some(cluster) = cluster() {
            let postgres = (r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#);
            let changes = [audit, vec![postgres]].concat();
            let mut folder = folder_with(&format!("lagging-{name}-postgres"), &changes);
            let url = cluster.database().0;
            folder.set("DATABASE_URL", &url);
            places.push(Self { folder, url: Some(url) });
        }
        places
    }

    fn start(&self) -> Daemon {
        Daemon::start(&self.folder, "keyward.toml")
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Copies the store while nothing runs.
    fn back_up(&self) {
        if self.url.is_none() {
            for end in ["", "-wal"] {
                fs::remove_file(self.file(&format!("old.db{end}"))).ok();
                fs::copy(self.file(&format!("keyward.db{end}")), self.file(&format!("old.db{end}"))).ok();
            }
        } else {
            self.run(
                "DROP SCHEMA IF EXISTS old CASCADE; CREATE SCHEMA old; \
                      CREATE TABLE old.revocations AS TABLE revocations; CREATE TABLE old.tokens AS TABLE tokens",
            );
        }
    }

    fn put_back(&self) {
        if self.url.is_none() {
            for end in ["-wal", "-shm"] {
                fs::remove_file(self.file(&format!("keyward.db{end}"))).ok();
            }
            for end in ["", "-wal"] {
                fs::copy(self.file(&format!("old.db{end}")), self.file(&format!("keyward.db{end}"))).ok();
            }
        } else {
            self.run(
                "DELETE FROM revocations; DELETE FROM tokens; INSERT INTO tokens SELECT * FROM old.tokens; \
                      INSERT INTO revocations OVERRIDING SYSTEM VALUE SELECT * FROM old.revocations; \
                      SELECT setval(pg_get_serial_sequence('revocations', 'seq'), \
                                    coalesce((SELECT max(seq) FROM old.revocations), 1))",
            );
        }
    }

    fn run(&self, sql: &'static str) {
        block_on(connect(self.url.as_ref().unwrap()).execute(sql)).unwrap();
    }

    fn store(&self, words: &str) -> keyward_tests::cli::Ran {
        keyward(&self.folder, &format!("store {words}"), "")
    }
}

fn make(daemon: &Daemon, actor: &str) -> String {
    let request = Request::json("/v1/tokens", &json!({"actor": actor, "handler": "signed"})).bearer(SECRET);
    let answer = request.send(daemon.service());
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn status(daemon: &Daemon, token: &str) -> u16 {
    Request::get("/v1/actor").bearer(token).send(daemon.service()).status
}

fn revoke(daemon: &Daemon, token: &str) {
    let answer = Request::form("/v1/revoke", format!("token={token}")).bearer(SECRET).send(daemon.service());
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn is_ready(daemon: &Daemon) -> bool {
    Request::get("/readyz").send(daemon.admin()).status == 200
}

#[test]
fn an_older_copy_gives_no_verdict_until_it_is_accepted() {
    for place in Place::all("restart", true) {
        let daemon = place.start();
        let [first, second, good] = ["a", "b", "c"].map(|actor| make(&daemon, actor));
        revoke(&daemon, &first);
        daemon.stop();
        place.back_up();
        let daemon = place.start();
        revoke(&daemon, &second);
        daemon.stop();
        place.put_back();

        let daemon = place.start();
        assert!(!is_ready(&daemon));
        for token in [&second, &good] {
            assert_eq!(status(&daemon, token), 503, "{}", daemon.stderr());
        }
        let log = daemon.stderr();
        assert!(log.contains("keyward store accept"), "{log}");
        let check = place.store("check");
        assert_eq!(check.status, 1, "{check:?}");
        assert!(check.stdout.contains("keyward store accept"), "{check:?}");
        // Revocations continue, and may make the list as long as before, but the missing entries
        // stay missing.
        for actor in ["x", "y", "z"] {
            let answer = Request::json("/v1/revocations", &json!({"actor": actor})).bearer(SECRET);
            assert_eq!(answer.send(daemon.service()).status, 200);
            assert_eq!(keyward(&place.folder, &format!("tokens revoke --actor {actor}"), "").status, 0);
        }
        daemon.stop();
        let daemon = place.start();
        assert_eq!(status(&daemon, &good), 503, "{}", daemon.stderr());

        let ran = place.store("accept");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
        wait_for("the daemon to trust the store again", || status(&daemon, &good) == 200);
        wait_for("the daemon to be ready", || is_ready(&daemon));
        assert_eq!(outcomes(&place.folder, &[&first, &good]), ["revoked", "accepted"]);
        // Accepting again has no effect, and revocations apply from now on.
        assert_eq!(place.store("accept").status, 0);
        revoke(&daemon, &good);
        daemon.stop();
        assert_eq!(place.store("check").status, 0);
        let daemon = place.start();
        assert!(is_ready(&daemon), "{}", daemon.stderr());
        assert_eq!(keyward(&place.folder, "audit verify", "").status, 0);
        let events = keyward(&place.folder, "audit export --event accept", "").stdout;
        assert_eq!(events.lines().count(), 2, "{events}");
    }
}

#[test]
fn a_commands_revocation_is_recorded_in_the_audit_log() {
    for place in Place::all("command", true) {
        let token = keyward(&place.folder, "create --handler signed --actor alice", "").stdout;
        place.back_up();
        assert_eq!(keyward(&place.folder, "tokens revoke -", &token).status, 0);
        place.put_back();
        let daemon = place.start();
        assert_eq!(status(&daemon, token.trim_end()), 503, "{}", daemon.stderr());
        assert!(!is_ready(&daemon));
        assert_eq!(keyward(&place.folder, "audit verify", "").status, 0);
    }
}

/// Without an audit log nothing remembers the missing revocations.
#[test]
fn without_an_audit_log_an_older_copy_is_trusted_after_a_restart() {
    for place in Place::all("unaudited", false) {
        let daemon = place.start();
        let token = make(&daemon, "a");
        daemon.stop();
        place.back_up();
        let daemon = place.start();
        revoke(&daemon, &token);
        daemon.stop();
        place.put_back();
        let daemon = place.start();
        assert_eq!(status(&daemon, &token), 200);
        let ran = place.store("accept");
        assert_eq!(ran.status, 0, "{ran:?}");
    }
}

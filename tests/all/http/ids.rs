//! The texts of clients that every node remembers are short and few.

use super::world::{KEY, secret};
use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::{Connection, Request, Response};
use serde_json::{Value, json};
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[keys.main]
secret = { file = "secret.key" }

[store]
sqlite = "keyward.db"
patience_seconds = 3600

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
limits.wall_ms = 60000

[clients.app]
secret_sha256 = "SHA256"
may = ["create", "revoke", "list-all"]
"#;

/// Starts a daemon whose client `app` has these additional settings.
fn start(name: &str, settings: &str) -> (Folder, Daemon) {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ids").join(name));
    folder.write("secret.key", KEY, 0o600);
    let config = CONFIG.replace("SHA256", &SecretDigest::of(&secret("app")).to_hex());
    folder.write("keyward.toml", config + settings, 0o644);
    let daemon = Daemon::start(&folder, "keyward.toml");
    (folder, daemon)
}

fn post(path: &str, body: &Value) -> Request {
    Request::json(path, body).basic("app", &secret("app"))
}

fn revoke(connection: &mut Connection, body: &Value) -> Response {
    connection.ask(&post("/v1/revocations", body)).unwrap()
}

/// Each of these would stay in the memory of every node for good: without the limit, 1,500 requests
/// cost 90 MiB.
#[test]
fn revoking_long_actor_ids_costs_no_memory() {
    let (_folder, daemon) = start("long", "");
    let mut connection = Connection::open(daemon.service()).unwrap();
    let mut send =
        |number: usize, length: usize| revoke(&mut connection, &json!({"actor": format!("{number:0length$}")}));
    send(0, 60_000);
    let before = daemon.resident();
    let wrong = (1..=1_500).map(|number| send(number, 60_000)).filter(|answer| answer.status != 400).count();
    let grown = daemon.resident().saturating_sub(before);
    println!("{} MiB for 1,500 actor ids of 60,000 bytes", grown / MIB);
    assert!(grown < 24 * MIB, "{} MiB", grown / MIB);
    assert_eq!(wrong, 0);
    let before = daemon.resident();
    for number in 1..=1_500 {
        assert_eq!(send(number, 1_024).status, 200);
    }
    let grown = daemon.resident().saturating_sub(before);
    println!("{} bytes for each of 1,500 actor ids of 1,024 bytes", grown / 1_500);
    assert!(grown < 24 * MIB, "{} MiB", grown / MIB);
}

/// Each client has its own quota, which neither a revocation of tokens with a record nor the
/// operator uses up.
#[test]
fn a_client_cannot_invent_any_number_of_revocations() {
    let (folder, daemon) = start("invented", "max_unmatched_revocations = 3\n");
    let mut connection = Connection::open(daemon.service()).unwrap();
    for actor in ["ann", "bob"] {
        assert_eq!(connection.ask(&post("/v1/tokens", &json!({"actor": actor}))).unwrap().status, 201);
    }
    for body in [
        json!({"actor": "unknown-0"}),
        json!({"handler": "signed", "token_id": "none"}),
        json!({"handler": "signed", "actor": "unknown-1"}),
    ] {
        let answer = revoke(&mut connection, &body);
        assert_eq!((answer.status, answer.json()), (200, json!({"ended": 0})), "{body}");
    }
    for body in [
        json!({"actor": "unknown-2"}),
        json!({"actor": "unknown-0"}),
        json!({"handler": "signed", "token_id": "other"}),
        json!({"handler": "signed", "issued_until": 1}),
    ] {
        let answer = revoke(&mut connection, &body);
        assert_eq!((answer.status, &answer.json()["error"]), (429, &json!("quota_exceeded")), "{body}");
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((28_000..=28_800).contains(&wait), "a third of a day: {wait}");
    }
    let metrics = Request::get("/metrics").send(daemon.admin());
    let counted = "keyward_rate_limited_total{limit=\"unmatched-revocations\"} 4\n";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    // Neither counting nor tokens with a record are limited.
    for (body, wanted) in [
        (json!({"actor": "unknown-2", "dry_run": true}), json!({"would_end": 0})),
        (json!({"actor": "ann"}), json!({"ended": 1})),
        (json!({"handler": "signed"}), json!({"ended": 1})),
    ] {
        let answer = revoke(&mut connection, &body);
        assert_eq!((answer.status, answer.json()), (200, wanted), "{body}");
    }
    let operator = ["tokens", "revoke", "--config", "keyward.toml", "--actor"];
    for actor in ["unknown-3", "unknown-4"] {
        let ran = folder.run(&[&operator[..], &[actor]].concat(), "");
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
}

#[test]
fn a_client_has_a_quota_of_valid_tokens() {
    let (_folder, daemon) = start("tokens", "max_tokens = 2\n");
    let mut connection = Connection::open(daemon.service()).unwrap();
    let mut issue = |actor: &str| connection.ask(&post("/v1/tokens", &json!({"actor": actor}))).unwrap();
    assert_eq!([issue("ann").status, issue("bob").status], [201, 201]);
    let answer = issue("carol");
    assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("access_denied")));
    let text = "the client has reached its limit of 2 tokens (`max_tokens`)";
    assert_eq!(answer.json()["error_description"], text);
    let ended = post("/v1/revocations", &json!({"actor": "ann"})).send(daemon.service());
    assert_eq!(ended.json(), json!({"ended": 1}));
    assert_eq!(issue("carol").status, 201, "a revoked token makes room");
    assert_eq!(issue("dan").status, 403);
}

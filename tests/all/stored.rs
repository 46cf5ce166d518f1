//! Stored tokens and revoked tokens: through the program, the daemon, and both at once.

mod backup;
mod behind;
mod cutoffs;
mod faults;
mod imported;
mod killed;
mod lagging;
mod leaks;
mod node;
mod nth;
mod odd_rows;
mod partitioned;
mod pending;
mod raced;
mod restored;
mod stepped;

use crate::support::{RUNTIME, TestClock};
use keyward_runtime::clock::{Clock, SystemClock, UnixTime};
use keyward_runtime::store::RecordStore;
use keyward_runtime::{Actors, HandlerConfig, Reason, Registry, Verdict};
use keyward_server::SecretDigest;
use keyward_store::{Location, Store};
use keyward_tests::cli::{Folder, Ran};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::hostile;
use keyward_tests::http::Request;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

pub(crate) const SECRET: &str = "kwc_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// The handlers that keep records, and one that signs and keeps none. The limits are high because
/// the machine may be busy.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[store]
sqlite = "keyward.db"

[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "stored"
component = "builtin:stored"
prefixes = ["kwt_test_"]
limits = { wall_ms = 60000, cpu_ms = 60000 }
settings = { prefix = "kwt_test_" }
store = { tokens = 5 }

[[handlers]]
name = "dev"
component = "builtin:hypothesis"
prefixes = ["6879-"]
limits = { wall_ms = 60000, cpu_ms = 60000 }
store = true

[[handlers]]
name = "managed"
component = "builtin:auth-tokens"
prefixes = ["dsatok_"]
limits = { wall_ms = 60000, cpu_ms = 60000 }
keys.token = { ring = "main", scheme = "itsdangerous", namespace = "dsatok" }
store = true

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
limits = { wall_ms = 60000, cpu_ms = 60000 }
keys.token = { ring = "main" }

[clients.admin]
secret_sha256 = "DIGEST"
may = ["introspect", "verify", "create", "revoke"]

[actions]
view-instance = "vi"
"#;

fn folder(name: &str) -> Folder {
    folder_with(name, &[])
}

/// Creates a folder with the configuration after these replacements.
pub(crate) fn folder_with(name: &str, changes: &[(&str, &str)]) -> Folder {
    let config = CONFIG.replace("DIGEST", &SecretDigest::of(SECRET).to_hex());
    let config = changes.iter().fold(config, |config, (old, new)| {
        assert!(config.contains(old), "{old}");
        config.replace(old, new)
    });
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stored").join(name));
    folder.write("keyward.toml", config, 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder
}

pub(crate) fn keyward(folder: &Folder, words: &str, stdin: &str) -> Ran {
    let mut args: Vec<&str> = words.split(' ').collect();
    let behind = if ["tokens", "store", "audit"].contains(&args[0]) { 2 } else { 1 };
    args.splice(behind..behind, ["--config", "keyward.toml"]);
    folder.run(&args, stdin)
}

/// Creates a token with the program.
fn create(folder: &Folder, handler: &str, more: &str) -> String {
    let ran = keyward(folder, &format!("create --handler {handler} --actor alice{more}"), "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout.trim_end().to_owned()
}

/// Returns the program's verdicts on tokens, as JSON.
fn verify(folder: &Folder, tokens: &[&str]) -> Vec<Value> {
    let ran = keyward(folder, "verify --json", &tokens.iter().map(|token| format!("{token}\n")).collect::<String>());
    assert_eq!(ran.stderr, "");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns `accepted`, or the reason, for each token.
fn outcomes(folder: &Folder, tokens: &[&str]) -> Vec<String> {
    let word = |outcome: &Value| {
        ["reason", "code", "outcome"].iter().find_map(|name| outcome[*name].as_str()).map(str::to_owned)
    };
    verify(folder, tokens).iter().map(|outcome| word(outcome).unwrap()).collect()
}

const ALL: [&str; 4] = ["stored", "dev", "managed", "signed"];

/// Creates a token of each handler.
fn one_of_each(folder: &Folder) -> [String; 4] {
    ALL.map(|handler| create(folder, handler, ""))
}

#[test]
fn a_stored_token_is_valid_and_carries_its_terms() {
    let folder = folder("good");
    let token = create(&folder, "stored", " --expires-after 3600 --all view-instance --description note");
    assert_eq!(token.len(), "kwt_test_".len() + 71, "{token}");
    let outcome = &verify(&folder, &[&token])[0];
    assert_eq!(outcome["outcome"], "accepted", "{outcome}");
    assert_eq!(outcome["actor"]["id"], "alice");
    assert_eq!(outcome["actor"]["_r"], json!({"a": ["vi"]}));
    let (issued, expires) = (outcome["issued_at"].as_u64().unwrap(), outcome["expires_at"].as_u64().unwrap());
    assert_eq!(expires - issued, 3600);
    assert_eq!(outcome["token_id"], token["kwt_test_".len()..][..22]);
    for (at, wanted) in [(expires, "accepted"), (expires + 1, "expired")] {
        let ran = keyward(&folder, &format!("verify --json --at {at}"), &format!("{token}\n"));
        assert!(ran.stdout.contains(wanted), "{at}: {}", ran.stdout);
    }
}

#[test]
fn an_actor_has_one_developer_token_and_handlers_up_to_their_limit() {
    let folder = folder("one");
    let first = create(&folder, "dev", "");
    let second = create(&folder, "dev", "");
    assert_eq!(outcomes(&folder, &[&first, &second]), ["revoked", "accepted"]);
    let ids: Vec<Value> =
        (0..2).map(|_| verify(&folder, &[&create(&folder, "managed", "")])[0]["token_id"].clone()).collect();
    assert_eq!(ids, ["1", "2"]);

    let kept: Vec<String> = (0..5).map(|_| create(&folder, "stored", "")).collect();
    let ran = keyward(&folder, "create --handler stored --actor alice", "");
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("has reached its limit of 5 tokens (`store.tokens`)"), "{}", ran.stderr);
    // A revoked token frees a slot.
    assert_eq!(keyward(&folder, "tokens revoke -", &format!("{}\n", kept[0])).status, 0);
    create(&folder, "stored", "");
}

#[test]
fn each_way_to_revoke_revokes_exactly_what_it_names() {
    let folder = folder("ways");
    for (words, stdin, dead) in [
        ("tokens revoke -", "{stored}\n{signed}\n", &["stored", "signed"][..]),
        ("tokens revoke --actor alice", "", &ALL[..]),
        ("tokens revoke --actor bob", "", &[]),
        ("tokens revoke --handler dev", "", &["dev"]),
        ("tokens revoke --handler signed --actor alice", "", &["signed"]),
        ("tokens revoke --handler managed --id {managed-id}", "", &["managed"]),
        ("tokens revoke --handler signed --id {managed-id}", "", &[]),
        ("tokens revoke --issued-until 1767225600", "", &[]),
        ("tokens revoke --issued-until {soon} --handler stored", "", &["stored"]),
    ] {
        fs::remove_file(folder.path().join("keyward.db")).ok();
        let tokens = one_of_each(&folder);
        let all: Vec<&str> = tokens.iter().map(String::as_str).collect();
        assert_eq!(outcomes(&folder, &all), ["accepted"; 4]);
        let managed = verify(&folder, &[&tokens[2]])[0]["token_id"].as_str().unwrap().to_owned();
        let fill = |text: &str| {
            let soon = SystemClock.now().unwrap().seconds + 30;
            let text = text.replace("{managed-id}", &managed).replace("{soon}", &soon.to_string());
            ALL.iter().zip(&tokens).fold(text, |text, (name, token)| text.replace(&format!("{{{name}}}"), token))
        };
        let records = dead.len();
        if stdin.is_empty() {
            let dry = keyward(&folder, &fill(&format!("{words} --dry-run --json")), "");
            assert_eq!(dry.stdout, format!("{{\"would_end\":{records}}}\n"), "{words}: {dry:?}");
            assert_eq!(outcomes(&folder, &all), ["accepted"; 4], "{words}: a dry run revokes nothing");
        }
        let ran =
            keyward(&folder, &fill(&format!("{words}{}", if stdin.is_empty() { " --json" } else { "" })), &fill(stdin));
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words}: {ran:?}");
        if stdin.is_empty() {
            assert_eq!(ran.stdout, format!("{{\"ended\":{records}}}\n"), "{words}");
        }
        let wanted = ALL.map(|name| if dead.contains(&name) { "revoked" } else { "accepted" });
        assert_eq!(outcomes(&folder, &all), wanted, "{words}");
        // Revoking again has no effect, and later tokens are valid.
        if stdin.is_empty() {
            assert_eq!(keyward(&folder, &fill(words), "").status, 0, "{words}");
        }
    }
}

#[test]
fn a_daemon_learns_of_all_revocations_and_of_its_own_at_once() {
    let folder = folder("daemon");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let make = |handler: &str, actor: &str| {
        let request = Request::json("/v1/tokens", &json!({"actor": actor, "handler": handler})).bearer(SECRET);
        let answer = request.send(daemon.service());
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    let status = |token: &str| Request::get("/v1/actor").bearer(token).send(daemon.service()).status;
    for handler in ALL {
        let token = make(handler, "alice");
        assert_eq!(status(&token), 200, "{handler}");
        let revoke = Request::form("/v1/revoke", format!("token={token}")).bearer(SECRET);
        for turn in ["first", "again"] {
            let answer = revoke.send(daemon.service());
            assert_eq!((answer.status, answer.text()), (200, ""), "{handler}, {turn}");
            assert_eq!(status(&token), 401, "{handler}, {turn}");
        }

        // A signed token of the same actor and second would be identical.
        let token = make(handler, "bob");
        let answer = Request::form("/v1/introspect", format!("token={token}")).bearer(SECRET).send(daemon.service());
        assert_eq!(answer.json()["active"], true, "{handler}");
        assert_eq!(keyward(&folder, "tokens revoke -", &format!("{token}\n")).status, 0);
        wait_for("the daemon to learn of the revocation", || status(&token) == 401);
    }
    let metrics = Request::get("/metrics").send(daemon.admin());
    assert_eq!(metrics.status, 200);
}

/// The handler would trap, so it was not called.
#[test]
fn a_wrong_checksum_costs_no_call_and_no_lookup() {
    let mut config = HandlerConfig::new("trap", hostile::case("trap-divide").bytes, Actors::Any);
    config.prefixes = vec!["ho_".into()];
    config.checksum = true;
    let registry = Registry::builder(&RUNTIME).handler(config).build().unwrap();
    TestClock.set(Some(UnixTime { seconds: 1_767_225_600, nanoseconds: 0 }));
    for token in ["ho_", "ho_x", "ho_x4gEtzd", "ho_y4gEtzc", "ho_x4gEtzc4gEtzc"] {
        match registry.verify_blocking(token) {
            Ok(Verdict::Rejected(rejection)) => assert_eq!(rejection.reason, Reason::Malformed, "{token}"),
            other => panic!("{token}: {other:?}"),
        }
    }
    assert_eq!(registry.verify_blocking("ho_x4gEtzc").unwrap_err().code(), "trap");
}

#[test]
fn the_last_use_is_recorded_after_the_response() {
    let folder = folder("last-use");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let token = create(&folder, "stored", "");
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    let record = || pollster::block_on(store.find("stored", &token[9..][..22])).unwrap().unwrap().record;
    assert_eq!(record().last_used_at, None);
    assert_eq!(Request::get("/v1/actor").bearer(&*token).send(daemon.service()).status, 200);
    wait_for("the use to be written", || record().last_used_at.is_some());
    assert!(record().last_used_at >= Some(record().issued_at));
}

#[test]
fn mistakes_are_reported() {
    let folder = folder("mistakes");
    for (words, wanted) in [
        ("tokens revoke", "no tokens selected"),
        ("tokens revoke --id x", "--id requires --handler"),
        ("tokens revoke --handler nobody", "is not a handler of keyward.toml"),
        ("tokens revoke --actor a -", "cannot be combined"),
        ("tokens revoke --actor a --issued-until 9999999999", "`issued_until` is in the future"),
        ("tokens revoke dstok_abc", "tokens are read from standard input"),
    ] {
        let ran = keyward(&folder, words, "");
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{words}");
        assert!(ran.stderr.contains(wanted), "{words}: {}", ran.stderr);
    }
    let ran = keyward(&folder, "tokens revoke -", "dstok_nothing\n");
    assert_eq!((ran.status, ran.stdout.as_str()), (1, "no-good-token\n"));

    for (change, wanted) in [
        (("sqlite = \"keyward.db\"", "sqlite = \"no/such/folder/keyward.db\""), "no/such/folder"),
        (("[store]\nsqlite = \"keyward.db\"\n", ""), "requires a `[store]` section"),
        (("sqlite = \"keyward.db\"", ""), "a store has one database"),
        (("sqlite = \"keyward.db\"", "sqlite = \"keyward.db\"\npatience_seconds = 0"), "from 1 to 3600"),
        (("settings = { prefix = \"kwt_test_\" }\nstore = { tokens = 5 }", ""), "add `store = true`"),
    ] {
        let text = fs::read_to_string(folder.path().join("keyward.toml")).unwrap();
        let changed = text.replace(change.0, change.1);
        assert_ne!(text, changed, "{wanted}");
        folder.write("changed.toml", changed, 0o644);
        let ran = folder.run(&["verify", "--config", "changed.toml"], "x\n");
        assert_eq!(ran.status, 2, "{wanted}: {ran:?}");
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }

    // An unreachable server is not a usage error.
    folder.write("url", "postgres://keyward@127.0.0.1:1/none", 0o600);
    let text = fs::read_to_string(folder.path().join("keyward.toml")).unwrap();
    folder.write("away.toml", text.replace("sqlite = \"keyward.db\"", "postgres = { file = \"url\" }"), 0o644);
    for words in ["verify", "tokens list", "keys list", "tokens import --handler stored x", "create --actor a"] {
        let args: Vec<_> = words.split(' ').chain(["--config", "away.toml"]).collect();
        let ran = folder.run(&args, "x\n");
        assert_eq!(ran.status, 3, "{words}: {ran:?}");
        assert!(
            ran.stderr.contains("away.toml:") && ran.stderr.contains("cannot be opened"),
            "{words}: {}",
            ran.stderr
        );
    }
}

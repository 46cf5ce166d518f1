//! The commands for token administration, as run by operators.

use crate::support::time;
use keyward_runtime::store::RecordStore;
use keyward_store::{Location, Store};
use keyward_tests::cli::{Folder, Ran};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::hostile;
use keyward_tests::http::Request;
use pollster::block_on;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[keys.main]
keys = [{ id = "2026-11", file = "secret.key", state = "active" }]

[store]
sqlite = "keyward.db"

[audit]
file = "audit.jsonl"

[[handlers]]
name = "stored"
component = "builtin:stored"
prefixes = ["kwt_test_"]
settings = { prefix = "kwt_test_" }
store = true
max_tokens_per_actor = 2
limits.wall_ms = 60000

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
max_ttl = 86400
default_ttl = 3600
limits.wall_ms = 60000

[actions]
view-instance = "vi"
own = "own"
"#;

struct Program(Folder);

impl Program {
    fn new(name: &str) -> Self {
        let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("managed").join(name));
        folder.write("keyward.toml", CONFIG, 0o644);
        folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
        Self(folder)
    }

    fn run(&self, words: &str, stdin: &str) -> Ran {
        self.0.run(&format!("{words} --config keyward.toml").split(' ').collect::<Vec<_>>(), stdin)
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    fn says(&self, words: &str) -> String {
        let ran = self.run(words, "");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{words}: {ran:?}");
        ran.stdout
    }

    #[track_caller]
    fn json(&self, words: &str) -> Vec<Value> {
        self.says(&format!("{words} --json")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a command that must fail with this status and message.
    #[track_caller]
    fn complains(&self, words: &str, status: i32, of: &str) {
        let ran = self.run(words, "");
        assert_eq!((ran.status, ran.stdout.as_str()), (status, ""), "{words}: {ran:?}");
        assert!(ran.stderr.contains(of), "{words}: {}", ran.stderr);
    }
}

#[test]
fn a_token_is_created_shown_narrowed_rotated_and_revoked() {
    let program = Program::new("life");
    let made =
        &program.json("create --handler stored --actor ann --expires-after 5000 --all view-instance --all own")[0];
    let id = made["token_id"].as_str().unwrap();
    let known = &program.json(&format!("tokens show --handler stored --id {id}"))[0];
    for (member, wanted) in [
        ("token_id", json!(id)),
        ("handler", json!("stored")),
        ("actor", json!("ann")),
        ("restrictions", json!({"a": ["vi", "own"]})),
        ("expires_at", made["expires_at"].clone()),
        ("last_used_at", json!(null)),
        ("status", json!("active")),
        ("client", json!(null)),
        ("key", json!(null)),
    ] {
        assert_eq!(known[member], wanted, "{member}");
    }
    assert!(
        program.says(&format!("tokens show --handler stored --id {id}")).contains("restrictions: view-instance, own\n")
    );
    let edit = format!("tokens edit --handler stored --id {id}");
    let edited = &program.json(&format!("{edit} --all view-instance --description ci"))[0];
    assert_eq!((&edited["restrictions"], &edited["description"]), (&json!({"a": ["vi"]}), &json!("ci")));
    let misspelled =
        "the action `view-instnce` is not in `[actions]`: correct it, or add it there; did you mean `view-instance`?";
    program.complains(&format!("{edit} --all view-instnce"), 1, misspelled);
    program.complains(&format!("{edit} --all own"), 1, "`restrictions` exceed those of the token");
    program.complains(&format!("{edit} --expires-at 253402300799"), 1, "`expires_at` is later than the token's expiry");
    program.complains(&format!("{edit} --expires-at 1"), 1, "`expires_at` is in the past");
    program.complains(&edit, 2, "nothing to change");
    program.complains(
        "tokens edit --handler stored --id none --description x",
        1,
        "has no record of a token with this id",
    );

    let new = program.says(&format!("tokens rotate --handler stored --id {id} --overlap 1000"));
    let verified = program.run("verify --json", &new);
    assert!(verified.stdout.contains(r#""_r":{"a":["vi"]}"#), "{verified:?}");
    let active = program.json("tokens list --status active --actor ann");
    assert_eq!(active.len(), 2);
    let token_id = |token: &Value| token["token_id"].as_str().unwrap().to_owned();
    let newer = active.iter().map(token_id).find(|other| other != id).unwrap();
    program.says(&format!("tokens rotate --handler stored --id {newer}"));
    let replaced = program.json("tokens list --status replaced");
    assert_eq!(replaced.iter().map(token_id).collect::<Vec<_>>(), [newer.as_str()]);
    program.complains(&format!("tokens rotate --handler stored --id {newer}"), 1, "the token has been replaced");
    // The intended replacement can be found by its id, whether or not it was issued.
    let of_it = program.json(&format!("audit export --token-id {newer}"));
    let of_it: Vec<_> = of_it.iter().map(|record| (&record["event"], &record["reason"])).collect();
    let rotate = json!("rotate");
    assert_eq!(of_it, [(&rotate, &Value::Null), (&rotate, &Value::Null), (&rotate, &json!("not-permitted"))]);

    program.says("tokens revoke --handler stored --actor ann");
    assert_eq!(program.json("tokens list --status revoked").len(), 2);
    assert_eq!(program.json("tokens list --status active"), [] as [Value; 0]);
    // Everything was recorded, including refusals.
    let whole = program.says("audit verify");
    assert!(whole.starts_with("intact: "), "{whole}");
    let events: Vec<_> =
        program.json("audit export").iter().map(|record| record["event"].as_str().unwrap().to_owned()).collect();
    for (event, times) in [("create", 1), ("edit", 6), ("rotate", 3), ("revoke", 1), ("failed", 5)] {
        assert_eq!(events.iter().filter(|known| *known == event).count(), times, "{event}: {events:?}");
    }
}

/// Names of databases and actors are arbitrary, and humans read the output.
#[test]
fn no_name_can_be_mistaken_for_another_or_for_two() {
    let program = Program::new("names");
    let create = "create --handler stored --json --config keyward.toml";
    let words = [
        &create.split(' ').collect::<Vec<_>>()[..],
        &["--actor", " ann", "--database", "a, drop-table:b", "view-instance"],
    ];
    let made = program.0.run(&words.concat(), "");
    assert_eq!((made.status, made.stderr.as_str()), (0, ""));
    let made: Value = serde_json::from_str(&made.stdout).unwrap();
    let shown = program.says(&format!("tokens show --handler stored --id {}", made["token_id"].as_str().unwrap()));
    assert!(shown.contains("restrictions: view-instance:a%2C%20drop-table%3Ab\n"), "{shown}");
    assert!(shown.contains("actor:        \\u{20}ann\n"), "{shown}");
    let listed = program.says("tokens list");
    assert!(listed.contains("  \\u{20}ann\n"), "{listed}");
}

#[test]
fn signed_tokens_have_records_and_contain_their_restrictions() {
    let program = Program::new("signed");
    let made = &program.json("create --handler signed --actor bob")[0];
    let id = made["token_id"].as_str().unwrap();
    let known = &program.json(&format!("tokens show --handler signed --id {id}"))[0];
    assert_eq!((&known["key"], &known["expires_at"]), (&json!("main/2026-11"), &made["expires_at"]));
    program.complains(&format!("tokens edit --handler signed --id {id} --expires-at 4000000000"), 1, "carry their own");
    program.complains(&format!("tokens rotate --handler signed --id {id}"), 1, "carry their own");
    program.complains("create --handler signed --actor bob --expires-after 86401", 1, "`max_ttl`");
    let status = &program.json("status")[0];
    assert_eq!(status["tokens"], json!({"signed": {"active": 1}}));
    assert_eq!(status["keys"][0]["key"], json!("main/2026-11"));
    assert_eq!(status["nodes"], json!([]));
    assert_eq!(status["audit"]["last"], json!(5));
    // Its uses are not recorded, so the output does not claim that it was never used.
    let shown = program.says(&format!("tokens show --handler signed --id {id}"));
    assert!(shown.contains("last used:    unknown"), "{shown}");
    // Output for humans fits a terminal.
    for words in ["status", "tokens list", "keys list", "keys check", "audit tail"] {
        let text = program.says(words);
        assert!(!text.is_empty(), "{words}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{words}: {line}");
        }
    }
}

#[test]
fn a_list_continues_where_another_ended() {
    let program = Program::new("pages");
    for actor in ["ann", "bob", "cid", "dan", "eve"] {
        program.says(&format!("create --handler signed --actor {actor}"));
    }
    let id = |token: &Value| token["token_id"].as_str().unwrap().to_owned();
    let all: Vec<_> = program.json("tokens list").iter().map(id).collect();
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let ran = program.run(&format!("tokens list --limit 2 --json{after}"), "");
        assert_eq!(ran.status, 0, "{ran:?}");
        seen.extend(ran.stdout.lines().map(|line| id(&serde_json::from_str(line).unwrap())));
        let Some((_, rest)) = ran.stderr.split_once(" --after ") else { break };
        let place: Vec<_> = rest.split([' ', ',']).take(2).collect();
        assert_eq!(place, ["signed", seen.last().unwrap().as_str()], "{ran:?}");
        after = format!(" --after {}", place.join(" "));
    }
    assert_eq!(seen, all);
    assert_eq!(all.len(), 5);
}

#[test]
fn a_token_in_place_of_an_id_is_not_used_as_one() {
    let program = Program::new("token-for-id");
    for (handler, other) in [("stored", ""), ("signed", "x")] {
        let token = program.says(&format!("create --handler {handler} --actor ann"));
        let token = token.trim_end();
        let before = program.says("audit export");
        for words in ["show", "edit --description x", "rotate"] {
            for id in [token.to_owned(), format!("{token}{other}")] {
                program.complains(
                    &format!("tokens {words} --handler {handler} --id {id}"),
                    2,
                    "is a token: use its id",
                );
            }
        }
        program.complains(&format!("create --actor {token}"), 2, "is a token: use the id of its actor");
        assert_eq!(program.says("audit export"), before);
        assert!(program.run("verify", &format!("{token}\n")).stdout.starts_with("accepted"));
    }
    let revoked = program.says("tokens revoke --handler signed --actor ann");
    assert!(revoked.starts_with("revoked; 1 record ended"), "{revoked}");
    // A text that only resembles a token is an ordinary actor.
    for actor in ["dstok_team", "alice.smith"] {
        let revoked = program.says(&format!("tokens revoke --actor {actor}"));
        assert!(revoked.starts_with("revoked; no record ended"), "{revoked}");
    }
}

/// A revocation is never refused, and the audit log contains no token.
#[test]
fn a_token_in_place_of_an_id_is_revoked() {
    let program = Program::new("token-for-id-revoked");
    for (number, (handler, option, is_whole)) in [
        ("stored", "--handler stored --id", true),
        ("stored", "--actor", true),
        ("stored", "--handler stored --actor", true),
        ("signed", "--handler signed --id", true),
        ("signed", "--actor", true),
        ("signed", "--handler signed --id", false),
    ]
    .into_iter()
    .enumerate()
    {
        let actor = format!("ann{number}");
        let token = program.says(&format!("create --handler {handler} --actor {actor}"));
        let token = token.trim_end();
        let given = if is_whole { token.to_owned() } else { format!("{token}x") };
        let said = program.says(&format!("tokens revoke {option} {given}"));
        let wanted = if is_whole { "revoked; 1 record ended" } else { "revoked; no record ended" };
        assert!(said.starts_with(wanted), "{option}: {said}");
        let verified = program.run("verify", &format!("{token}\n")).stdout;
        assert_eq!(verified.starts_with("accepted"), !is_whole, "{option}: {verified}");
        assert!(!program.says("audit export").contains(token), "{option}");
    }
}

/// A handler without prefixes is not called to detect whether an id is a token, and a token that
/// its handler renames is revoked permanently.
#[test]
fn no_handler_prevents_an_operator_from_revoking() {
    for (greedy, faces) in [("answer-expired", &["r", "u"][..]), ("accepts-everything", &[])] {
        let program = Program::new(&format!("greedy-{greedy}"));
        program.0.write("greedy.wasm", hostile::case(greedy).bytes, 0o644);
        program.0.write("moving.wasm", hostile::case("issued-two-faced").bytes, 0o644);
        let more = r#"
[[handlers]]
name = "greedy"
component = "greedy.wasm"
actors = ["hostile:*"]
limits.wall_ms = 60000

[[handlers]]
name = "moving"
component = "moving.wasm"
prefixes = ["ho_"]
actors = ["hostile:*"]
limits.wall_ms = 60000
"#;
        program.0.write(
            "keyward.toml",
            format!("{CONFIG}{more}").replace("[actions]\nview-instance = \"vi\"\nown = \"own\"\n", ""),
            0o644,
        );
        let made = &program.json("create --handler stored --actor ann")[0];
        let id = made["token_id"].as_str().unwrap();
        program.says(&format!("tokens show --handler stored --id {id}"));
        program.says(&format!("tokens edit --handler stored --id {id} --description x"));
        program.says(&format!("tokens rotate --handler stored --id {id}"));
        assert!(program.says("tokens revoke --actor ann").starts_with("revoked; 1 record ended"), "{greedy}");
        assert!(program.says(&format!("tokens revoke --handler stored --id {id}")).starts_with("revoked"), "{greedy}");
        // Its expiry has passed by the clock, and the time is arbitrary: the handler's claims do
        // not matter.
        for face in faces {
            let token = format!("ho_{face}-{}-{face}{face}{face}{face}", "a".repeat(20));
            let made = format!("create --handler moving --actor hostile:alice --description {token} --at 1767225600");
            assert_eq!(program.says(&made).trim_end(), token);
            let ran = program.run("tokens revoke -", &format!("{token}\n"));
            assert!(ran.status == 0 && ran.stdout.starts_with("revoked moving"), "{greedy} {face}: {ran:?}");
            for second in [1_767_225_600, 1_767_225_602] {
                let verified = program.run(&format!("verify --at {second}"), &format!("{token}\n"));
                assert!(!verified.stdout.starts_with("accepted"), "{greedy} {face}: {verified:?}");
            }
        }
    }
}

#[test]
fn a_daemon_reports_its_status_and_records_reloads() {
    let program = Program::new("daemon");
    program.says("create --handler signed --actor bob");
    let daemon = Daemon::start(&program.0, "keyward.toml");
    let metrics = || Request::get("/metrics").send(daemon.admin());
    for line in [
        "keyward_tokens{handler=\"signed\",status=\"active\"} 1\n",
        "keyward_revocations 0\n",
        "keyward_node_behind{node=\"",
        "keyward_node_seen_timestamp_seconds{node=\"",
        "keyward_key_age_seconds{key=\"main/2026-11\",state=\"active\"} ",
        "keyward_audit_head ",
        "keyward_audit_lag_seconds 0.0\n",
        "keyward_audit_stuck 0\n",
    ] {
        wait_for(line, || metrics().text().contains(line));
    }
    let nodes = program.json("status")[0]["nodes"].clone();
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["behind"]), (1, &json!(0)), "{nodes}");
    let reloads = || {
        let records = program.json("audit export");
        let reloads = records.iter().filter(|record| record["event"] == "reload");
        reloads.map(|record| record["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    program.0.write("keyward.toml", CONFIG.to_owned() + "# changed", 0o644);
    wait_for("the first load", || reloads() == ["loaded"]);
    program.0.write("keyward.toml", "no", 0o644);
    wait_for("the reload to fail", || daemon.stderr().contains("reload failed"));
    program.0.write("keyward.toml", CONFIG, 0o644);
    wait_for("the next reload", || reloads() == ["loaded", "refused", "loaded"]);
    drop(daemon.stop());
    let events: Vec<_> = program.json("audit export").iter().map(|record| record["event"].clone()).collect();
    assert_eq!((&events[0], &events[1], events.last().unwrap()), (&json!("create"), &json!("start"), &json!("stop")));
    assert!(program.says("audit verify").starts_with("intact: "));
}

/// `verify` checks hypothetically; it is not a use.
#[test]
fn verifying_a_token_by_command_is_not_a_use() {
    let program = Program::new("asked");
    let [ann, bob] =
        ["ann", "bob"].map(|actor| program.json(&format!("create --handler stored --actor {actor}")).remove(0));
    let [ann_id, bob_id] = [&ann, &bob].map(|made| made["token_id"].as_str().unwrap());
    let mut command = program.0.command();
    let asking = command.args(["verify", "--config", "keyward.toml"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asking = asking.spawn().unwrap();
    let mut tokens = asking.stdin.take().unwrap();
    writeln!(tokens, "{}", ann["token"].as_str().unwrap()).unwrap();
    let mut answer = String::new();
    BufReader::new(asking.stdout.take().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("accepted"), "{answer}");
    // Uses are written every second. The second use here has waited that long.
    let store = Store::open(Location::sqlite(program.0.path().join("keyward.db"))).unwrap();
    let used = |id: &str| block_on(store.find("stored", id)).unwrap().unwrap().record.last_used_at;
    for at in [100, 200] {
        store.record_use("stored", bob_id, time(at));
        wait_for("a use to be recorded", || used(bob_id) == Some(time(at)));
    }
    assert_eq!(used(ann_id), None);
    drop(tokens);
    assert!(asking.wait().unwrap().success());
}

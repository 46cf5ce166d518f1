//! A real Datasette with the real plugin creates tokens of every kind, and its database is
//! imported.

use super::world::{MANAGED, at, grant, with_key};
use crate::support::{RUNTIME, TestClock};
use keyward_runtime::{Registry, Verdict};
use keyward_store::{Location, Store};
use keyward_tests::cli::Folder;
use keyward_tests::peers;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &str = "the secret of this Datasette, long enough";

const CONFIG: &str = r#"
[store]
sqlite = "keyward.db"

[keys.datasette]
secret = { env = "DATASETTE_SECRET" }

[[handlers]]
name = "managed"
component = "builtin:auth-tokens"
prefixes = ["dsatok_"]
keys.token = { ring = "datasette", scheme = "itsdangerous", namespace = "dsatok" }
store = true

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "datasette", scheme = "itsdangerous", namespace = "token" }
"#;

/// The tokens that are invalid in the original, and the reasons in Keyward.
const BAD: [(&str, &str); 7] = [
    ("revoked", "revoked"),
    ("expired", "expired"),
    ("expired and revoked", "revoked"),
    ("revoked twice", "revoked"),
    ("deleted", "unknown"),
    ("of a row that never was", "unknown"),
    ("signed for something else", "bad-signature"),
];

/// A token, and its actor according to Datasette.
struct Token {
    name: String,
    token: String,
    actor: Value,
}

#[test]
fn tokens_of_the_real_plugin_are_imported() {
    let Some(python) = peers::python_with("datasette_auth_tokens") else {
        peers::skip("datasette-auth-tokens", "it is not installed");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let tokens = tokens(&python, temporary.path());
    assert_eq!(tokens.iter().filter(|token| token.actor.is_null()).count(), BAD.len());
    assert!(tokens.len() >= BAD.len() + 10);
    // The plugin marks an expired token when it is used, and none had been used yet in the first.
    for database in ["before.db", "internal.db"] {
        let said = "imported 9 active tokens and 4 inactive ones\n";
        let mut folder = Folder::new(temporary.path().join(database.replace('.', "-")));
        folder.set("DATASETTE_SECRET", SECRET);
        folder.write("keyward.toml", CONFIG, 0o644);
        fs::copy(temporary.path().join(database), folder.path().join(database)).unwrap();
        let import = ["tokens", "import", "--config", "keyward.toml", "--handler", MANAGED, database];
        let ran = folder.run(&import, "");
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, said, ""), "{database}");
        check_program(&folder, &tokens, database);
        check_registry(&folder, &tokens, database);
    }
}

/// Runs the script that creates the tokens.
fn tokens(python: &Path, folder: &Path) -> Vec<Token> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/datasette_tokens.py");
    let mut command = Command::new(python);
    command.arg(script).current_dir(folder).env_clear().stdin(Stdio::null());
    // Datasette leaves files in the folder for temporary ones.
    command.env("DATASETTE_SECRET", SECRET).env("TMPDIR", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let token = |line: &str| {
        let said: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Token { name: text("name"), token: text("token"), actor: said["actor"].clone() }
    };
    lines.lines().map(token).collect()
}

/// Checks that the program's verdict on each token agrees with Datasette's.
fn check_program(folder: &Folder, tokens: &[Token], database: &str) {
    let lines: String = tokens.iter().map(|token| format!("{}\n", token.token)).collect();
    let ran = folder.run(&["verify", "--config", "keyward.toml", "--json"], lines);
    assert_eq!(ran.stderr, "");
    let outcomes: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outcomes.len(), tokens.len());
    for (Token { name, actor, .. }, outcome) in tokens.iter().zip(outcomes) {
        match bad(name) {
            None => {
                assert_eq!(outcome["outcome"], "accepted", "{database}, {name}: {outcome}");
                assert_eq!(without_expiry(&outcome["actor"], name), *actor, "{database}, {name}");
            }
            Some(reason) => {
                assert_eq!(*actor, Value::Null, "{database}, {name}");
                assert_eq!(outcome["reason"], reason, "{database}, {name}: {outcome}");
            }
        }
    }
}

/// Checks the same for a program that embeds the runtime.
fn check_registry(folder: &Folder, tokens: &[Token], database: &str) {
    let store = Arc::new(Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap());
    let mut managed = with_key(MANAGED, keyward_handlers::AUTH_TOKENS.component(), "dsatok_", SECRET, "dsatok");
    managed.store = Some(grant(&store));
    let registry = Registry::builder(&RUNTIME).handler(managed).build().unwrap();
    TestClock.set(Some(at(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())));
    let managed = tokens.iter().filter(|token| token.token.starts_with("dsatok_"));
    for Token { name, token, actor } in managed {
        match (registry.verify_blocking(token).unwrap(), bad(name)) {
            (Verdict::Accepted(acceptance), None) => {
                let ours: Value = serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap();
                assert_eq!(without_expiry(&ours, name), *actor, "{database}, {name}");
            }
            (Verdict::Rejected(rejection), Some(reason)) => {
                assert_eq!(rejection.reason.to_string(), reason, "{database}, {name}");
            }
            (other, _) => panic!("{database}, {name}: {other:?}"),
        }
    }
}

/// Returns the reason why Keyward rejects a token, if it does.
fn bad(name: &str) -> Option<&'static str> {
    BAD.iter().find(|(bad, _)| *bad == name).map(|(_, reason)| *reason)
}

/// Removes the expiry, which only Keyward reports.
fn without_expiry(actor: &Value, name: &str) -> Value {
    let mut actor = actor.clone();
    let ends = actor.as_object_mut().unwrap().shift_remove("token_expires");
    assert_eq!(ends.is_some(), name.contains("ends"), "{name}: {actor}");
    if let Some(ends) = ends {
        assert!(ends.is_u64(), "{ends}");
    }
    actor
}

//! `keyward keys` and `keyward keygen`, as run by an operator.

use crate::support::time;
use keyward_runtime::store::{CommitOutcome, NewRecord, Record, RecordStore, StoredRecord, Transaction};
use keyward_store::{Location, Store};
use keyward_tests::cli::{Folder, Ran, keyward};
use std::fs::{self, File, FileTimes};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

const HANDLERS: &str = r#"
[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }

[[handlers]]
name = "partner"
component = "builtin:signed"
prefixes = ["partner_"]
keys.token = { ring = "main" }
"#;

/// Creates a folder with four keys, each a day older than the one before, and a configuration that
/// starts with `config`.
fn folder(name: &str, config: &str) -> Folder {
    let mut folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("keys").join(name));
    folder.write("keyward.toml", format!("{config}{HANDLERS}"), 0o644);
    for (age, key) in ["2026-01", "2025-12", "2025-11", "2025-10"].into_iter().enumerate() {
        let file = format!("{key}.key");
        folder.write(&file, key.repeat(5), 0o600);
        let modified = UNIX_EPOCH + Duration::from_secs(NOW - age as u64 * DAY);
        let opened = File::options().write(true).open(folder.path().join(file)).unwrap();
        opened.set_times(FileTimes::new().set_modified(modified)).unwrap();
    }
    folder.set("KEYWARD_LOG", "error");
    folder
}

fn keys(folder: &Folder, command: &str, more: &[&str]) -> Ran {
    let now = NOW.to_string();
    folder.run(&[&["keys", command, "--config", "keyward.toml", "--at", &now], more].concat(), "")
}

/// Inserts the record of a token signed by this key.
fn record(store: &Store, id: &str, key: &str, expires_at: Option<u64>) {
    let record = Record {
        expires_at: expires_at.map(time),
        key: Some(key.to_owned()),
        ..Record::new(id, "alice", time(NOW - DAY))
    };
    let insert = NewRecord {
        stored: StoredRecord { record, digest: None, token_digest: None },
        replace: false,
        max: 100,
        max_per_actor: None,
        max_per_client: None,
        idle_before: None,
    };
    let changes = Transaction { at: time(NOW - DAY), insert: Some(insert), ..Transaction::default() };
    assert_eq!(pollster::block_on(store.commit("signed", changes)).unwrap(), CommitOutcome::Done);
}

const RING: &str = r#"store = { sqlite = "keyward.db" }
[keys.main]
keys = [
  { id = "2026-01", file = "2026-01.key", state = "pending" },
  { id = "2025-12", file = "2025-12.key", state = "active" },
  { id = "2025-11", file = "2025-11.key", state = "verify-only" },
  { id = "2025-10", file = "2025-10.key", state = "retired" },
  { id = "2025-09", state = "retired" },
]
"#;

/// Inserts records of tokens signed by the keys of [`RING`].
fn tokens(folder: &Folder) {
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    for (id, key, expires_at) in [
        ("1", "main/2025-12", Some(NOW + 30 * DAY)),
        ("2", "main/2025-12", None),
        ("3", "main/2025-11", Some(NOW + DAY)),
        ("4", "main/2025-11", Some(NOW + 2 * DAY)),
        ("5", "main/2025-11", Some(NOW - 1)),
        ("6", "main/2025-10", Some(NOW - 1)),
    ] {
        record(&store, id, key, expires_at);
    }
}

#[test]
fn a_list_shows_the_usage_of_each_key() {
    let folder = folder("list", RING);
    tokens(&folder);
    let listed = keys(&folder, "list", &[]);
    assert_eq!((listed.status, listed.stderr.as_str()), (0, ""));
    assert_eq!(
        listed.stdout,
        "\
Ring main, used by signed.token, partner.token
  KEY      STATE        AGE  ISSUED  VALID  NO EXPIRY  LAST EXPIRY (UTC)
  2026-01  pending       0s       0      0          0  -
  2025-12  active        1d       2      2          1  2026-01-31 00:00
  2025-11  verify-only   2d       3      2          0  2026-01-03 00:00
  2025-10  retired       3d       1      0          0  -
  2025-09  retired        -       0      0          0  -
"
    );
    let listed = keys(&folder, "list", &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        json["keys"][2].to_string(),
        r#"{"ring":"main","key":"2025-11","state":"verify-only","age_seconds":172800,"used_by":["signed.token","partner.token"],"tokens":{"minted":3,"good":2,"never_end":0,"newest_expiry":1767398400}}"#
    );
    assert_eq!(json["keys"].as_array().unwrap().len(), 5);
    assert_eq!(json["keys"][4]["age_seconds"], serde_json::Value::Null);
}

#[test]
fn a_check_reports_what_would_break_and_what_is_broken() {
    let folder = folder("check", RING);
    tokens(&folder);
    let checked = keys(&folder, "check", &[]);
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""));
    assert_eq!(
        checked.stdout,
        "\
main/2026-01 is pending: make it active once every node has loaded it.
main/2025-12 is active: it signs tokens.
main/2025-11 is verify-only: retire it after 2026-01-03 00:00:00 UTC; until
  then, 2 valid tokens use it.
main/2025-10 is retired, and no valid token uses it.
main/2025-09 is retired, and no valid token uses it.
Not counted: tokens that were issued elsewhere or before there was a store.
"
    );
    let later = (NOW + 3 * DAY).to_string();
    let checked = folder.run(&["keys", "check", "--config", "keyward.toml", "--at", &later], "");
    assert!(
        checked.stdout.contains("main/2025-11 is verify-only: it can be retired, because no valid token"),
        "{checked:?}"
    );

    // Retired too early, and removed from the configuration altogether.
    let early = RING.replace("verify-only", "retired");
    let gone = RING.lines().filter(|line| !line.contains("2025-11")).collect::<Vec<_>>().join("\n");
    for (config, is) in [(early, "retired"), (gone, "not in the configuration")] {
        folder.write("keyward.toml", format!("{config}{HANDLERS}"), 0o644);
        let checked = keys(&folder, "check", &[]);
        let text = checked.stdout.replace("\n  ", " ");
        let wanted = format!(
            "BROKEN: main/2025-11 is {is}, but 2 tokens would otherwise be valid until 2026-01-03 00:00:00 UTC: "
        );
        assert_eq!(checked.status, 1, "{text}");
        assert!(text.contains(&wanted), "{text}");
        let json = keys(&folder, "check", &["--json"]);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        let broken: Vec<_> = json["keys"].as_array().unwrap().iter().filter(|key| key["broken"] == true).collect();
        assert_eq!((broken.len(), &broken[0]["key"]), (1, &"2025-11".into()));
        assert_eq!(json["notes"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_short_form_has_ids_as_well() {
    let config = "[keys.main]\nsecret = { file = \"2026-01.key\" }\nprevious = [{ env = \"OLD_KEY\" }]\n";
    let mut folder = folder("short", config);
    let listed = keys(&folder, "list", &[]);
    assert_eq!((listed.status, listed.stderr.as_str()), (0, ""));
    assert_eq!(
        listed.stdout,
        "\
Ring main, used by signed.token, partner.token
  KEY      STATE        AGE
  2026-01  active        0s
  OLD_KEY  verify-only    -
"
    );
    // A check loads them.
    let checked = keys(&folder, "check", &[]);
    let told = "keyward: keyward.toml:3: key ring `main`: the environment variable OLD_KEY is not set: set it\n";
    assert_eq!((checked.status, checked.stderr.as_str()), (2, told));
    folder.set("OLD_KEY", &"old".repeat(11));
    let checked = keys(&folder, "check", &[]);
    assert_eq!((checked.status, checked.stderr.as_str()), (0, ""));
    assert!(checked.stdout.contains("main/OLD_KEY is verify-only: its tokens cannot be counted"), "{}", checked.stdout);
    assert!(checked.stdout.contains("Ring main identifies keys by the names of files and"), "{}", checked.stdout);
}

/// If killed while writing, `keygen` leaves nothing that could be used as a key.
#[test]
fn keygen_never_leaves_a_partial_key() {
    let folder = folder("half", "");
    // SIGXFSZ kills it at the first byte it writes.
    let ended = Command::new("sh")
        .args(["-c", "ulimit -c 0; ulimit -f 0; exec \"$0\" keygen new.key"])
        .arg(keyward())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(ended.status.code().is_none(), "not killed by a signal: {ended:?}");
    let file = folder.path().join("new.key");
    assert!(!file.exists(), "the file exists before it is complete");
    let made = folder.run(&["keygen", "new.key"], "");
    assert_eq!((made.status, fs::read(&file).unwrap().len()), (0, 44));
    let again = folder.run(&["keygen", "new.key"], "");
    assert_eq!(again.status, 2);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let new = left.iter().filter(|name| name.to_string_lossy().ends_with(".new")).count();
    assert_eq!(new, 1, "the temporary file of the killed process: {left:?}");
}

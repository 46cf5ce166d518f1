//! No issued secret is in any file: the database, its journal, the audit log and every other log
//! are searched for the secrets of tokens that were created, used, imported, replaced, revoked and
//! mistyped, in every encoding.

use super::{ALL, SECRET, folder_with, keyward};
use crate::support::forms;
use keyward_audit::{Audit, Entry, Event, Settings, lines};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::{Request, Response};
use keyward_tests::postgres::{block_on, connect, own_cluster};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NO_QUOTA: (&str, &str) = ("{ tokens = 5 }", "true");

const AUDITED: (&str, &str) = (
    "[store]",
    "[audit]\nfile = \"audit.jsonl\"\nrotate_mib = 1\nkeep_days = \"forever\"\ndeadline_ms = 60000\n\n[store]",
);

/// Tokens of each handler, and all output of the programs.
struct Watch {
    folder: Folder,
    daemon: Daemon,
    secrets: BTreeSet<String>,
    seen: String,
}

impl Watch {
    fn start(mut folder: Folder) -> Self {
        folder.set("KEYWARD_LOG", "debug");
        let daemon = Daemon::start(&folder, "keyward.toml");
        Self { folder, daemon, secrets: BTreeSet::new(), seen: String::new() }
    }

    /// Forbids the secret part of a token. Its prefix, its id and its checksum may appear.
    fn forbid(&mut self, token: &str) {
        let secret = match token.split_at_checked("kwt_test_".len() + 22) {
            Some(("", _)) | None => token,
            Some((name, rest)) if name.starts_with("kwt_test_") => &rest[..rest.len() - 6],
            Some(_) => match token.rsplit_once('.') {
                Some((_, signature)) => signature,
                None => token.strip_prefix("6879-").unwrap_or(token),
            },
        };
        assert!(secret.len() >= 20, "{token}");
        self.secrets.insert(secret.to_owned());
    }

    fn ask(&mut self, request: &Request) -> Response {
        let answer = request.send(self.daemon.service());
        self.seen.push_str(&format!("{answer:?}\n"));
        answer
    }

    /// Creates a token; only this response contains it.
    fn create(&mut self, handler: &str, actor: &str) -> String {
        let body = json!({"actor": actor, "handler": handler});
        let answer = Request::json("/v1/tokens", &body).bearer(SECRET).send(self.daemon.service());
        assert_eq!(answer.status, 201, "{answer:?}");
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        self.forbid(&token);
        token
    }

    fn use_it(&mut self, token: &str) {
        self.ask(&Request::get("/v1/actor").bearer(token));
        self.ask(&Request::form("/v1/introspect", format!("token={token}")).bearer(SECRET));
        self.ask(&Request::json("/v1/verify", &json!({"tokens": [token, token]})).bearer(SECRET));
        // In place of other parameters.
        if !token.starts_with('x') {
            // A text that does not even start like a token is used as an id.
            self.ask(
                &Request::json("/v1/revocations", &json!({"handler": "stored", "token_id": token})).bearer(SECRET),
            );
        }
        self.ask(&Request::json("/v1/revocations", &json!({"handler": token})).bearer(SECRET));
        self.ask(&Request::get(&format!("/v1/actor?token={token}")));
    }

    fn run(&mut self) {
        // Datasette's tokens, whose secrets the plugin does not store either.
        let imported = import(&self.folder);
        let ran = keyward(&self.folder, "tokens import --handler managed internal.db", "");
        assert_eq!(ran.status, 0, "{ran:?}");
        self.seen.push_str(&format!("{ran:?}\n"));
        for token in imported {
            self.forbid(&token);
            self.use_it(&token);
        }
        for handler in ALL {
            // Developer tokens replace each other.
            let tokens: Vec<String> = (0..3).map(|_| self.create(handler, "alice")).collect();
            for token in &tokens {
                self.use_it(token);
            }
            // Mistyped at the start and at the end.
            let mut wrong = tokens[0].clone();
            wrong.pop();
            self.use_it(&wrong);
            self.use_it(&format!("x{}", tokens[0]));
            for _ in 0..2 {
                self.ask(&Request::form("/v1/revoke", format!("token={}", tokens[0])).bearer(SECRET));
            }
            let stdin = format!("{}\n{wrong}\n", tokens[1]);
            for words in ["verify --json", "tokens revoke -", "tokens revoke --dry-run --json -"] {
                let ran = keyward(&self.folder, words, &stdin);
                self.seen.push_str(&format!("{ran:?}\n"));
            }
            for token in &tokens {
                self.use_it(token);
            }
        }
        self.ask(&Request::json("/v1/revocations", &json!({"actor": "alice"})).bearer(SECRET));
    }
}

/// Imports a database of Datasette, and returns its tokens.
fn import(folder: &Folder) -> [String; 2] {
    let file = folder.path().join("internal.db");
    block_on(async {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut database = options.connect().await.unwrap();
        let table = "CREATE TABLE _datasette_auth_tokens (id INTEGER PRIMARY KEY, token_status TEXT, description TEXT, \
             actor_id TEXT, permissions TEXT, created_timestamp INTEGER, last_used_timestamp INTEGER, \
             expires_after_seconds INTEGER, ended_timestamp INTEGER, secret_version INTEGER DEFAULT 0); \
             INSERT INTO _datasette_auth_tokens (id, token_status, actor_id, permissions, created_timestamp) \
             VALUES (1, 'A', 'ann', 'null', 1700000000), (2, 'R', 'bob', 'null', 1700000000)";
        database.execute(table).await.unwrap();
    });
    // Signed with the secret `mysecret`.
    ["dsatok_MQ.MFkYPjtTFT1Mq--jPlLpOjmuRqs", "dsatok_Mg.waGJC7jPY7W8nzUMVeLsYOuygs8"].map(str::to_owned)
}

/// The search terms by their first bytes, and the pairs of bytes with which these start, to skip
/// most positions quickly.
struct Needles {
    by_key: HashMap<[u8; Self::KEY], Vec<Vec<u8>>>,
    begin: Vec<bool>,
}

impl Needles {
    const KEY: usize = 8;

    fn of(secrets: &BTreeSet<String>) -> Self {
        let (mut by_key, mut begin) = (HashMap::<_, Vec<Vec<u8>>>::new(), vec![false; 1 << 16]);
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            let key = form.as_bytes().first_chunk().unwrap();
            begin[Self::two(key)] = true;
            by_key.entry(*key).or_default().push(form.into_bytes());
        }
        Self { by_key, begin }
    }

    fn two(bytes: &[u8]) -> usize {
        usize::from(bytes[0]) << 8 | usize::from(bytes[1])
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let begins = |at: usize| {
            let rest = &bytes[at..];
            let needles = rest.first_chunk().and_then(|key| self.by_key.get(key));
            needles.is_some_and(|needles| needles.iter().any(|needle| rest.starts_with(needle)))
        };
        let mut places = bytes.windows(2).enumerate();
        places.any(|(at, two)| self.begin[Self::two(two)] && begins(at))
    }
}

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn search(watch: Watch, folders: &[&Path], must_have: &[&str]) {
    let Watch { folder, daemon, secrets, seen } = watch;
    let needles = Needles::of(&secrets);
    let mut searched = Vec::new();
    // While the daemon runs, with its journal, and after it has stopped.
    let search = |searched: &mut Vec<String>| {
        for file in folders.iter().chain([&folder.path()]).flat_map(|folder| files(folder)) {
            // A server removes files concurrently, and sockets cannot be read.
            let Ok(bytes) = fs::read(&file) else { continue };
            assert!(!needles.is_in(&bytes), "{} contains a secret", file.display());
            searched.push(file.display().to_string());
        }
    };
    search(&mut searched);
    let ended = daemon.stop();
    search(&mut searched);
    has_written(folder.path());
    for name in must_have.iter().chain(&["audit.jsonl", "audit.jsonl.head", "audit.jsonl.000000000001"]) {
        assert!(searched.iter().any(|file| file.contains(name)), "no {name} among {searched:#?}");
    }
    let said = [seen, ended.stdout, ended.stderr].concat();
    assert!(said.contains("keyward::decision") && said.len() > 10_000);
    assert!(!needles.is_in(said.as_bytes()), "a secret was printed or logged");
    // Planted secrets are found, in any encoding.
    assert!(secrets.len() >= 10, "{}", secrets.len());
    for secret in &secrets {
        for form in [secret.clone(), keyward_tests::http::base64(format!("x{secret}").as_bytes())] {
            assert!(needles.is_in(format!("{said}{form}").as_bytes()), "{form}");
        }
    }
}

/// Creates a folder with the key of Datasette's tokens.
fn with_key(name: &str, changes: &[(&str, &str)]) -> Folder {
    let short = ("[keys.main]", "[keys.main]\ndangerous_allow_short = true");
    let folder = folder_with(name, &[&[NO_QUOTA, AUDITED, short], changes].concat());
    folder.write("secret.key", "mysecret\n", 0o600);
    fill(&folder.path().join("audit.jsonl"));
    folder
}

/// Makes the daemon rotate the audit log during the test.
fn fill(audit: &Path) {
    let settings = Settings { notes_per_second: u32::MAX, deadline: Duration::from_secs(60), ..Settings::new(audit) };
    let filled = Audit::open(settings, || Duration::from_secs(1_767_225_600)).unwrap();
    while fs::metadata(audit).unwrap().len() < (1 << 20) - 16_000 {
        for _ in 0..4 {
            filled.note(Entry { detail: Some("x".repeat(1_000)), ..Entry::new(Event::Reload) });
        }
        assert!(filled.flush());
    }
}

/// Checks that the daemon has written to both files.
fn has_written(folder: &Path) {
    let made = |record: &keyward_audit::Record| record.event == "create" && record.actor.as_deref() == Some("alice");
    let made = lines(&folder.join("audit.jsonl")).unwrap().filter(|line| made(&line.as_ref().unwrap().1)).count();
    let current = fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    let later = current.matches("\"event\":\"create\"").count();
    assert!(made == 3 * ALL.len() && (1..made).contains(&later), "{later} of {made}");
}

#[test]
fn no_secret_is_in_the_file_its_journal_or_a_log() {
    let mut watch = Watch::start(with_key("leaks-sqlite", &[]));
    watch.run();
    search(watch, &[], &["keyward.db", "keyward.db-wal", "internal.db"]);
}

#[test]
fn no_secret_is_in_the_folder_of_the_server_or_a_log() {
    let Some(cluster) = own_cluster() else { return };
    let mut folder =
        with_key("leaks-postgres", &[(r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#)]);
    let (url, _) = cluster.database();
    folder.set("DATABASE_URL", &url);
    let mut watch = Watch::start(folder);
    watch.run();
    // Writes the server's memory to its files.
    block_on(connect(&url).execute("CHECKPOINT")).unwrap();
    search(watch, &[cluster.folder().unwrap()], &["/data/pg_wal/", "/data/base/", "/log"]);
}

//! No token and no secret leaks: everything that the program prints, for valid and invalid input
//! and at the most verbose log level, is searched for them. A token appears only in the output of
//! `create`.

use crate::support;
use keyward_runtime::{Actors, HandlerConfig, Registry};
use keyward_tests::cli::{Folder, Ran};
use keyward_tests::hostile;
use std::fs;
use std::path::PathBuf;

const RING_SECRET: &str = "ring-secret-Zk3vQ9-ring-secret-Zk3vQ9-ring";
const ENV_SECRET: &str = "env-secret-Yt7wR2-env-secret-Yt7wR2-env-secret";
const SHORT_SECRET: &str = "short-secret-Ob5d";
const HARDCODED: &str = "hardcoded-token-Xp4n";
const FILE_TOKEN: &str = "hardcoded-file-Wm8k";

const CONFIG: &str = r#"
[audit]
file = "audit.jsonl"
deadline_ms = 60000

[keys.main]
secret = { file = "secret.key" }
previous = [{ env = "RING_SECRET" }]

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }

[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.bot = { env = "BOT_TOKEN" }
secrets.file = { file = "bot.key" }
settings = { actors = { bot = { id = "bot" }, file = { id = "file" } } }
"#;

/// All printed output, and the texts that must not appear in it.
struct Watch {
    folder: Folder,
    forbidden: Vec<String>,
    runs: usize,
}

impl Watch {
    fn forbid(&mut self, text: &str) {
        let bytes = text.bytes();
        self.forbidden.extend([text.to_owned(), bytes.map(|byte| format!("{byte:02x}")).collect()]);
    }

    /// Forbids both halves of a token as well: neither may appear alone.
    fn forbid_token(&mut self, token: &str) {
        self.forbid(token);
        for part in token.trim_start_matches("dstok_").split('.').filter(|part| part.len() > 8) {
            self.forbid(part);
        }
    }

    /// Runs a command and searches all of its output.
    fn run(&mut self, args: &[&str], stdin: &[u8]) -> Ran {
        let ran = self.folder.run(args, stdin);
        self.runs += 1;
        for text in [&ran.stdout, &ran.stderr] {
            for forbidden in &self.forbidden {
                assert!(!text.contains(forbidden.as_str()), "{args:?} printed {forbidden}:\n{text}");
            }
        }
        ran
    }
}

#[test]
fn no_output_contains_a_token_or_a_secret() {
    let mut folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("leaks"));
    folder.write("keyward.toml", CONFIG, 0o644);
    folder.write("secret.key", RING_SECRET, 0o600);
    folder.write("bot.key", FILE_TOKEN, 0o600);
    folder.set("RING_SECRET", ENV_SECRET);
    folder.set("BOT_TOKEN", HARDCODED);

    // The token itself is printed only on the standard output of `create`.
    let create = ["create", "--config", "keyward.toml", "--actor", "root", "--at", "1767225600"];
    folder.set("KEYWARD_LOG", "debug");
    let created = folder.run(&create, "");
    assert_eq!(created.status, 0, "{created:?}");
    let token = created.stdout.trim_end().to_owned();
    assert!(!created.stderr.contains(&token));

    let mut watch = Watch { folder, forbidden: Vec::new(), runs: 0 };
    for secret in [RING_SECRET, ENV_SECRET, SHORT_SECRET, HARDCODED, FILE_TOKEN] {
        watch.forbid(secret);
    }
    let as_json = watch.run(&[&create[..], &["--json"]].concat(), b"");
    assert_eq!(as_json.stdout.matches(&token).count(), 1);
    assert!(!as_json.stderr.contains(&token));
    watch.forbid_token(&token);

    tokens_that_are_presented(&mut watch, &token);
    tokens_among_the_arguments(&mut watch, &token);
    configurations(&mut watch);
    audit(&watch);
    assert!(watch.runs > 30, "{}", watch.runs);
}

fn tokens_that_are_presented(watch: &mut Watch, token: &str) {
    let tampered = format!("{}A{}", &token[..token.len() - 5], &token[token.len() - 4..]);
    watch.forbid_token(&tampered);
    let foreign = "ghp_foreign-token-Vn6j";
    watch.forbid(foreign);
    let long = format!("dstok_{}", "long-token-Ul2h".repeat(1_000));
    watch.forbid("long-token-Ul2h");
    let not_text = [token.as_bytes(), b"\xff"].concat();
    for more in [&[][..], &["--json"], &["--handler", "bots"], &["--at", "1"], &["--at", "1767225600"]] {
        let args = [&["verify", "--config", "keyward.toml"][..], more].concat();
        let lines = [token, &tampered, HARDCODED, FILE_TOKEN, foreign, &long].join("\n");
        let ran = watch.run(&args, &[lines.as_bytes(), b"\n", &not_text].concat());
        assert_eq!((ran.status, ran.stdout.lines().count()), (1, 7), "{ran:?}");
    }
    let accepted = watch.run(&["verify", "--config", "keyward.toml"], format!("{token}\n{HARDCODED}").as_bytes());
    assert_eq!(accepted.status, 0, "the tokens are valid, so there is something to leak: {accepted:?}");
}

fn tokens_among_the_arguments(watch: &mut Watch, token: &str) {
    let option = format!("--token={token}");
    let flag = format!("--{token}");
    let expires = format!("--expires-after={token}");
    for args in [
        &[token][..],
        &[&option],
        &[&flag],
        &["verify", token],
        &["verify", "--config", "keyward.toml", token],
        &["verify", "--config", "keyward.toml", "-", token],
        &["verify", "--config", "keyward.toml", &option],
        &["verify", "--config", "keyward.toml", &flag],
        &["verify", "--config", "keyward.toml", "--handler", token],
        &["verify", "--config", "keyward.toml", "--at", token],
        &["create", "--config", "keyward.toml", "--actor", "root", token],
        &["create", "--config", "keyward.toml", "--actor", "root", "--handler", token],
        &["create", "--config", "keyward.toml", "--actor", "root", &expires],
        &["create", "--config", "keyward.toml", "--actor", "root", "--database", token],
        &["check", "builtin:signed", token],
        &["keygen", "new.key", token],
    ] {
        let ran = watch.run(args, token.as_bytes());
        assert_eq!(ran.status, 2, "{args:?}: {ran:?}");
    }
}

fn configurations(watch: &mut Watch) {
    let verify = ["verify", "--config", "keyward.toml"];
    for (old, new) in [
        ("{ file = \"secret.key\" }", format!("\"{RING_SECRET}\"")),
        ("{ file = \"secret.key\" }", format!("{{ file = \"secret.key\", is = \"{RING_SECRET}\" }}")),
        ("{ file = \"secret.key\" }", format!("[\"{RING_SECRET}\"]")),
        ("{ file = \"secret.key\" }", "{ file = \"short.key\" }".to_owned()),
        ("{ file = \"secret.key\" }", "{ file = \"open.key\" }".to_owned()),
        ("{ file = \"secret.key\" }", RING_SECRET.to_owned()),
        ("[{ env = \"RING_SECRET\" }]", format!("\"{ENV_SECRET}\"")),
        ("{ env = \"BOT_TOKEN\" }", format!("\"{HARDCODED}\"")),
        ("[\"dstok_\"]", "[\"dstok_\", \"hardcoded-\"]".to_owned()),
        ("prefixes = [\"dstok_\"]", "max_ttl = 1".to_owned()),
    ] {
        assert!(CONFIG.contains(old), "{old}");
        watch.folder.write("keyward.toml", CONFIG.replacen(old, &new, 1), 0o644);
        watch.folder.write("short.key", SHORT_SECRET, 0o600);
        watch.folder.write("open.key", RING_SECRET, 0o644);
        let ran = watch.run(&verify, b"x\n");
        assert_eq!(ran.status, 2, "{new}: {ran:?}");
    }
    watch.folder.write("keyward.toml", CONFIG, 0o644);
    for args in [
        &["check", "builtin:signed", "--config", "keyward.toml"][..],
        &["check", "builtin:hardcoded", "--config", "keyward.toml"],
        &["check", "builtin:hardcoded", "--config", "keyward.toml", "--json"],
    ] {
        let ran = watch.run(args, b"");
        assert_eq!(ran.status, 0, "{ran:?}");
    }
}

/// Checks that the audit log mentions the issued tokens, but contains nothing secret of them.
fn audit(watch: &Watch) {
    let text =
        ["audit.jsonl", "audit.jsonl.head"].map(|name| fs::read_to_string(watch.folder.path().join(name)).unwrap());
    assert_eq!(text[0].matches(r#""event":"create","actor":"root""#).count(), 2, "{}", text[0]);
    for forbidden in &watch.forbidden {
        assert!(
            !text.iter().any(|text| text.contains(forbidden.as_str())),
            "{forbidden} is in the audit log: {text:?}"
        );
    }
}

#[test]
fn a_new_secret_is_only_in_its_file() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("keygen"));
    let ran = folder.run(&["keygen", "new.key"], "");
    let text = fs::read_to_string(folder.path().join("new.key")).unwrap();
    let secret = text.strip_suffix('\n').unwrap();
    assert_eq!(secret.len(), 43);
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(!ran.stdout.contains(secret));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.path().join("new.key")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let again = folder.run(&["keygen", "new.key"], "");
    assert_eq!(again.status, 2);
    assert_eq!(fs::read_to_string(folder.path().join("new.key")).unwrap(), text, "not overwritten");
    let other = folder.run(&["keygen", "other.key"], "");
    assert_eq!(other.status, 0);
    assert_ne!(fs::read_to_string(folder.path().join("other.key")).unwrap(), text);
}

/// In-process: the message of a careless handler about its token, and the library's own errors and
/// `Debug` output.
#[test]
fn a_careless_handler_cannot_log_its_token() {
    let runtime = support::runtime_now();
    let mut config = HandlerConfig::new("careless", hostile::case("answer-echoes-token").bytes, Actors::Any);
    support::unhurried(&mut config.limits);
    config.prefixes = vec!["ho_".into()];
    let registry = Registry::builder(&runtime).handler(config).build().unwrap();
    let token = "ho_live-token-Qx7r";
    let mut said = String::new();
    let log = support::captured_log(|| said = format!("{:?}", registry.verify_blocking(token)));
    assert!(log.contains("[token]"), "the line was logged: {log}");
    assert!(said.contains("[token]"), "the message was returned: {said}");
    for text in [log, said] {
        assert!(!text.contains(token), "{text}");
    }
}

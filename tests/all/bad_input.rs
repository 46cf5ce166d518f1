//! Mistakes of clients and operators: each produces one message that names the problem, its
//! location and the remedy, and its exit status.
//!
//! A case is a file in `tests/cases/bad-input/`. It starts with lines `key: value`:
//!
//! | key | value |
//! | --- | --- |
//! | `run` | the arguments |
//! | `stdin` | a line on standard input; or `hex` and bytes, or `long` and the length of the token on it in bytes |
//! | `env` | `NAME=VALUE`, an environment variable |
//! | `without` | a file that every case has, except this one |
//! | `status` | the exit status |
//! | `stdout`, `stderr` | a line printed there; nothing is printed if omitted |
//!
//! In these lines, `{limits}`, `{rights}` and `{built-in handlers}` are the lists of their names.
//!
//! The files follow: `-- NAME MODE` and the lines of the file, or `-- NAME = CASE`, the bytes of a
//! case of `tests/hostile/`. Every case has a valid `keyward.toml` and `secret.key` unless it
//! provides its own.

use keyward_runtime::Limits;
use keyward_server::Right;
use keyward_tests::cli::Folder;
use keyward_tests::hostile;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Cases that must exist; others may be added.
const TABLE: [&str; 38] = [
    "unknown-field",
    "unknown-setting",
    "key-file-missing",
    "key-too-short",
    "key-readable-by-others",
    "prefix-claimed-twice",
    "handler-file-missing",
    "digest-mismatch",
    "keys-not-granted",
    "secrets-not-granted",
    "wasi",
    "core-module",
    "precompiled",
    "empty-file",
    "expires-after-0",
    "token-not-utf8",
    "token-of-10-mb",
    "token-as-argument",
    "no-token",
    "secret-in-the-file",
    "server-unknown-field",
    "server-listen-no-address",
    "server-same-address",
    "server-limit-of-0",
    "server-limit-header-bytes",
    "server-hosts-with-port",
    "tls-file-missing",
    "tls-key-readable-by-others",
    "client-id",
    "client-secret-in-the-file",
    "client-secret-twice",
    "client-right-unknown",
    "client-handler-missing",
    "policy-word",
    "policy-action-unknown",
    "policy-action-short",
    "policy-resource-without-database",
    "policy-path",
];

const CONFIG: &str = r#"[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
"#;

const KEY: &str = "only-for-tests-only-for-tests-only-for-test\n";

#[derive(Default)]
struct Case {
    args: Vec<String>,
    stdin: Vec<u8>,
    env: Vec<(String, String)>,
    without: Vec<String>,
    status: Option<i32>,
    stdout: String,
    stderr: String,
    files: BTreeMap<String, (Vec<u8>, u32)>,
}

#[test]
fn every_mistake_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/bad-input");
    let mut missing: BTreeSet<_> = TABLE.into_iter().collect();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        missing.remove(name);
        let case = read(&path);
        let ran = place(name, &case).run(&case.args.iter().map(String::as_str).collect::<Vec<_>>(), &case.stdin);
        if (Some(ran.status), &ran.stdout, &ran.stderr) != (case.status, &case.stdout, &case.stderr) {
            wrong.push(format!("{name}: status {}\nstdout: {}stderr: {}", ran.status, ran.stdout, ran.stderr));
        }
        if ran.status >= 2 {
            assert_eq!(ran.stderr.lines().count(), 1, "{name}: not one line");
            assert!(ran.stderr.starts_with("keyward: "), "{name}");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn the_default_configuration_is_valid() {
    let folder = place("good", &Case::default());
    let created = folder.run(&["create", "--config", "keyward.toml", "--actor", "root"], "");
    assert_eq!((created.status, created.stderr.as_str()), (0, ""));
    let verified = folder.run(&["verify", "--config", "keyward.toml"], &created.stdout);
    assert_eq!((verified.status, verified.stderr.as_str()), (0, ""));
}

/// Returns the configurations that are refused, and are text, by the name of their case.
pub(crate) fn configurations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/bad-input");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut case = read(&path);
        if !case.stderr.starts_with("keyward: keyward.toml:") {
            continue;
        }
        let config = case.files.remove("keyward.toml").and_then(|(bytes, _)| String::from_utf8(bytes).ok());
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        found.extend(config.map(|config| (name, config)));
    }
    found.sort();
    found
}

/// Creates a folder with the files of a case.
fn place(name: &str, case: &Case) -> Folder {
    let mut folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bad-input").join(name));
    let mut files = case.files.clone();
    files.entry("keyward.toml".to_owned()).or_insert_with(|| (CONFIG.into(), 0o644));
    files.entry("secret.key".to_owned()).or_insert_with(|| (KEY.into(), 0o600));
    files.retain(|name, _| !case.without.contains(name));
    for (name, (content, mode)) in files {
        folder.write(&name, content, mode);
    }
    for (name, value) in &case.env {
        folder.set(name, value);
    }
    folder
}

fn read(path: &Path) -> Case {
    let text = fs::read_to_string(path).unwrap();
    let mut case = Case::default();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with("-- ")) {
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{}: {line}", path.display()));
        let value = value.trim();
        match key {
            "run" => case.args = value.split_whitespace().map(str::to_owned).collect(),
            "stdin" => case.stdin.extend(stdin(value)),
            "env" => case.env.extend(value.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))),
            "without" => case.without.push(value.to_owned()),
            "status" => case.status = Some(value.parse().unwrap()),
            "stdout" => case.stdout += &format!("{}\n", with_lists(value)),
            "stderr" => case.stderr += &format!("{}\n", with_lists(value)),
            other => panic!("{}: unknown key `{other}`", path.display()),
        }
    }
    while let Some(line) = lines.next() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["--", name, "=", hostile] => {
                case.files.insert((*name).to_owned(), (component(hostile), 0o644));
            }
            ["--", name, mode] => {
                let mut content = String::new();
                while let Some(line) = lines.next_if(|line| !line.starts_with("-- ")) {
                    content += &format!("{line}\n");
                }
                case.files.insert((*name).to_owned(), (content.into(), u32::from_str_radix(mode, 8).unwrap()));
            }
            _ => panic!("{}: {line}", path.display()),
        }
    }
    case
}

fn with_lists(line: &str) -> String {
    let list = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let rights = list(Right::ALL.iter().map(|(name, _)| (*name).to_owned()).collect());
    let handlers = list(keyward_handlers::ALL.iter().map(|handler| format!("builtin:{}", handler.name())).collect());
    let limits = list(Limits::SETTINGS.iter().map(|name| (*name).to_owned()).collect());
    line.replace("{limits}", &limits).replace("{rights}", &rights).replace("{built-in handlers}", &handlers)
}

fn stdin(value: &str) -> Vec<u8> {
    let mut line = match value.split_once(' ') {
        Some(("hex", bytes)) => bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(),
        Some(("long", length)) => {
            let mut token = b"dstok_".to_vec();
            token.resize(length.parse().unwrap(), b'a');
            token
        }
        _ => value.as_bytes().to_vec(),
    };
    line.push(b'\n');
    line
}

fn component(name: &str) -> Vec<u8> {
    static CASES: LazyLock<Vec<hostile::Case>> = LazyLock::new(hostile::cases);
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}")).bytes.clone()
}

//! Responses of the commands to valid input: text, JSON and exit status.

use keyward_cli::{ExitStatus, Io};
use keyward_tests::cli::Folder;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

const CONFIG: &str = r#"actions_open = true
[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main", namespace = "token" }

[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.bot = { env = "BOT_TOKEN" }
settings = { actors = { bot = { z = 1, a = "é" } } }
actors = "any"

[[handlers]]
name = "looper"
component = "looper.wasm"
prefixes = ["loop_"]
actors = ["looper:*"]
limits = { cpu_ms = 5, wall_ms = 60000 }

[actions]
view-instance = "vi"
"#;

const CREATE: [&str; 5] = ["create", "--config", "keyward.toml", "--at", "1767225600"];

fn folder(name: &str) -> Folder {
    let mut folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("command-line").join(name));
    folder.write("keyward.toml", CONFIG, 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("looper.wasm", &keyward_tests::hostile::case("loop-verify").bytes, 0o644);
    folder.set("BOT_TOKEN", "bot-token");
    folder.set("KEYWARD_LOG", "error");
    folder
}

fn verify(folder: &Folder, more: &[&str], stdin: &str) -> (i32, String) {
    let ran = folder.run(&[&["verify", "--config", "keyward.toml"], more].concat(), stdin);
    assert_eq!(ran.stderr, "");
    (ran.status, ran.stdout)
}

#[test]
fn a_token_carries_what_the_options_set() {
    let folder = folder("options");
    let options = [
        "--actor",
        "ali ce",
        "--expires-after",
        "60",
        "--database",
        "d2",
        "x",
        "--all",
        "view-instance",
        "--database",
        "d1",
        "view-instance",
        "--resource",
        "d",
        "r",
        "a",
        "--all",
        "other",
        "--database",
        "d2",
        "y",
    ];
    let token = folder.run(&[&CREATE, &options[..]].concat(), "");
    assert_eq!((token.status, token.stderr.as_str()), (0, ""));
    assert_eq!(token.stdout.lines().count(), 1);
    let (status, line) = verify(&folder, &["--at", "1767225660"], &token.stdout);
    assert_eq!(status, 0);
    assert_eq!(
        line,
        "accepted by signed: {\"id\":\"ali ce\",\"token\":\"dstok\",\"_r\":{\"a\":[\"vi\",\"other\"],\
         \"d\":{\"d2\":[\"x\",\"y\"],\"d1\":[\"vi\"]},\"r\":{\"d\":{\"r\":[\"a\"]}}},\"token_expires\":1767225660}\n"
    );
    let late = (1, "rejected by signed: expired: Token has expired\n".to_owned());
    assert_eq!(verify(&folder, &["--at", "1767225660.000000001"], &token.stdout), late);
    assert_eq!(verify(&folder, &["--at", "1767225660.0", "-"], &token.stdout).0, 0);
}

/// Compiling a component of some megabytes takes seconds.
#[test]
fn compilation_is_reported_on_a_terminal() {
    let folder = folder("compilation");
    let config = folder.path().join("keyward.toml");
    let args = ["keyward", "verify", "--config"].map(OsString::from).into_iter().chain([config.into()]);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let status = keyward_cli::run(
        args,
        Io {
            stdin: &mut "bot-token\n".as_bytes(),
            stdout: &mut stdout,
            stdout_is_terminal: true,
            columns: 80,
            stderr: &mut stderr,
            stderr_is_terminal: true,
            env: &|name| (name == "BOT_TOKEN").then(|| "bot-token".into()),
            worker: keyward_tests::cli::keyward(),
        },
    );
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!((status, stderr.as_str()), (ExitStatus::Success, "\rcompiling `looper`…\u{1b}[K\r\u{1b}[K"));
}

#[test]
fn json_members_are_in_order() {
    let folder = folder("json");
    let token = folder.run(&[&CREATE, &["--json", "--actor", "root", "--expires-after", "60"][..]].concat(), "");
    let (start, rest) = token.stdout.split_once("dstok_").unwrap();
    let (text, end) = rest.split_once('"').unwrap();
    assert_eq!(start, "{\"token\":\"");
    let id = end.strip_prefix(",\"handler\":\"signed\",\"token_id\":\"").unwrap();
    let id = id.strip_suffix("\",\"expires_at\":1767225660}\n").unwrap();
    assert_eq!(id.len(), 32);

    let lines = format!("dstok_{text}\nbot-token\nnobody's\ndstok_.\n\nbot-token\r\nloop_x\n");
    let (status, answers) = verify(&folder, &["--json", "--at", "1767225600"], &lines);
    assert_eq!(status, 3, "a missing verdict is worse than a rejection");
    let answers: Vec<_> = answers.lines().collect();
    let used = answers[6].split("used ").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(
        answers,
        [
            &format!(
                "{{\"outcome\":\"accepted\",\"handler\":\"signed\",\"actor\":{{\"id\":\"root\",\"token\":\"dstok\",\
                 \"token_expires\":1767225660}},\"token_id\":\"{id}\",\"issued_at\":1767225600,\"expires_at\":1767225660}}"
            ),
            "{\"outcome\":\"accepted\",\"handler\":\"bots\",\"actor\":{\"z\":1,\"a\":\"é\"},\"token_id\":\"bot\",\
             \"issued_at\":null,\"expires_at\":null}",
            "{\"outcome\":\"not-mine\"}",
            "{\"outcome\":\"rejected\",\"handler\":\"signed\",\"reason\":\"bad-signature\",\"message\":\"Invalid token signature\"}",
            "{\"outcome\":\"not-mine\"}",
            "{\"outcome\":\"not-mine\"}",
            &format!(
                "{{\"outcome\":\"failed\",\"handler\":\"looper\",\"code\":\"limit-cpu\",\"message\":\"exceeded the CPU \
                 time limit: used {used} of 5000 µs (`limits.cpu_ms`)\"}}"
            ),
        ]
    );
}

#[test]
fn the_exit_status_is_that_of_the_worst_line() {
    let folder = folder("status");
    for (lines, status) in
        [("bot-token\nbot-token", 0), ("bot-token\nx\nbot-token", 1), ("loop_x\nx", 3), ("x\nloop_x\nbot-token", 3)]
    {
        assert_eq!(verify(&folder, &[], lines).0, status, "{lines}");
    }
}

#[test]
fn a_named_handler_sees_its_own_tokens_only() {
    let folder = folder("named");
    let not_mine = (1, "not mine\n".to_owned());
    assert_eq!(verify(&folder, &["--handler", "signed"], "bot-token"), not_mine);
    assert_eq!(verify(&folder, &["--handler", "bots"], "bot-token").0, 0);
    assert_eq!(verify(&folder, &["--handler", "bots"], "loop_x"), not_mine, "no handler was called");
    let denied = folder.run(&[&CREATE, &["--actor", "a", "--handler", "bots"][..]].concat(), "");
    assert_eq!((denied.status, denied.stdout.as_str()), (1, ""));
    assert!(denied.stderr.starts_with("keyward: denied by bots: not-permitted: "), "{}", denied.stderr);
    let denied = folder.run(&[&CREATE, &["--actor", "a", "--handler", "bots", "--json"][..]].concat(), "");
    assert_eq!(denied.status, 1);
    assert!(denied.stdout.starts_with("{\"outcome\":\"denied\",\"handler\":\"bots\",\"denial\":\"not-permitted\","));
    let host = folder.run(&[&CREATE, &["--actor", "root", "--handler", "looper"][..]].concat(), "");
    assert_eq!(host.status, 1);
    assert_eq!(host.stderr, "keyward: denied: not-permitted: handler `looper` may not vouch for this actor\n");
}

#[test]
fn check_lists_the_grants_of_a_component() {
    let folder = folder("check");
    let alone = folder.run(&["check", "looper.wasm"], "");
    assert_eq!((alone.status, alone.stderr.as_str()), (0, ""));
    let used = folder.run(&["check", "looper.wasm", "--config", "keyward.toml"], "");
    let of_handler = used.stdout.strip_prefix(&alone.stdout).unwrap();
    assert_eq!(
        of_handler,
        "handler `looper` (line 19):\n  settings: none\n  prefixes: loop_\n  actors: looper:*\n  \
         maximum lifetime: unlimited\n  limits.cpu_ms: 5 (default: 50)\n  limits.wall_ms: 60000 (default: 250)\n  not pinned; to pin it, add `sha256` with the digest above\n"
    );
    let bots = folder.run(&["check", "builtin:hardcoded", "--config", "keyward.toml"], "");
    assert!(bots.stdout.contains("  secrets: granted: bot\n"), "{}", bots.stdout);
    assert!(bots.stdout.contains("  prefixes: none; "), "{}", bots.stdout);

    folder.write("keyward.toml", CONFIG.replace("keys.token = ", "# "), 0o644);
    let missing = folder.run(&["check", "builtin:signed", "--config", "keyward.toml"], "");
    assert_eq!(missing.status, 2);
    assert!(missing.stdout.contains("  keys: NOT granted; to grant it, add `keys.LABEL = { ring = \"…\" }`\n"));
    assert!(missing.stderr.starts_with("keyward: keyward.toml:6: handler `signed`: the component imports"));
}

#[test]
fn a_configuration_is_found_without_the_option() {
    let mut folder = folder("found");
    fs::create_dir(folder.path().join("keyward-data")).unwrap();
    fs::set_permissions(folder.path().join("keyward-data"), Permissions::from_mode(0o700)).unwrap();
    let create = ["create", "--json", "--actor", "root"];
    let other = CONFIG.replace("name = \"signed\"", "name = \"other\"").replace("secret.key", "../secret.key");
    folder.write("keyward-data/keyward.toml", other.replace("looper.wasm", "../looper.wasm"), 0o644);
    folder.set("KEYWARD_CONFIG", "keyward-data/keyward.toml");
    for (file, handler) in [("keyward-data/keyward.toml", "other"), ("keyward.toml", "signed")] {
        let ran = folder.run(&create, "");
        assert_eq!((ran.status, ran.stderr), (0, format!("keyward: using {file}\n")));
        assert!(ran.stdout.contains(&format!("\"handler\":\"{handler}\"")), "{}", ran.stdout);
        folder.set("KEYWARD_CONFIG", "");
    }
    fs::remove_file(folder.path().join("keyward.toml")).unwrap();
    let ran = folder.run(&create, "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, "keyward: using keyward-data/keyward.toml\n"));
}

/// As after `| head`. The exit status is that of a process that SIGPIPE has ended.
#[test]
fn a_closed_standard_output_is_no_error() {
    let folder = folder("closed");
    for args in [&["--help"][..], &["check", "builtin:signed"], &["keys", "list", "--config", "keyward.toml"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ran = folder.command().args(args).stdin(Stdio::null()).stdout(writer).output().unwrap();
        assert_eq!((ran.status.code(), String::from_utf8(ran.stderr).unwrap().as_str()), (Some(141), ""), "{args:?}");
    }
}

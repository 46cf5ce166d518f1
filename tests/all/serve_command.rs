//! `keyward serve` as operated: start, reload, log and shutdown.

use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, Ended, wait_for};
use keyward_tests::http::{Connection, Request, Response};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

const HANDLERS: &str = r#"
[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }

[actions]
view-instance = "vi"
"#;

/// Creates a folder with a configuration and a key.
fn folder(name: &str, config: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("serve").join(name));
    folder.write("keyward.toml", config, 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder
}

/// Returns a configuration on free ports, with the client `app` and these policies.
fn config(policies: &str) -> String {
    let digest = SecretDigest::of(SECRET).to_hex();
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[policies]\n{policies}\n{HANDLERS}\n\
         [clients.app]\nsecret_sha256 = \"{digest}\"\nmay = [\"introspect\", \"verify\", \"create\"]\n"
    )
}

/// Returns the command `keyward serve` without a configuration, on free ports.
fn serve_default(folder: &Folder) -> Command {
    let mut command = folder.command();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command
}

fn create(to: SocketAddr, client: &str, secret: &str) -> Response {
    Request::json("/v1/tokens", &json!({"actor": "root"})).basic(client, secret).send(to)
}

fn verify(to: SocketAddr, client: &str, secret: &str, token: &str) -> Value {
    Request::json("/v1/verify", &json!({ "token": token })).basic(client, secret).send(to).json()
}

/// Returns whether a policy of that name exists: without a token, the status is 404 or 401.
fn has_policy(daemon: &Daemon, name: &str) -> bool {
    let answer = Request::get(&format!("/v1/auth/nginx/{name}")).send(daemon.service());
    assert!([401, 404].contains(&answer.status), "{answer:?}");
    answer.status == 401
}

/// Parses a log, which consists of JSON lines only.
fn events(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Returns the levels and messages that the server itself logged.
fn said(log: &str) -> Vec<(String, String)> {
    let text = |event: &Value, member: &str| event[member].as_str().unwrap().to_owned();
    let own = events(log).into_iter().filter(|event| event["target"] == "keyward::server");
    own.map(|event| (text(&event, "level"), text(&event, "message"))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn ended_well(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// Returns the secret that the first start has written.
fn admin_secret(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("keyward-data/admin.secret")).unwrap().trim_end().to_owned()
}

#[test]
fn the_first_start_creates_what_the_second_one_uses() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("serve/first"));
    let data = folder.path().join("keyward-data");
    let daemon = Daemon::spawn(serve_default(&folder)).unwrap();
    let stdout = daemon.stdout();
    // Standard output may be a log, so the secret is in a file instead.
    assert!(!stdout.contains("kwc_"), "{stdout}");
    assert!(stdout.contains("the client `admin`, whose secret is in keyward-data/admin.secret:"), "{stdout}");
    let secret = admin_secret(&folder);
    assert_eq!(secret.len(), 47);
    let mut files: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    // Its name contains the machine's.
    let pending = files.iter().position(|file| file.to_str().unwrap().ends_with(".pending")).unwrap();
    assert_eq!(mode(&data.join(files.remove(pending))), 0o600);
    // For third-party components: empty so far.
    let cache = data.join(files.remove(files.iter().position(|file| file == "cache").unwrap()));
    assert_eq!((mode(&cache), fs::read_dir(cache).unwrap().count()), (0o700, 0));
    let audit = ["audit.jsonl", "audit.jsonl.head"];
    let others = ["cache.key", "keyward.db", "keyward.db-shm", "keyward.db-wal", "keyward.toml", "secret.key"];
    assert_eq!(files, [&["admin.secret"], &audit[..], &others].concat());
    assert_eq!(mode(&data), 0o700);
    assert!(files.iter().all(|file| mode(&data.join(file)) == 0o600));
    let files = ["keyward.toml", "secret.key"];
    assert!(!fs::read_to_string(data.join("keyward.toml")).unwrap().contains(&secret));

    // The printed `curl` line creates a token when pasted into a shell.
    let curl = stdout.lines().find(|line| line.trim().starts_with("curl ")).unwrap();
    assert!(curl.contains("-u \"admin:$(cat keyward-data/admin.secret)\""), "{curl}");
    assert!(curl.ends_with(&format!("http://localhost:{}/v1/tokens", daemon.service().port())), "{curl}");
    let created = create(daemon.service(), "admin", &secret);
    assert_eq!(created.status, 201);
    let token = created.json()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("dstok_"));
    assert!(has_policy(&daemon, "members"));
    let ended = daemon.stop();
    ended_well(&ended);
    assert!(!ended.stderr.contains(&secret) && !ended.stderr.contains(&token), "{}", ended.stderr);

    let before = files.map(|file| fs::read(data.join(file)).unwrap());
    let daemon = Daemon::spawn(serve_default(&folder)).unwrap();
    assert_eq!(verify(daemon.service(), "admin", &secret, &token)["outcome"], "accepted");
    let ended = daemon.stop();
    ended_well(&ended);
    assert_eq!(ended.stdout.lines().count(), 3, "{}", ended.stdout);
    assert!(!ended.stdout.contains("kwc_"));
    assert_eq!(files.map(|file| fs::read(data.join(file)).unwrap()), before);
}

#[test]
fn an_interrupted_first_start_is_completed() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("serve/half"));
    let data = folder.path().join("keyward-data");
    fs::create_dir(&data).unwrap();
    // An existing key is kept; an incomplete file is not a configuration.
    folder.write("keyward-data/secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("keyward-data/keyward.new", "[server]\nlisten", 0o644);
    folder.write("keyward-data/admin.secret", "kwc_of-the-interrupted-start", 0o644);
    let daemon = Daemon::spawn(serve_default(&folder)).unwrap();
    assert_eq!(create(daemon.service(), "admin", &admin_secret(&folder)).status, 201);
    ended_well(&daemon.stop());
    let key = fs::read_to_string(data.join("secret.key")).unwrap();
    assert_eq!(key, "only-for-tests-only-for-tests-only-for-test\n");
    assert!(["keyward.toml", "admin.secret"].iter().all(|file| mode(&data.join(file)) == 0o600));
    assert!(!data.join("keyward.new").exists());

    let other = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("serve/no-folder"));
    other.write("keyward-data", "", 0o644);
    let ran = other.run(&["serve"], "");
    let sentence = "keyward: keyward-data/keyward.toml cannot be created (not a directory): use another folder, or specify a \
                    configuration with `--config`\n";
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (2, "", sentence));
}

/// Anyone with write access could replace the configuration and the key.
#[test]
fn a_folder_that_others_can_write_is_refused() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("serve").join("shared"));
    let data = folder.path().join("keyward-data");
    fs::create_dir(&data).unwrap();
    for others in [0o777, 0o770, 0o702] {
        fs::set_permissions(&data, fs::Permissions::from_mode(others)).unwrap();
        let ended = Daemon::spawn(serve_default(&folder)).unwrap_err();
        let sentence = "keyward: keyward-data can be written by others: run `chmod 700 keyward-data`, or specify a configuration with \
                        `--config`\n";
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(2), "", sentence));
        assert!(fs::read_dir(&data).unwrap().next().is_none());
    }
}

#[test]
fn a_new_client_is_accepted() {
    let folder = folder("client", &config(""));
    let made = folder.run(&["client", "the-app_1"], "");
    assert_eq!((made.status, made.stderr.as_str()), (0, ""));
    let lines: Vec<_> = made.stdout.lines().collect();
    let secret = lines.iter().find(|line| line.starts_with("kwc_")).unwrap();
    assert_eq!(secret.len(), 47);
    let at = lines.iter().position(|line| *line == "[clients.the-app_1]").unwrap();
    let table = lines[at..].join("\n");
    assert!(!table.contains(secret));
    assert_ne!(folder.run(&["client", "the-app_1"], "").stdout, made.stdout, "each secret is different");

    folder.write("keyward.toml", format!("{}\n{table}\n", config("")), 0o644);
    let daemon = Daemon::start(&folder, "keyward.toml");
    let ask =
        |secret: &str| Request::form("/v1/introspect", "token=x").basic("the-app_1", secret).send(daemon.service());
    assert_eq!((ask(secret).status, ask(secret).text()), (200, "{\"active\":false}"));
    assert_eq!(ask(SECRET).status, 401, "the secret of another client");
    assert_eq!(create(daemon.service(), "the-app_1", secret).status, 403, "it may introspect only");
    ended_well(&daemon.stop());
}

#[test]
fn a_signal_or_a_changed_file_triggers_a_reload() {
    let folder = folder("reload", &config("old = \"any\""));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let token = create(daemon.service(), "app", SECRET).json()["token"].as_str().unwrap().to_owned();
    let outcome = |token: &str| verify(daemon.service(), "app", SECRET, token)["outcome"].as_str().unwrap().to_owned();
    assert!(has_policy(&daemon, "old") && !has_policy(&daemon, "new"));

    folder.write("keyward.toml", config("new = \"any\""), 0o644);
    daemon.signal(Signal::HUP);
    wait_for("the signal to take effect", || has_policy(&daemon, "new"));
    assert!(!has_policy(&daemon, "old"));
    assert_eq!(outcome(&token), "accepted");

    // Reloads are automatic from here on. Editors replace a file by renaming.
    folder.write("other.toml", config("newer = \"any\""), 0o644);
    fs::rename(folder.path().join("other.toml"), folder.path().join("keyward.toml")).unwrap();
    wait_for("the changed configuration to take effect", || has_policy(&daemon, "newer"));
    // A file that the configuration names.
    folder.write("secret.key", "another-one-another-one-another-one-another\n", 0o600);
    wait_for("the changed key to take effect", || outcome(&token) == "rejected");
    // A file that the configuration did not name before.
    let rotated =
        config("newer = \"any\"").replace("secret.key\" }", "secret.key\" }\nprevious = [{ file = \"old.key\" }]");
    folder.write("old.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("keyward.toml", rotated, 0o644);
    wait_for("the old key to take effect again", || outcome(&token) == "accepted");
    folder.write("old.key", "some-other-old-one-some-other-old-one-some-\n", 0o600);
    wait_for("the changed old key to take effect", || outcome(&token) == "rejected");
    // The change takes effect shortly before it is logged.
    let loaded = || said(&daemon.stderr()).iter().filter(|(_, event)| event == "configuration reloaded").count();
    wait_for("all reloads to be logged", || loaded() >= 5);

    let ended = daemon.stop();
    ended_well(&ended);
    let said = said(&ended.stderr);
    assert_eq!(said.first(), Some(&("INFO".into(), "started".into())));
    assert_eq!(said.last(), Some(&("INFO".into(), "stopped".into())));
    let between = &said[1..said.len() - 1];
    assert!(between.iter().all(|event| *event == ("INFO".into(), "configuration reloaded".into())), "{said:?}");
    assert!(between.len() >= 5, "{said:?}");
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_why() {
    let folder = folder("reload-fails", &config("old = \"any\""));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let why = |log: &str| {
        let errors = events(log).into_iter().filter(|event| event["level"] == "ERROR");
        errors.map(|event| format!("{}: {}", event["message"], event["error"])).collect::<Vec<_>>()
    };
    let refused = |number: usize, words: &str| {
        wait_for("the reload to fail", || why(&daemon.stderr()).len() >= number);
        let last = why(&daemon.stderr()).pop().unwrap();
        assert!(last.contains("reload failed; keeping the previous configuration") && last.contains(words), "{last}");
        assert_eq!(why(&daemon.stderr()).len(), number, "logged once");
        let ready = Request::get("/readyz").send(daemon.admin());
        let text = ready.text();
        assert!(text.starts_with("ok\nreload failed; keeping the previous configuration: "), "{text}");
        assert!(ready.status == 200 && text.contains(words), "{text}");
        let metrics = Request::get("/metrics").send(daemon.admin());
        let failures = format!("\nkeyward_reload_failures_total {number}\n");
        assert!(metrics.text().contains(&failures), "{}", metrics.text());
        assert!(has_policy(&daemon, "old"));
        assert_eq!(create(daemon.service(), "app", SECRET).status, 201);
    };
    folder.write("keyward.toml", config("old = \"any\"\nnew = \"all\""), 0o644);
    daemon.signal(Signal::HUP);
    refused(1, "keyward.toml:6: a policy is");
    folder.write("keyward.toml", config("new = \"any\"").replace("dstok_", "dst ok_"), 0o644);
    daemon.signal(Signal::HUP);
    refused(2, "keyward.toml:");
    // The remaining reloads are automatic.
    folder.write("keyward.toml", config("new = \"any\""), 0o644);
    wait_for("the valid configuration", || has_policy(&daemon, "new"));
    wait_for("the failure to be over", || Request::get("/readyz").send(daemon.admin()).text() == "ok\n");
    folder.write("keyward.toml", config("old = \"any\""), 0o644);
    wait_for("the old configuration", || has_policy(&daemon, "old"));
    let key = folder.path().join("secret.key");
    fs::rename(&key, folder.path().join("away")).unwrap();
    refused(3, "there is no file secret.key");
    fs::rename(folder.path().join("away"), &key).unwrap();
    // The recovery is detected.
    let good = said(&daemon.stderr()).iter().filter(|(_, message)| message == "configuration reloaded").count();
    wait_for("the restored key", || {
        said(&daemon.stderr()).iter().filter(|(_, message)| message == "configuration reloaded").count() > good
    });
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(4, "secret.key can be read or written by others");
    fs::remove_file(folder.path().join("keyward.toml")).unwrap();
    refused(5, "there is no file keyward.toml");
    ended_well(&daemon.stop());
}

#[test]
fn a_setting_that_requires_a_restart_is_named() {
    let folder = folder("restart", &config("old = \"any\""));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let changed = config("new = \"any\"")
        .replace("admin = \"127.0.0.1:0\"", "admin = \"127.0.0.2:0\"\nlimits.connections = 7\nlimits.batch = 1");
    folder.write("keyward.toml", changed, 0o644);
    daemon.signal(Signal::HUP);
    wait_for("the reload", || has_policy(&daemon, "new"));
    let warned = || {
        let warnings = events(&daemon.stderr()).into_iter().filter(|event| event["level"] == "WARN");
        warnings.map(|event| event["setting"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_for("both warnings", || warned().len() >= 2);
    assert_eq!(warned(), ["server.admin", "server.limits.connections"]);
    // Settings that require no restart have taken effect.
    let two = Request::json("/v1/verify", &json!({"tokens": ["a", "b"]})).basic("app", SECRET);
    assert_eq!(two.send(daemon.service()).status, 400);
    ended_well(&daemon.stop());
}

#[test]
fn a_signal_stops_the_daemon_after_open_requests() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder("drain", &config(""));
        let daemon = Daemon::start(&folder, "keyward.toml");
        let request = Request::json("/v1/verify", &json!({"token": "x"})).basic("app", SECRET).to_bytes();
        let (head, rest) = request.split_at(request.len() - 5);
        let mut connection = Connection::open(daemon.service()).unwrap();
        // The response to an earlier request on the connection proves that the daemon reads this
        // one.
        let first = Request::get("/v1/actor");
        connection.send([&first.to_bytes(), head].concat()).unwrap();
        assert_eq!(connection.answer(false).unwrap().status, 200);
        daemon.signal(signal);
        wait_for("new connections to be refused", || TcpStream::connect(daemon.service()).is_err());
        connection.send(rest).unwrap();
        let answer = connection.answer(false).unwrap();
        assert_eq!((answer.status, &answer.json()["outcome"]), (200, &json!("not-mine")));
        let ended = daemon.wait();
        ended_well(&ended);
        assert_eq!(said(&ended.stderr).last(), Some(&("INFO".into(), "stopped".into())));
    }
}

/// Otherwise the daemon would wait an hour for the rest of the request.
#[test]
fn a_second_signal_stops_the_daemon_at_once() {
    let patient = "[server.limits]\ndrain_seconds = 3600\nbody_seconds = 3600\n[policies]";
    let folder = folder("twice", &config("").replacen("[policies]", patient, 1));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let request = Request::json("/v1/verify", &json!({"token": "x"})).basic("app", SECRET).to_bytes();
    let mut connection = Connection::open(daemon.service()).unwrap();
    connection.send([&Request::get("/v1/actor").to_bytes(), &request[..request.len() - 5]].concat()).unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    daemon.signal(Signal::INT);
    wait_for("new connections to be refused", || TcpStream::connect(daemon.service()).is_err());
    daemon.signal(Signal::INT);
    let ended = daemon.wait();
    ended_well(&ended);
    let (level, text) = said(&ended.stderr).pop().unwrap();
    assert!(level == "WARN" && text.starts_with("stopped at once"), "{level} {text}");
}

/// Two daemons of one configuration, on two ports, are two nodes.
#[test]
fn the_address_of_the_option_names_the_node() {
    let folder = folder("node", &format!("[audit]\nfile = \"audit.jsonl\"\n{}", config("")));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = folder.command();
    command.args(["serve", "--config", "keyward.toml", "--listen", &format!("127.0.0.1:{port}")]);
    let daemon = Daemon::spawn(command).unwrap();
    assert_eq!(daemon.service().port(), port);
    ended_well(&daemon.stop());
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(&format!("-{port}\"")), "{audit}");
}

#[test]
fn an_address_in_use_is_a_usage_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = listener.local_addr().unwrap().to_string();
    let folder = folder("in-use", &config("").replacen("127.0.0.1:0", &in_use, 1));
    let sentence = |text: &str| format!("keyward: {text}\n");
    let run = |args: &[&str]| {
        let ran = folder.run(&[&["serve"], args].concat(), "");
        (ran.status, ran.stdout, ran.stderr)
    };
    let stop = "is in use: stop the program that uses it, or change";
    let wanted = format!("keyward.toml:2: the address {in_use} {stop} `listen`");
    assert_eq!(run(&["--config", "keyward.toml"]), (2, String::new(), sentence(&wanted)));
    let wanted = format!("the address {in_use} {stop} `--admin`");
    let args = ["--config", "keyward.toml", "--listen", "127.0.0.1:0", "--admin", &in_use];
    assert_eq!(run(&args), (2, String::new(), sentence(&wanted)));
    let wanted = "keyward.toml:2: the address 192.0.2.1:1 is not an address of this machine: change `listen`";
    folder.write("keyward.toml", config("").replacen("127.0.0.1:0", "192.0.2.1:1", 1), 0o644);
    assert_eq!(run(&["--config", "keyward.toml"]), (2, String::new(), sentence(wanted)));
}

#[test]
fn a_certificate_enables_tls_and_check_reads_it() {
    let tls = "tls = { certificate = \"tls.pem\", key = \"tls.key\" }\n[policies]";
    let folder = folder("tls", &config("").replace("[policies]", tls));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("tls.pem", made.cert.pem(), 0o644);
    folder.write("tls.key", made.signing_key.serialize_pem(), 0o600);
    let check = || folder.run(&["check", "builtin:signed", "--config", "keyward.toml"], "");
    assert_eq!((check().status, check().stderr.as_str()), (0, ""));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let lines = daemon.stdout();
    let lines: Vec<_> = lines.lines().map(|line| line.rsplit_once(':').unwrap().0).collect();
    assert_eq!(lines, ["keyward: listening on https://127.0.0.1", "keyward: admin on http://127.0.0.1"]);
    ended_well(&daemon.stop());

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    folder.write("tls.key", other.signing_key.serialize_pem(), 0o600);
    let sentence = "keyward: keyward.toml:4: `tls`: the certificate and the key do not match\n";
    assert_eq!((check().status, check().stderr.as_str()), (2, sentence));
    let ran = folder.run(&["serve", "--config", "keyward.toml"], "");
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (2, "", sentence));
}

#[test]
fn connections_are_limited_by_open_files() {
    let folder = folder("files", &config("old = \"any\""));
    let mut command = folder.command();
    let keyward = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 100 && exec \"$0\" serve --config keyward.toml"]).arg(&keyward);
    shell.current_dir(folder.path()).env_clear();
    command = shell;
    let daemon = Daemon::spawn(command).unwrap();
    assert!(has_policy(&daemon, "old"));
    let ended = daemon.stop();
    ended_well(&ended);
    let warning = events(&ended.stderr).into_iter().find(|event| event["level"] == "WARN").unwrap();
    assert_eq!((&warning["wanted"], &warning["connections"]), (&json!(16_384), &json!(36)));
    assert!(warning["message"].as_str().unwrap().contains("100 open files"), "{warning}");
}

#[test]
fn decisions_are_logged_at_every_level() {
    let mut folder = folder("level", &config("old = \"any\""));
    for (level, own) in [("error", false), ("warn", false), ("info", true), ("", true)] {
        folder.set("KEYWARD_LOG", level);
        let daemon = Daemon::start(&folder, "keyward.toml");
        assert_eq!(create(daemon.service(), "app", SECRET).status, 201);
        let ended = daemon.stop();
        let events = events(&ended.stderr);
        let audit: Vec<_> = events.iter().filter(|event| event["target"] == "keyward::decision").collect();
        assert_eq!(audit.len(), 1, "{level}");
        assert_eq!((&audit[0]["outcome"], &audit[0]["client"]), (&json!("created"), &json!("app")));
        assert!(audit[0]["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(events.iter().any(|event| event["message"] == "started"), own, "{level}");
    }
}

/// Starts a daemon whose standard error is a pipe that is not being read, and returns it and that
/// pipe.
fn unread(name: &str) -> (Daemon, fs::File) {
    let folder = folder(name, &config("old = \"any\""));
    let pipe = folder.path().join("log");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Opened for writing as well, so that opening does not block and the pipe never closes.
    let reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut shell = Command::new("sh");
    let keyward = folder.command().get_program().to_owned();
    shell.args(["-c", "exec \"$0\" serve --config keyward.toml 2>log"]).arg(&keyward);
    shell.current_dir(folder.path()).env_clear();
    (Daemon::spawn(shell).unwrap(), reader)
}

/// Makes `times` times a hundred decisions, and returns their number.
fn decide(daemon: &Daemon, times: u64) -> u64 {
    let tokens: Vec<_> = (0..100).map(|number| format!("nobody's {number}")).collect();
    let request = Request::json("/v1/verify", &json!({ "tokens": tokens })).basic("app", SECRET);
    let mut connection = Connection::open(daemon.service()).unwrap();
    for _ in 0..times {
        let answer = connection.ask(&request).unwrap();
        assert_eq!((answer.status, answer.json()["outcomes"].as_array().unwrap().len()), (200, 100));
    }
    100 * times
}

#[test]
fn an_unread_log_blocks_neither_calls_nor_the_shutdown() {
    let (daemon, reader) = unread("unread");
    // Far more than a pipe buffers.
    decide(&daemon, 20);
    assert!(has_policy(&daemon, "old"));
    ended_well(&daemon.stop());
    drop(reader);
}

#[test]
fn dropped_lines_are_counted_and_reported() {
    let (daemon, mut reader) = unread("lost");
    // Far more than the daemon buffers.
    let decisions = decide(&daemon, 240);
    let log = Arc::new(Mutex::new(Vec::new()));
    let shared = log.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = reader.read(&mut buffer) {
            shared.lock().unwrap().extend(&buffer[..count]);
        }
    });
    let lines = || {
        let text = String::from_utf8(log.lock().unwrap().clone()).unwrap();
        let whole = text.rsplit_once('\n').map(|(lines, _)| lines.to_owned()).unwrap_or_default();
        events(&whole)
    };
    // Each such line has the total up to now.
    let lost = || {
        let lines = lines();
        let told = lines.iter().rev().find(|event| event["target"] == "keyward::log");
        told.map_or(0, |event| event["lines"].as_u64().unwrap())
    };
    let written = || lines().iter().filter(|event| event["target"] == "keyward::decision").count() as u64;
    wait_for("all decisions to be written or reported as dropped", || written() + lost() == decisions);
    assert!(lost() > 0);
    ended_well(&daemon.stop());
}

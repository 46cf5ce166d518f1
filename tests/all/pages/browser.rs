//! The pages in a real browser: what people do there, with every kind of input and on every kind of
//! screen, and what pages of other origins try. `tests/clients/pages/` has the steps.

use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::Request;
use keyward_tests::peers;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:PORT"
admin = "127.0.0.1:0"

[pages]

[clients.app]
secret_sha256 = "DIGEST"
may = ["create", "verify"]

[keys.main]
keys = [{ id = "2026-11", file = "secret.key", state = "active" }]

[store]
sqlite = "keyward.db"

[audit]
file = "audit.jsonl"

[[handlers]]
name = "stored"
component = "builtin:stored"
prefixes = ["acme_api_"]
settings = { prefix = "acme_api_" }
store = true
limits.wall_ms = 60000

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
limits.wall_ms = 60000

[actions]
insert-row = "ir"
view-database = "vd"
view-instance = "vi"
view-table = "vt"
"#;

/// The settings of a visit as bits, so that each pair of values of two settings occurs. With
/// `KEYWARD_SOAK_SECONDS`, all of them do.
const RUNS: [u8; 5] = [0b0000, 0b0111, 0b1011, 0b1101, 0b1110];

/// Number of tokens of the actor `many`, on two pages.
const MANY: usize = 30;

/// An id and a description that are HTML, with characters that change the direction of text or
/// cannot be seen.
const STRANGE: &str = "<b onclick=alert(1)>\u{202e}nna\u{200b}</b>\"'&";
const STRANGE_TEXT: &str = "<img src=x onerror=alert(1)> \u{202e}gnp.\u{2066}WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW";

#[test]
fn people_manage_their_tokens_in_a_browser() {
    let Some(chromium) = Chromium::find() else { return };
    let service = Service::start("flows");
    for number in 0..MANY {
        service.create(&json!({"actor": "many", "handler": "stored", "description": format!("number {number}")}));
    }
    let is_soak = env::var_os("KEYWARD_SOAK_SECONDS").is_some();
    let all = if is_soak { (0..16).collect() } else { RUNS.to_vec() };
    let runs = all.iter().map(|run| {
        let has = |bit: u8| run & bit != 0;
        let (actor, scheme) = (format!("ann-{run}"), if has(1) { "dark" } else { "light" });
        let (width, mouse, scripts) = (if has(2) { 320 } else { 1280 }, !has(4), !has(8));
        json!({
            "name": format!("scripts: {scripts}, mouse: {mouse}, {width} px, {scheme}"),
            "actor": actor,
            "link": service.link(&actor),
            "many": service.link("many"),
            "scripts": scripts,
            "mouse": mouse,
            "width": width,
            "scheme": scheme,
        })
    });
    let visits = chromium.run(&service, json!({"name": "flows", "runs": runs.collect::<Vec<_>>()}));
    let visits = visits.as_array().unwrap();
    assert_eq!(visits.len(), all.len());
    let wrong: Vec<_> = visits.iter().filter(|visit| visit["wrong"] != json!([])).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    let mut secrets = Vec::new();
    for (visit, run) in visits.iter().zip(all) {
        let mut tokens = service.tokens(&format!("ann-{run}"));
        tokens.sort_by_key(|token| format!("{} {}", token["handler"], token["status"]));
        let seen: Vec<_> = tokens.iter().map(|token| json!([token["handler"], token["status"]])).collect();
        assert_eq!(json!(seen), json!([["signed", "active"], ["stored", "active"], ["stored", "revoked"]]), "{visit}");
        let rights = json!({"a": ["vi"], "d": {"blog": ["vt"]}});
        for token in tokens.iter().filter(|token| token["handler"] == "stored") {
            assert_eq!((&token["description"], &token["restrictions"]), (&json!("Import"), &rights), "{visit}");
        }
        let found: Vec<(String, u64, u64)> = serde_json::from_value(visit["secrets"].clone()).unwrap();
        // The first one is valid for five minutes. The second one replaces it, and is revoked.
        let valid: Vec<_> = found.iter().map(|(secret, ..)| service.is_valid(secret)).collect();
        assert_eq!(valid, [true, false, true], "{visit}");
        for (secret, responses, others) in found {
            assert_eq!((responses, others), (1, 0), "responses, and other places: {secret}, {}", visit["name"]);
            secrets.push(secret);
        }
    }
    service.keeps_no_secret(&secrets);
}

#[test]
fn pages_of_other_origins_change_no_token() {
    let Some(chromium) = Chromium::find() else { return };
    let service = Service::start("attacks");
    let created = service.create(&json!({"actor": "ann", "handler": "stored", "description": "Import"}));
    service.create(&json!({
        "actor": STRANGE,
        "handler": "stored",
        "description": STRANGE_TEXT,
        "restrictions": {"resource": {"\"><svg onload=alert(1)>": {"<b>\u{202e}x</b>": ["view-table"]}}},
    }));
    let result = chromium.run(
        &service,
        json!({
            "name": "attacks",
            "link": service.link("ann"),
            "path": format!("/tokens/of/stored/{}", created["token_id"].as_str().unwrap()),
            "foreign": service.link("mallory"),
            "strange": {"link": service.link(STRANGE), "actor": STRANGE, "description": STRANGE_TEXT},
        }),
    );
    assert_eq!(result["wrong"], json!([]), "{result:#}");

    let requests = result["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 2 * 6 * 8);
    for request in requests {
        let fine: &[Option<u64>] = match request["way"].as_str().unwrap() {
            "form" | "form with _method" | "form in a sandbox" => &[Some(403)],
            "form as text/plain" => &[Some(415)],
            // A page with a form, or none.
            "form with GET" => &[Some(200), Some(404)],
            // The browser keeps the response from the page.
            _ => &[None],
        };
        assert!(fine.contains(&request["status"].as_u64()), "{request}");
        // The cookie of the person is sent by another origin of the same site: it protects nothing.
        if request["way"] == "form" {
            assert_eq!(request["cookie"], request["host"] == "localhost", "{request}");
        }
    }
    let tokens = service.tokens("ann");
    let [token] = &tokens[..] else { panic!("{tokens:?}") };
    assert_eq!((&token["description"], &token["status"]), (&json!("Import"), &json!("active")));
    assert!(service.is_valid(created["token"].as_str().unwrap()));
    assert_eq!((service.tokens("mallory").len(), service.tokens(STRANGE).len()), (0, 2));
}

/// With `KEYWARD_BLESS`, the pictures in `docs/pages/` are taken again.
#[test]
fn pictures_are_taken_for_the_documentation() {
    /// Maximum size of a picture.
    const SIZE: u64 = 60 << 10;
    if env::var_os("KEYWARD_BLESS").is_none() {
        return;
    }
    let Some(chromium) = Chromium::find() else { return };
    let service = Service::start("pictures");
    let create = |description: &str, days: u64, restrictions: Value| {
        // Tokens of one second have any order.
        thread::sleep(Duration::from_secs(1));
        service.create(&json!({
            "actor": "alice",
            "handler": "stored",
            "description": description,
            // Days are rounded down.
            "expires_after": days * 86_400 + 3_600,
            "restrictions": restrictions,
        }))
    };
    let old = create("Laptop", 365, Value::Null);
    service.says(&["tokens", "revoke", "--handler", "stored", "--id", old["token_id"].as_str().unwrap()]);
    create("Nightly import of orders", 3, json!({"resource": {"shop": {"orders": ["insert-row"]}}}));
    create("Dashboard in the office", 90, json!({"all": ["view-instance", "view-table"]}));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pages");
    fs::create_dir_all(&folder).unwrap();
    let task = json!({
        "name": "pictures",
        "folder": folder,
        "link": service.link("alice"),
        "narrow_link": service.link("alice"),
    });
    assert_eq!(chromium.run(&service, task)["wrong"], json!([]));
    for picture in folder.read_dir().unwrap() {
        let picture = picture.unwrap();
        assert!(picture.metadata().unwrap().len() < SIZE, "{picture:?}");
    }
}

/// The browser with what drives it.
struct Chromium {
    node: PathBuf,
    args: [PathBuf; 4],
}

impl Chromium {
    fn find() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/pages.mjs");
        let packages = (peers::node_package("playwright-core"), peers::node_package("axe-core"));
        match (peers::program("node"), peers::program("chromium"), packages) {
            (Some(node), Some(chromium), (Some(playwright), Some(axe))) => {
                Some(Self { node, args: [script, chromium, playwright, axe] })
            }
            _ => {
                peers::skip("the pages in Chromium", "it, Node.js, playwright-core or axe-core is not installed");
                None
            }
        }
    }

    /// Runs a task of the script, and returns its result.
    fn run(&self, service: &Service, mut task: Value) -> Value {
        task["site"] = json!(service.site);
        // Not in the folder of the service, whose files are searched.
        let profile = tempfile::TempDir::new().unwrap();
        task["profile"] = json!(profile.path());
        let mut child = Command::new(&self.node)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A daemon with pages.
struct Service {
    folder: Folder,
    daemon: Daemon,
    /// The origin of the pages.
    site: String,
}

impl Service {
    fn start(name: &str) -> Self {
        let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages").join(name));
        // A link has the port, which must be known without the daemon.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap();
        let port = free.port().to_string();
        let config = CONFIG.replace("PORT", &port).replace("DIGEST", &SecretDigest::of(SECRET).to_hex());
        folder.write("keyward.toml", config, 0o644);
        folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
        let daemon = Daemon::start(&folder, "keyward.toml");
        Self { folder, daemon, site: format!("http://localhost:{port}") }
    }

    /// Runs a command, and returns its output.
    fn says(&self, args: &[&str]) -> String {
        let ran = self.folder.run(&[args, &["--config", "keyward.toml"]].concat(), "");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{args:?}");
        ran.stdout
    }

    /// Creates a link that signs in an actor.
    fn link(&self, actor: &str) -> String {
        self.says(&["login", "--actor", actor]).trim_end().to_owned()
    }

    /// Returns the records of an actor's tokens, the newest first.
    fn tokens(&self, actor: &str) -> Vec<Value> {
        let list = self.says(&["tokens", "list", "--actor", actor, "--json"]);
        list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn create(&self, request: &Value) -> Value {
        let created = Request::json("/v1/tokens", request).basic("app", SECRET).send(self.daemon.service());
        assert_eq!(created.status, 201, "{created:?}");
        created.json()
    }

    fn is_valid(&self, token: &str) -> bool {
        let request = Request::json("/v1/verify", &json!({ "token": token })).basic("app", SECRET);
        request.send(self.daemon.service()).json()["outcome"] == "accepted"
    }

    /// Checks that no secret is in the output of the daemon, or in any of its files.
    fn keeps_no_secret(self, secrets: &[String]) {
        let ended = self.daemon.stop();
        let files = self.folder.path().read_dir().unwrap().map(|file| file.unwrap().path());
        let files = files.map(|path| (path.display().to_string(), fs::read(path).unwrap()));
        let outputs = [("stdout", ended.stdout), ("stderr", ended.stderr)];
        let outputs = outputs.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        let all: Vec<_> = files.chain(outputs).collect();
        assert!(all.iter().any(|(name, _)| name.ends_with("audit.jsonl")), "{:?}", self.folder);
        for (name, bytes) in all {
            for secret in secrets {
                assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{name}: {secret}");
            }
        }
    }
}

//! A real Datasette with the plugin of `examples/datasette`, in front of a Keyward daemon.

use crate::sessions::Api;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Request, Response};
use keyward_tests::{hostile, peers};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SECRET: &str = "the secret of this Datasette, long enough";

#[test]
fn datasette_and_keyward_accept_each_others_tokens() {
    let Some(site) = Site::new("tokens") else { return };
    let keyward = site.keyward();
    let datasette = site.datasette(&keyward);
    let ann = json!({"id": "ann", "token": "dstok"});

    // Datasette's own command creates tokens offline, and Keyward accepts them.
    let own = site.run(&["create-token", "ann"]);
    assert_eq!(datasette.actor(&own), ann);
    assert_eq!(site.verify(&own)["actor"], ann);
    let restricted = site.run(&["create-token", "ann", "--resource", "shop", "orders", "view-table", "-e", "3600"]);
    let actor = datasette.actor(&restricted);
    assert_eq!(actor["_r"], json!({"r": {"shop": {"orders": ["vt"]}}}));
    assert!(actor["token_expires"].is_u64(), "{actor}");

    // Keyward creates tokens that a Datasette without Keyward accepts, so that the migration can be
    // undone.
    let made = site.create(&["--actor", "ann", "--all", "view-instance"]);
    let actor = json!({"id": "ann", "token": "dstok", "_r": {"a": ["vi"]}});
    assert_eq!(datasette.actor(&made), actor);
    assert_eq!(site.actor_without_keyward(&made), actor);

    // Datasette's plugin interface creates tokens through Keyward.
    let made = datasette.get("/-/test-token?expires_after=60").text().to_owned();
    let actor = datasette.actor(&made);
    assert_eq!((&actor["id"], &actor["_r"]), (&json!("cid"), &json!({"r": {"shop": {"orders": ["vt"]}}})));
    assert_eq!(site.actor_without_keyward(&made), actor);
    assert!(keyward.stderr().contains(r#""endpoint":"tokens""#), "Keyward was not called");
    // A denied creation becomes a ValueError of the plugin.
    let refused = datasette.get("/-/test-token?expires_after=-1");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("expires_after"), "{refused:?}");

    // Datasette's page creates tokens itself, and refuses to do so for a token.
    let cookie = format!("ds_actor={}", datasette.get("/-/test-cookie").text());
    let page = Request::form("/-/create-token", "expire_type=").header("Cookie", cookie).send(datasette.address);
    let token = page.text().split_once("dstok_").map(|(_, rest)| rest.split(['"', '<']).next().unwrap_or_default());
    let token = format!("dstok_{}", token.unwrap_or_else(|| panic!("{page:?}")));
    assert_eq!(datasette.actor(&token)["id"], "dora");
    assert_eq!(datasette.with_token(&token, "/-/create-token").status, 403);

    // All of these requests used persistent connections.
    let metrics = Request::get("/metrics").send(keyward.admin());
    let open = metrics.text().lines().find_map(|line| line.strip_prefix("keyward_connections "));
    assert_eq!(open, Some("1"), "{}", metrics.text());
}

#[test]
fn datasette_rejects_what_keyward_rejects() {
    let Some(site) = Site::new("refused") else { return };
    let keyward = site.keyward();
    let datasette = site.datasette(&keyward);
    let good = site.run(&["create-token", "ann"]);

    let expired = site.create(&["--actor", "ann", "--expires-after", "1", "--at", "1000000000"]);
    let future = site.create(&["--actor", "ann", "--at", "4000000000"]);
    for (token, told) in [
        (format!("{good}x"), "Invalid token signature"),
        ("dstok_".to_owned(), "Invalid token signature"),
        (expired, "Token has expired"),
        // Datasette itself would accept it.
        (future, "Token was issued in the future"),
    ] {
        for path in ["/-/actor.json", "/", "/no-such-page"] {
            let response = datasette.with_token(&token, path);
            let body: Value = serde_json::from_str(response.text()).unwrap();
            assert_eq!((response.status, body["error"].as_str()), (401, Some(told)), "{path}");
            assert_eq!(response.header("www-authenticate"), Some(r#"Bearer error="invalid_token""#));
        }
    }

    // Tokens of other handlers are left to them, and a token of no handler is accepted by none.
    assert_eq!(datasette.actor("other_token"), json!({"id": "of another handler"}));
    assert_eq!(datasette.actor("nobodys_token"), Value::Null);

    // Datasette enforces the restrictions of a token.
    let orders = site.create(&["--actor", "ann", "--resource", "shop", "orders", "view-table"]);
    for (path, status) in [("/shop/orders.json", 200), ("/shop/people.json", 403), ("/shop.json", 403), ("/.json", 403)]
    {
        assert_eq!(datasette.with_token(&orders, path).status, status, "{path}");
        assert_eq!(datasette.with_token(&good, path).status, 200, "{path}");
    }

    // A missing verdict is neither an acceptance nor the client's fault.
    datasette.gives_no_verdict("ho_loop");
    assert_eq!(datasette.actor(&good)["id"], "ann");
    let ended = keyward.stop();
    datasette.gives_no_verdict(&good);
    datasette.gives_no_verdict("other_token");
    assert_eq!(datasette.get("/-/actor.json").status, 200);

    let log = ended.stderr + &datasette.stop();
    for secret in [&good, &orders, &site.secret, SECRET] {
        assert!(!log.contains(secret), "the logs contain {secret}:\n{log}");
    }
}

/// The differences that `docs/datasette.md` lists.
#[test]
fn keyward_rejects_odd_tokens_that_datasette_accepts() {
    let Some(site) = Site::new("odd") else { return };
    let keyward = site.keyward();
    let datasette = site.datasette(&keyward);
    let tokens: Value = serde_json::from_str(datasette.get("/-/test-odd-tokens").text()).unwrap();
    for row in tokens.as_array().unwrap() {
        let status = datasette.with_token(row["token"].as_str().unwrap(), "/-/actor.json").status;
        assert_eq!(status, if row["is_accepted"] == json!(true) { 200 } else { 401 }, "{}", row["name"]);
    }
}

#[test]
fn https_requires_a_trusted_certificate() {
    let Some(site) = Site::new("https") else { return };
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    site.folder.write("tls.pem", cert.pem(), 0o644);
    site.folder.write("tls.key", signing_key.serialize_pem(), 0o600);
    let tls = "[server]\ntls = { certificate = \"tls.pem\", key = \"tls.key\" }";
    site.configure(&site.config.replace("[server]", tls));
    let keyward = site.keyward();
    let token = site.run(&["create-token", "ann"]);

    let url = format!("https://localhost:{}", keyward.service().port());
    for (trusts, url) in [(true, &url), (false, &url), (true, &url.replace("localhost", "127.0.0.1"))] {
        let mut command = site.serve(url);
        if trusts {
            command.env("SSL_CERT_FILE", site.folder.path().join("tls.pem"));
        }
        let datasette = Datasette::start(&mut command, site.folder.path());
        if trusts && url.contains("localhost") {
            assert_eq!(datasette.actor(&token)["id"], "ann");
        } else {
            datasette.gives_no_verdict(&token);
        }
    }
}

/// Users of another site are signed in by its cookie, for requests without a token.
#[test]
fn users_of_another_site_are_signed_in() {
    let Some(site) = Site::new("sessions") else { return };
    let api = Api::start();
    let url = format!("url = \"http://127.0.0.1:{}/user\"\nprivate = [\"127.0.0.1\"]", api.port);
    let config = without_comments(&site.config, "# [endpoints.site]", "# session.cookies");
    let config = config.replace("url = \"https://www.example/api/user\"", &url).replace("user:*", "ann");
    site.configure(
        &config.replace("\"sessionid\"", "\"sid\"").replace("http.site =", "limits.wall_ms = 10000\nhttp.site ="),
    );
    let keyward = site.keyward();
    let token = site.run(&["create-token", "bob"]);
    let mut command = site.serve(&format!("http://{}", keyward.service()));
    let yaml = fs::read_to_string(site.folder.path().join("datasette.yaml")).unwrap();
    let yaml = without_comments(&yaml, "    # session: site", "    # session_headers").replace("sessionid", "sid");
    site.folder.write("datasette.yaml", yaml, 0o644);
    let datasette = Datasette::start(&mut command, site.folder.path());
    let ask = |request: Request| {
        let response = request.send(datasette.address);
        let body: Value = serde_json::from_str(response.text()).unwrap_or_default();
        (response.status, body["actor"]["id"].as_str().map(str::to_owned))
    };
    let get = |cookie: &str| Request::get("/-/actor.json").header("Cookie", cookie);
    let ann = "theme=dark; sid=c00kie-of-ann";

    assert_eq!(ask(get(ann)), (200, Some("ann".to_owned())));
    assert_eq!(api.seen(), [("GET /user HTTP/1.1".to_owned(), "sid=c00kie-of-ann".to_owned())]);
    assert_eq!(ask(get("sid=c00kie-of-nobody")), (200, None));
    assert_eq!(ask(get("sid=c00kie-of-500")), (503, None), "neither signed in nor anonymous");
    assert_eq!(api.seen().len(), 2);
    // None of these costs a request to the site.
    assert_eq!(ask(get("theme=dark; sid=")), (200, None));
    assert_eq!(ask(get(ann).bearer(&token)), (200, Some("bob".to_owned())));
    assert_eq!(ask(get(ann).bearer("dstok_wrong")), (401, None));
    let cookie = format!("{ann}; ds_actor={}", datasette.get("/-/test-cookie").text());
    assert_eq!(ask(get(&cookie)), (200, Some("dora".to_owned())));
    assert_eq!(Request::get("/-/static/app.css").header("Cookie", ann).send(datasette.address).status, 200);
    let forged = Request::form("/-/create-token", "expire_type=").header("Cookie", ann);
    assert_eq!(forged.header("Sec-Fetch-Site", "cross-site").send(datasette.address).status, 403);
    assert_eq!(api.seen(), []);
    // Such a user may create tokens.
    let page = Request::form("/-/create-token", "expire_type=").header("Cookie", ann).send(datasette.address);
    assert!(page.text().contains("dstok_"), "{page:?}");

    let log = keyward.stop().stderr + &datasette.stop();
    assert!(!log.contains("c00kie"), "{log}");
}

#[test]
fn rotating_the_secret_keeps_tokens_valid() {
    let Some(site) = Site::new("rotated") else { return };
    let keyward = site.keyward();
    let datasette = site.datasette(&keyward);
    let old = site.run(&["create-token", "ann"]);

    site.folder.write("new.key", "another secret, that Datasette does not know", 0o600);
    let ring = "secret = { file = \"new.key\" }\nprevious = [{ env = \"DATASETTE_SECRET\" }]";
    site.configure(&site.config.replace("secret = { env = \"DATASETTE_SECRET\" }", ring));
    keyward.signal(Signal::HUP);
    wait_for("the new key", || keyward.stderr().contains("configuration reloaded"));

    assert_eq!(datasette.actor(&old)["id"], "ann");
    let new = datasette.get("/-/test-token?expires_after=60").text().to_owned();
    assert_eq!(datasette.actor(&new)["id"], "cid");
    // Datasette's own handler would reject the token: Keyward is called first.
    assert_eq!(site.actor_without_keyward(&new), Value::Null);
}

#[test]
fn the_plugins_own_tests_pass() {
    let Some(site) = Site::new("unit") else { return };
    let tests = workspace().join("examples/datasette/tests");
    let mut command = site.python();
    let output = command.args(["-m", "unittest", "discover"]).arg(tests).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the configuration of `examples/datasette`, and a Python that has the plugin
/// installed.
struct Site {
    folder: Folder,
    /// Keyward's configuration.
    config: String,
    /// The secret with which Datasette authenticates to Keyward.
    secret: String,
    python: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Site {
    /// Returns `None` if Datasette is not installed.
    fn new(name: &str) -> Option<Self> {
        let Some(python) = peers::python_with("datasette") else {
            peers::skip("Datasette", "it is not installed");
            return None;
        };
        let temporary = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(temporary.path().join(name));
        folder.set("DATASETTE_SECRET", SECRET);

        let printed = folder.run(&["client", "datasette"], "").stdout;
        let secret = printed.lines().nth(1).unwrap().to_owned();
        let digest = printed.lines().find_map(|line| line.strip_prefix("secret_sha256 = ")).unwrap();
        folder.set("KEYWARD_SECRET", &secret);
        folder.write("loop.wasm", hostile::case("loop-verify").bytes, 0o644);
        let config = fs::read_to_string(examples().join("keyward.toml")).unwrap();
        let config = config.replace("127.0.0.1:8787", "127.0.0.1:0").replace("127.0.0.1:8788", "127.0.0.1:0");
        let config = config.replace("\"DIGEST\"", digest).replace("[clients.", &format!("{LOOP}\n[clients."));

        let site = Self { folder, config, secret, python, _temporary: temporary };
        site.configure(&site.config);
        site.install();
        Some(site)
    }

    fn configure(&self, config: &str) {
        self.folder.write("keyward.toml", config, 0o644);
    }

    /// Installs the plugin with pip, into a separate folder.
    fn install(&self) {
        // Building creates files in the source folder.
        let source = self.folder.path().join("source");
        let package = source.join("datasette_keyward");
        fs::create_dir_all(&package).unwrap();
        for file in ["pyproject.toml", "README.md"] {
            fs::copy(examples().join(file), source.join(file)).unwrap();
        }
        for file in ["__init__.py", "daemon.py", "http.py", "sessions.py", "py.typed"] {
            fs::copy(examples().join("datasette_keyward").join(file), package.join(file)).unwrap();
        }
        let mut pip = self.python();
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]);
        let output = pip.args(["--no-build-isolation", "--target", "site", "./source"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let plugins = self.folder.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        fs::copy(workspace().join("tests/clients/datasette_plugin.py"), plugins.join("datasette_plugin.py")).unwrap();
    }

    fn python(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("DATASETTE_SECRET", SECRET).env("KEYWARD_SECRET", &self.secret);
        command.env("PYTHONPATH", self.folder.path().join("site")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn keyward(&self) -> Daemon {
        Daemon::start(&self.folder, "keyward.toml")
    }

    fn datasette(&self, keyward: &Daemon) -> Datasette {
        Datasette::start(&mut self.serve(&format!("http://{}", keyward.service())), self.folder.path())
    }

    /// Returns the command that serves Datasette, with Keyward at this URL.
    fn serve(&self, url: &str) -> Command {
        let config = fs::read_to_string(examples().join("datasette.yaml")).unwrap();
        let config = config.replace("http://127.0.0.1:8787", url);
        // The machine may be busy.
        let config = config.replace("    # timeout: 1 ", "    timeout: 30 ");
        self.folder.write("datasette.yaml", config, 0o644);
        let made = self.python().args(["-c", DATABASE]).status().unwrap();
        assert!(made.success());
        let mut command = self.python();
        command.args(["-m", "datasette", "shop.db", "--config", "datasette.yaml", "--plugins-dir", "plugins"]);
        command.args(["--port", "0"]);
        command
    }

    /// Runs a Datasette command, and returns its output.
    fn run(&self, args: &[&str]) -> String {
        let output = self.python().args(["-m", "datasette"]).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Returns the token's actor according to a Datasette without the plugin, or null if it is
    /// invalid.
    fn actor_without_keyward(&self, token: &str) -> Value {
        let mut command = self.python();
        command.env_remove("PYTHONPATH").args(["-m", "datasette", "--memory", "--get", "/-/actor.json"]);
        let output = command.args(["--token", token]).output().unwrap();
        let body: Value = serde_json::from_slice(&output.stdout).unwrap();
        body["actor"].clone()
    }

    fn create(&self, args: &[&str]) -> String {
        let ran = self.folder.run(&[&["create", "--config", "keyward.toml"], args].concat(), "");
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stdout.trim_end().to_owned()
    }

    fn verify(&self, token: &str) -> Value {
        let ran = self.folder.run(&["verify", "--config", "keyward.toml", "--json"], token);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

/// Returns a configuration in which the comments from one that begins with `first` to one that
/// begins with `last` are settings.
fn without_comments(config: &str, first: &str, last: &str) -> String {
    let mut within = false;
    let mut lines = String::new();
    for line in config.lines() {
        within |= line.starts_with(first);
        let setting = line.replacen("# ", "", 1);
        lines += if within && line != "#" { &setting } else { line };
        lines.push('\n');
        within &= !line.starts_with(last);
    }
    lines
}

/// A handler that never returns.
const LOOP: &str = r#"[[handlers]]
name = "loop"
component = "loop.wasm"
prefixes = ["ho_"]
actors = "any"
"#;

const DATABASE: &str = "import sqlite3
database = sqlite3.connect('shop.db')
database.execute('create table if not exists orders (id integer)')
database.execute('create table if not exists people (id integer)')";

/// A running Datasette, killed on drop. If the test fails, its output is printed.
struct Datasette {
    child: Child,
    log: PathBuf,
    address: SocketAddr,
}

impl Datasette {
    fn start(command: &mut Command, folder: &Path) -> Self {
        let log = folder.join("datasette.log");
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut datasette = Self { child, log, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        wait_for("Datasette to listen", || {
            assert!(datasette.child.try_wait().unwrap().is_none(), "Datasette did not start");
            let log = datasette.log();
            let address = log.split_once("Uvicorn running on http://").and_then(|(_, rest)| rest.split_once(' '));
            address.map(|(address, _)| datasette.address = address.parse().unwrap()).is_some()
        });
        datasette
    }

    fn get(&self, path: &str) -> Response {
        Request::get(path).send(self.address)
    }

    fn with_token(&self, token: &str, path: &str) -> Response {
        Request::get(path).bearer(token).send(self.address)
    }

    /// Returns the actor of the bearer of `token`.
    fn actor(&self, token: &str) -> Value {
        let response = self.with_token(token, "/-/actor.json");
        assert_eq!(response.status, 200, "{response:?}");
        let body: Value = serde_json::from_str(response.text()).unwrap();
        body["actor"].clone()
    }

    fn gives_no_verdict(&self, token: &str) {
        let response = self.with_token(token, "/-/actor.json");
        assert_eq!(response.status, 503, "{response:?}");
        assert!(response.header("retry-after").is_some() && response.header("www-authenticate").is_none());
        let body: Value = serde_json::from_str(response.text()).unwrap();
        assert_eq!(body["error"], "No verdict on this token is available, try again later");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Stops Datasette, and returns its output.
    fn stop(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.log()
    }
}

impl Drop for Datasette {
    fn drop(&mut self) {
        // Both fail if the process has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- Datasette's output:\n{}", self.log());
        }
    }
}

fn examples() -> PathBuf {
    workspace().join("examples/datasette")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

//! Keyward itself, as configured by `examples/keyward.toml`, and the tokens for the proxies.

use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::hostile;
use keyward_tests::http::Request;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The host name in the examples.
pub(super) const SITE: &str = "app.example.org";

/// Shared by all daemons, so that each token is created only once.
const RING_SECRET: &str = "only-for-tests-only-for-tests-only-for-tests";

/// An id that must be encoded wherever it is used.
const SUBJECT: &str = "zoë, 100%";
const SUBJECT_IN_HEADERS: &str = "zo%C3%AB%2C%20100%25";

/// Added to the example: a handler that never returns, and a client that may create tokens.
const MORE: &str = r#"
[[handlers]]
name = "looping"
component = "looping.wasm"
prefixes = ["lo_"]
actors = "any"
limits = { cpu_ms = 20, wall_ms = 500 }
"#;

/// A new secret, and the configuration of its client.
struct Client {
    secret: String,
    lines: String,
}

impl Client {
    fn new(folder: &Folder, name: &str) -> Self {
        let ran = folder.run(&["client", name], "");
        assert_eq!(ran.status, 0, "{ran:?}");
        let secret = ran.stdout.lines().nth(1).unwrap().to_owned();
        let at = ran.stdout.find("[clients.").unwrap();
        Self { secret, lines: ran.stdout[at..].to_owned() }
    }
}

/// A daemon, its configuration, and the means to break it.
pub(super) struct Keyward {
    folder: Folder,
    config: String,
    daemon: Daemon,
    /// The secret of the client `apache`, which may introspect.
    pub(super) secret: String,
}

impl Keyward {
    /// Starts a daemon, with TLS or without.
    pub(super) fn start(name: &str, tls: bool) -> Self {
        Self::start_edited(name, tls, |config| config)
    }

    /// Starts a daemon with an edited configuration.
    pub(super) fn start_edited(name: &str, tls: bool, edit: impl FnOnce(String) -> String) -> Self {
        let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("proxies").join(name));
        folder.write("secret.key", RING_SECRET, 0o600);
        folder.write("looping.wasm", hostile::case("loop-verify").bytes, 0o644);
        let apache = Client::new(&folder, "apache");
        let maker = Client::new(&folder, "maker");
        let maker_lines = maker.lines.replace("introspect", "create");
        let mut config = example("keyward.toml")
            .replace("127.0.0.1:8787", "127.0.0.1:0")
            .replace("127.0.0.1:8788", "127.0.0.1:0")
            // A busy machine may need the wall time.
            .replace(
                "[[handlers]]\nname = \"signed\"",
                "[[handlers]]\nlimits = { wall_ms = 10000 }\nname = \"signed\"",
            );
        if tls {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            folder.write("tls.pem", cert.pem(), 0o644);
            folder.write("tls.key", signing_key.serialize_pem(), 0o600);
            assert!(config.contains("# tls = "));
            config = config.replace("# tls = ", "tls = ");
        }
        config = edit([config.as_str(), MORE, &apache.lines, &maker_lines].join("\n"));
        folder.write("keyward.toml", &config, 0o600);
        let daemon = Daemon::start(&folder, "keyward.toml");
        folder.write("maker.secret", &maker.secret, 0o600);
        Self { folder, config, daemon, secret: apache.secret }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.daemon.service()
    }

    /// Returns its self-signed certificate.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.pem")
    }

    /// Reloads, and waits until that is done.
    pub(super) fn reload(&self) {
        let before = self.reloads();
        self.daemon.signal(Signal::HUP);
        wait_for("a reload", || self.reloads() > before);
    }

    fn reloads(&self) -> u64 {
        let metrics = Request::get("/metrics").send(self.daemon.admin());
        let line = metrics.text().lines().find_map(|line| line.strip_prefix("keyward_reloads_total ")).map(str::parse);
        line.unwrap().unwrap()
    }

    /// Removes the policy `orders` from the configuration.
    pub(super) fn forget_orders(&self) {
        let without: Vec<_> = self.config.lines().filter(|line| !line.starts_with("orders = ")).collect();
        assert_eq!(without.len() + 1, self.config.lines().count());
        self.folder.write("keyward.toml", without.join("\n"), 0o600);
        self.reload();
    }

    /// Stops the process, which then accepts connections without responding.
    pub(super) fn hang(&self) {
        self.daemon.suspend();
    }

    pub(super) fn go_on(&self) {
        self.daemon.signal(Signal::CONT);
    }

    /// Shuts the daemon down.
    pub(super) fn stop(self) {
        assert!(self.daemon.stop().status.success());
    }
}

/// A token, and its identity for the application.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    /// The identity headers: subject, token id, scopes, handler, expires.
    pub(super) identity: [String; 5],
}

/// Tokens of every kind.
pub(super) struct Tokens {
    /// Restricted to `view-instance`; expires in an hour.
    pub(super) good: Token,
    /// Restricted to adding orders.
    pub(super) orders: Token,
    /// Not restricted.
    pub(super) free: Token,
    /// Restricted to nothing at all.
    pub(super) nothing: Token,
    pub(super) expired: String,
    pub(super) tampered: String,
    /// A token of no handler.
    pub(super) foreign: String,
    /// A token whose handler never returns.
    pub(super) looping: String,
    pub(super) oversized: String,
    /// The cookie of a user; no daemon here creates it.
    pub(super) session: Token,
}

/// The tokens, created by one daemon for all.
pub(super) static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let keyward = Keyward::start("tokens", false);
    let create = |body: Value, scopes: &str| create(&keyward, &body, scopes);
    let good = create(
        json!({"actor": SUBJECT, "expires_after": 3600, "restrictions": {"all": ["view-instance"]}}),
        "view-instance",
    );
    let at = good.text.len() - 5;
    let other = if good.text.as_bytes()[at] == b'A' { "B" } else { "A" };
    let tampered = format!("{}{other}{}", &good.text[..at], &good.text[at + 1..]);
    let expired =
        ["create", "--config", "keyward.toml", "--actor", SUBJECT, "--expires-after", "60", "--at", "1767225600"];
    let expired = keyward.folder.run(&expired, "");
    assert_eq!(expired.status, 0, "{expired:?}");
    let orders = json!({"resource": {"shop": {"orders": ["insert-row"]}}});
    Tokens {
        orders: create(json!({"actor": SUBJECT, "restrictions": orders}), "insert-row:shop/orders"),
        free: create(json!({"actor": SUBJECT}), "*"),
        nothing: create(json!({"actor": SUBJECT, "restrictions": {}}), "-"),
        expired: expired.stdout.trim_end().to_owned(),
        tampered,
        foreign: "ghp_0123456789abcdef0123456789abcdef0123".to_owned(),
        looping: "lo_token".to_owned(),
        oversized: format!("dstok_{}", "A".repeat(9_000)),
        session: Token {
            text: "sid=c00kie-of-ann".to_owned(),
            identity: ["ann", "-", "*", "site", "-"].map(str::to_owned),
        },
        good,
    }
});

impl Token {
    /// Returns the subject for the application; introspection returns it unchanged, forward auth
    /// encodes it.
    pub(super) fn subject(&self, encoded: bool) -> &str {
        if encoded { &self.identity[0] } else { SUBJECT }
    }
}

fn create(keyward: &Keyward, body: &Value, scopes: &str) -> Token {
    let secret = std::fs::read_to_string(keyward.folder.path().join("maker.secret")).unwrap();
    let created = Request::json("/v1/tokens", body).bearer(secret).send(keyward.address());
    assert_eq!(created.status, 201, "{created:?}");
    let created = created.json();
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    let expires = created["expires_at"].as_u64().map_or_else(|| "-".to_owned(), |at| at.to_string());
    let identity = [SUBJECT_IN_HEADERS.to_owned(), text("token_id"), scopes.to_owned(), text("handler"), expires];
    Token { text: text("token"), identity }
}

/// Returns the text of a file in `examples/`.
pub(super) fn example(name: &str) -> String {
    let path = examples().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the folder of the examples.
pub(super) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Measured by CPU time, because a start consists almost entirely of compiling.
#[test]
fn a_reload_compiles_nothing_twice() {
    let keyward = Keyward::start("reloads", false);
    let start = keyward.daemon.cpu_ticks();
    for _ in 0..5 {
        keyward.reload();
    }
    let reloads = keyward.daemon.cpu_ticks() - start;
    assert!(reloads < start, "the start took {start} hundredths of a second, five reloads took {reloads}");
}

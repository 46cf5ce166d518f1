//! Key sets with a URL: the program fetches the keys of an issuer whose server changes, fails and
//! disappears.

use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::Request;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustix::process::Signal;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of the issuer.
struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, pair: Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap() }
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": encode(self.pair.public_key()) })
    }

    /// Returns a token of `alice` that is signed now, and names the key `id`.
    fn token_with_id(&self, id: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({ "alg": "EdDSA", "kid": id });
        let claims = json!({ "iss": "https://idp.test", "aud": "api", "sub": "alice", "exp": now + 600 });
        let message = [header, claims].map(|part| encode(part.to_string())).join(".");
        format!("{message}.{}", encode(self.pair.sign(message.as_bytes())))
    }

    fn token(&self) -> String {
        self.token_with_id(self.id)
    }
}

/// The server of an issuer.
struct Issuer {
    port: u16,
    response: Arc<Mutex<Vec<u8>>>,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (response, fetches) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (text, count) = (response.clone(), fetches.clone());
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                count.fetch_add(1, Ordering::SeqCst);
                let response = text.lock().unwrap().clone();
                let mut stream: Box<dyn Transport> = match &tls {
                    None => Box::new(stream),
                    Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream)),
                };
                // The request is shorter than one record, and its content does not matter.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(&response).and_then(|()| stream.flush());
            }
        });
        Self { port, response, fetches }
    }

    fn respond(&self, text: &str) {
        *self.response.lock().unwrap() = text.as_bytes().to_vec();
    }

    fn publish(&self, keys: &[&Key]) {
        let body = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string();
        self.respond(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

trait Transport: Read + Write {}

impl<T: Read + Write> Transport for T {}

/// Returns a configuration with the key set `idp` on these terms, and a second handler.
fn config(set: &str) -> String {
    let digest = SecretDigest::of(SECRET).to_hex();
    let issuers = r#"[{ iss = "https://idp.test", aud = ["api"], public_keys = "idp", algorithms = ["EdDSA"] }]"#;
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [keys.main]\nsecret = {{ file = \"secret.key\" }}\n\
         [[handlers]]\nname = \"sso\"\ncomponent = \"builtin:jwt\"\nprefixes = [\"eyJ\"]\nsettings.issuers = {issuers}\n\
         public_keys.idp = {{ set = \"idp\", algorithms = [\"EdDSA\"] }}\n\
         [[handlers]]\nname = \"signed\"\ncomponent = \"builtin:signed\"\nprefixes = [\"dstok_\"]\nkeys.token = {{ ring = \"main\" }}\n\
         [audit]\nfile = \"audit.log\"\n\
         [clients.app]\nsecret_sha256 = \"{digest}\"\nmay = [\"verify\", \"create\"]\n\
         [key_sets.idp]\n{set}\n"
    )
}

fn plain(issuer: &Issuer, more: &str) -> String {
    config(&format!("url = \"http://127.0.0.1:{}/jwks.json\"\nprivate = [\"127.0.0.1\"]\n{more}", issuer.port))
}

fn folder(name: &str, config: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("remote-keys").join(name));
    folder.write("keyward.toml", config, 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder
}

/// Returns `accepted`, the reason of a rejection, or the code of an error.
fn verify(daemon: &Daemon, token: &str) -> String {
    let request = Request::json("/v1/verify", &json!({ "token": token })).basic("app", SECRET);
    let answer = request.send(daemon.service()).json();
    let word = ["reason", "code", "outcome"].into_iter().find_map(|member| answer[member].as_str());
    word.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn create_signed(daemon: &Daemon) -> String {
    let body = json!({ "actor": "root", "handler": "signed" });
    let created = Request::json("/v1/tokens", &body).basic("app", SECRET).send(daemon.service());
    created.json()["token"].as_str().unwrap().to_owned()
}

fn key_sets(daemon: &Daemon) -> Value {
    Request::get("/key-sets").send(daemon.admin()).json()[0].clone()
}

#[test]
fn a_rotation_is_followed_while_tokens_are_verified() {
    let (first, second) = (Key::new("2026-11"), Key::new("2026-12"));
    let issuer = Issuer::start(None);
    issuer.publish(&[&first]);
    let folder = folder("rotation", &plain(&issuer, "cooldown_seconds = 1"));
    let daemon = Daemon::start(&folder, "keyward.toml");
    assert_eq!(verify(&daemon, &first.token()), "accepted", "the keys are fetched before the daemon listens");
    assert_eq!(key_sets(&daemon)["keys"], json!([{ "id": "2026-11", "algorithm": "EdDSA" }]));

    issuer.publish(&[&second]);
    // Within the cooldown, the key is unknown; after it, a refresh runs.
    let mut seen = Vec::new();
    wait_for("the new key", || {
        let outcome = verify(&daemon, &second.token());
        if seen.last() != Some(&outcome) {
            seen.push(outcome);
        }
        seen.last().is_some_and(|last| last == "accepted")
    });
    let allowed = ["bad-signature", "unavailable", "accepted"];
    assert!(seen.iter().all(|outcome| allowed.contains(&outcome.as_str())), "{seen:?}");
    assert_eq!(verify(&daemon, &first.token()), "bad-signature", "its key was withdrawn");
    assert_eq!(issuer.fetches(), 2);

    // What an operator sees.
    let metrics = Request::get("/metrics").send(daemon.admin());
    for line in [
        "keyward_key_set_keys{set=\"idp\"} 1\n",
        "keyward_key_set_usable{set=\"idp\"} 1\n",
        "keyward_key_set_refreshes_total{set=\"idp\"} 2\n",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
    let at = format!("admin = \"{}\"", daemon.admin());
    folder.write("asked.toml", plain(&issuer, "").replace("admin = \"127.0.0.1:0\"", &at), 0o644);
    let listed = folder.run(&["keys", "list", "--config", "asked.toml"], "");
    let [.., title, head, key, refreshed] = listed.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{listed:?}") };
    assert_eq!(title, format!("Key set idp from http://127.0.0.1:{}/jwks.json, used by sso.idp", issuer.port));
    assert_eq!([head.trim(), key.trim()], ["KEY      ALGORITHM", "2026-12  EdDSA"]);
    assert!(refreshed.contains("fetched") && refreshed.contains("next refresh in"), "{refreshed}");
    let listed = folder.run(&["keys", "list", "--config", "keyward.toml"], "");
    assert!(listed.stdout.contains("none responds at"), "{listed:?}");
    // A note is written by the periodic work, within ten seconds.
    wait_for("the note in the audit log", || {
        let log = fs::read_to_string(folder.path().join("audit.log")).unwrap();
        log.contains(r#""event":"key-set","outcome":"usable","detail":"idp: 2026-12 (EdDSA)""#)
    });
    let ended = daemon.stop();
    assert!(ended.stderr.contains("the key set has new keys"), "{}", ended.stderr);
    for token in [first.token(), second.token()] {
        let (message, _) = token.rsplit_once('.').unwrap();
        assert!(!ended.stderr.contains(message));
    }
}

/// A client without rights presents tokens that name keys of its own invention.
#[test]
fn unknown_key_ids_neither_flood_the_issuer_nor_hurt_others() {
    let key = Key::new("a");
    let issuer = Issuer::start(None);
    issuer.publish(&[&key]);
    let folder = folder("flood", &plain(&issuer, "cooldown_seconds = 1"));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let (known, signed) = (key.token(), create_signed(&daemon));
    let begin = std::time::Instant::now();
    let mut number = 0;
    while begin.elapsed() < Duration::from_millis(3_500) {
        for _ in 0..20 {
            number += 1;
            let outcome = verify(&daemon, &key.token_with_id(&format!("key-{number}")));
            assert!(["bad-signature", "unavailable"].contains(&outcome.as_str()), "{outcome}");
        }
        assert_eq!(verify(&daemon, &known), "accepted");
        assert_eq!(verify(&daemon, &signed), "accepted");
    }
    let periods = usize::try_from(begin.elapsed().as_secs()).unwrap() + 1;
    assert!((2..=periods + 1).contains(&issuer.fetches()), "{} fetches for {number} tokens", issuer.fetches());
    assert!(number > 100, "{number}");
}

#[test]
fn an_issuer_that_is_away_hurts_only_its_own_tokens() {
    let key = Key::new("a");
    let issuer = Issuer::start(None);
    issuer.respond("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let terms = "cooldown_seconds = 1\nrefresh_seconds = 10\nmax_stale_seconds = 10";
    let folder = folder("away", &plain(&issuer, terms));
    let daemon = Daemon::start(&folder, "keyward.toml");
    assert_eq!(verify(&daemon, &key.token()), "unavailable");
    let signed = create_signed(&daemon);
    assert_eq!(verify(&daemon, &signed), "accepted");
    let ready = Request::get("/readyz").send(daemon.admin());
    assert_eq!(
        (ready.status, ready.text()),
        (200, "ok\nkey set `idp` cannot be used: the response has the status 502\n")
    );

    issuer.publish(&[&key]);
    wait_for("the keys", || verify(&daemon, &key.token()) == "accepted");
    // Away again: its last keys are used until they are too old.
    issuer.respond("");
    daemon.signal(Signal::HUP);
    wait_for("the reload", || daemon.stderr().contains("configuration reloaded"));
    assert_eq!(verify(&daemon, &key.token()), "accepted", "a reload keeps the keys");
    wait_for("the keys to be too old", || verify(&daemon, &key.token()) == "unavailable");
    assert!(key_sets(&daemon)["age_seconds"].as_u64().unwrap() >= 10);
    assert_eq!(verify(&daemon, &signed), "accepted");
    issuer.publish(&[&key]);
    wait_for("the keys again", || verify(&daemon, &key.token()) == "accepted");
    drop(daemon);
    let log = fs::read_to_string(folder.path().join("audit.log")).unwrap();
    assert!(log.contains(r#""event":"key-set","outcome":"unavailable""#), "{log}");
}

#[test]
fn a_changed_set_is_fetched_anew_and_an_unchanged_one_is_not() {
    let key = Key::new("a");
    let (one, other) = (Issuer::start(None), Issuer::start(None));
    one.publish(&[&key]);
    other.publish(&[&Key::new("a")]);
    let folder = folder("reload", &plain(&one, ""));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let reload = |config: &str, times: usize, message: &str| {
        folder.write("keyward.toml", config, 0o644);
        daemon.signal(Signal::HUP);
        wait_for("the reload", || daemon.stderr().matches(message).count() >= times);
    };
    reload(&format!("{}\n# changed\n", plain(&one, "")), 1, "configuration reloaded");
    assert_eq!((one.fetches(), verify(&daemon, &key.token()).as_str()), (1, "accepted"));
    // A configuration that fails to load changes nothing.
    reload(&plain(&other, "").replace("file = \"secret.key\"", "file = \"none.key\""), 1, "reload failed");
    assert_eq!(verify(&daemon, &key.token()), "accepted");
    reload(&plain(&other, ""), 2, "configuration reloaded");
    assert_eq!((one.fetches(), verify(&daemon, &key.token()).as_str()), (1, "bad-signature"));
}

#[test]
fn the_command_verifies_with_keys_over_tls() {
    let key = Key::new("a");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let private = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], private).unwrap();
    let issuer = Issuer::start(Some(Arc::new(tls)));
    issuer.publish(&[&key]);
    let terms = |url: &str, more: &str| config(&format!("url = \"https://{url}:{}/\"\n{more}", issuer.port));
    let allowed = "private = [\"127.0.0.0/8\", \"::1\"]\n";
    let folder = folder("tls", &terms("localhost", &format!("{allowed}ca = \"ca.pem\"")));
    folder.write("ca.pem", made.cert.pem(), 0o644);
    let run = |config: &str| {
        folder.write("keyward.toml", config, 0o644);
        folder.run(&["verify", "--config", "keyward.toml"], key.token())
    };
    let accepted = run(&terms("localhost", &format!("{allowed}ca = \"ca.pem\"")));
    assert_eq!((accepted.status, accepted.stdout.contains("alice")), (0, true), "{accepted:?}");
    let doctor = folder.run(&["doctor", "--config", "keyward.toml"], "");
    assert!(doctor.stdout.contains("ok: key set: `idp` can be fetched"), "{doctor:?}");
    let fetches = issuer.fetches();
    for (config, error) in [
        (terms("localhost", allowed), "the TLS handshake failed"),
        (terms("127.0.0.1", &format!("{allowed}ca = \"ca.pem\"")), "the TLS handshake failed"),
        (terms("localhost", "ca = \"ca.pem\""), "which is loopback: list its network in `private` if it is yours"),
    ] {
        let refused = run(&config);
        assert_eq!(refused.status, 3, "{refused:?}");
        assert!(refused.stderr.contains(error), "{error}: {refused:?}");
    }
    assert_eq!(issuer.fetches(), fetches + 2, "a forbidden address is not connected to");
    // The issuer is away.
    issuer.respond("");
    let away = run(&terms("localhost", &format!("{allowed}ca = \"ca.pem\"")));
    assert_eq!(away.status, 3, "{away:?}");
    let doctor = folder.run(&["doctor", "--config", "keyward.toml"], "");
    assert_eq!(doctor.status, 1, "{doctor:?}");
    assert!(doctor.stdout.contains("UNSAFE: key set: `idp` cannot be fetched"), "{doctor:?}");
}

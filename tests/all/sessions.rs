//! Users that a site already knows: `builtin:session` beside an API on the loopback interface, in
//! process, through the command line and over HTTP.

mod cache;
mod calls;

use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Request, Response};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

/// The values of the cookie `sid`, the status and the body with which the API responds, the
/// outcome, and the id of the actor, if any.
const RESPONSES: &[(&str, u16, &str, &str, &str)] = &[
    ("c00kie-of-ann", 200, r#"{"id": "ann", "name": "Ann"}"#, "accepted", "ann"),
    ("c00kie-of-7", 200, r#"{"id": 7}"#, "not-permitted", ""),
    ("c00kie-of-root", 200, r#"{"id": "root"}"#, "not-permitted", ""),
    ("c00kie-of-nobody", 200, "{}", "not-mine", ""),
    ("c00kie-of-null", 200, "null", "not-mine", ""),
    ("c00kie-of-none", 200, "[]", "not-mine", ""),
    ("c00kie-of-401", 401, "", "not-mine", ""),
    ("c00kie-of-403", 403, r#"{"id": "ann"}"#, "not-mine", ""),
    ("c00kie-of-404", 404, "", "not-mine", ""),
    ("c00kie-of-302", 302, r#"{"id": "ann"}"#, "unavailable", ""),
    ("c00kie-of-429", 429, "", "unavailable", ""),
    ("c00kie-of-500", 500, "", "unavailable", ""),
    ("c00kie-of-201", 201, r#"{"id": "ann"}"#, "unavailable", ""),
    ("c00kie-of-html", 200, "<html>", "unavailable", ""),
    ("c00kie-of-list", 200, r#"[{"id": "ann"}]"#, "unavailable", ""),
    ("c00kie-of-two", 200, r#"{"id": "ann", "id": "bob"}"#, "bad-result", ""),
    ("c00kie-of-restricted", 200, r#"{"id": "ann", "_r": {}}"#, "bad-result", ""),
    ("c00kie-of-itself", 200, r#"{"id": "c00kie-of-itself"}"#, "bad-result", ""),
];

/// An API that notes the request line and the cookies of each request.
pub(crate) struct Api {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl Api {
    /// Starts an API that responds with [`RESPONSES`], and otherwise with the status 401.
    pub(crate) fn start() -> Self {
        Self::with(|_, cookies| {
            let of = |value: &str| RESPONSES.iter().find(|(known, ..)| *known == value);
            let (status, body) =
                cookies.strip_prefix("sid=").and_then(of).map_or((401, ""), |known| (known.1, known.2));
            if body.contains("Ann") {
                // Long enough for a revocation.
                thread::sleep(Duration::from_millis(20));
            }
            Some((status, body.to_owned()))
        })
    }

    /// Starts an API with a function from the request line and the cookies to the status and the
    /// body. `None` closes the connection.
    pub(crate) fn with(respond: impl Fn(&str, &str) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (notes, respond) = (seen.clone(), Arc::new(respond));
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let (notes, respond) = (notes.clone(), respond.clone());
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let (mut first, mut line, mut cookies) = (String::new(), String::new(), String::new());
                    reader.read_line(&mut first).unwrap();
                    while reader.read_line(&mut line).unwrap() > 2 {
                        if let Some((_, value)) =
                            line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
                        {
                            value.trim_end().clone_into(&mut cookies);
                        }
                        line.clear();
                    }
                    let first = first.trim_end().to_owned();
                    notes.lock().unwrap().push((first.clone(), cookies.clone()));
                    let Some((status, body)) = respond(&first, &cookies) else { return };
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(format!("{head}{body}").as_bytes());
                });
            }
        });
        Self { port, seen }
    }

    /// Returns the requests since the last call.
    pub(crate) fn seen(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn config(&self) -> String {
        let [app, other] = ["verify\", \"revoke", "introspect"]
            .map(|rights| format!("secret_sha256 = \"{}\"\nmay = [\"{rights}\"]", SecretDigest::of(SECRET).to_hex()));
        let other = other.replace(
            &SecretDigest::of(SECRET).to_hex(),
            &SecretDigest::of("kwc_other-only-for-tests-only-for-tests-only-fo").to_hex(),
        );
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [endpoints.site]\nurl = \"http://127.0.0.1:{}/user?format=json\"\nprivate = [\"127.0.0.1\"]\n\
             cookies = [\"sid\"]\nheaders_as_query = [\"X-Forwarded-For\"]\n\
             [[handlers]]\nname = \"site\"\ncomponent = \"builtin:session\"\nactors = [\"ann\", \"c00kie*\"]\n\
             http.site = \"site\"\nsession.cookies = [\"sid\"]\nlimits.wall_ms = 10000\n\
             [keys.main]\nsecret = {{ file = \"secret.key\" }}\n\
             [[handlers]]\nname = \"signed\"\ncomponent = \"builtin:signed\"\nkeys.token = {{ ring = \"main\" }}\n\
             [store]\nsqlite = \"keyward.db\"\n[audit]\nfile = \"audit.log\"\n\
             [policies]\nmembers = {{ action = \"any\", session = \"site\" }}\n\
             writers = {{ action = \"any\", session = \"site\", session_methods = [\"POST\"] }}\n\
             tokens = \"any\"\n\
             [clients.app]\n{app}\n[clients.other]\n{other}\n",
            self.port
        )
        .replace("headers_as_query", "timeout_ms = 5000\nheaders_as_query")
    }
}

fn folder(name: &str, config: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sessions").join(name));
    folder.write("keyward.toml", config, 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder
}

fn ask(daemon: &Daemon, body: &Value) -> Response {
    Request::json("/v1/session", body).basic("app", SECRET).send(daemon.service())
}

/// Returns the reason, the code or the outcome of a response, and the id of its actor.
fn outcome(response: &Value) -> (String, String) {
    let word = ["reason", "code", "outcome"].into_iter().find_map(|member| response[member].as_str());
    (word.unwrap().to_owned(), response["actor"]["id"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn each_response_of_the_api_has_its_outcome() {
    let api = Api::start();
    let folder = folder("outcomes", &api.config());
    let daemon = Daemon::start(&folder, "keyward.toml");
    let lines: Vec<String> =
        RESPONSES.iter().map(|(cookie, ..)| json!({ "cookies": { "sid": cookie } }).to_string()).collect();
    let ran = folder.run(&["verify", "--session", "--json", "--config", "keyward.toml"], lines.join("\n"));
    assert_eq!(ran.status, 3, "{ran:?}");
    let printed: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(printed.len(), RESPONSES.len());
    for ((cookie, _, _, word, id), printed) in RESPONSES.iter().zip(&printed) {
        let wanted = ((*word).to_owned(), (*id).to_owned());
        assert_eq!(outcome(printed), wanted, "{cookie}: {printed}");
        let response = ask(&daemon, &json!({ "cookies": { "sid": cookie } }));
        let is_failure = ["unavailable", "bad-result"].contains(word);
        assert_eq!(response.status, if is_failure { 503 } else { 200 }, "{cookie}: {response:?}");
        assert_eq!(outcome(&response.json()), wanted, "{cookie}");
    }
    // Cookies are as secret as tokens.
    let metrics = Request::get("/metrics").send(daemon.admin()).text().to_owned();
    assert!(
        metrics.contains(r#"keyward_calls_total{handler="site",operation="identify",outcome="accepted"} 1"#),
        "{metrics}"
    );
    let ended = daemon.stop();
    let audit = fs::read_to_string(folder.path().join("audit.log")).unwrap();
    for text in [&ended.stdout, &ended.stderr, &metrics, &audit, &ran.stderr, &ran.stdout] {
        assert!(!text.contains("c00kie"), "{text}");
    }
}

#[test]
fn only_what_the_operator_lists_leaves() {
    let api = Api::start();
    let folder = folder("leaves", &api.config());
    let daemon = Daemon::start(&folder, "keyward.toml");
    let all = json!({
        "method": "POST", "path": "/private",
        "headers": { "X-Forwarded-For": "192.0.2.1, a b", "X-Secret": "1", "Authorization": "Basic eDp5" },
        "cookies": { "ds_actor": "x", "sid": "c00kie-of-ann", "csrf": "y" },
    });
    assert_eq!(outcome(&ask(&daemon, &all).json()).0, "accepted");
    let line = "GET /user?format=json&x-forwarded-for=192.0.2.1%2C+a+b HTTP/1.1".to_owned();
    assert_eq!(api.seen(), [(line, "sid=c00kie-of-ann".to_owned())]);
    // Without its cookie, there is no request.
    for cookies in [json!({}), json!({ "sid": "" }), json!({ "SID": "c00kie-of-ann", "other": "1" })] {
        assert_eq!(outcome(&ask(&daemon, &json!({ "cookies": cookies })).json()).0, "not-mine");
    }
    assert_eq!(api.seen(), []);
}

#[test]
fn a_session_is_asked_for_by_trusted_clients_without_a_token() {
    let api = Api::start();
    let folder = folder("clients", &api.config());
    let daemon = Daemon::start(&folder, "keyward.toml");
    for (body, status) in [
        (json!({ "headers": { "authorization": "Bearer dstok_x" }, "cookies": { "sid": "c00kie-of-ann" } }), 400),
        (json!({ "headers": { "AUTHORIZATION": "bearer x" } }), 400),
        (json!({ "headers": { "cookie": "sid=c00kie-of-ann" } }), 400),
        (json!({ "cookies": { "sid": "a\r\nHost: evil" } }), 400),
        (json!({ "cookies": { "sid": "a; admin=1" } }), 400),
        (json!({ "cookies": { "sid": 1 } }), 400),
        (json!({ "path": "/a?token=x" }), 400),
        (json!({ "handler": "signed" }), 404),
        (json!({ "handler": "none" }), 404),
        (json!({ "handler": "site" }), 200),
    ] {
        let response = ask(&daemon, &body);
        assert_eq!(response.status, status, "{body}: {response:?}");
        assert!(!response.text().contains("c00kie"), "{response:?}");
    }
    assert_eq!(api.seen(), [], "nothing is sent for a request that is refused");
    let body = json!({ "cookies": { "sid": "c00kie-of-ann" } });
    assert_eq!(Request::json("/v1/session", &body).send(daemon.service()).status, 401);
    let other = Request::json("/v1/session", &body)
        .basic("other", "kwc_other-only-for-tests-only-for-tests-only-fo")
        .send(daemon.service());
    assert_eq!(other.status, 403);
    // A cookie is no token, and a session handler gets none, although it has no prefix.
    let verified = Request::json("/v1/verify", &json!({ "token": "c00kie-of-ann" })).basic("app", SECRET);
    assert_eq!(outcome(&verified.send(daemon.service()).json()).0, "not-mine");
    assert_eq!(api.seen(), []);
    // It issues none either, although it is the first handler.
    let created = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann"], "");
    assert_eq!(created.status, 0, "{created:?}");
    let refused = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann", "--handler", "site"], "");
    assert_ne!(refused.status, 0, "{refused:?}");
}

/// An actor's sessions end while the API is asked, and a later sign-in counts at once.
#[test]
fn a_revocation_ends_a_session_that_is_being_identified() {
    let api = Api::start();
    let folder = folder("revoked", &api.config());
    let daemon = Daemon::start(&folder, "keyward.toml");
    let body = json!({ "cookies": { "sid": "c00kie-of-ann" } });
    let revoke = || {
        let request = Request::json("/v1/revocations", &json!({ "actor": "ann" })).basic("app", SECRET);
        let response = request.send(daemon.service());
        assert_eq!(response.status, 200, "{response:?}");
    };
    let mut revoked = 0;
    for _ in 0..20 {
        thread::scope(|scope| {
            let asked = scope.spawn(|| outcome(&ask(&daemon, &body).json()).0);
            thread::sleep(Duration::from_millis(5));
            revoke();
            let after = outcome(&ask(&daemon, &body).json()).0;
            assert_eq!(after, "accepted", "asked after the revocation, in the same second");
            let during = asked.join().unwrap();
            assert!(["accepted", "revoked"].contains(&during.as_str()), "{during}");
            revoked += usize::from(during == "revoked");
        });
    }
    assert!(revoked > 0, "no request was in progress when its actor was revoked");
}

/// Verdicts are cached by the daemon, and purged from the command line.
#[test]
fn cached_sessions_are_purged() {
    let api = Api::start();
    let folder =
        folder("purged", &api.config().replace("session.cookies", "session.ttl_seconds = 3600\nsession.cookies"));
    let daemon = Daemon::start(&folder, "keyward.toml");
    let created = folder.run(&["create", "--config", "keyward.toml", "--actor", "ann"], "");
    let token = json!({ "token": created.stdout.trim_end() });
    let ask_as = |path: &str| {
        let body = json!({ "path": path, "cookies": { "sid": "c00kie-of-ann", "other": path } });
        outcome(&ask(&daemon, &body).json()).0
    };
    for path in ["/", "/a", "/"] {
        assert_eq!(ask_as(path), "accepted");
    }
    assert_eq!(api.seen().len(), 1);
    let metrics = Request::get("/metrics").send(daemon.admin()).text().to_owned();
    assert!(metrics.contains(r#"keyward_verdict_cache_hits_total{handler="site"} 2"#), "{metrics}");

    let purged = folder.run(&["sessions", "purge", "--config", "keyward.toml"], "");
    assert_eq!((purged.status, purged.stdout.as_str()), (0, "revoked the sessions of `site`\n"), "{purged:?}");
    wait_for("the site to be asked again", || {
        assert_eq!(ask_as("/"), "accepted");
        !api.seen().is_empty()
    });
    let verified = Request::json("/v1/verify", &token).basic("app", SECRET).send(daemon.service());
    assert_eq!(outcome(&verified.json()), ("accepted".to_owned(), "ann".to_owned()));
    let audit = fs::read_to_string(folder.path().join("audit.log")).unwrap();
    let records: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let record = records.iter().find(|record| record["event"] == "revoke").unwrap();
    assert_eq!((&record["handler"], &record["detail"]), (&json!("site"), &json!("sessions only")), "{record}");
}

/// Sends a proxy's question about a request with these headers.
fn forward(daemon: &Daemon, policy: &str, headers: &[(&str, &str)]) -> Response {
    let request = Request::get(&format!("/v1/auth/nginx/{policy}"));
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send(daemon.service())
}

#[test]
fn a_policy_admits_users_by_their_cookies() {
    let api = Api::start();
    let folder = folder("proxies", &api.config());
    let daemon = Daemon::start(&folder, "keyward.toml");
    let ann = ("Cookie", "csrf=1; sid=c00kie-of-ann; theme=dark");
    let get = ("X-Original-Method", "GET");
    for method in ["GET", "HEAD", "OPTIONS"] {
        let admitted = forward(&daemon, "members", &[ann, ("X-Original-Method", method)]);
        assert_eq!(admitted.status, 200, "{method}: {admitted:?}");
        assert_eq!(admitted.header("x-auth-subject"), Some("ann"));
        assert_eq!((admitted.header("x-auth-handler"), admitted.header("x-auth-token-id")), (Some("site"), Some("-")));
    }
    assert_eq!(api.seen().len(), 3);
    // A cookie is sent by each page that the user visits. Without a method that changes nothing,
    // and that the proxy has reported, it counts for nothing.
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "GET, POST", ""] {
        assert_eq!(forward(&daemon, "members", &[ann, ("X-Original-Method", method)]).status, 401, "{method}");
    }
    let unknown: [&[_]; 3] =
        [&[ann], &[ann, get, ("X-Original-Method", "POST")], &[ann, ("X-Forwarded-Method", "GET")]];
    for headers in unknown {
        assert_eq!(forward(&daemon, "members", headers).status, 401, "{headers:?}");
    }
    // A token, valid or not, is never followed by cookies.
    for authorization in ["Bearer x", "bearer dstok_x", "Bearer", "Bearer a b"] {
        let refused = forward(&daemon, "members", &[ann, get, ("Authorization", authorization)]);
        assert_eq!(refused.status, 401, "{authorization}");
        assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"), "{refused:?}");
    }
    let several = [ann, get, ("Authorization", "Basic eDp5"), ("Authorization", "Basic eDp5")];
    assert_eq!(forward(&daemon, "members", &several).status, 401);
    assert_eq!(forward(&daemon, "tokens", &[ann, get]).status, 401, "this policy admits no sessions");
    assert_eq!(api.seen(), [], "the API is asked about none of these");

    for (cookie, status) in
        [("sid=c00kie-of-401", 401), ("sid=c00kie-of-root", 401), ("other=1", 401), ("sid=c00kie-of-500", 503)]
    {
        let refused = forward(&daemon, "members", &[("Cookie", cookie), get]);
        assert_eq!(refused.status, status, "{cookie}");
        assert_eq!(refused.header("x-auth-subject"), None);
    }
    // Cookies may be in several headers.
    let split = [("Cookie", "csrf=1"), ("Cookie", "sid=c00kie-of-ann"), get];
    assert_eq!(forward(&daemon, "members", &split).status, 200);
    assert_eq!(forward(&daemon, "writers", &[ann, ("X-Original-Method", "POST")]).status, 200);
    assert_eq!(forward(&daemon, "writers", &[ann, get]).status, 401);
    let ended = daemon.stop();
    assert!(!ended.stderr.contains("c00kie"), "{}", ended.stderr);
    assert!(ended.stderr.contains(r#""outcome":"accepted","handler":"site""#), "{}", ended.stderr);

    // The method that another peer reports is not trusted.
    folder.write(
        "keyward.toml",
        api.config().replace("[policies]", "[server.forward_auth]\ntrusted_proxies = [\"192.0.2.1\"]\n[policies]"),
        0o644,
    );
    let daemon = Daemon::start(&folder, "keyward.toml");
    assert_eq!(forward(&daemon, "members", &[ann, get]).status, 401);
}

#[test]
fn a_policy_names_a_session_handler() {
    let api = Api::start();
    let folder = folder("policy", &api.config().replace("session = \"site\" }", "session = \"signed\" }"));
    let checked = folder.run(&["check", "builtin:session", "--config", "keyward.toml"], "");
    assert_eq!(checked.status, 2, "{checked:?}");
    let text = "policy `members`: `session` names `signed`, which is no session handler: correct it";
    assert!(checked.stderr.contains(text), "{checked:?}");
}

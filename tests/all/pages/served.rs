//! The pages of a daemon: their listener, their rates, and `keyward login`.

use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::Request;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
forward_auth = { trusted_proxies = [] }
limits = { failed_authentications = 1, failed_authentications_burst = 20 }

[keys.main]
secret = { file = "secret.key" }

[store]
sqlite = "keyward.db"

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }

[pages]
url = "http://tokens.example/auth"
"#;

fn folder(name: &str, more: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages-served").join(name));
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("keyward.toml", format!("{CONFIG}{more}"), 0o644);
    folder
}

fn page(target: &str) -> Request {
    Request::get(target).without("host").header("host", "tokens.example").header("sec-fetch-site", "same-origin")
}

/// Signs in with a link of `keyward login`, and returns the cookie.
fn sign_in(folder: &Folder, to: SocketAddr) -> String {
    let ran = folder.run(&["login", "--config", "keyward.toml", "--actor", "ann"], "");
    assert_eq!(ran.status, 0, "{ran:?}");
    let path = ran.stdout.trim_end().strip_prefix("http://tokens.example").unwrap().to_owned();
    let form = Request::form(&path, "")
        .without("host")
        .header("host", "tokens.example")
        .header("origin", "http://tokens.example");
    let response = form.send(to);
    assert_eq!((response.status, response.header("location")), (303, Some("/auth/tokens")), "{response:?}");
    response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_login_link_signs_in_below_the_prefix_and_the_host_of_the_address() {
    let folder = folder("login", "\n[audit]\nfile = \"audit.jsonl\"\n");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let to = daemon.service();
    let cookie = sign_in(&folder, to);
    let list = page("/auth/tokens").header("cookie", &cookie).send(to);
    assert!(list.status == 200 && list.text().contains("Signed in as <strong>ann</strong>"), "{list:?}");
    assert_eq!(list.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page("/tokens").header("cookie", &cookie).send(to).status, 404, "without the prefix");
    let other =
        Request::get("/auth/tokens").without("host").header("host", "evil.example").header("cookie", &cookie).send(to);
    assert_eq!(other.status, 421, "another host, such as one that a name was rebound to");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = Request::new(method, "/auth/tokens")
            .without("host")
            .header("host", "tokens.example")
            .header("cookie", &cookie);
        assert_eq!(request.send(to).status, 405, "{method}");
    }
    let metrics = Request::get("/metrics").send(daemon.admin());
    assert!(metrics.text().contains("endpoint=\"pages\",status=\"200\""), "{}", metrics.text());
    let ended = daemon.stop();
    let secret = cookie.split_once('=').unwrap().1;
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"event\":\"sign-in-link\",\"actor\":\"ann\""), "{audit}");
    assert!(audit.contains("\"event\":\"sign-in\"") && !audit.contains(secret), "{audit}");
    assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret), "{ended:?}");
    assert!(ended.stderr.contains("\"endpoint\":\"pages\""), "{}", ended.stderr);
}

#[test]
fn pages_may_have_a_listener_of_their_own() {
    let folder = folder("listener", "listen = \"127.0.0.1:0\"\n");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let stdout = daemon.stdout();
    let line = stdout.lines().find(|line| line.ends_with(", for the pages")).unwrap_or_else(|| panic!("{stdout}"));
    let address = line.split("http://").nth(1).unwrap().split(',').next().unwrap();
    let pages: SocketAddr = address.parse().unwrap();
    let cookie = sign_in(&folder, pages);
    assert_eq!(page("/auth/tokens").header("cookie", &cookie).send(pages).status, 200);
    assert_eq!(page("/auth/tokens").header("cookie", &cookie).send(daemon.service()).status, 404);
    for path in ["/v1/actor", "/v1/tokens", "/openapi.json", "/v1/auth/nginx/members"] {
        assert_eq!(page(path).send(pages).status, 404, "{path}");
    }
}

/// An id of an actor may begin like a token. A token is not written to the audit log.
#[test]
fn no_link_is_created_for_a_token() {
    let folder = folder("login-token", "\n[audit]\nfile = \"audit.jsonl\"\n");
    let login = |actor: &str| folder.run(&["login", "--config", "keyward.toml", "--actor", actor], "");
    assert_eq!(login("dstok_team").status, 0);
    let token = "dstok_eyJhIjoicm9vdCIsInQiOjE3NjcyMjU2MDB9.zpVQnUO2ipfYFWSxJCGhrKH9dDU";
    let refused = login(token);
    assert!(refused.status == 2 && refused.stderr.contains("looks like a token"), "{refused:?}");
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(!refused.stderr.contains(token) && !audit.contains(token), "{audit}");
}

/// Requests without a person count like failed authentications of clients, and those of people do
/// not.
#[test]
fn a_peer_that_is_not_signed_in_is_slowed_down() {
    let folder = folder("rates", "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let to = daemon.service();
    let cookie = sign_in(&folder, to);
    for _ in 0..40 {
        assert_eq!(page("/auth/tokens").header("cookie", &cookie).send(to).status, 200);
    }
    let statuses: Vec<_> = (0..40).map(|_| page("/auth/tokens").header("cookie", "keyward=wrong").send(to)).collect();
    assert_eq!(statuses[0].status, 403);
    let slow = statuses.iter().find(|response| response.status == 429).expect("too many");
    assert!(slow.header("retry-after").is_some(), "{slow:?}");
    let reloads = (0..3).map(|_| page("/auth/tokens").without("sec-fetch-site").send(to).status);
    assert!(reloads.into_iter().any(|status| status == 429), "without a word about the site that caused it");
    let links = (0..3).map(|number| page(&format!("/auth/tokens/login/{number}")).send(to).status);
    assert!(links.into_iter().any(|status| status == 429));
    assert_eq!(page("/auth/tokens").header("cookie", &cookie).send(to).status, 200);
}

//! Users whom a site knows by a cookie, in a real browser in front of nginx: pages of other origins
//! change nothing.

use super::application::{Application, Seen, header};
use super::clients::run;
use super::cookies;
use super::keyward::{SITE, TOKENS};
use super::page::Table;
use super::proxy::{self, Proxy};
use crate::sessions::Api;
use keyward_tests::peers;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use tempfile::TempDir;

/// A cookie, and the origin that the user visits.
struct Visit {
    /// The name in the table.
    name: &'static str,
    /// The host of the origin.
    host: &'static str,
    /// The attributes of the cookie.
    attributes: &'static str,
}

/// All visits, in the order of the table's columns.
const VISITS: [Visit; 5] = [
    Visit { name: "`SameSite=Strict`", host: "evil.example.net", attributes: "; SameSite=Strict" },
    Visit { name: "`SameSite=Lax`", host: "evil.example.net", attributes: "; SameSite=Lax" },
    Visit { name: "no `SameSite`", host: "evil.example.net", attributes: "" },
    Visit { name: "`SameSite=None`", host: "evil.example.net", attributes: "; SameSite=None" },
    Visit {
        name: "`SameSite=Strict`, other origin of the same site",
        host: "evil.example.org",
        attributes: "; SameSite=Strict",
    },
];

/// The folder of the policy `orders`, where `POST` is among the methods of sessions.
const ORDERS: &str = "/orders/";

/// A page that sends a request.
struct Page {
    /// The name in the table.
    name: &'static str,
    method: &'static str,
    /// The beginning of the target's path.
    folder: &'static str,
    /// The page, with `TARGET` in place of the URL.
    html: &'static str,
}

/// Returns a page whose request is for the policy `members`.
const fn page(name: &'static str, method: &'static str, html: &'static str) -> Page {
    Page { name, method, folder: "/", html }
}

/// All pages, in the order of the table's rows.
const PAGES: [Page; 12] = [
    page("link", "GET", r#"<a id=go href="TARGET">x</a><script>go.click()</script>"#),
    page(
        "form, `GET` with `_method=DELETE`",
        "GET",
        r#"<form id=go action="TARGET"><input name=_method value=DELETE></form><script>go.submit()</script>"#,
    ),
    page("image", "GET", r#"<img src="TARGET">"#),
    page("WebSocket", "GET", r#"<script>new WebSocket("TARGET".replace("https", "wss"))</script>"#),
    page(
        "form, `POST`",
        "POST",
        r#"<form id=go method=post action="TARGET"><input name=a value=b></form><script>go.submit()</script>"#,
    ),
    page(
        "form, `POST` as `multipart/form-data`",
        "POST",
        r#"<form id=go method=post action="TARGET" enctype="multipart/form-data"><input name=a value=b></form>
            <script>go.submit()</script>"#,
    ),
    page(
        "form, `POST` as `text/plain`",
        "POST",
        r#"<form id=go method=post action="TARGET" enctype="text/plain"><input name=a value=b></form>
            <script>go.submit()</script>"#,
    ),
    page(
        "form, `POST` with `_method=GET`",
        "POST",
        r#"<form id=go method=post action="TARGET?_method=GET"><input name=_method value=GET></form>
            <script>go.submit()</script>"#,
    ),
    page(
        "`fetch`, `POST`",
        "POST",
        r#"<script>fetch("TARGET", { method: "POST", mode: "no-cors", credentials: "include", body: "a=b" })</script>"#,
    ),
    page(
        "`fetch`, `POST` with `X-HTTP-Method-Override: GET`",
        "POST",
        r#"<script>
            const headers = { "X-HTTP-Method-Override": "GET" };
            fetch("TARGET", { method: "POST", credentials: "include", headers })
        </script>"#,
    ),
    page(
        "`fetch`, `DELETE`",
        "DELETE",
        r#"<script>fetch("TARGET", { method: "DELETE", credentials: "include" })</script>"#,
    ),
    Page {
        name: "form, `POST`, `session_methods = [\"GET\", \"POST\"]`",
        method: "POST",
        folder: ORDERS,
        html: r#"<form id=go method=post action="TARGET"><input name=a value=b></form><script>go.submit()</script>"#,
    },
];

#[test]
fn pages_of_other_origins_change_nothing_in_a_browser() {
    let nginx = proxy::ALL.into_iter().find(|kind| kind.name == "nginx" && kind.is_installed());
    let programs = (nginx, peers::program("node"), peers::program("chromium"), peers::node_package("playwright-core"));
    let (Some(nginx), Some(node), Some(chromium), Some(package)) = programs else {
        peers::skip("Chromium", "it, nginx, Node.js or playwright-core is not installed");
        return;
    };
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([SITE.to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let [certificate, key, log] = ["tls.pem", "tls.key", "log"].map(|name| folder.path().join(name));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();

    let api = Api::start();
    let keyward = cookies::start("browser", &api);
    let application = Application::start();
    // Browsers accept `SameSite=None` over TLS only. The log has the cookies of refused requests.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).unwrap();
    let [certificate_path, key_path, log_path] = [&certificate, &key, &log].map(|path| path.display());
    let tls = format!(
        "server {{\nlisten {free} ssl;\nssl_certificate {certificate_path};\nssl_certificate_key {key_path};\n"
    );
    let logs = format!("log_format cookies '$request_method $uri $http_cookie';\naccess_log {log_path} cookies;");
    let edits = [cookies::passes_cookies(nginx), vec![("server {\n", tls), ("access_log off;", logs)]].concat();
    let proxy = Proxy::start_edited(nginx, &keyward, application.address(), &edits);

    let site = format!("https://{SITE}:{}", free.port());
    let visits = VISITS.iter().enumerate().map(|(column, visit)| {
        let pages = PAGES.iter().enumerate().map(|(row, page)| {
            let target = page.target(row, column);
            json!({"target": target, "html": page.html.replace("TARGET", &format!("{site}{target}"))})
        });
        let cookie = format!("{}; Path=/; Secure{}", TOKENS.session.text, visit.attributes);
        json!({"cookie": cookie, "host": visit.host, "pages": pages.collect::<Vec<_>>()})
    });
    let question = json!({
        "application": site,
        "certificate": cert.pem(),
        "key": signing_key.serialize_pem(),
        "profile": folder.path().join("profile"),
        "visits": visits.collect::<Vec<_>>(),
    });
    application.take();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/browser.mjs");
    let ended = run(&node, &[script, chromium, package], &certificate, &question);
    assert_eq!(ended.len(), VISITS.len() * PAGES.len(), "{ended:?}");

    let seen = application.take();
    // The log is complete when nginx has ended.
    drop(proxy);
    let log = fs::read_to_string(log).unwrap();
    let mut table = Table::new(PAGES.iter().map(|page| page.name), VISITS.iter().map(|visit| visit.name));
    for (row, page) in PAGES.iter().enumerate() {
        for (column, visit) in VISITS.iter().enumerate() {
            let target = page.target(row, column);
            let sent = format!("{} {target} {}", page.method, TOKENS.session.text);
            let sent = log.lines().any(|line| line == sent);
            let reached = seen.iter().find(|seen| path(seen) == target);
            let cell = match (sent, reached.map(|seen| header(seen, "x-auth-subject"))) {
                (false, None) => "not sent",
                (true, None) => "refused",
                (true, Some(Some("ann"))) => "passes",
                _ => panic!("{}, {}: {reached:?}\n{log}", page.name, visit.name),
            };
            table.set(page.name, visit.name, cell.to_owned());
        }
    }
    // With any method, and also while the table is written.
    let changes = seen.iter().find(|seen| seen.method != "GET" && !path(seen).starts_with(ORDERS));
    assert!(changes.is_none(), "{changes:?}");
    table.compare("browser").unwrap_or_else(|wrong| panic!("{wrong}"));
}

impl Page {
    /// Returns the path of the page's request, which no other request has.
    fn target(&self, row: usize, column: usize) -> String {
        format!("{}{row}-{column}", self.folder)
    }
}

fn path(seen: &Seen) -> &str {
    seen.target.split('?').next().unwrap_or_default()
}

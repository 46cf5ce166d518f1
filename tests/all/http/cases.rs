//! Requests as text, byte for byte, and the required responses: the files in `tests/cases/http/`.
//!
//! ```text
//! server: default
//!
//! == A duplicate token is an error.
//! POST /v1/introspect HTTP/1.1
//! Host: localhost
//! Authorization: {basic app}
//! Content-Type: application/x-www-form-urlencoded
//! Content-Length: {length}
//!
//! token={good}&token={good}
//! => 400 invalid_request
//! ```
//!
//! A file starts with the server of its cases: one of [`SERVERS`]. A case is a title, the bytes to
//! send, and the expected responses. Each sent line ends in CR LF, except for the last line of the
//! body, which follows the first empty line. Lines and expectations may contain:
//!
//! | | |
//! | --- | --- |
//! | `\r` `\n` `\t` `\0` `\\` `\xFF` | that byte |
//! | `\` at the end | no CR LF follows |
//! | `{good}`, `{id good}`, `{basic app}`, `{secret app}` | a token or its id, a client's credentials: from `world.rs` |
//! | `{length}` | the length of the body |
//! | `{ab*1000}` | a thousand times `ab` |
//!
//! | expectation | |
//! | --- | --- |
//! | `=> 200` | a response with this status; repeated for several responses, in order |
//! | `=> 400 invalid_request` | an error with this code, as JSON, as described in `docs/serve.md` |
//! | `=> 400 bare` | a response of the HTTP library itself: empty, and the connection is closed |
//! | `=> closed` | the connection is closed |
//! | `=> Allow: POST`, `=> no Allow` | the only header of that name; no such header |
//! | `=> json {…}`, `=> body …`, `=> empty` | the body of that response |
//!
//! Whatever a case does, the next valid request on another connection must succeed.

use super::server::Server;
use super::world::managed::Managed;
use super::world::store::{Double, records};
use super::world::{self, NOW, SERVER};
use keyward_server::{Config, IdentityHeaders};
use keyward_store::{Location, Store};
use keyward_tests::http::{Connection, Request, Response, is_end};
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The servers, and their differences from [`world::SERVER`].
const SERVERS: [(&str, &LazyLock<Server>); 9] = [
    ("default", &SERVER),
    ("query", &QUERY),
    ("strict", &STRICT),
    ("distrustful", &DISTRUSTFUL),
    // A revocation also affects later cases, so all of them are in one file.
    ("store", &STORE),
    ("another store", &ANOTHER_STORE),
    ("failing store", &FAILING_STORE),
    ("silent store", &SILENT_STORE),
    ("managed", &MANAGED),
];

static QUERY: LazyLock<Server> = LazyLock::new(|| start(|config| config.query_parameter = Some("_auth_token".into())));

static STRICT: LazyLock<Server> = LazyLock::new(|| {
    start(|config| {
        config.issuer = None;
        config.realm = keyward_server::Realm::new("a realm").unwrap();
        config.hosts = keyward_server::Hosts::Any;
        config.forward_auth.refuse_forged = true;
        config.forward_auth.remove_credentials = true;
        config.forward_auth.headers =
            IdentityHeaders { subject: "remote-user".parse().unwrap(), ..IdentityHeaders::default() };
    })
});

static DISTRUSTFUL: LazyLock<Server> =
    LazyLock::new(|| start(|config| config.forward_auth.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]));

static STORE: LazyLock<Server> = LazyLock::new(|| start_with(Double::with(&records(NOW)), PATIENCE));

static ANOTHER_STORE: LazyLock<Server> = LazyLock::new(|| start_with(Double::with(&records(NOW)), PATIENCE));

static FAILING_STORE: LazyLock<Server> = LazyLock::new(|| {
    let store = Double::with(&records(NOW));
    store.fail(true);
    start_with(store, PATIENCE)
});

static MANAGED: LazyLock<Server> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("http/managed");
    // Of a previous run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let store = Store::open(Location::sqlite(folder.join("keyward.db"))).unwrap();
    Managed::over(store, []).with_records().server
});

/// A server whose revocation list is always stale.
static SILENT_STORE: LazyLock<Server> = LazyLock::new(|| start_with(Double::with(&[]), Duration::ZERO));

const PATIENCE: Duration = Duration::from_secs(3_600);

fn start_with(store: Double, patience: Duration) -> Server {
    Server::start(world::config(), world::registry_with(&Arc::new(store), patience), Some(NOW))
}

fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = world::config();
    change(&mut config);
    Server::start(config, world::registry(), Some(NOW))
}

#[test]
fn every_request_has_its_response() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/http");
    let (mut cases, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (head, rest) = text.split_once("\n== ").unwrap();
        let server = head.trim().strip_prefix("server: ").unwrap();
        let server = SERVERS.iter().find(|(name, _)| *name == server).unwrap().1;
        for text in rest.split("\n== ") {
            let case = Case::read(text);
            cases += 1;
            if let Err(error) = case.run(server) {
                wrong.push(format!("{name}: {}\n    {error}", case.what));
            }
            if server.ask(&Request::get("/v1/actor")).status != 200 {
                wrong.push(format!("{name}: {}\n    the next request is not answered", case.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 100, "{cases}");
}

struct Case<'a> {
    what: &'a str,
    sent: Vec<u8>,
    /// Set for `HEAD`, whose response has no body.
    to_head: bool,
    wanted: Vec<String>,
}

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Self {
        let (what, text) = text.split_once('\n').unwrap();
        let (sent, wanted) = text.split_once("\n=> ").unwrap_or_else(|| panic!("{what}: no `=>`"));
        let sent = format!("{sent}\n");
        let (head, body) = sent.split_once("\n\n").unwrap_or_else(|| panic!("{what}: no empty line after the head"));
        let body = lines(body.strip_suffix('\n').unwrap_or(body), "");
        let body = body.strip_suffix(b"\r\n").unwrap_or(&body);
        let length = body.len().to_string();
        let sent = [&lines(head, &length), &b"\r\n"[..], body].concat();
        let wanted =
            wanted.split("\n=> ").map(|line| String::from_utf8(expand(line.trim_end(), "")).unwrap()).collect();
        Self { what, sent, to_head: head.starts_with("HEAD "), wanted }
    }

    fn run(&self, server: &Server) -> Result<(), String> {
        let mut connection = server.connect();
        // A request that is refused early may not be read completely.
        let sent = connection.send(&self.sent).or_else(|error| if is_end(&error) { Ok(()) } else { Err(error) });
        sent.map_err(|error| error.to_string())?;
        let mut answer = None;
        for wanted in &self.wanted {
            if let Some((status, error)) = as_status(wanted) {
                let next = connection.answer(self.to_head).map_err(|error| format!("no `{wanted}`: {error}"))?;
                check_status(&next, status, error, self.to_head, &mut connection)?;
                answer = Some(next);
            } else if wanted == "closed" {
                let rest = connection.rest().map_err(|error| format!("not closed: {error}"))?;
                if !rest.is_empty() {
                    return Err(format!("{:?} before the end", String::from_utf8_lossy(&rest)));
                }
            } else {
                let answer = answer.as_ref().unwrap_or_else(|| panic!("{}: no status before `{wanted}`", self.what));
                check(answer, wanted).map_err(|()| format!("not `{wanted}`: {answer:?}"))?;
            }
        }
        Ok(())
    }
}

/// Parses a status and an optional error code, such as `400 invalid_request`.
fn as_status(wanted: &str) -> Option<(u16, &str)> {
    let (status, error) = wanted.split_once(' ').unwrap_or((wanted, ""));
    Some((status.parse().ok()?, error))
}

fn check_status(
    answer: &Response,
    status: u16,
    error: &str,
    to_head: bool,
    connection: &mut Connection,
) -> Result<(), String> {
    let not = |what: &str| Err(format!("not {status} {error}, {what}: {answer:?}"));
    if answer.status != status {
        return not("the status");
    }
    if error == "bare" {
        let ends = connection.rest().is_ok_and(|rest| rest.is_empty());
        if !answer.body.is_empty() || !ends {
            return not("bare");
        }
    }
    let no_store = answer.header("cache-control").is_some_and(|value| value.ends_with("no-store"));
    let id = answer.header("x-request-id").unwrap_or_default();
    if !no_store || id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return not("what every answer has");
    }
    if (status == 503) != (answer.header("retry-after") == Some("1")) {
        return not("`Retry-After`");
    }
    if error.is_empty() || error == "bare" || to_head {
        return Ok(());
    }
    let body = answer.json();
    let members = body.as_object().is_some_and(|body| body.keys().eq(["error", "error_description"]));
    let description = body["error_description"].as_str().is_some_and(|text| !text.is_empty());
    let kind = answer.header("content-type") == Some("application/json");
    if members && description && kind && body["error"] == error { Ok(()) } else { not("the error") }
}

fn check(answer: &Response, wanted: &str) -> Result<(), ()> {
    let fine = if let Some(name) = wanted.strip_prefix("no ") {
        answer.header(name).is_none()
    } else if let Some(json) = wanted.strip_prefix("json ") {
        answer.json()
            == serde_json::from_str::<serde_json::Value>(json).unwrap_or_else(|error| panic!("{error}: {json}"))
    } else if let Some(body) = wanted.strip_prefix("body ") {
        answer.body == body.as_bytes()
    } else if wanted == "empty" {
        answer.body.is_empty()
    } else {
        let (name, value) = wanted.split_once(": ").unwrap_or_else(|| panic!("`{wanted}` is not an expectation"));
        answer.header(name) == Some(value)
    };
    if fine { Ok(()) } else { Err(()) }
}

/// Returns the bytes of lines, each followed by CR LF.
fn lines(text: &str, length: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.split('\n') {
        let (line, end) = match line.strip_suffix('\\') {
            Some(line) if !line.ends_with('\\') => (line, &b""[..]),
            _ => (line, &b"\r\n"[..]),
        };
        bytes.extend(expand(line, length));
        bytes.extend(end);
    }
    bytes
}

/// Replaces each `{…}`.
fn expand(line: &str, length: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find('{') {
        bytes.extend(unescape(&rest[..start]));
        rest = &rest[start + 1..];
        let inner = rest.find('}').map(|end| &rest[..end]).filter(|inner| !inner.contains('{'));
        let repeated = inner
            .and_then(|inner| inner.rsplit_once('*'))
            .and_then(|(what, count)| Some(unescape(what).repeat(count.parse().ok()?)));
        let is_name = |inner: &&str| {
            !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_lowercase() || b" -".contains(&byte))
        };
        let named = || {
            inner.filter(is_name).map(|name| match name {
                "length" => length.as_bytes().to_owned(),
                name => world::named(name).into_bytes(),
            })
        };
        match repeated.or_else(named) {
            Some(meant) => {
                bytes.extend(meant);
                rest = &rest[inner.map_or(0, str::len) + 1..];
            }
            None => bytes.push(b'{'),
        }
    }
    bytes.extend(unescape(rest));
    bytes
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("`{text}`: {other:?} after a backslash"),
        });
    }
    bytes
}

#[test]
fn a_case_sends_the_bytes_that_it_shows() {
    let text = "What.\nGET /\\xff HTTP/1.1\nA: {b\\n*3}\\\nC: {length}\n\n{\"x\":{}}\nlast\\0\n=> 200\n=> Allow: POST";
    let case = Case::read(text);
    assert_eq!(case.sent, b"GET /\xff HTTP/1.1\r\nA: b\nb\nb\nC: 15\r\n\r\n{\"x\":{}}\r\nlast\0");
    assert_eq!((case.what, case.wanted.join(" ")), ("What.", "200 Allow: POST".to_owned()));
    let bare = Case::read("What.\nHEAD / HTTP/1.1\n\n=> closed");
    assert_eq!((bare.sent.as_slice(), bare.to_head), (&b"HEAD / HTTP/1.1\r\n\r\n"[..], true));
    assert_eq!(expand("{good}", ""), world::token("good").into_bytes());
}

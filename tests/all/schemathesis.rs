//! Schemathesis sends `keyward serve` requests that its OpenAPI document describes, and requests
//! that violate it. Every response must be documented, and the only server error is the missing
//! verdict.
//!
//! `KEYWARD_SOAK_SECONDS` sets the duration of each run, with random requests.

use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::Request;
use keyward_tests::{hostile, peers};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SECRET: &str = "app-secret-0123456789-0123456789-0123456789";
const TOKEN: &str = "token-of-bot-0123456789-0123456789";

/// Configuration of a daemon that can produce every response: valid tokens, invalid ones, some
/// without a verdict; creation that succeeds, is denied, or is disabled.
///
/// The limits are high because the machine may be busy.
const DAEMON: &str = r#"
actions_open = true

[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
issuer = "https://auth.example.org"

[keys.main]
secret = { env = "KEY" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }
limits = { cpu_ms = 10000, wall_ms = 30000 }

[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.bot = { env = "BOT" }
settings = { actors = { bot = { id = "bot" } } }
actors = "any"
limits = { cpu_ms = 10000, wall_ms = 30000 }

[[handlers]]
name = "down"
component = "down.wasm"
prefixes = ["dn_"]
actors = "any"

[[handlers]]
name = "off"
component = "off.wasm"
prefixes = ["off_"]
actors = "any"

[[handlers]]
name = "partner"
component = "down.wasm"
prefixes = ["pa_"]
actors = ["partner:*"]

[endpoints.site]
url = "https://127.0.0.1:9/user"
cookies = ["sid"]

[[handlers]]
name = "site"
component = "builtin:session"
actors = ["nobody"]
http.site = "site"
session.cookies = ["sid"]

[clients.app]
secret_sha256 = "SHA256"
may = ["introspect", "verify", "create"]

[policies]
members = "any"
readers = { action = "view-instance", handlers = ["signed"] }
api = { action = "any", methods = ["GET"], paths = ["/api/*"] }

[actions]
view-instance = "vi"
"#;

/// Configuration of schemathesis. The only accepted server error is the documented 503.
///
/// A token in the form of `/v1/introspect` and `Authorization` may exclude each other, which
/// OpenAPI cannot express.
const ASKING: &str = r#"
color = false
continue-on-failure = true
request-timeout = 60

[cache]
enabled = false

[generation]
database = "none"
max-examples = EXAMPLES

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]

[[operations]]
include-path = "/v1/introspect"
checks.positive_data_acceptance.enabled = false

# Names of headers and cookies have a syntax that the document does not describe.
[[operations]]
include-path = "/v1/session"
checks.positive_data_acceptance.enabled = false

[dictionaries]
policies.values = ["members", "readers", "api", "nobody"]
tokens.values = ["TOKEN", "dstok_e30.x", "dn_x"]

[parameters]
"path.policy" = { dictionary = "policies", probability = 0.9 }
"body.token" = { dictionary = "tokens", probability = 0.5 }
"#;

/// Requests of a known client with a valid token, more of them for some operations so that all
/// responses occur.
///
/// Actors come from a list, because no schema can require an id with a visible character.
const KNOWN: &str = r#"
[auth.openapi]
basic = { username = "app", password = "SECRET" }
bearer = { bearer = "SECRET" }
token = { bearer = "TOKEN" }

[warnings]
fail-on = true

[dictionaries.handlers]
values = ["bots", "off", "partner"]

[dictionaries.actors]
values = ["root", "7", " two words ", "日本"]

[[operations]]
include-path = "/v1/verify"
generation.max-examples = MANY

[[operations]]
include-path = "/v1/tokens"
generation.max-examples = MANY
parameters = { "body.handler" = { dictionary = "handlers", probability = 0.8 }, "body.actor" = { dictionary = "actors", probability = 1.0 } }
"#;

/// Requests for tokens of handlers that issue none.
///
/// With another dictionary in the same body schemathesis omits this one; without it an actor may be
/// whitespace, and be rejected.
const HANDLERS: &str = r#"
[auth.openapi]
basic = { username = "app", password = "SECRET" }
bearer = { bearer = "SECRET" }

[dictionaries.handlers]
values = ["bots", "off", "partner"]

[[operations]]
include-path = "/v1/tokens"
generation.max-examples = MANY
checks.positive_data_acceptance.enabled = false
parameters = { "body.handler" = { dictionary = "handlers", probability = 0.8 } }
"#;

/// Requests of a client that may revoke.
///
/// A valid token may be refused because it has no id or the client may not revoke it, and so may an
/// issue time in the future, which no schema can exclude.
const REVOKER: &str = r#"
[auth.openapi]
basic = { username = "app", password = "SECRET" }
bearer = { bearer = "SECRET" }

[[operations]]
include-path = "/v1/revoke"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-path = "/v1/revocations"
checks.positive_data_acceptance.enabled = false
"#;

/// Requests of a client that may see and change tokens.
///
/// No schema can describe a cursor from an earlier page, or terms that are narrower than a token's
/// and end before its expiry.
const KEEPER: &str = r#"
[auth.openapi]
basic = { username = "app", password = "SECRET" }
bearer = { bearer = "SECRET" }

[dictionaries.handlers]
values = ["kept", "signed", "nobody"]

[dictionaries.ids]
values = IDS

[[operations]]
include-path = "/v1/tokens"
checks.positive_data_acceptance.enabled = false
parameters = { "query.handler" = { dictionary = "handlers", probability = 0.9 }, "body.handler" = { dictionary = "handlers", probability = 0.9 } }

[[operations]]
include-path = "/v1/tokens/{handler}/{token_id}"
generation.max-examples = MANY
checks.positive_data_acceptance.enabled = false
parameters = { "path.handler" = { dictionary = "handlers", probability = 0.9 }, "path.token_id" = { dictionary = "ids", probability = 0.9 } }

[[operations]]
include-path = "/v1/tokens/{handler}/{token_id}/rotate"
generation.max-examples = MANY
parameters = { "path.handler" = { dictionary = "handlers", probability = 0.9 }, "path.token_id" = { dictionary = "ids", probability = 0.9 } }
"#;

/// The store of tokens and revocations, and the clients that may use it.
const STORE: &str = "\n[store]\nsqlite = \"keyward.db\"\n";
const KEPT: &str = r#"
[[handlers]]
name = "kept"
component = "builtin:stored"
prefixes = ["kwt_kept_"]
settings = { prefix = "kwt_kept_" }
store = true
limits = { cpu_ms = 10000, wall_ms = 30000 }
"#;
const RIGHTS: [&str; 3] =
    [r#"["introspect", "verify", "create"]"#, r#"["revoke"]"#, r#"["create", "list-all", "edit"]"#];

/// The whole document except for operations that would invalidate valid tokens.
#[test]
fn a_known_client_with_a_valid_token() {
    let others = ["--exclude-path-regex", "^/v1/(revo|tokens/)", "--exclude-operation-id", "list"];
    let Some(answers) = run("known", KNOWN, &others) else { return };
    for (endpoint, statuses) in [
        ("introspect", &[200, 400, 405, 415, 503][..]),
        ("verify", &[200, 400, 401, 404, 405, 415, 503]),
        ("session", &[200, 400, 404, 405, 415]),
        ("tokens", &[201, 400, 401, 403, 404, 405, 415]),
        ("actor", &[200, 405]),
        ("jwks", &[200, 405]),
        ("metadata", &[200, 405]),
        ("openapi", &[200, 405]),
        ("nginx", &[200, 403, 404]),
        ("forward", &[200, 403, 404]),
        ("envoy", &[200, 403, 404]),
    ] {
        for status in statuses {
            assert_had(&answers, endpoint, *status);
        }
    }
}

#[test]
fn a_known_client_of_handlers_that_issue_no_tokens() {
    let paths = ["--include-path", "/v1/tokens", "--exclude-operation-id", "list"];
    let Some(answers) = run("handlers", HANDLERS, &paths) else { return };
    for status in [400, 403, 405, 409, 415] {
        assert_had(&answers, "tokens", status);
    }
}

#[test]
fn a_client_that_may_revoke() {
    let Some(answers) = run("revoker", REVOKER, &["--include-path-regex", "^/v1/revo"]) else { return };
    for endpoint in ["revoke", "revocations"] {
        for status in [200, 400, 405, 415] {
            assert_had(&answers, endpoint, status);
        }
    }
}

#[test]
fn a_client_that_may_see_and_change_tokens() {
    let Some(answers) = run("keeper", KEEPER, &["--include-path-regex", "^/v1/tokens"]) else { return };
    for (endpoint, statuses) in [
        ("tokens", &[200, 201, 400, 404, 405, 415][..]),
        ("token", &[200, 400, 404, 405, 409, 415]),
        ("rotate", &[201, 400, 404, 405, 409, 415]),
    ] {
        for status in statuses {
            assert_had(&answers, endpoint, *status);
        }
    }
}

#[test]
fn a_client_without_credentials() {
    let Some(answers) = run("nobody", "", FEW) else { return };
    assert_denied(&answers, 401);
}

#[test]
fn an_unknown_client_with_an_invalid_token() {
    let Some(answers) = run("unknown", &bearer("dstok_e30.x"), FEW) else { return };
    assert_denied(&answers, 401);
    assert_had(&answers, "actor", 401);
}

#[test]
fn a_token_without_a_verdict() {
    let Some(answers) = run("no-verdict", &bearer("dn_x"), FEW) else { return };
    assert_denied(&answers, 503);
    assert_had(&answers, "actor", 503);
}

/// The proxies' endpoints behave the same for every method.
const FEW: &[&str] = &["--include-method", "GET", "--include-method", "POST"];

fn bearer(token: &str) -> String {
    let wrong = "app-secret-of-somebody-else-0123456789-0123";
    format!("[auth.openapi]\nbearer = {{ bearer = \"{wrong}\" }}\ntoken = {{ bearer = \"{token}\" }}\n")
}

/// Asserts that no request was admitted, and that proxies got the reason.
fn assert_denied(answers: &BTreeSet<(String, u16)>, status: u16) {
    for endpoint in ["nginx", "forward", "envoy"] {
        assert_had(answers, endpoint, status);
    }
    let mut good = answers.iter().filter(|(_, status)| (200..300).contains(status));
    let open = ["actor", "jwks", "metadata", "openapi"];
    assert!(good.all(|(endpoint, _)| open.contains(&endpoint.as_str())), "{answers:?}");
}

/// Asserts that a response occurred. A run with a time limit may not have reached it.
fn assert_had(answers: &BTreeSet<(String, u16)>, endpoint: &str, status: u16) {
    let had = answers.contains(&(endpoint.to_owned(), status));
    assert!(had || soak().is_some(), "no {status} of {endpoint}: {answers:?}");
}

/// Returns the duration of a long run in seconds, if one is requested.
fn soak() -> Option<String> {
    env::var("KEYWARD_SOAK_SECONDS").ok()
}

/// Runs schemathesis against a daemon, and returns the endpoints and statuses of the responses.
fn run(name: &str, auth: &str, args: &[&str]) -> Option<BTreeSet<(String, u16)>> {
    let Some(program) = peers::program("schemathesis") else {
        peers::skip("schemathesis", "it is not installed");
        return None;
    };
    let mut folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("schemathesis").join(name));
    folder.set("KEY", "only-for-tests-only-for-tests-only-for-tests");
    folder.set("BOT", TOKEN);
    folder.write("down.wasm", hostile::case("answer-unavailable").bytes, 0o644);
    folder.write("off.wasm", hostile::case("answer-denied-disabled").bytes, 0o644);
    let digest = keyward_server::SecretDigest::of(SECRET).to_hex();
    let mut config = DAEMON.replace("SHA256", &digest);
    match name {
        "revoker" => config = config.replace(RIGHTS[0], RIGHTS[1]) + STORE,
        "keeper" => config = config.replace(RIGHTS[0], RIGHTS[2]) + KEPT + STORE,
        _ => {}
    }
    folder.write("keyward.toml", config, 0o644);
    let daemon = Daemon::start(&folder, "keyward.toml");
    let ids = if name == "keeper" { kept(&daemon) } else { Vec::new() };
    let (examples, many) = if soak().is_some() { ("1000", "1000") } else { ("10", "100") };
    let asking = format!("{ASKING}\n{auth}").replace("SECRET", SECRET).replace("TOKEN", TOKEN);
    let asking = asking.replace("EXAMPLES", examples).replace("MANY", many).replace("IDS", &format!("{ids:?}"));
    folder.write("schemathesis.toml", asking, 0o644);

    let mut command = Command::new(program);
    command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
    // Given a URL, schemathesis would skip the endpoint of the document itself.
    command.arg("run").arg(document()).args(["--url", &format!("http://{}", daemon.service())]).args(args);
    match soak() {
        Some(seconds) => command.args(["--max-time", &seconds]),
        None => command.args(["--seed", "7"]),
    };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let metrics = Request::get("/metrics").send(daemon.admin());
    let answers = metrics.text().lines().filter_map(answer).collect();
    let ended = daemon.stop();
    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{ended:#?}");
    Some(answers)
}

/// Returns the ids of some stored tokens.
fn kept(daemon: &Daemon) -> Vec<String> {
    let make = |body: &Value| {
        let answer = Request::json("/v1/tokens", body).bearer(SECRET).send(daemon.service());
        answer.json()["token_id"].as_str().unwrap().to_owned()
    };
    let bodies = (0..8).map(|number| json!({"actor": format!("actor-{number}"), "handler": "kept"}));
    bodies.map(|body| make(&body)).chain(["nothing".to_owned()]).collect()
}

/// Parses a line such as `keyward_http_requests_total{endpoint="verify",status="200"} 7`.
fn answer(line: &str) -> Option<(String, u16)> {
    let labels = line.strip_prefix("keyward_http_requests_total{endpoint=\"")?;
    let (endpoint, rest) = labels.split_once("\",status=\"")?;
    Some((endpoint.to_owned(), rest.split_once('"')?.0.parse().ok()?))
}

/// Validates with an independent reader of OpenAPI.
#[test]
fn the_document_is_valid() {
    let Some(program) = peers::program("openapi-spec-validator") else {
        peers::skip("openapi-spec-validator", "it is not installed");
        return;
    };
    let output = Command::new(program).arg(document()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Returns the path of the reviewed copy. A test of the server compares it with the generated
/// document.
fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

//! Schemathesis asks `keyward serve` for what its OpenAPI document describes, and for what breaks that description. No
//! answer may be another than the document says, and no failure but "no verdict".
//!
//! With `KEYWARD_SOAK_SECONDS` each run takes that long, with other requests each time.

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

/// A daemon that can give every answer: good tokens, bad ones, some without a verdict; creation that succeeds, is refused,
/// switched off. The machine may be busy, so what a call may use is not what it is about.
const DAEMON: &str = r#"
[server]
listen = "127.0.0.1:0"
operations = "127.0.0.1:0"
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

[callers.app]
secret_sha256 = "SHA256"
may = ["introspect", "verify", "create"]

[policies]
members = "any"
readers = { action = "view-instance", handlers = ["signed"] }
api = { action = "any", methods = ["GET"], paths = ["/api/*"] }

[actions]
view-instance = "vi"
"#;

/// How schemathesis asks. The one failure that is none is 503, which the document has. What is said in the form of
/// `/v1/introspect` and in `Authorization` excludes each other, which OpenAPI cannot say.
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

[dictionaries]
policies.values = ["members", "readers", "api", "nobody"]
tokens.values = ["TOKEN", "dstok_e30.x", "dn_x"]

[parameters]
"path.policy" = { dictionary = "policies", probability = 0.9 }
"body.token" = { dictionary = "tokens", probability = 0.5 }
"#;

/// How a known caller with a good token asks: for some answers more often, so that all are had. Actors come from a list,
/// because no schema can say that an id has a visible character.
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

/// Requests for tokens of handlers that issue none. With another dictionary in the same body schemathesis leaves this one
/// out; without it an actor may be blank, and be refused.
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

/// How a caller that may revoke asks. That a good token has no id, or may not be taken back by it, is a fine reason to say no; so
/// is a time of issue that is yet to come, and a schema has no word for now.
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

/// How a caller that may see and change tokens asks. A cursor is what a page has said, and what is narrower than a token and
/// earlier than its end no schema can say.
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

/// Where tokens are kept and can be taken back, and who may do that.
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

/// All of the document but what would make good tokens bad.
#[test]
fn a_known_caller_with_a_good_token() {
    let others = ["--exclude-path-regex", "^/v1/(revo|tokens/)", "--exclude-operation-id", "list"];
    let Some(answers) = run("known", KNOWN, &others) else { return };
    for (endpoint, statuses) in [
        ("introspect", &[200, 400, 405, 415, 503][..]),
        ("verify", &[200, 400, 401, 404, 405, 415, 503]),
        ("tokens", &[201, 400, 401, 403, 404, 405, 415]),
        ("actor", &[200, 405]),
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
fn a_known_caller_of_handlers_that_issue_no_tokens() {
    let paths = ["--include-path", "/v1/tokens", "--exclude-operation-id", "list"];
    let Some(answers) = run("handlers", HANDLERS, &paths) else { return };
    for status in [400, 403, 405, 409, 415] {
        assert_had(&answers, "tokens", status);
    }
}

#[test]
fn a_caller_that_may_revoke() {
    let Some(answers) = run("revoker", REVOKER, &["--include-path-regex", "^/v1/revo"]) else { return };
    for endpoint in ["revoke", "revocations"] {
        for status in [200, 400, 405, 415] {
            assert_had(&answers, endpoint, status);
        }
    }
}

#[test]
fn a_caller_that_may_see_and_change_tokens() {
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
fn nobody() {
    let Some(answers) = run("nobody", "", FEW) else { return };
    assert_denied(&answers, 401);
}

#[test]
fn an_unknown_caller_with_a_bad_token() {
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

/// Proxies' paths are the same for every method.
const FEW: &[&str] = &["--include-method", "GET", "--include-method", "POST"];

fn bearer(token: &str) -> String {
    let wrong = "app-secret-of-somebody-else-0123456789-0123";
    format!("[auth.openapi]\nbearer = {{ bearer = \"{wrong}\" }}\ntoken = {{ bearer = \"{token}\" }}\n")
}

/// Whether nobody got through, and proxies were told why.
fn assert_denied(answers: &BTreeSet<(String, u16)>, status: u16) {
    for endpoint in ["nginx", "forward", "envoy"] {
        assert_had(answers, endpoint, status);
    }
    let mut good = answers.iter().filter(|(_, status)| (200..300).contains(status));
    let open = ["actor", "metadata", "openapi"];
    assert!(good.all(|(endpoint, _)| open.contains(&endpoint.as_str())), "{answers:?}");
}

/// Whether there was such an answer. A run that ends by the clock may not have come to it.
fn assert_had(answers: &BTreeSet<(String, u16)>, endpoint: &str, status: u16) {
    let had = answers.contains(&(endpoint.to_owned(), status));
    assert!(had || soak().is_some(), "no {status} of {endpoint}: {answers:?}");
}

/// How many seconds a run takes, if it is a long one.
fn soak() -> Option<String> {
    env::var("KEYWARD_SOAK_SECONDS").ok()
}

/// Lets schemathesis ask a daemon. Gives the endpoints and statuses of the answers.
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
    // From an address, it would leave out where the document itself is.
    command.arg("run").arg(document()).args(["--url", &format!("http://{}", daemon.service())]).args(args);
    match soak() {
        Some(seconds) => command.args(["--max-time", &seconds]),
        None => command.args(["--seed", "7"]),
    };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    let metrics = Request::get("/metrics").send(daemon.operations());
    let answers = metrics.text().lines().filter_map(answer).collect();
    let ended = daemon.stop();
    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{ended:#?}");
    Some(answers)
}

/// The ids of some tokens that are kept.
fn kept(daemon: &Daemon) -> Vec<String> {
    let make = |body: &Value| {
        let answer = Request::json("/v1/tokens", body).bearer(SECRET).send(daemon.service());
        answer.json()["token_id"].as_str().unwrap().to_owned()
    };
    let bodies = (0..8).map(|number| json!({"actor": format!("actor-{number}"), "handler": "kept"}));
    bodies.map(|body| make(&body)).chain(["nothing".to_owned()]).collect()
}

/// Of `keyward_http_requests_total{endpoint="verify",status="200"} 7`.
fn answer(line: &str) -> Option<(String, u16)> {
    let labels = line.strip_prefix("keyward_http_requests_total{endpoint=\"")?;
    let (endpoint, rest) = labels.split_once("\",status=\"")?;
    Some((endpoint.to_owned(), rest.split_once('"')?.0.parse().ok()?))
}

/// By another reader of OpenAPI.
#[test]
fn the_document_is_valid() {
    let Some(program) = peers::program("openapi-spec-validator") else {
        peers::skip("openapi-spec-validator", "it is not installed");
        return;
    };
    let output = Command::new(program).arg(document()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The copy that is reviewed. A test of the server holds that it is what the server has.
fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

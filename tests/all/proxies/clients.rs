//! Third-party clients of introspection, including strict ones.

use super::keyward::{Keyward, TOKENS};
use super::page::Table;
use keyward_tests::peers;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A client.
struct Client {
    name: &'static str,
    /// The program that runs it, if installed.
    program: Option<PathBuf>,
    args: Vec<PathBuf>,
}

/// Authlib with the validator of `authlib_resource_server.py`.
const ADAPTED: &str = "Authlib, adapted";

/// Returns all clients, in the order of the table.
fn clients() -> [Client; 2] {
    let script = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
    let authlib =
        Client { name: "Authlib", program: peers::python_with("authlib"), args: vec![script("authlib_client.py")] };
    let package = peers::node_package("oauth4webapi");
    let oauth4webapi = Client {
        name: "oauth4webapi",
        program: peers::program("node").filter(|_| package.is_some()),
        args: [script("oauth4webapi_client.mjs")].into_iter().chain(package).collect(),
    };
    [authlib, oauth4webapi]
}

#[test]
fn clients_of_introspection_understand_the_responses() {
    let keyward = Keyward::start("clients", true);
    let tokens = [
        ("valid token", TOKENS.good.text.as_str()),
        ("not restricted", &TOKENS.free.text),
        ("tampered", &TOKENS.tampered),
        ("expired", &TOKENS.expired),
        ("token of no handler", &TOKENS.foreign),
        ("more than 8 KiB", &TOKENS.oversized),
        ("no verdict: the handler loops", &TOKENS.looping),
    ];
    let wrong_secret = "wrong client secret";
    let mut table =
        Table::new(tokens.map(|(name, _)| name).into_iter().chain([wrong_secret]), clients().map(|client| client.name));
    for Client { name: client, program, args } in clients() {
        let Some(program) = program else {
            peers::skip(client, "it is not installed");
            continue;
        };
        let ask = |secret: &str, tokens: &[(&str, &str)]| {
            let list: Vec<_> = tokens.iter().map(|(_, token)| token).collect();
            let question = json!({
                "endpoint": format!("https://{}/v1/introspect", keyward.address()),
                "client_id": "apache",
                "client_secret": secret,
                "tokens": list,
            });
            let answers = run(&program, &args, &keyward.certificate(), &question);
            assert_eq!(answers.len(), tokens.len(), "{client}: {answers:?}");
            answers
        };
        for ((row, token), answer) in tokens.iter().zip(ask(&keyward.secret, &tokens)) {
            let identity = [&TOKENS.good, &TOKENS.free].into_iter().find(|known| known.text == *token);
            if let Some(token) = identity {
                assert_eq!(answer["sub"], token.subject(false), "{client}: {row}: {answer}");
                assert_eq!(answer["jti"], token.identity[1], "{client}: {row}: {answer}");
                let scope = Some(token.identity[2].as_str()).filter(|scope| *scope != "*");
                assert_eq!(answer["scope"].as_str(), scope, "{client}: {row}: {answer}");
            } else if answer["active"] == false {
                assert_eq!(answer, json!({"active": false}), "{client}: {row}");
            }
            assert_eq!(answer["active"] == true, identity.is_some(), "{client}: {row}: {answer}");
            table.set(row, client, cell(&answer));
        }
        let answer = &ask(&format!("{}x", keyward.secret), &tokens[..1])[0];
        assert_ne!(answer["active"], true, "{client}: {answer}");
        table.set(wrong_secret, client, cell(answer));
    }
    table.compare("clients").unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Tokens, and the scopes that a resource requires, with the result that is safe.
#[test]
fn resource_servers_need_an_adaptation_to_tokens_without_restrictions() {
    let keyward = Keyward::start("resource-servers", true);
    let requests: [(&str, &str, &[&str]); 8] = [
        ("valid token, with the required scope", &TOKENS.good.text, &["view-instance"]),
        ("valid token, without the required scope", &TOKENS.good.text, &["insert-row:shop/orders"]),
        ("restricted to nothing, a scope is required", &TOKENS.nothing.text, &["view-instance"]),
        ("restricted to nothing, no scope is required", &TOKENS.nothing.text, &[]),
        ("not restricted, a scope is required", &TOKENS.free.text, &["view-instance"]),
        ("not restricted, no scope is required", &TOKENS.free.text, &[]),
        ("tampered, no scope is required", &TOKENS.tampered, &[]),
        ("no verdict, no scope is required", &TOKENS.looping, &[]),
    ];
    let servers = [
        ("Authlib", "authlib", "authlib_resource_server.py", false),
        (ADAPTED, "authlib", "authlib_resource_server.py", true),
        ("django-oauth-toolkit", "oauth2_provider", "django_resource_server.py", false),
    ];
    let mut table = Table::new(requests.map(|(row, ..)| row), servers.map(|(name, ..)| name));
    for (server, package, script, adapted) in servers {
        let Some(python) = peers::python_with(package) else {
            peers::skip(server, "it is not installed");
            continue;
        };
        let question = json!({
            "endpoint": format!("https://{}/v1/introspect", keyward.address()),
            "client_id": "apache",
            "client_secret": keyward.secret,
            "adapted": adapted,
            "requests": requests.map(|(_, token, scopes)| (token, scopes)),
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
        let results = run(&python, &[script], &keyward.certificate(), &question);
        assert_eq!(results.len(), requests.len(), "{server}: {results:?}");
        for ((row, ..), result) in requests.iter().zip(&results) {
            let result = result.as_str().unwrap();
            let should_accept = row.starts_with("not restricted") || row.ends_with("with the required scope");
            if server == ADAPTED {
                assert_eq!(result == "accepted", should_accept, "{server}: {row}: {result}");
            }
            table.set(row, server, result.to_owned());
        }
    }
    table.compare("resource servers").unwrap_or_else(|wrong| panic!("{wrong}"));
}

fn cell(answer: &Value) -> String {
    match answer {
        Value::Object(answer) if answer.contains_key("active") => {
            if answer["active"] == true { "active" } else { "not active" }.to_owned()
        }
        other => format!("error: {}", other["error"].as_str().unwrap_or("none")),
    }
}

/// Runs a client, which reads its input as JSON and prints a list of responses.
pub(super) fn run(program: &Path, args: &[PathBuf], certificate: &Path, question: &Value) -> Vec<Value> {
    let mut child = Command::new(program)
        .args(args)
        .env("REQUESTS_CA_BUNDLE", certificate)
        .env("NODE_EXTRA_CA_CERTS", certificate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", program.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

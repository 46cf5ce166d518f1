//! The users that datasette-auth-existing-cookies and `builtin:session` find by the same cookies at
//! the same API, and the requests that each sends for it.

use super::answer::Answer;
use super::reasons::SESSIONS;
use super::world::{at, with_key};
use super::{Row, check_reasons, page, table};
use crate::http::server::Server;
use crate::sessions::Api;
use crate::support::{self, TestClock};
use keyward_fetch::{Endpoint, Fetcher, Roots};
use keyward_runtime::clock::MonotonicClock;
use keyward_runtime::http::Forwards;
use keyward_runtime::session::SessionGrant;
use keyward_runtime::{Actors, HandlerConfig, Registry, RuntimeLimits};
use keyward_server::{Client, Config, Right, SecretDigest};
use keyward_tests::http::Request;
use keyward_tests::peers;
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const CALLER: (&str, &str) = ("app", "secret-of-app-0123456789-0123456789");

const START: u64 = 2_000_000_000;

/// The path with which the script separates the requests of its steps.
const MARK: &str = "GET /step HTTP/1.1";

#[test]
fn users_of_a_site_are_compared_with_the_original() {
    let Some(python) = peers::python_with("datasette_auth_existing_cookies") else {
        peers::skip("datasette-auth-existing-cookies", "it is not installed");
        return;
    };
    let cases: Value = serde_json::from_str(include_str!("../../cases/existing-cookies.json")).unwrap();
    let api = api(&cases["replies"]);
    let scenarios = cases["scenarios"].as_array().unwrap();
    let (answers, requests) = originals(&python, scenarios, &api);
    let mut requests = requests.into_iter();
    let mut rows = Vec::new();
    for (scenario, answers) in scenarios.iter().zip(&answers) {
        let name = scenario["name"].as_str().unwrap();
        let site = Site::of(scenario, &api);
        let steps = scenario["steps"].as_array().unwrap();
        assert_eq!(steps.len(), answers.as_array().unwrap().len());
        for (step, answer) in steps.iter().zip(answers.as_array().unwrap()) {
            let original = Answer::of_original(&json!({ "status": answer["status"], "json": answer }));
            let original = Answer::Asked { answer: Box::new(original), requests: requests.next().unwrap() };
            let ours = site.ask(step);
            let ours = Answer::Asked { answer: Box::new(ours), requests: described(api.seen()) };
            let key = format!("{name}/{}", step["name"].as_str().unwrap());
            rows.push(Row { key, asked: presented(step), original, ours });
        }
    }
    assert_eq!(requests.next(), None);
    check_reasons(&rows, SESSIONS);
    page::compare(&[("existing-cookies".to_owned(), table(&rows, SESSIONS))]);
}

/// Starts the API of the site: the cookie `sid` is a status, or the name of a body of `replies`.
fn api(replies: &Value) -> Api {
    let replies = replies.clone();
    Api::with(move |request, cookies| {
        let sid = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("sid="));
        let user = r#"{"id":"ann"}"#.to_owned();
        match sid {
            _ if request == MARK => Some((200, String::new())),
            None => Some((200, r#"{"id":"guest"}"#.to_owned())),
            Some("closes") => None,
            Some("hangs") => {
                // Longer than the five seconds of the original.
                thread::sleep(Duration::from_secs(7));
                None
            }
            Some(sid) => Some(match (sid.parse(), &replies[sid]) {
                (Ok(status), _) => (status, user),
                (Err(_), Value::String(body)) => {
                    if sid == "slow" {
                        // Long enough for parallel requests.
                        thread::sleep(Duration::from_millis(500));
                    }
                    (200, body.clone())
                }
                _ => panic!("there is no reply for {sid}"),
            }),
        }
    })
}

/// Returns the original's answers by scenario and step, and its requests by step.
fn originals(python: &Path, scenarios: &[Value], api: &Api) -> (Vec<Value>, Vec<Vec<String>>) {
    let with_urls = scenarios.iter().map(|scenario| {
        let mut scenario = scenario.clone();
        scenario["plugin"]["api_url"] = url(&scenario, api).into();
        scenario["mark"] = format!("http://127.0.0.1:{}/step", api.port).into();
        scenario
    });
    let input = Value::Array(with_urls.collect()).to_string();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/existing_cookies.py"));
    // The variables of a machine may name a proxy.
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut requests: Vec<Vec<(String, String)>> = Vec::new();
    for (line, cookies) in api.seen() {
        if line == MARK {
            requests.push(Vec::new());
        } else {
            requests.last_mut().unwrap().push((line, cookies));
        }
    }
    (serde_json::from_slice(&output.stdout).unwrap(), requests.into_iter().map(described).collect())
}

fn url(scenario: &Value, api: &Api) -> String {
    let query = scenario["query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
    format!("http://127.0.0.1:{}/user{query}", api.port)
}

/// Returns the requests as text. The names of cookies are shown with their invented values.
fn described(requests: Vec<(String, String)>) -> Vec<String> {
    let describe = |(line, cookies): (String, String)| {
        let line = line.trim_end_matches(" HTTP/1.1");
        if cookies.is_empty() { format!("`{line}`") } else { format!("`{line}` with `{cookies}`") }
    };
    requests.into_iter().map(describe).collect()
}

/// Describes the credentials of a request.
fn presented(step: &Value) -> String {
    let cookies = step["cookies"].as_object().unwrap().iter();
    let cookies: Vec<_> = cookies.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect();
    let cookies = if cookies.is_empty() { "no cookie".to_owned() } else { format!("`{}`", cookies.join("; ")) };
    let count = step["parallel"].as_u64().map(|count| format!("{count} × ")).unwrap_or_default();
    let token = if step["token"].is_string() { ", `Bearer`" } else { "" };
    let own = if step["ds_actor"].is_string() { ", `ds_actor`" } else { "" };
    format!("{count}{cookies}{token}{own}")
}

/// Keyward in front of the site.
struct Site {
    server: Server,
    now: Cell<u64>,
    token: String,
}

impl Site {
    /// Starts Keyward with a session handler that corresponds to the plugin's configuration, and
    /// Datasette's signed tokens beside it.
    fn of(scenario: &Value, api: &Api) -> Self {
        let (plugin, ours) = (&scenario["plugin"], &scenario["keyward"]);
        let names = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_lowercase()).collect()
        };
        let mut cookies = names(&plugin["cookies"]);
        if cookies.is_empty() {
            // The site's own, since all is not a choice.
            cookies.push("sid".to_owned());
        }
        let query = names(&plugin["headers"]);
        let mut grant = SessionGrant { cookies: cookies.iter().cloned().collect(), ..SessionGrant::default() };
        grant.ttl = Duration::from_secs(plugin["ttl"].as_u64().unwrap_or_default());
        let forwards = Forwards { cookies, query, ..Forwards::default() };
        let endpoint = Endpoint::new(&url(scenario, api), Roots::from_der([])).unwrap();
        let endpoint = endpoint.private(["127.0.0.1/32".parse().unwrap()]).unwrap().forwards(forwards).unwrap();
        let endpoint = Fetcher::new().unwrap().endpoint("site", endpoint.timeout(Duration::from_secs(2)));
        let actors = match ours["actors"].as_array() {
            Some(_) => Actors::matching(names(&ours["actors"])).unwrap(),
            None => Actors::Any,
        };
        let mut session = HandlerConfig::new("site", keyward_handlers::SESSION, actors)
            .http("site", endpoint)
            .session(grant)
            .setting("anonymous", (ours["anonymous"] == true).to_string());
        support::unhurried(&mut session.limits);
        let signed = with_key("signed", support::SIGNED, "dstok_", "the secret of this Datasette", "token");
        // As in the program: a clock that steps back is held.
        let runtime = support::runtime(RuntimeLimits::default(), MonotonicClock::new(TestClock));
        let registry = Registry::builder(&runtime).handler(session).handler(signed).build().unwrap();
        let mut config = Config::default();
        let client = Client::new(SecretDigest::of(CALLER.1), [Right::Verify, Right::Create]);
        config.clients.insert(CALLER.0.to_owned(), client);
        let server = Server::start(config, registry, Some(at(START)));
        let request = Request::json("/v1/tokens", &json!({ "actor": "ann" })).basic(CALLER.0, CALLER.1);
        let token = server.ask(&request).json()["token"].as_str().unwrap().to_owned();
        Self { server, now: START.into(), token }
    }

    /// Sends the request of a step: about its token, which is never followed by cookies, or about
    /// its cookies.
    fn ask(&self, step: &Value) -> Answer {
        self.now.update(|now| now + step["advance"].as_u64().unwrap_or_default());
        self.server.set_time(Some(at(self.now.get())));
        let request = match step["token"].as_str() {
            Some("SIGNED") => Request::get("/v1/actor").bearer(&self.token),
            Some(token) => Request::get("/v1/actor").bearer(token),
            None => {
                let headers = step["headers"].as_object().cloned().unwrap_or_default();
                let body = json!({ "cookies": step["cookies"], "headers": headers });
                Request::json("/v1/session", &body).basic(CALLER.0, CALLER.1)
            }
        };
        let (server, count) = (&self.server, step["parallel"].as_u64().unwrap_or(1));
        let answers: Vec<_> = thread::scope(|scope| {
            let asked: Vec<_> = (0..count).map(|_| scope.spawn(|| server.ask(&request))).collect();
            asked.into_iter().map(|asked| Answer::of_ours(&asked.join().unwrap())).collect()
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        answers.into_iter().next().unwrap()
    }
}

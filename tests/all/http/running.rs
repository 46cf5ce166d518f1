//! A running server: time passes, configurations are replaced, operators observe it, and it stops.

mod foreign;
mod issued;
mod managed;
mod pages;
mod revocation;

use super::server::Server;
use super::world::{self, NOW, token};
use crate::support::RUNTIME;
use keyward_runtime::Registry;
use keyward_runtime::clock::UnixTime;
use keyward_server::Limits;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, DEADLINE, Request, Response, is_end};
use std::time::{Duration, Instant};

fn start() -> Server {
    Server::start(world::config(), world::registry(), Some(NOW))
}

fn actor(name: &str) -> Request {
    Request::get("/v1/actor").bearer(token(name))
}

#[test]
fn a_token_expires_while_the_server_runs() {
    let server = start();
    let status = || server.ask(&actor("ends")).status;
    assert_eq!(status(), 200);
    let ends = |nanoseconds| Some(UnixTime { seconds: NOW.seconds + 3_600, nanoseconds });
    server.set_time(ends(0));
    assert_eq!(status(), 200, "the last second");
    server.set_time(ends(1));
    assert_eq!(status(), 401);
    server.set_time(None);
    assert_eq!(status(), 503, "there is no verdict without a clock");
}

/// The next request on an existing connection uses the new configuration.
#[test]
fn a_new_configuration_applies_to_the_next_request() {
    let server = start();
    let mut kept = server.connect();
    let mut members = || kept.ask(&Request::get("/v1/auth/nginx/members").bearer(token("good"))).unwrap().status;
    assert_eq!(members(), 200);
    let mut config = world::config();
    config.policies.clear();
    server.replace(config, world::registry());
    assert_eq!(members(), 404);
    let none = Registry::builder(&RUNTIME).build().unwrap();
    server.replace(world::config(), none);
    assert_eq!(members(), 401, "the token belongs to no handler any more");
    server.replace(world::config(), world::registry());
    assert_eq!(members(), 200);
    let metrics = Request::get("/metrics").send(server.admin());
    assert!(metrics.text().contains("\nkeyward_reloads_total 3\n"), "{}", metrics.text());
}

/// Idle connections are closed for new ones, long before they would time out.
#[test]
fn idle_connections_do_not_silence_the_admin_address() {
    let server = start();
    let idle: Vec<_> = (0..300).map(|_| Connection::open(server.admin()).unwrap()).collect();
    let start = Instant::now();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(Request::get(path).send(server.admin()).status, 200, "{path}");
    }
    assert!(start.elapsed() < Limits::default().header_time, "{:?}", start.elapsed());
    drop(idle);
}

#[test]
fn operators_see_liveness_readiness_and_metrics() {
    let server = start();
    let ask = |request: Request| request.send(server.admin());
    for path in ["/livez", "/readyz"] {
        let answer = ask(Request::get(path));
        assert_eq!((answer.status, answer.text()), (200, "ok\n"), "{path}");
        assert_eq!(ask(Request::new("HEAD", path)).body, b"");
        let refused = ask(Request::new("POST", path));
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    }
    assert_eq!(ask(Request::get("/")).status, 404);
    assert_eq!(ask(actor("good")).status, 404, "the service has its own address");

    for name in ["good", "good", "expired", "nobody", "down", "looping"] {
        server.ask(&actor(name));
    }
    server.ask(&Request::get("/no/such/path"));
    let metrics = ask(Request::get("/metrics"));
    assert_eq!(metrics.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = metrics.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "keyward_calls_total{handler=\"signed\",operation=\"verify\",outcome=\"accepted\"} 2",
        "keyward_calls_total{handler=\"signed\",operation=\"verify\",outcome=\"rejected\"} 1",
        "keyward_calls_total{handler=\"-\",operation=\"verify\",outcome=\"not-mine\"} 1",
        "keyward_calls_total{handler=\"down\",operation=\"verify\",outcome=\"failed\"} 1",
        "keyward_call_duration_seconds_count{handler=\"signed\",operation=\"verify\"} 3",
        "keyward_http_requests_total{endpoint=\"actor\",status=\"200\"} 3",
        "keyward_http_requests_total{endpoint=\"actor\",status=\"503\"} 2",
        "keyward_http_requests_total{endpoint=\"other\",status=\"404\"} 1",
        "keyward_store_lookups_total{handler=\"signed\"} 0",
    ] {
        assert!(text.lines().any(|has| has == line), "no line {line}\n{text}");
    }
    // Other tests use the same registry.
    for (counter, min) in [("guest_calls", 2), ("verdict_cache_hits", 1)] {
        let line = format!("keyward_{counter}_total{{handler=\"signed\"}} ");
        let counted: Option<u64> = text.lines().find_map(|has| has.strip_prefix(&line)?.parse().ok());
        assert!(counted >= Some(min), "{counter}: {counted:?}");
    }
    // On a busy machine the wall clock limit may be hit instead.
    let hit = |limit| text.contains(&format!("keyward_limits_hit_total{{handler=\"looping\",limit=\"{limit}\"}} 1\n"));
    assert!(hit("limit-cpu") || hit("limit-wall"), "{text}");
    // Client input does not create labels.
    let lines = text.lines().count();
    for number in 0..100 {
        server.ask(&Request::get(&format!("/no/such/path/{number}")).bearer(format!("unknown-{number}")));
        server.ask(&Request::get(&format!("/v1/auth/nginx/policy-{number}")));
        server.ask(&Request::new(&format!("METHOD{number}"), "/v1/actor"));
    }
    let more = ask(Request::get("/metrics")).text().lines().count();
    assert!(more <= lines + 6, "{lines} lines became {more}");
}

/// Each decision is one line of the log, with the request's name, and with the handler's digest if
/// there is one.
#[test]
fn each_decision_is_one_line_of_the_decision_log() {
    let server = start();
    let secret = world::secret("app");
    let form = |name: &str| Request::form("/v1/introspect", format!("token={}", token(name))).basic("app", &secret);
    let json = |path: &str, body| Request::json(path, &body).basic("app", &secret);
    let proxy = |policy: &str| Request::get(&format!("/v1/auth/envoy/{policy}/x/y?q"));
    for (request, lines, parts) in [
        (actor("good"), 1, vec!["endpoint=\"actor\"", "outcome=\"accepted\"", "actor=\"root\"", "handler_sha256="]),
        // The logged peer is the connection's, whatever the headers claim.
        (
            actor("nobody").header("X-Forwarded-For", "6.6.6.6").header("Forwarded", "for=6.6.6.6"),
            1,
            vec!["outcome=\"not-mine\""],
        ),
        (Request::get("/v1/actor"), 1, vec!["outcome=\"no-token\""]),
        (form("bot"), 1, vec!["endpoint=\"introspect\"", "client=\"app\"", "handler=\"bots\"", "token_id=\"bot\""]),
        (form("expired"), 1, vec!["outcome=\"rejected\"", "reason=\"expired\""]),
        (form("down"), 1, vec!["outcome=\"failed\"", "reason=\"unavailable\"", "handler=\"down\""]),
        (
            json("/v1/verify", serde_json::json!({"tokens": [token("good"), token("nobody")]})),
            2,
            vec!["endpoint=\"verify\""],
        ),
        (
            json("/v1/tokens", serde_json::json!({"actor": "somebody"})),
            1,
            vec!["outcome=\"created\"", "actor=\"somebody\""],
        ),
        (json("/v1/tokens", serde_json::json!({"actor": "x", "handler": "bots"})), 1, vec!["outcome=\"denied\""]),
        (proxy("orders").bearer(token("good")), 1, vec!["endpoint=\"envoy\"", "policy=\"orders\"", "path=\"/x/y\""]),
        (proxy("orders").bearer(token("narrow")), 1, vec!["outcome=\"refused\"", "reason=\"insufficient-scope\""]),
        (proxy("paths").bearer(token("good")), 1, vec!["outcome=\"other-request\""]),
        (
            proxy("odrers").bearer(token("good")),
            1,
            vec!["endpoint=\"envoy\"", "outcome=\"unknown-policy\"", "detail=\"did you mean `orders`?\""],
        ),
        (proxy("members").bearer("a b"), 1, vec!["outcome=\"malformed\""]),
        (
            Request::form("/v1/introspect", "token=x").basic("app", &world::secret("nobody")),
            1,
            vec!["endpoint=\"introspect\"", "outcome=\"unknown-client\""],
        ),
        (
            Request::form("/v1/introspect", "token=x").basic("maker", &world::secret("maker")),
            1,
            vec!["client=\"maker\"", "outcome=\"unauthorized-client\""],
        ),
    ] {
        let before = server.log().len();
        let answer = server.ask(&request);
        let id = answer.header("x-request-id").unwrap().to_owned();
        let log = server.log();
        let audit: Vec<_> = log[before..].lines().filter(|line| line.contains(" keyward::decision: ")).collect();
        assert_eq!(audit.len(), lines, "{request:?}:\n{log}");
        for line in audit {
            for part in parts.iter().chain([&&*format!("request_id=\"{id}\""), &"peer=127.0.0.1"]) {
                assert!(line.contains(*part), "no {part} in {line}");
            }
        }
    }
}

/// The server stops accepting, finishes open requests, and reports on the admin address that it is
/// not ready.
#[test]
fn open_requests_are_finished_before_the_shutdown() {
    let mut server = start();
    let request =
        || Request::form("/v1/introspect", format!("token={}", token("bot"))).basic("app", &world::secret("app"));
    let bytes = request().to_bytes();
    let (first, last) = bytes.split_at(bytes.len() - 1);
    let mut idle = server.connect();
    assert_eq!(idle.ask(&request()).unwrap().status, 200);
    let mut under_way = server.connect();
    under_way.send(first).unwrap();
    // Its response proves that the earlier connections have been accepted, too.
    assert_eq!(server.ask(&request()).status, 200);

    server.begin_stop();
    assert_eq!(idle.rest().unwrap(), b"", "an idle connection is closed");
    wait_for("the server to stop accepting", || Connection::open(server.address()).is_err());
    wait_for("the server to report not ready", || Request::get("/readyz").send(server.admin()).status == 503);
    assert_eq!(Request::get("/livez").send(server.admin()).status, 200, "the server is alive");
    under_way.send(last).unwrap();
    let answer = under_way.answer(false).unwrap();
    assert_eq!(answer.json()["active"], true);
    assert_eq!(under_way.rest().unwrap(), b"");
    server.stop();
}

#[test]
fn unfinished_requests_are_cut_off() {
    let mut config = world::config();
    config.limits.drain_time = Duration::from_millis(50);
    let server = Server::start(config, world::registry(), Some(NOW));
    let mut slow = server.connect();
    let bytes = Request::form("/v1/introspect", "token=x").basic("app", &world::secret("app")).to_bytes();
    slow.send(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(server.ask(&actor("good")).status, 200);
    server.stop();
    assert!(slow.answer(false).is_err_and(|error| is_end(&error)));
}

/// A connection at its maximum age is closed after a response, which announces it.
#[test]
fn an_old_connection_is_closed_after_its_response() {
    let mut config = world::config();
    config.limits.connection_time = Duration::from_secs(1);
    let server = Server::start(config, world::registry(), Some(NOW));
    let mut connection = server.connect();
    let mut answers = Vec::new();
    let start = Instant::now();
    let ended = loop {
        assert!(start.elapsed() < DEADLINE, "the connection stays open");
        match connection.ask(&actor("good")) {
            Ok(answer) => answers.push(answer),
            Err(error) => break error,
        }
    };
    assert!(is_end(&ended), "{ended}");
    assert!(answers.len() > 1, "the connection is reused");
    assert!(answers.iter().all(|answer: &Response| answer.status == 200));
    assert_eq!(server.ask(&actor("good")).status, 200, "a new connection is served");
}

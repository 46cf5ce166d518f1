//! Overload: requests within the limits are answered correctly, the rest are told to retry, and
//! none is lost.

use super::program::{self, connections_at_hand, has_not_panicked, is_as_ever};
use super::server::Server;
use super::world::{self, NOW, secret, token};
use crate::support::{self, TestClock};
use keyward_runtime::RuntimeLimits;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Connection, Request, Response, is_end};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const MIB: u64 = 1 << 20;

fn actor(name: &str) -> Request {
    Request::get("/v1/actor").bearer(token(name))
}

/// At most the allowed number of connections is served at once; the others wait until one closes.
#[test]
fn connections_beyond_the_limit_wait() {
    let mut config = world::config();
    config.limits.connections = 3;
    let server = Server::start(config, world::registry(), Some(NOW));
    let mut open: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for connection in &mut open {
        assert_eq!(connection.ask(&actor("good")).unwrap().status, 200);
    }
    let mut waiting = server.connect();
    waiting.send(actor("good").to_bytes()).unwrap();
    let metrics = Request::get("/metrics").send(server.admin());
    assert!(metrics.text().contains("\nkeyward_connections 3\n"), "{}", metrics.text());
    for connection in &mut open {
        assert_eq!(connection.ask(&actor("good")).unwrap().status, 200, "open connections are served");
    }
    // The absence of a response cannot be awaited, so the log shows which requests were answered.
    assert_eq!(server.log().matches("keyward::decision").count(), 6);
    drop(open.pop());
    assert_eq!(waiting.answer(false).unwrap().status, 200);
}

/// Requests beyond the limit are refused at once with `Retry-After`, and block nothing.
#[test]
fn requests_beyond_the_limit_are_told_to_retry() {
    let mut config = world::config();
    config.limits.requests = 2;
    let server = Server::start(config, world::registry(), Some(NOW));
    let ask = |path: &str| server.ask(&Request::get(path).bearer(token("good")));
    // A known client whose body is incomplete occupies a request slot.
    let body = json!({"token": "x"}).to_string();
    let head = format!(
        "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n",
        secret("app"),
        body.len()
    );
    let mut slow: Vec<_> = (0..2)
        .map(|_| {
            let mut connection = server.connect();
            connection.send(&head).unwrap();
            connection
        })
        .collect();
    wait_for("both requests to occupy their slots", || ask("/v1/actor").status == 503);
    for path in ["/v1/actor", "/v1/auth/nginx/members", "/openapi.json", "/nothing"] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}: {answer:?}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
    }
    assert_eq!(Request::get("/livez").send(server.admin()).status, 200);
    for mut connection in slow.drain(..) {
        connection.send(&body).unwrap();
        assert_eq!(connection.answer(false).unwrap().json()["outcome"], "not-mine");
    }
    assert_eq!(ask("/v1/actor").status, 200);
}

/// Repeats sixty-four concurrent calls that never return: those beyond the handler's share get 503
/// at once, and the others at their deadline, while every call of another handler succeeds.
#[test]
fn a_flood_of_one_handler_affects_only_that_handler() {
    // A separate runtime, because the test exhausts it.
    let runtime = support::runtime(RuntimeLimits::default(), TestClock);
    let server = Server::start(world::config(), world::registry_on(&runtime), Some(NOW));
    let (going, floods, wrong) = (AtomicBool::new(true), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let stop_at = |text: String| {
        wrong.lock().unwrap().push(text);
        going.store(false, Ordering::Relaxed);
    };
    let mut good = 0;
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut connection = server.connect();
                while going.load(Ordering::Relaxed) {
                    match connection.ask(&actor("looping")) {
                        Ok(answer) if answer.status == 503 && answer.header("retry-after") == Some("1") => {}
                        other => stop_at(format!("the flood gets {other:?}")),
                    }
                    floods.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut connection = server.connect();
        while going.load(Ordering::Relaxed) && (floods.load(Ordering::Relaxed) < 200 || good < 200) {
            match connection.ask(&actor("good")) {
                Ok(answer) if answer.status == 200 => good += 1,
                other => stop_at(format!("a valid call gets {other:?}")),
            }
        }
        going.store(false, Ordering::Relaxed);
    });
    assert_eq!(*wrong.lock().unwrap(), [""; 0], "after {good} valid calls");
    println!("{good} valid calls during {floods:?} endless ones");
    let metrics = Request::get("/metrics").send(server.admin());
    let busy = "keyward_limits_hit_total{handler=\"looping\",limit=\"busy\"}";
    assert!(metrics.text().contains(busy), "the flood exceeded its share: {}", metrics.text());
}

/// Ten thousand tokens are requested at once. Each request gets a valid token or 503; none is lost.
#[test]
fn ten_thousand_tokens_at_once() {
    const CONNECTIONS: usize = 500;
    const EACH: usize = 20;
    let folder = program::folder("creates", "", "requests = 64");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let before = daemon.resident();
    let mut connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut connection = Connection::open(daemon.service()).unwrap();
            let requests = (0..EACH).flat_map(|turn| {
                let body = json!({"actor": format!("user-{number}-{turn}")});
                Request::json("/v1/tokens", &body).basic("maker", &secret("maker")).to_bytes()
            });
            connection.send(requests.collect::<Vec<_>>()).unwrap();
            connection
        })
        .collect();
    let mut made = BTreeMap::new();
    let mut busy = 0;
    for (number, connection) in connections.iter_mut().enumerate() {
        for turn in 0..EACH {
            let answer = connection.answer(false).unwrap();
            match answer.status {
                201 => {
                    let token = answer.json()["token"].as_str().unwrap().to_owned();
                    made.insert(token, format!("user-{number}-{turn}"));
                }
                503 if answer.header("retry-after") == Some("1") => busy += 1,
                _ => panic!("{answer:?}"),
            }
        }
    }
    println!("{} created, {busy} told to retry", made.len());
    assert_eq!(made.len() + busy, CONNECTIONS * EACH, "every token is different");
    assert!(!made.is_empty());
    let actors: BTreeSet<_> = made.values().cloned().collect();
    let tokens: Vec<_> = made.keys().collect();
    let mut verified = BTreeSet::new();
    for batch in tokens.chunks(100) {
        let request = Request::json("/v1/verify", &json!({"tokens": batch})).basic("asker", &secret("asker"));
        let answer = request.send(daemon.service());
        for outcome in answer.json()["outcomes"].as_array().unwrap() {
            verified.insert(outcome["actor"]["id"].as_str().unwrap_or_else(|| panic!("{outcome}")).to_owned());
        }
    }
    assert_eq!(verified, actors);
    let grown = daemon.resident().saturating_sub(before);
    assert!(grown < 100 * MIB, "{} MiB", grown / MIB);
    is_as_ever(&daemon);
    has_not_panicked(&daemon);
}

/// Without file descriptors for new connections, open connections keep working, the others wait
/// without using the CPU, and service resumes when descriptors are free.
#[test]
fn without_file_descriptors_new_connections_wait() {
    let folder = program::folder("descriptors", "", "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    // An operator may lower the limit from outside, below the value that the daemon read when it
    // started.
    let few = Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(daemon.pid()), Resource::Nofile, few).unwrap();
    let mut open: Vec<_> = Vec::new();
    // Until one gets no response at once: those beyond the limit are in the system's queue.
    let mut kept = Connection::open(daemon.service()).unwrap();
    assert_eq!(kept.ask(&actor("good")).unwrap().status, 200);
    for _ in 0..200 {
        let mut connection = Connection::open(daemon.service()).unwrap();
        connection.send(actor("good").to_bytes()).unwrap();
        open.push(connection);
    }
    wait_for("the daemon to run out of file descriptors", || daemon.stderr().contains("could not be accepted"));
    for _ in 0..20 {
        assert_eq!(kept.ask(&actor("good")).unwrap().status, 200, "the open connection is served");
    }
    // A busy loop uses every clock tick; regular work uses only some.
    let (start, used) = (std::time::Instant::now(), daemon.cpu_ticks());
    wait_for("half a second", || start.elapsed().as_millis() >= 500);
    let used = daemon.cpu_ticks() - used;
    assert!(used < 20, "{used} of 50 hundredths of a second of CPU");
    assert!(
        daemon.stderr().matches("could not be accepted").count() < 5,
        "the log is rate-limited: {}",
        daemon.stderr()
    );

    prlimit(Some(daemon.pid()), Resource::Nofile, before).unwrap();
    for connection in &mut open {
        assert_eq!(connection.answer(false).unwrap().status, 200, "the waiting connection is served");
    }
    is_as_ever(&daemon);
    has_not_panicked(&daemon);
}

/// With few file descriptors from the start, the daemon accepts fewer connections, and eventually
/// answers all of them.
#[test]
fn with_few_file_descriptors_it_accepts_few_connections() {
    let folder = program::folder("few-descriptors", "", "");
    let mut command = std::process::Command::new("sh");
    let keyward = keyward_tests::cli::keyward();
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" serve --config keyward.toml"])
        .arg(keyward)
        .current_dir(folder.path());
    let daemon = Daemon::spawn(command).unwrap();
    let mut connections: Vec<_> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(daemon.service()).unwrap();
            connection.send(actor("good").header("Connection", "close").to_bytes()).unwrap();
            connection
        })
        .collect();
    for connection in &mut connections {
        assert_eq!(connection.answer(false).unwrap().status, 200);
    }
    is_as_ever(&daemon);
    has_not_panicked(&daemon);
}

/// Idle connections cost little, before and after a request.
#[test]
fn idle_connections_cost_little() {
    let count = connections_at_hand().min(2_000);
    let folder = program::folder("idle", "", "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    is_as_ever(&daemon);
    for (kind, asks, max) in [("that say nothing", false, 8), ("that have been answered", true, 32)] {
        let before = daemon.resident();
        let idle: Vec<_> = (0..count)
            .map(|number| {
                let mut connection = Connection::open(daemon.service()).unwrap();
                // Requests also ensure that the system's queue does not fill up.
                if asks || number % 100 == 0 {
                    assert_eq!(connection.ask(&actor("good")).unwrap().status, 200);
                }
                connection
            })
            .collect();
        wait_for("all connections to be accepted", || {
            let metrics = Request::get("/metrics").send(daemon.admin());
            let open =
                metrics.text().lines().find_map(|line| line.strip_prefix("keyward_connections ")).unwrap().to_owned();
            open.parse::<usize>().unwrap() >= count
        });
        let each = daemon.resident().saturating_sub(before) / count as u64;
        println!("{count} connections {kind}: {each} bytes each");
        assert!(each < max << 10, "{each} bytes each, {kind}");
        drop(idle);
    }
    is_as_ever(&daemon);
}

/// Thousands of requests are sent on one connection before any response is read: they are answered
/// in order, or the connection is closed.
#[test]
fn a_long_pipeline_is_answered_in_order() {
    let folder = program::folder("pipeline", "", "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let names = ["good", "bot", "forged", "nobody", "comma"];
    let mut connection = Connection::open(daemon.service()).unwrap();
    let mut wanted: Vec<Value> = Vec::new();
    let before = daemon.resident();
    for turn in 0..2_000 {
        let name = names[turn % names.len()];
        connection.send(actor(name).to_bytes()).unwrap();
        wanted.push(match name {
            "good" => json!("root"),
            "bot" => json!("bot"),
            "comma" => json!("a,b, c"),
            _ => Value::Null,
        });
    }
    for (turn, wanted) in wanted.into_iter().enumerate() {
        let answer: Response = connection.answer(false).unwrap();
        assert_eq!(answer.json()["actor"]["id"], wanted, "response {turn}");
    }
    let grown = daemon.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
    has_not_panicked(&daemon);
}

/// A reset affects only its own connection.
#[test]
fn a_thousand_reset_connections() {
    let folder = program::folder("resets", "", "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    for turn in 0..1_000 {
        let mut connection = Connection::open(daemon.service()).unwrap();
        let bytes = actor(["good", "looping"][turn % 2]).to_bytes();
        let sent: io::Result<()> = connection.send(&bytes[..bytes.len() - turn % 40]);
        assert!(sent.is_ok() || sent.is_err_and(|error| is_end(&error)));
        // A response to a client that has closed the connection triggers a reset.
        drop(connection);
    }
    is_as_ever(&daemon);
    has_not_panicked(&daemon);
    assert!(daemon.stderr().lines().count() < 3_000, "the log is not flooded");
}

//! Clients that take their time: each is let go at a deadline, and none holds up another.

use super::program::{connections_at_hand, for_each};
use super::server::Server;
use super::world::{self, NOW, SERVER, secret, token};
use keyward_server::Limits;
use keyward_tests::http::{Connection, Request, is_end};
use std::thread;
use std::time::{Duration, Instant};

const HEADER: Duration = Duration::from_secs(1);
const BODY: Duration = Duration::from_secs(1);

/// A server that waits a short time for anything.
fn impatient(change: impl FnOnce(&mut Limits)) -> Server {
    let mut config = world::config();
    config.limits.header_time = HEADER;
    config.limits.body_time = BODY;
    change(&mut config.limits);
    Server::start(config, world::registry(), Some(NOW))
}

fn introspection() -> Vec<u8> {
    Request::form("/v1/introspect", format!("token={}", token("bot"))).basic("app", &secret("app")).to_bytes()
}

fn good() -> Request {
    Request::get("/v1/auth/nginx/members").bearer(token("good"))
}

/// Sends the bytes in small pieces until nobody takes them any more; gives what came back in the meantime.
fn drip(connection: &mut Connection, bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    for byte in bytes {
        if connection.send([byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(15));
    }
    connection.rest().unwrap()
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let server = impatient(|_| {});
    let beginnings = [
        &b""[..],
        b"\r\n",
        b"G",
        b"GET /v1/actor HTTP/1.1\r\n",
        b"GET /v1/actor HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /v1/actor HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r",
    ];
    for_each(&beginnings, |begins| {
        let start = Instant::now();
        let mut connection = server.connect();
        connection.send(begins).unwrap();
        let rest = connection.rest().unwrap();
        assert!(rest.is_empty(), "{begins:?}: {rest:?}");
        assert!(start.elapsed() >= HEADER, "not before its time: {begins:?}");
    });
    assert_eq!(server.ask(&good()).status, 200);
}

/// A byte now and then does not make a new deadline.
#[test]
fn a_head_that_drips_is_not_waited_for() {
    let server = impatient(|_| {});
    let endless = b"GET /v1/actor HTTP/1.1\r\nHost: localhost\r\n".iter().copied().chain(b"X: y\r\n".repeat(100));
    let rest = drip(&mut server.connect(), endless);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    // The first request of a connection may be quick; the second has the deadline all the same.
    let mut connection = server.connect();
    assert_eq!(connection.ask(&good()).unwrap().status, 200);
    assert!(drip(&mut connection, b"GET /v1/actor HTTP/1.1\r\n".repeat(30)).is_empty());
    assert_eq!(server.ask(&good()).status, 200);
}

#[test]
fn a_kept_connection_may_idle_for_so_long() {
    let server = impatient(|_| {});
    let mut connection = server.connect();
    assert_eq!(connection.ask(&good()).unwrap().status, 200);
    let start = Instant::now();
    assert_eq!(connection.rest().unwrap(), b"");
    assert!(start.elapsed() >= HEADER / 2, "{:?}", start.elapsed());
}

/// 408, and the end: whether nothing comes, too little, or a byte now and then, in chunks or not.
#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = impatient(|_| {});
    let json = |body: &str, more: &str| {
        format!(
            "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/json\r\n{more}\r\n\r\n{body}",
            secret("app")
        )
    };
    // So long that what is dripped never completes it.
    let long_form = format!(
        "POST /v1/introspect HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\ntoken=%",
        secret("app")
    );
    let beginnings = [
        long_form.into_bytes(),
        json("", "Content-Length: 10").into_bytes(),
        json("{\"token\":\"x\"}", "Content-Length: 65536").into_bytes(),
        json("", "Transfer-Encoding: chunked").into_bytes(),
        json("d\r\n{\"token\":\"x\"}\r\n", "Transfer-Encoding: chunked").into_bytes(),
        json("d\r\n{\"token\":\"x\"}\r\n0\r\nTrailer: x\r\n", "Transfer-Encoding: chunked").into_bytes(),
    ];
    for_each(&beginnings, |begins| {
        let mut connection = server.connect();
        connection.send(begins).unwrap();
        let answer = connection.answer(false).unwrap();
        assert_eq!((answer.status, &answer.json()["error"]), (408, &"timeout".into()), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(connection.rest().unwrap(), b"");
    });
    for_each(&beginnings, |begins| {
        let mut connection = server.connect();
        connection.send(begins).unwrap();
        // Within chunks these are no sizes; what is wrong is answered sooner.
        let told = drip(&mut connection, std::iter::repeat_n(b' ', 1_000));
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.starts_with("HTTP/1.1 408 ") || told.starts_with("HTTP/1.1 400 "), "{told}");
    });
    assert_eq!(server.ask(&good()).status, 200);
}

/// A client that asks and asks and reads nothing is let go once the system's buffers are full.
#[test]
fn answers_that_nobody_takes_are_not_kept() {
    let server = impatient(|_| {});
    let mut connection = server.connect();
    let many = Request::get("/openapi.json").to_bytes().repeat(50);
    let start = Instant::now();
    let ended = loop {
        if let Err(error) = connection.send(&many) {
            break error;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it goes on answering");
    };
    assert!(is_end(&ended), "{ended}");
    assert_eq!(server.ask(&good()).status, 200);
}

/// A client that says that it is done sending gets its answers all the same.
#[test]
fn half_a_connection_is_enough_for_an_answer() {
    let mut connection = SERVER.connect();
    connection.send([good().to_bytes(), introspection()].concat()).unwrap();
    connection.finish().unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    assert_eq!(connection.answer(false).unwrap().json()["active"], true);
    assert_eq!(connection.rest().unwrap(), b"");
    // Also one that takes its time.
    let mut connection = SERVER.connect();
    connection.send(Request::get("/v1/actor").bearer(token("looping")).to_bytes()).unwrap();
    connection.finish().unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 503);
    // Half a request is none, and is not waited for.
    let bytes = introspection();
    for cut in [1, 30, bytes.len() - 40, bytes.len() - 1] {
        let mut connection = SERVER.connect();
        connection.send(&bytes[..cut]).unwrap();
        connection.finish().unwrap();
        let rest = connection.rest().unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{cut}: {rest}");
    }
}

/// A client that leaves in the middle of an answer takes nothing with it.
#[test]
fn clients_that_leave_leave_nothing_behind() {
    let server = impatient(|limits| limits.requests = 4);
    for _ in 0..50 {
        let mut connection = server.connect();
        connection.send(Request::get("/v1/actor").bearer(token("looping")).to_bytes()).unwrap();
        drop(connection);
        let mut connection = server.connect();
        connection.send(&introspection()[..100]).unwrap();
    }
    keyward_tests::daemon::wait_for("their places", || server.ask(&good()).status == 200);
    keyward_tests::daemon::wait_for("their connections to be forgotten", || {
        let metrics = Request::get("/metrics").send(server.operations());
        // The one that asked last may still be counted.
        metrics.text().lines().any(|line| line == "keyward_connections 0" || line == "keyward_connections 1")
    });
}

/// Two thousand strangers that send a byte now and then, in the head or in the body: proxies and known callers are answered
/// as ever, and the slow ones are let go.
#[test]
fn two_thousand_slow_clients_hold_nobody_up() {
    let count = connections_at_hand().min(2_000);
    let server = impatient(|limits| {
        limits.header_time = Duration::from_secs(4);
        limits.body_time = Duration::from_secs(4);
    });
    let goes_on = |when: &str| {
        assert_eq!(server.ask(&good()).status, 200, "{when}");
        let mut connection = server.connect();
        connection.send(introspection()).unwrap();
        assert_eq!(connection.answer(false).unwrap().status, 200, "{when}");
    };
    let head = b"POST /v1/introspect HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec();
    let form = Request::form("/v1/introspect", format!("client_id=app&client_secret=wrong&token={}", "x".repeat(100)));
    let form = form.to_bytes();
    for (kind, begins) in [("in the head", &head[..]), ("in the body", &form[..form.len() - 100])] {
        let mut slow: Vec<_> = (0..count)
            .map(|number| {
                // Those before it are accepted by then: the system's queue is short, and whoever finds it full waits.
                if number % 100 == 0 {
                    goes_on(&format!("{kind}, beside {number}"));
                }
                let mut connection = server.connect();
                connection.send(begins).unwrap();
                connection
            })
            .collect();
        for turn in 0..50 {
            for connection in slow.iter_mut().skip(turn * 50 % count).take(50) {
                // Some may have been let go.
                let _ = connection.send(b"x");
            }
            goes_on(&format!("{kind}, turn {turn}"));
        }
        for connection in &mut slow {
            connection.rest().unwrap();
        }
        goes_on("afterwards");
    }
}

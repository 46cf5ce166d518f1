//! Slow clients: each is disconnected at a deadline, and none blocks another.

use super::program::{connections_at_hand, for_each};
use super::server::Server;
use super::world::{self, NOW, SERVER, secret, token};
use crate::support::TestClock;
use keyward_pages::SignIn;
use keyward_server::{Limits, Service, serve_stream};
use keyward_tests::http::{Connection, Request, is_end};
use serde_json::json;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Builder;

const HEADER: Duration = Duration::from_secs(1);
const BODY: Duration = Duration::from_secs(1);

/// Starts a server with short timeouts.
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

/// Sends the bytes in small pieces until the connection is closed; returns the bytes received until
/// then.
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
fn a_missing_head_times_out() {
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
        assert!(start.elapsed() >= HEADER, "not before the deadline: {begins:?}");
    });
    assert_eq!(server.ask(&good()).status, 200);
}

/// Single bytes do not extend the deadline.
#[test]
fn a_dripping_head_times_out() {
    let server = impatient(|_| {});
    let endless = b"GET /v1/actor HTTP/1.1\r\nHost: localhost\r\n".iter().copied().chain(b"X: y\r\n".repeat(100));
    let rest = drip(&mut server.connect(), endless);
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    // The first request of a connection may be quick; the same deadline applies to the second.
    let mut connection = server.connect();
    assert_eq!(connection.ask(&good()).unwrap().status, 200);
    assert!(drip(&mut connection, b"GET /v1/actor HTTP/1.1\r\n".repeat(30)).is_empty());
    assert_eq!(server.ask(&good()).status, 200);
}

#[test]
fn an_idle_connection_times_out() {
    let server = impatient(|_| {});
    let mut connection = server.connect();
    assert_eq!(connection.ask(&good()).unwrap().status, 200);
    let start = Instant::now();
    assert_eq!(connection.rest().unwrap(), b"");
    assert!(start.elapsed() >= HEADER / 2, "{:?}", start.elapsed());
}

/// The response is 408, and the connection is closed: whether nothing, too little, or single bytes
/// arrive, in chunks or not.
#[test]
fn a_missing_body_times_out() {
    let server = impatient(|_| {});
    let json = |body: &str, more: &str| {
        format!(
            "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/json\r\n{more}\r\n\r\n{body}",
            secret("app")
        )
    };
    // Long enough that the dripped bytes never complete it.
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
        // Within chunks these are not valid sizes, and the error may be reported before the
        // deadline.
        let told = drip(&mut connection, std::iter::repeat_n(b' ', 1_000));
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(told.starts_with("HTTP/1.1 408 ") || told.starts_with("HTTP/1.1 400 "), "{told}");
    });
    assert_eq!(server.ask(&good()).status, 200);
}

/// A slow form loses its slot to a later request, so that clients that authenticate in the body are
/// served.
#[test]
fn slow_forms_do_not_block_clients_that_authenticate_in_the_body() {
    let server = impatient(|limits| {
        limits.requests = 8;
        limits.body_time = Duration::from_secs(60);
    });
    let form = format!("client_id=app&client_secret={}&token={}", secret("app"), token("bot"));
    let form = Request::form("/v1/introspect", form);
    let bytes = form.to_bytes();
    let mut slow = Vec::new();
    for number in 0..20 {
        let mut connection = server.connect();
        connection.send(&bytes[..bytes.len() - 10]).unwrap();
        slow.push(connection);
        assert_eq!(server.ask(&form).status, 200, "beside {number}");
    }
    let lost = slow[0].answer(false).unwrap();
    assert_eq!((lost.status, lost.header("retry-after")), (503, Some("1")), "{lost:?}");
    let mut last = server.connect();
    last.send(&bytes[..bytes.len() - 10]).unwrap();
    last.send(&bytes[bytes.len() - 10..]).unwrap();
    assert_eq!(last.answer(false).unwrap().status, 200);
}

/// The form of a page is read before its person is known, so it blocks no client either.
#[test]
fn slow_forms_on_pages_do_not_block_clients() {
    let mut config = world::config();
    config.limits.requests = 8;
    config.limits.body_time = Duration::from_secs(60);
    config.pages = Some(keyward_pages::Config::new("http://localhost".parse().unwrap(), SignIn::Link));
    let server = Server::start(config, world::registry(), Some(NOW));
    let form = Request::form("/tokens/new", "description=nightly").header("sec-fetch-site", "same-origin").to_bytes();
    let mut slow = Vec::new();
    for number in 0..20 {
        let mut connection = server.connect();
        connection.send(&form[..form.len() - 3]).unwrap();
        slow.push(connection);
        assert_eq!(server.ask(&good()).status, 200, "beside {number}");
    }
    let lost = slow[0].answer(false).unwrap();
    assert_eq!((lost.status, lost.header("retry-after")), (503, Some("1")), "{lost:?}");
}

/// A client that keeps sending requests without reading is disconnected once the system's buffers
/// are full.
#[test]
fn unread_responses_are_not_buffered() {
    let server = impatient(|_| {});
    let mut connection = server.connect();
    let many = Request::get("/openapi.json").to_bytes().repeat(50);
    let start = Instant::now();
    let ended = loop {
        if let Err(error) = connection.send(&many) {
            break error;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the server keeps responding");
    };
    assert!(is_end(&ended), "{ended}");
    assert_eq!(server.ask(&good()).status, 200);
}

/// A request is in progress until its response is written, so that the memory for responses is
/// bounded. The connection here has no buffer to speak of, unlike a socket.
#[test]
fn a_large_response_that_is_not_read_holds_its_slot() {
    let mut config = world::config();
    config.limits.requests = 1;
    config.limits.batch = 1_000;
    let service = Service::new(config, world::registry());
    let connect = async |request: Request| {
        let (mut client, server) = duplex(1_024);
        tokio::spawn(serve_stream(server, IpAddr::from([127, 0, 0, 1]), service.clone()));
        client.write_all(&request.header("Connection", "close").to_bytes()).await.unwrap();
        client
    };
    let other = async || {
        let mut answer = Vec::new();
        connect(good()).await.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()[9..12].to_owned()
    };
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        TestClock.set(Some(NOW));
        let tokens = json!({"tokens": vec![token("bot"); 1_000]});
        let mut slow = connect(Request::json("/v1/verify", &tokens).basic("app", &secret("app"))).await;
        let mut status = [0; 12];
        slow.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        for _ in 0..10 {
            assert_eq!(other().await, "503");
        }
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() > 100_000 && rest.ends_with(b"]}"), "{} bytes", rest.len());
        assert_eq!(other().await, "200");
    });
}

/// A client that has shut down its sending direction still gets its responses.
#[test]
fn a_half_closed_connection_gets_its_response() {
    let mut connection = SERVER.connect();
    connection.send([good().to_bytes(), introspection()].concat()).unwrap();
    connection.finish().unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 200);
    assert_eq!(connection.answer(false).unwrap().json()["active"], true);
    assert_eq!(connection.rest().unwrap(), b"");
    // Also for a slow request.
    let mut connection = SERVER.connect();
    connection.send(Request::get("/v1/actor").bearer(token("looping")).to_bytes()).unwrap();
    connection.finish().unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 503);
    // An incomplete request is not awaited.
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

/// A client that disconnects during a response leaves nothing behind.
#[test]
fn clients_that_disconnect_leave_nothing_behind() {
    let server = impatient(|limits| limits.requests = 4);
    for _ in 0..50 {
        let mut connection = server.connect();
        connection.send(Request::get("/v1/actor").bearer(token("looping")).to_bytes()).unwrap();
        drop(connection);
        let mut connection = server.connect();
        connection.send(&introspection()[..100]).unwrap();
    }
    keyward_tests::daemon::wait_for("their slots to be free", || server.ask(&good()).status == 200);
    keyward_tests::daemon::wait_for("their connections to be closed", || {
        let metrics = Request::get("/metrics").send(server.admin());
        // The connection of this metrics request may still be counted.
        metrics.text().lines().any(|line| line == "keyward_connections 0" || line == "keyward_connections 1")
    });
}

/// With two thousand unauthenticated clients that send single bytes of a head or body, proxies and
/// known clients are served, and the slow ones are disconnected.
#[test]
fn two_thousand_slow_clients_do_not_block_others() {
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
                // By then the previous ones have been accepted: the system's queue is short, and
                // blocks when it is full.
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
                // Some may have been disconnected.
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

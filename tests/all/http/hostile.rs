//! Requests that are broken at every position, against the program: none is accepted wrongly, and
//! the memory, files and log of the process stay the same.

use super::program::{self, for_each, has_not_panicked, is_as_ever};
use super::world::{secret, token};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Connection, DEADLINE, Request};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

const MIB: u64 = 1 << 20;

/// A daemon and its initial state.
struct Before {
    daemon: Daemon,
    memory: u64,
    files: Vec<PathBuf>,
}

impl Before {
    fn start(name: &str) -> Self {
        let daemon = Daemon::start(&program::folder(name, "", ""), "keyward.toml");
        is_as_ever(&daemon);
        let (memory, files) = (daemon.resident(), files(&daemon));
        Self { daemon, memory, files }
    }

    /// Panics unless the daemon is in its initial state.
    fn compare(self) {
        let Self { daemon, memory, files: before } = self;
        is_as_ever(&daemon);
        let grown = daemon.resident().saturating_sub(memory);
        assert!(grown < 48 * MIB, "{} MiB more", grown / MIB);
        let until = Instant::now() + DEADLINE;
        while files(&daemon).len() > before.len() + 2 {
            assert!(Instant::now() < until, "still open: {:?}, before: {before:?}", files(&daemon));
            thread::sleep(Duration::from_millis(2));
        }
        has_not_panicked(&daemon);
        assert!(daemon.stop().status.success());
    }
}

/// Returns the open files of the daemon.
fn files(daemon: &Daemon) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid().as_raw_nonzero())).unwrap();
    open.filter_map(|file| fs::read_link(file.unwrap().path()).ok()).collect()
}

/// Returns the response to these bytes, up to the end of the connection.
fn told(daemon: &Daemon, bytes: &[u8]) -> String {
    let mut connection = Connection::open(daemon.service()).unwrap();
    // The request may be refused before it is sent completely.
    let _ = connection.send(bytes);
    let _ = connection.finish();
    String::from_utf8_lossy(&connection.rest().unwrap()).into_owned()
}

/// Returns the statuses of the responses in the text.
fn statuses(told: &str) -> Vec<u16> {
    told.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

fn says_yes(told: &str) -> bool {
    ["\"active\":true", "\r\nx-auth-subject: ", "\"outcome\":\"accepted\"", "\"id\":\"root\""]
        .iter()
        .any(|yes| told.contains(yes))
}

/// Returns one request of each kind with this token.
fn requests(token: &str) -> [Vec<u8>; 5] {
    [
        Request::form("/v1/introspect", format!("token={token}")).basic("app", &secret("app")),
        Request::json("/v1/verify", &serde_json::json!({ "token": token })).bearer(secret("app")),
        Request::get("/v1/actor").bearer(token),
        Request::get("/v1/auth/nginx/orders").bearer(token).header("X-Original-URI", "/x"),
        Request::get("/v1/auth/envoy/members/x").bearer(token),
    ]
    .map(|request| request.to_bytes())
}

/// A truncated request is never accepted, wherever it is cut; a complete one is.
#[test]
fn requests_that_are_truncated_anywhere_are_not_accepted() {
    let before = Before::start("cut");
    let mut cuts = Vec::new();
    for bytes in requests(&token("good")) {
        assert!(says_yes(&told(&before.daemon, &bytes)), "{}", String::from_utf8_lossy(&bytes));
        // Only the request is cut, because a truncated token is another token.
        cuts.extend((0..bytes.len()).map(|end| bytes[..end].to_vec()));
    }
    for_each(&cuts, |bytes| {
        let told = told(&before.daemon, bytes);
        assert!(!says_yes(&told), "{}\n{told}", String::from_utf8_lossy(bytes));
        assert!(statuses(&told).iter().all(|status| [400, 408].contains(status)), "{told}");
    });
    before.compare();
}

/// Each byte is replaced by special characters. With an invalid token no change is ever accepted or
/// causes a server error.
#[test]
fn requests_that_are_changed_anywhere_are_not_accepted() {
    let before = Before::start("changed");
    let mut changed = Vec::new();
    for bytes in requests(&token("forged")) {
        for at in 0..bytes.len() {
            for byte in [0, b'\r', b'\n', b' ', b':', b',', b'"', b'%', 0xff, bytes[at] ^ 0x20] {
                let mut bytes = bytes.clone();
                bytes[at] = byte;
                changed.push(bytes);
            }
        }
    }
    for_each(&changed, |bytes| {
        let told = told(&before.daemon, bytes);
        assert!(!says_yes(&told), "{}\n{told}", String::from_utf8_lossy(bytes));
        let fine = statuses(&told).iter().all(|status| (200..500).contains(status));
        assert!(fine, "{}\n{told}", String::from_utf8_lossy(bytes));
    });
    println!("{} requests", changed.len());
    before.compare();
}

/// Each line is omitted, duplicated, or swapped with every other line.
#[test]
fn requests_whose_lines_are_shuffled_are_not_accepted() {
    let before = Before::start("shuffled");
    let mut shuffled = Vec::new();
    for bytes in requests(&token("forged")) {
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<_> = text.split_inclusive("\r\n").collect();
        for one in 0..lines.len() {
            shuffled.push([&lines[..one], &lines[one + 1..]].concat().concat());
            shuffled.push([&lines[..=one], &lines[one..]].concat().concat());
            shuffled.push([&lines[..=one], &[lines[one]; 200], &lines[one..]].concat().concat());
            for other in 0..one {
                let mut lines = lines.clone();
                lines.swap(one, other);
                shuffled.push(lines.concat());
            }
        }
    }
    for_each(&shuffled, |text| {
        let told = told(&before.daemon, text.as_bytes());
        assert!(!says_yes(&told), "{text}\n{told}");
        assert!(statuses(&told).iter().all(|status| (200..500).contains(status)), "{text}\n{told}");
    });
    before.compare();
}

/// Each part is too large, from slightly to extremely.
#[test]
fn requests_that_are_too_large_anywhere_are_refused_and_cost_nothing() {
    let before = Before::start("large");
    let mut large = Vec::new();
    for size in [66_000, 200_000, 1_000_000, 4_000_000] {
        let filler = "x".repeat(size);
        let lines = "X: y\r\n".repeat(size / 6);
        let good = token("good");
        let auth = format!("Host: localhost\r\nAuthorization: Bearer {good}\r\n");
        let client = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", secret("app"));
        let json = format!("{client}Content-Type: application/json\r\n");
        let form = format!("{client}Content-Type: application/x-www-form-urlencoded\r\n");
        large.extend([
            format!("{filler} /v1/actor HTTP/1.1\r\n{auth}\r\n"),
            format!("GET /{filler} HTTP/1.1\r\n{auth}\r\n"),
            format!("GET /v1/actor?{filler} HTTP/1.1\r\n{auth}\r\n"),
            format!("GET /v1/auth/envoy/members/{filler} HTTP/1.1\r\n{auth}\r\n"),
            format!("GET /v1/actor HTTP/1.1{filler}\r\n{auth}\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\n{auth}{filler}: x\r\n\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\n{auth}X: {filler}\r\n\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\n{auth}Cookie: {filler}\r\n\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\nHost: {filler}\r\n\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\n{auth}{lines}\r\n"),
            format!("GET /v1/actor HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {good}{filler}\r\n\r\n"),
            format!("{}GET /v1/actor HTTP/1.1\r\n{auth}\r\n", "\r\n".repeat(size / 2)),
            format!(
                "POST /v1/verify HTTP/1.1\r\n{json}Content-Length: {}\r\n\r\n{{\"token\":\"{filler}\"}}",
                size + 12
            ),
            format!("POST /v1/verify HTTP/1.1\r\n{json}Content-Length: {size}\r\n\r\n{}", "[".repeat(size)),
            format!(
                "POST /v1/verify HTTP/1.1\r\n{json}Transfer-Encoding: chunked\r\n\r\n{}",
                "1\r\n \r\n".repeat(size / 6)
            ),
            format!("POST /v1/verify HTTP/1.1\r\n{json}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{filler}"),
            format!("POST /v1/introspect HTTP/1.1\r\n{form}Content-Length: {}\r\n\r\ntoken={filler}", size + 6),
            format!("POST /v1/introspect HTTP/1.1\r\n{form}Content-Length: {size}\r\n\r\n{}", "&".repeat(size)),
        ]);
    }
    for_each(&large, |text| {
        let told = told(&before.daemon, text.as_bytes());
        assert!(!says_yes(&told), "{}\n{told}", &text[..200.min(text.len())]);
        // A client that is cut off while it still sends may not see a response.
        let refused = statuses(&told).iter().all(|status| [400, 413, 414, 431].contains(status));
        assert!(refused, "{}\n{told}", &text[..200.min(text.len())]);
    });
    before.compare();
}

/// On repeated reload requests under load, the daemon coalesces them and no request is affected.
#[test]
fn a_storm_of_reloads_affects_no_request() {
    let before = Before::start("reloads");
    let daemon = &before.daemon;
    let going = AtomicBool::new(true);
    let (good, wrong) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut connection = Connection::open(daemon.service()).unwrap();
                while going.load(Ordering::Relaxed) {
                    let request = Request::get("/v1/auth/nginx/members").bearer(token("good"));
                    let fine =
                        connection.ask(&request).is_ok_and(|answer| answer.header("x-auth-subject") == Some("root"));
                    if fine { &good } else { &wrong }.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..300 {
            daemon.signal(Signal::HUP);
            thread::yield_now();
        }
        let reloads = || {
            let metrics = Request::get("/metrics").send(daemon.admin());
            let count =
                metrics.text().lines().find_map(|line| line.strip_prefix("keyward_reloads_total ")).unwrap().to_owned();
            count.parse::<usize>().unwrap()
        };
        wait_for("a reload", || reloads() > 0 && good.load(Ordering::Relaxed) > 500);
        going.store(false, Ordering::Relaxed);
        assert!(reloads() <= 300);
    });
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "during {good:?} valid requests");
    before.compare();
}

//! A daemon that serves the same requests with TLS, without TLS and on a Unix socket.

use super::program;
use super::world::{secret, token};
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::http::{Connection, Request, is_end};
use rustix::process::Signal;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const SERVER: &str = "tls = { certificate = \"tls.pem\", key = \"tls.key\" }\nlisten_plain = \
                      \"127.0.0.1:0\"\nlisten_unix = \"keyward.sock\"";

#[test]
fn a_daemon_serves_the_same_requests_on_all_its_listeners() {
    let folder = program::folder("listeners", SERVER, "drain_seconds = 1");
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("tls.pem", certificate.cert.pem(), 0o644);
    folder.write("tls.key", certificate.signing_key.serialize_pem(), 0o600);
    let path = folder.path().join("keyward.sock");
    // A file that a killed daemon left behind.
    drop(UnixListener::bind(&path).unwrap());
    let daemon = Daemon::start(&folder, "keyward.toml");

    let stdout = daemon.stdout();
    let plain = stdout.lines().find_map(|line| line.strip_prefix("keyward: listening on http://")).unwrap();
    let good = Request::get("/v1/actor").bearer(token("good"));
    assert_eq!(good.send(plain.parse().unwrap()).status, 200);
    let mut over_tls = Connection::over(TcpStream::connect(daemon.service()).unwrap());
    assert!(is_end(&over_tls.ask(&good).unwrap_err()), "the address with TLS is never plain");

    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket() && metadata.mode() & 0o777 == 0o660, "{:o}", metadata.mode());
    assert!(stdout.contains("keyward: listening on unix:"), "{stdout}");
    let connect = || {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Connection::over(stream)
    };
    let mut kept = connect();
    for _ in 0..2 {
        assert_eq!(kept.ask(&good).unwrap().status, 200);
    }
    // A process that may connect is a trusted proxy: the original request counts, and failed
    // authentications are not limited.
    let original = Request::get("/v1/auth/nginx/members").bearer(token("good"));
    let original = original.header("X-Original-Method", "GET").header("X-Original-URI", "/orders/1");
    assert_eq!(kept.ask(&original).unwrap().status, 200);
    wait_for("the path in the log", || daemon.stderr().contains("\"path\":\"/orders/1\""));
    let wrong = Request::form("/v1/introspect", "token=x").basic("app", &secret("maker"));
    for _ in 0..150 {
        assert_eq!(kept.ask(&wrong).unwrap().status, 401);
    }
    wait_for("the peer in the log", || daemon.stderr().contains("\"peer\":\"unix\""));

    // A second daemon does not replace the socket of the first.
    let second = folder.run(&["serve", "--config", "keyward.toml"], "");
    assert_eq!(second.status, 2);
    assert!(second.stderr.contains("`listen_unix`") && second.stderr.contains("is in use"), "{}", second.stderr);
    assert_eq!(connect().ask(&good).unwrap().status, 200);

    // A silent connection is closed, and does not delay the end.
    let _silent = connect();
    daemon.signal(Signal::TERM);
    let ended = daemon.wait();
    assert!(ended.status.success() && !path.exists(), "{ended:?}");
}

#[test]
fn a_socket_is_never_where_others_can_replace_it() {
    let listen = |name: &str| format!("listen_unix = \"{name}\"");
    let folder = program::folder("listeners-shared", &listen("shared/keyward.sock"), "");
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o777)).unwrap();
    let refused = |text: &str| {
        let ran = folder.run(&["serve", "--config", "keyward.toml"], "");
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("`listen_unix`") && ran.stderr.contains(text), "{ran:?}");
    };
    refused("can be written by group or others");
    // A file that is no socket is kept.
    folder.write("keyward.toml", program::configuration(&listen("secret.key"), ""), 0o644);
    refused("is not a socket");
    assert!(fs::read(folder.path().join("secret.key")).is_ok_and(|text| !text.is_empty()));
    folder.write("keyward.toml", program::configuration(&listen(&"x".repeat(200)), ""), 0o644);
    refused("cannot be listened on");
}

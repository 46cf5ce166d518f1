//! TLS, and other traffic on its port.

use super::program::{self, has_not_panicked};
use super::server::Server;
use super::world::{self, NOW, token};
use keyward_server::{Limits, Tls};
use keyward_tests::http::{Connection, DEADLINE, Request, is_end};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

type Secure = Connection<StreamOwned<ClientConnection, TcpStream>>;

/// Starts a server with a certificate for `localhost`, and returns the root that its clients trust.
fn start(change: impl FnOnce(&mut Limits)) -> (Server, CertificateDer<'static>) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut config = world::config();
    config.tls = Some(Tls::from_pem(cert.pem().as_bytes(), signing_key.serialize_pem().as_bytes()).unwrap());
    change(&mut config.limits);
    (Server::start(config, world::registry(), Some(NOW)), cert.der().clone())
}

fn client(certificate: &CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn connect(server: &Server, config: ClientConfig) -> Secure {
    let name = ServerName::try_from("localhost").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    Connection::over(StreamOwned::new(tls, tcp(server)))
}

fn tcp(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn good() -> Request {
    Request::get("/v1/actor").bearer(token("bot"))
}

fn is_well(server: &Server, certificate: &CertificateDer<'static>) {
    let answer = connect(server, client(certificate, rustls::ALL_VERSIONS)).ask(&good()).unwrap();
    assert_eq!(answer.json()["actor"]["id"], "bot", "{answer:?}");
}

#[test]
fn both_versions_and_every_way_to_negotiate_http_1() {
    let (server, certificate) = start(|_| {});
    for (version, protocol) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        for (offers, agreed) in
            [(&[][..], None), (&["http/1.1"], Some("http/1.1")), (&["h2", "http/1.1"], Some("http/1.1"))]
        {
            let mut config = client(&certificate, &[version]);
            config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
            let mut connection = connect(&server, config);
            for _ in 0..2 {
                assert_eq!(connection.ask(&good()).unwrap().json()["actor"]["id"], "bot");
            }
            let tls = &connection.transport().conn;
            assert_eq!(tls.protocol_version(), Some(protocol));
            assert_eq!(tls.alpn_protocol(), agreed.map(str::as_bytes), "{offers:?}");
        }
        let mut config = client(&certificate, &[version]);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let refused = connect(&server, config).ask(&good()).unwrap_err();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    }
}

/// Data sent before the end of the handshake could be replayed by anyone, so it is not accepted.
#[test]
fn nothing_is_accepted_before_the_handshake_is_done() {
    let (server, certificate) = start(|_| {});
    let mut config = client(&certificate, &[&rustls::version::TLS13]);
    config.enable_early_data = true;
    for turn in 0..3 {
        let mut connection = connect(&server, config.clone());
        assert!(connection.transport_mut().conn.early_data().is_none(), "turn {turn}");
        assert_eq!(connection.ask(&good()).unwrap().status, 200);
        let kind = connection.transport().conn.handshake_kind();
        let wanted = if turn == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
        assert_eq!(kind, Some(wanted), "only a resumed session could send early data");
    }
}

/// Plain HTTP, other protocols and garbage get no HTTP response and no log line.
#[test]
fn traffic_other_than_tls_gets_no_response() {
    let (server, certificate) = start(|_| {});
    let hello = {
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::new(client(&certificate, rustls::ALL_VERSIONS)), name).unwrap();
        let mut bytes = Vec::new();
        tls.write_tls(&mut bytes).unwrap();
        bytes
    };
    let flipped = (0..hello.len()).step_by(7).map(|at| {
        let mut bytes = hello.clone();
        bytes[at] ^= 0x40;
        bytes
    });
    let record = |kind: u8, length: u16, byte: u8| {
        [&[kind, 3, 1][..], &length.to_be_bytes(), &vec![byte; usize::from(length)]].concat()
    };
    let nonsense = [
        good().to_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
        vec![0; 20_000],
        vec![0xff; 20_000],
        record(22, 16_384, 0),
        record(22, 65_535, 1),
        // A client hello that claims to be 16 MiB long, in many records.
        [&record(22, 4, 1)[..3], &[0, 4, 1, 0xff, 0xff, 0xff], &record(22, 16_000, 0).repeat(20)].concat(),
        record(23, 100, 0),
        record(21, 2, 2),
        record(20, 1, 1).repeat(1_000),
        // SSL 2.
        vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        hello.repeat(2),
    ];
    for bytes in nonsense.into_iter().chain(flipped) {
        let mut stream = tcp(&server);
        // The connection may be closed before all bytes are sent.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        let kind = told.first().copied();
        // An alert, or a handshake that does not proceed.
        assert!(kind.is_none_or(|kind| kind == 21 || kind == 22), "{:?}", String::from_utf8_lossy(&told));
        assert!(!told.windows(5).any(|five| five == b"HTTP/"), "{:?}", String::from_utf8_lossy(&told));
    }
    assert_eq!(server.log().lines().count(), 0, "{}", server.log());
    is_well(&server, &certificate);
}

#[test]
fn a_missing_handshake_times_out() {
    let (server, certificate) = start(|limits| limits.header_time = Duration::from_secs(1));
    for begins in [&b""[..], &[22], &[22, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = tcp(&server);
        stream.write_all(begins).unwrap();
        let mut told = Vec::new();
        let ended = stream.read_to_end(&mut told);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
    }
    // Each byte is in time, but not all of them together.
    let mut stream = tcp(&server);
    let drip = [22, 3, 1, 0x3f, 0xff].iter().chain(std::iter::repeat_n(&1, 2_000));
    let let_go = drip.into_iter().any(|byte| {
        std::thread::sleep(Duration::from_millis(5));
        stream.write_all(&[*byte]).is_err()
    });
    assert!(let_go, "the client is not disconnected");
    // A completed handshake without a request.
    let mut connection = connect(&server, client(&certificate, rustls::ALL_VERSIONS));
    let read = connection.transport_mut().read(&mut [0]);
    assert!(matches!(&read, Ok(0)) || read.is_err_and(|error| is_end(&error)), "the client is disconnected");
    is_well(&server, &certificate);
}

/// The same certificates as files of the program; a reload applies new ones to new connections.
#[test]
fn a_reload_takes_a_new_certificate_and_keeps_the_old_one_on_errors() {
    let tls = "tls = { certificate = \"tls.pem\", key = \"tls.key\" }";
    let folder = program::folder("tls", tls, "");
    let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let place = |made: &rcgen::CertifiedKey<rcgen::KeyPair>, key: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        folder.write("tls.pem", made.cert.pem(), 0o644);
        folder.write("tls.key", key.signing_key.serialize_pem(), 0o600);
    };
    let (first, second) = (make(), make());
    place(&first, &first);
    let daemon = keyward_tests::daemon::Daemon::start(&folder, "keyward.toml");
    let ask = |certificate: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let name = ServerName::try_from("localhost").unwrap();
        let config = Arc::new(client(certificate.cert.der(), rustls::ALL_VERSIONS));
        let stream = TcpStream::connect(daemon.service()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut connection = Connection::over(StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream));
        let answer = connection.ask(&good())?;
        assert_eq!(answer.status, 200);
        io::Result::Ok(connection)
    };
    let mut kept = ask(&first).unwrap();
    place(&second, &first);
    daemon.signal(rustix::process::Signal::HUP);
    keyward_tests::daemon::wait_for("the error", || daemon.stderr().contains("certificate and the key do not match"));
    ask(&first).unwrap();
    place(&second, &second);
    daemon.signal(rustix::process::Signal::HUP);
    keyward_tests::daemon::wait_for("the new certificate", || ask(&second).is_ok());
    assert!(ask(&first).is_err(), "the old certificate is gone");
    assert_eq!(kept.ask(&good()).unwrap().status, 200, "open connections are kept");
    has_not_panicked(&daemon);
}

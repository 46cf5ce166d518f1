//! Requests to servers that fail in every way, and to names that lead astray.

mod server;

use crate::client::send;
use crate::endpoint::{Endpoint, Roots};
use crate::error::{EndpointError, FetchError};
use crate::fetcher::Fetcher;
use crate::resolve::{Resolve, ResolveFuture, SystemResolver};
use keyward_runtime::http::{Forwards, HttpAdditions, HttpError, HttpResponse};
use keyward_runtime::key_sets::{RefreshTimes, RemoteKeySet};
use server::{NAME, Names, Server, head, respond, respond_ok};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

/// RFC 8037 appendix A.2.
const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

async fn get(endpoint: &Endpoint, resolver: &dyn Resolve) -> Result<HttpResponse, FetchError> {
    send(endpoint, resolver, HttpAdditions::default()).await
}

async fn outcome(endpoint: &Endpoint) -> Result<HttpResponse, FetchError> {
    get(endpoint, &Names::loopback()).await
}

async fn error(endpoint: &Endpoint) -> String {
    outcome(endpoint).await.err().unwrap().to_string()
}

#[tokio::test]
async fn a_request_has_the_configured_target_and_no_more() {
    let server = Server::tls(NAME, |mut stream, _| {
        Box::pin(async move {
            let head = head(&mut stream).await?;
            let body = format!("{:?}", head.to_ascii_lowercase().split("\r\n").collect::<Vec<_>>());
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
                .await
        })
    });
    let server = server.await;
    let HttpResponse { status, body, .. } = outcome(&server.endpoint()).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let wanted = [
        "get /jwks.json?tenant=1 http/1.1".to_owned(),
        format!("host: {NAME}:{}", server.port),
        "accept-encoding: identity".to_owned(),
        format!("user-agent: keyward/{version}"),
        String::new(),
        String::new(),
    ];
    assert_eq!((status, String::from_utf8(body).unwrap()), (200, format!("{wanted:?}")));
}

#[tokio::test]
async fn a_certificate_must_be_for_the_configured_host() {
    let ok: server::Handle = |stream, _| Box::pin(respond_ok_owned(stream));
    let right = Server::tls(NAME, ok).await;
    assert_eq!(outcome(&right.endpoint()).await.unwrap().status, 200);
    let other = Server::tls("other.test", ok).await;
    assert!(error(&other.endpoint()).await.contains("certificate not valid for name"));
    // Signed by another authority.
    let stranger = Server { ca: other.ca, ..Server::tls(NAME, ok).await };
    assert!(error(&stranger.endpoint()).await.starts_with("the TLS handshake failed: "));
    // Without TLS on the other side.
    let early: server::Handle =
        |mut stream, _| Box::pin(async move { stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await });
    let plain = Server { ca: right.ca, ..Server::plain(early).await };
    assert!(error(&plain.endpoint()).await.starts_with("the TLS handshake failed: "));
}

async fn respond_ok_owned(stream: Box<dyn server::Stream>) -> std::io::Result<()> {
    respond_ok(stream, "{}").await
}

/// Each response, and the beginning of the error that it causes.
const RESPONSES: &[(&str, &str)] = &[
    (
        "HTTP/1.1 301 Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
        "the response has the status 301, a redirect",
    ),
    ("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "the response has the status 302, a redirect"),
    ("HTTP/1.1 304 Not Modified\r\n\r\n", "the response has the status 304, a redirect"),
    ("HTTP/1.1 308 Permanent\r\nLocation: //evil.test/\r\n\r\n", "the response has the status 308, a redirect"),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", "the response is compressed"),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br\r\n\r\n{}", "the response is compressed"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n{}", "the response has more than 1000 bytes"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "the response is not valid HTTP/1.1, or ended early"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "the response is not valid HTTP/1.1"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n", "the response is not valid HTTP/1.1"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
        "the response is not valid HTTP/1.1",
    ),
    ("HTTP/2 200\r\n\r\n{}", "the response is not valid HTTP/1.1"),
    ("SSH-2.0-OpenSSH_9.6\r\n", "the response is not valid HTTP/1.1"),
    ("", "the response is not valid HTTP/1.1"),
];

#[tokio::test]
async fn a_response_is_complete_or_an_error() {
    for (number, (response, wanted)) in RESPONSES.iter().enumerate() {
        // The number of the connection is that of the response.
        let server =
            Server::plain(|stream, number| Box::pin(async move { respond(stream, RESPONSES[number].0).await })).await;
        let endpoint = server.endpoint().max_bytes(1000);
        for _ in 0..number {
            let _ = outcome(&endpoint).await;
        }
        let seen = error(&endpoint).await;
        assert!(seen.starts_with(wanted), "{response:?}: {seen}");
        assert_eq!(server.accepted(), number + 1, "no redirect is followed");
    }
}

/// Servers that never end, with the beginning of the error.
#[tokio::test]
async fn endless_and_slow_responses_are_cut_off() {
    async fn flood(mut stream: Box<dyn server::Stream>, start: &str, more: &str) -> std::io::Result<()> {
        head(&mut stream).await?;
        stream.write_all(start.as_bytes()).await?;
        loop {
            stream.write_all(more.as_bytes()).await?;
            stream.flush().await?;
        }
    }
    async fn drip(mut stream: Box<dyn server::Stream>, start: &str) -> std::io::Result<()> {
        head(&mut stream).await?;
        stream.write_all(start.as_bytes()).await?;
        loop {
            stream.write_all(b" ").await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    const BODY: &str = "HTTP/1.1 200 OK\r\n\r\n";
    let cases: [(server::Handle, &str); 6] = [
        (|stream, _| Box::pin(flood(stream, BODY, "{\"keys\":[]}")), "the response has more than 262144 bytes"),
        (
            |stream, _| Box::pin(flood(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n")),
            "the response has more than",
        ),
        (|stream, _| Box::pin(flood(stream, "HTTP/1.1 200 OK\r\n", "A: b\r\n")), "the response is not valid"),
        (
            |stream, _| Box::pin(flood(stream, "HTTP/1.1 200 OK\r\nA: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
            "the response is not valid",
        ),
        (|stream, _| Box::pin(drip(stream, BODY)), "the response did not arrive within 300 ms"),
        (|stream, _| Box::pin(drip(stream, "HTTP/1.1 200 OK\r\nA:")), "the response did not arrive within 300 ms"),
    ];
    for (number, (handle, wanted)) in cases.into_iter().enumerate() {
        let server = Server::plain(handle).await;
        let timeout = if number < 4 { 10_000 } else { 300 };
        let begin = Instant::now();
        let seen = error(&server.endpoint().timeout(Duration::from_millis(timeout))).await;
        assert!(seen.starts_with(wanted), "{number}: {seen}");
        assert!(begin.elapsed() < Duration::from_secs(9), "{number}");
    }
}

/// A look-up cannot be stopped: those of one host do not use up the threads of all.
#[tokio::test]
async fn look_ups_of_a_host_are_bounded() {
    let resolver = SystemResolver::default();
    let lookups = resolver.addresses("localhost").await;
    assert!(lookups.unwrap().iter().all(std::net::IpAddr::is_loopback));
    let all = (0..100).map(|_| resolver.addresses("localhost")).collect::<Vec<_>>();
    for lookup in all {
        assert!(lookup.await.is_ok());
    }
    assert_eq!(resolver.addresses("192.0.2.1").await.unwrap(), ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
}

#[tokio::test]
async fn a_silent_peer_is_left_in_time() {
    let silent: server::Handle = |stream, _| {
        Box::pin(async move {
            let _held = stream;
            std::future::pending().await
        })
    };
    let plain = Server::plain(silent).await;
    assert!(error(&plain.endpoint().timeout(Duration::from_millis(100))).await.starts_with("the response did not"));
    // The handshake is never answered.
    let tls = Server { ca: Server::tls(NAME, silent).await.ca, ..Server::plain(silent).await };
    assert!(error(&tls.endpoint().timeout(Duration::from_millis(100))).await.starts_with("the response did not"));
    struct Hanging;
    impl Resolve for Hanging {
        fn addresses<'a>(&'a self, _: &'a str) -> ResolveFuture<'a> {
            Box::pin(std::future::pending())
        }
    }
    let seen = get(&plain.endpoint().timeout(Duration::from_millis(100)), &Hanging).await.err().unwrap();
    assert!(matches!(seen, FetchError::Timeout(_)));
}

/// nodedb#61, among others: key sets were fetched from the metadata service of a cloud. Here the
/// names lead to the loopback interface, directly or beside another address.
#[tokio::test]
async fn a_forbidden_address_is_never_connected_to() {
    let server = Server::plain(|stream, _| Box::pin(respond_ok_owned(stream))).await;
    let endpoint = |private: &[&str]| {
        let endpoint = Endpoint::new(&format!("http://{NAME}:{}/", server.port), Roots::from_der([])).unwrap();
        endpoint
            .private(private.iter().map(|network| network.parse().unwrap()))
            .unwrap()
            .timeout(Duration::from_secs(2))
    };
    let lists: [&[&str]; 6] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::127.0.0.1"],
        &["10.0.0.1", "127.0.0.1"],
        &["127.0.0.1", "10.0.0.1"],
    ];
    for list in lists {
        let seen = get(&endpoint(&["10.0.0.0/8"]), &Names::new(&[list])).await.err().unwrap().to_string();
        assert!(seen.contains("list its network in `private` if it is yours"), "{list:?}: {seen}");
    }
    // Plain HTTP to the public Internet.
    let seen = get(&endpoint(&[]), &Names::new(&[&["1.1.1.1"]])).await.err();
    assert!(matches!(seen, Some(FetchError::PlainHttp)));
    // Rebinding: each request looks the name up once, and connects only to what it has checked.
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.2"], &["127.0.0.1"]]);
    let only = endpoint(&["127.0.0.1/32"]);
    assert_eq!(get(&only, &names).await.unwrap().status, 200);
    assert!(matches!(get(&only, &names).await, Err(FetchError::AddressRefused { .. })));
    assert_eq!(get(&only, &names).await.unwrap().status, 200);
    assert_eq!((names.asked(), server.accepted()), (3, 2));
    // No address, and very many.
    assert!(matches!(get(&only, &Names::new(&[&[]])).await, Err(FetchError::NoAddress(_))));
    let mut many = vec!["127.0.0.1"; 16];
    many.extend(vec!["10.0.0.1"; 10_000]);
    assert_eq!(get(&only, &Names::new(&[&many])).await.unwrap().status, 200, "the others are not used");
}

/// The system's resolver reads addresses in more spellings than the URL standard.
#[tokio::test]
async fn spellings_of_loopback_are_refused() {
    let server = Server::plain(|stream, _| Box::pin(respond_ok_owned(stream))).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
        "127.0.0.1.",
    ] {
        let Ok(endpoint) = Endpoint::new(&format!("http://{host}:{}/", server.port), Roots::from_der([])) else {
            continue;
        };
        let seen = get(&endpoint.timeout(Duration::from_secs(2)), &SystemResolver::default()).await.err().unwrap();
        assert!(matches!(seen, FetchError::AddressRefused { .. } | FetchError::NoAddress(_)), "{host}: {seen}");
    }
    assert_eq!(server.accepted(), 0);
}

/// PyJWT#1169, among others: `file:` and `ftp:` URLs were opened.
#[test]
fn urls_that_could_mislead_are_refused() {
    for url in [
        "",
        "idp.test",
        "//idp.test/",
        "/jwks.json",
        "file:///etc/passwd",
        "ftp://idp.test/",
        "https://",
        "https:///jwks.json",
        "https://user@idp.test/",
        "https://user:secret@idp.test/",
        "https://idp.test#@evil.test/",
        "https://idp.test\\@evil.test/",
        "https://idp.test:0/",
        "https://idp.test:99999/",
        "https://idp.test:/",
        "https://a b/",
        "https://idp.test/ x",
        "javascript:alert(1)",
        "https://[::1/",
        "https://exa_mple..test/",
        "https://münchen.test/",
        " https://idp.test/",
        "https://idp.test/\r\nX: y",
    ] {
        assert!(matches!(Endpoint::new(url, Roots::from_der([])), Err(EndpointError::BadUrl(_))), "{url:?}");
    }
    for url in [
        "https://idp.test",
        "HTTPS://IDP.test/",
        "https://idp.test?x=1",
        "https://[2606:4700::1]:8443/a",
        "https://192.0.2.1/",
    ] {
        assert!(Endpoint::new(url, Roots::from_der([])).is_ok(), "{url:?}");
    }
    let endpoint = Endpoint::new("https://idp.test", Roots::from_der([])).unwrap();
    assert!(matches!(endpoint.private(["::/0".parse().unwrap()]), Err(EndpointError::EveryNetwork)));
    for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(Roots::from_pem(pem.as_bytes()), Err(EndpointError::NoCertificate(_))), "{pem:?}");
    }
}

proptest::proptest! {
    /// Whatever the text, the host that is looked up is the one that TLS verifies and `Host` names.
    #[test]
    fn an_endpoint_has_one_host(text in "\\PC{0,40}", scheme in "https?://", host in "[a-z0-9.:\\[\\]@%-]{0,20}") {
        let _ = Endpoint::new(&text, Roots::from_der([]));
        if let Ok(endpoint) = Endpoint::new(&format!("{scheme}{host}/"), Roots::from_der([])) {
            let header = endpoint.authority.to_str().unwrap();
            let named = header.strip_suffix(&format!(":{}", endpoint.port)).unwrap_or(header);
            proptest::prop_assert_eq!(named.trim_start_matches('[').trim_end_matches(']'), &endpoint.host);
        }
    }
}

/// A request of a handler, and what it learns about one that fails.
#[tokio::test]
async fn an_endpoint_has_the_parameters_of_the_handler() {
    let echo: server::Handle = |mut stream, _| {
        Box::pin(async move {
            let head = head(&mut stream).await?;
            let line = head.split("\r\n").next().unwrap_or_default().to_owned();
            let length = line.len();
            let text = format!("HTTP/1.1 403 No\r\nContent-Type: text/x\r\nContent-Length: {length}\r\n\r\n{line}");
            stream.write_all(text.as_bytes()).await
        })
    };
    let server = Server::plain(echo).await;
    let fetcher = Fetcher::with_resolver(Arc::new(Names::loopback())).unwrap();
    let endpoint = server.endpoint().post().guest_query(["token".to_owned()]).unwrap();
    let client = fetcher.endpoint("site", endpoint.clone());
    // The thread lives as long as its last endpoint.
    drop(fetcher);
    assert_eq!((client.timeout(), client.parameters()), (Duration::from_secs(5), ["token".to_owned()].as_slice()));
    let query = vec![("token".to_owned(), "a b&tenant=2#\r\n".to_owned())];
    let HttpResponse { status, content_type, body } =
        client.send(HttpAdditions { query, ..HttpAdditions::default() }).await.ok().unwrap();
    assert_eq!((status, content_type.as_deref()), (403, Some("text/x")));
    assert_eq!(String::from_utf8(body).unwrap(), "POST /jwks.json?tenant=1&token=a+b%26tenant%3D2%23%0D%0A HTTP/1.1");
    let forwards = |headers: &[&str], query: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        endpoint
            .clone()
            .forwards(Forwards { cookies: Vec::new(), headers: names(headers), query: names(query) })
            .map(drop)
    };
    assert_eq!(forwards(&["x-forwarded-for"], &["host"]), Ok(()));
    for own in ["host", "connection", "cookie", "content-length", "transfer-encoding", "upgrade"] {
        assert_eq!(forwards(&[own], &[]), Err(EndpointError::BadHeader(own.to_owned())));
    }
    for repeated in ["token", "tenant"] {
        assert_eq!(forwards(&[], &[repeated]), Err(EndpointError::RepeatsParameter(repeated.to_owned())));
    }
    let repeated = endpoint.guest_query(["tenant".to_owned()]);
    assert_eq!(repeated.err(), Some(EndpointError::RepeatsParameter("tenant".to_owned())));
}

#[tokio::test]
async fn a_handler_learns_the_kind_of_an_error() {
    let redirect: server::Handle = |stream, _| Box::pin(async { respond(stream, RESPONSES[0].0).await });
    let server = Server::plain(redirect).await;
    let silent = Server::plain(|stream, _| {
        Box::pin(async move {
            drop(stream);
            std::future::pending().await
        })
    })
    .await;
    let fetcher = Fetcher::with_resolver(Arc::new(Names::loopback())).unwrap();
    let large = Server::plain(|stream, _| Box::pin(async { respond(stream, RESPONSES[6].0).await })).await;
    let held = Server::plain(|stream, _| {
        Box::pin(async move {
            let _held = stream;
            std::future::pending().await
        })
    })
    .await;
    for (endpoint, wanted) in [
        (server.endpoint(), HttpError::Refused),
        (Endpoint::new(&format!("http://{NAME}:{}/", server.port), Roots::from_der([])).unwrap(), HttpError::Refused),
        (large.endpoint(), HttpError::TooLarge),
        (held.endpoint().timeout(Duration::from_millis(50)), HttpError::Timeout),
        (silent.endpoint(), HttpError::Unavailable),
    ] {
        assert_eq!(fetcher.endpoint("site", endpoint).send(HttpAdditions::default()).await.err(), Some(wanted));
    }
}

/// A set whose server returns keys, then errors, then others.
#[tokio::test]
async fn a_set_follows_its_server() {
    let server = Server::tls(NAME, |stream, number| {
        Box::pin(async move {
            match number {
                0 => respond_ok(stream, JWKS).await,
                1 => respond(stream, "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n").await,
                2 => respond_ok(stream, r#"{"keys":[]}"#).await,
                3 => respond_ok(stream, "\u{0}").await,
                _ => respond_ok(stream, &JWKS.replace("\"a\"", "\"b\"")).await,
            }
        })
    });
    let server = server.await;
    let pause = Duration::from_millis(20);
    let times = RefreshTimes { refresh: pause, cooldown: pause, max_stale: Duration::from_secs(60) };
    let set = Arc::new(RemoteKeySet::new("idp", None, times));
    let fetcher = Fetcher::with_resolver(Arc::new(Names::loopback())).unwrap();
    let refreshes = fetcher.refresh(set.clone(), server.endpoint());
    refreshes.first_attempt().await;
    let mut seen = Vec::new();
    loop {
        let status = set.status();
        let state = (status.keys[0].0.clone(), status.remote.unwrap().error);
        if seen.last() != Some(&state) {
            seen.push(state);
        }
        if seen.last().is_some_and(|(key, _)| key == "b") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = |text: &str| ("a".to_owned(), Some(text.to_owned()));
    let [first, unavailable, empty, .., last] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(*first, ("a".to_owned(), None));
    assert_eq!(*unavailable, error("the response has the status 503"));
    assert_eq!(*empty, error("it has no key that verifies signatures: it is empty"));
    assert_eq!(*last, ("b".to_owned(), None));
    // Dropped, it fetches no more.
    drop(refreshes);
    tokio::time::sleep(pause).await;
    let connections = server.accepted();
    tokio::time::sleep(5 * pause).await;
    assert_eq!(server.accepted(), connections);
}

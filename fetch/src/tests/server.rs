//! A server on the loopback interface, and a resolver whose names lead there.

use crate::endpoint::{Endpoint, Roots};
use crate::resolve::{Resolve, ResolveFuture};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The name of the server.
pub(super) const NAME: &str = "idp.test";

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(super) type Handled = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Handles a connection, whose number from 0 is given.
pub(super) type Handle = fn(Box<dyn Stream>, usize) -> Handled;

/// A server, which runs as long as the runtime of the test.
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) ca: Vec<u8>,
    pub(super) connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server without TLS.
    pub(super) async fn plain(handle: Handle) -> Self {
        Self::start(None, Vec::new(), handle).await
    }

    /// Starts a server with a certificate for `name` by its own authority.
    pub(super) async fn tls(name: &str, handle: Handle) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), ca.pem().into_bytes(), handle).await
    }

    async fn start(tls: Option<TlsAcceptor>, ca: Vec<u8>, handle: Handle) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let _ = handle(stream, number).await;
                });
            }
        });
        Self { port, ca, connections }
    }

    /// Returns the number of connections that it has accepted.
    pub(super) fn accepted(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns its URL as an endpoint that allows loopback addresses.
    pub(super) fn endpoint(&self) -> Endpoint {
        let roots = if self.ca.is_empty() { Roots::from_der([]) } else { Roots::from_pem(&self.ca).unwrap() };
        let scheme = if self.ca.is_empty() { "http" } else { "https" };
        let endpoint = Endpoint::new(&format!("{scheme}://{NAME}:{}/jwks.json?tenant=1", self.port), roots).unwrap();
        endpoint.private(["127.0.0.0/8".parse().unwrap()]).unwrap().timeout(Duration::from_secs(5))
    }
}

/// Reads the head of a request.
pub(super) async fn head(stream: &mut Box<dyn Stream>) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Responds to each request with a text.
pub(super) async fn respond(mut stream: Box<dyn Stream>, text: &str) -> io::Result<()> {
    head(&mut stream).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Responds with 200 and this body.
pub(super) async fn respond_ok(stream: Box<dyn Stream>, body: &str) -> io::Result<()> {
    respond(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await
}

/// A resolver that gives these lists of addresses, one after the other.
pub(super) struct Names {
    lists: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Names {
    pub(super) fn new(lists: &[&[&str]]) -> Self {
        let lists = lists.iter().map(|list| list.iter().map(|address| address.parse().unwrap()).collect());
        Self { lists: lists.collect(), asked: AtomicUsize::new(0) }
    }

    pub(super) fn loopback() -> Self {
        Self::new(&[&["127.0.0.1"]])
    }

    /// Returns how often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn addresses<'a>(&'a self, _: &'a str) -> ResolveFuture<'a> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let list = self.lists.get(number).or_else(|| self.lists.last()).cloned().unwrap_or_default();
        Box::pin(async move { Ok(list) })
    }
}

//! The accept loop and connections, which are bounded in number, time and size.

use crate::admin;
use crate::completed::CompletedStream;
use crate::config::Limits;
use crate::context::LiveConfig;
use crate::http1::{bounded, http};
use crate::pages::Serves;
use crate::peer::Peer;
use crate::refresh::refresh;
use crate::service::Service;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Time to wait after the system could not accept a connection.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Minimum time between two log lines about failed accepts.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The listeners of the server. The embedder binds them, by default to loopback.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listeners {
    /// The listener for host services and proxies, with TLS if [`Config::tls`](crate::Config::tls)
    /// is set.
    pub service: TcpListener,
    /// A listener for the same requests that never uses TLS.
    pub plain: Option<TcpListener>,
    /// A listener for the same requests on a Unix socket. Every process that may connect to it is
    /// trusted like a proxy of [`ForwardAuth::trusted_proxies`](crate::ForwardAuth).
    pub unix: Option<UnixListener>,
    /// A listener for the [pages](crate::Config::pages) only, without TLS. If there is one, the
    /// others do not serve the pages.
    pub pages: Option<TcpListener>,
    /// The listener for `/livez`, `/readyz`, `/metrics` and `/key-sets`, which must not be public.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Creates listeners of which only one is set.
    #[must_use]
    pub fn new(service: TcpListener) -> Self {
        Self { service, plain: None, unix: None, pages: None, admin: None }
    }

    /// Accepts the next connection of any listener but the admin's.
    async fn accept(&self) -> io::Result<Connection> {
        let plain = async {
            match &self.plain {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        let unix = async {
            match &self.unix {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        let pages = async {
            match &self.pages {
                Some(listener) => listener.accept().await,
                None => pending().await,
            }
        };
        let others = if self.pages.is_some() { Serves::Api } else { Serves::All };
        tokio::select! {
            accepted = self.service.accept() => accepted
                .map(|(stream, peer)| Connection::Tcp { stream, peer, may_use_tls: true, serves: others }),
            accepted = plain => accepted
                .map(|(stream, peer)| Connection::Tcp { stream, peer, may_use_tls: false, serves: others }),
            accepted = pages => accepted
                .map(|(stream, peer)| Connection::Tcp { stream, peer, may_use_tls: false, serves: Serves::Pages }),
            accepted = unix => accepted.map(|(stream, _)| Connection::Unix(stream, others)),
        }
    }
}

/// An accepted connection.
enum Connection {
    Tcp { stream: TcpStream, peer: SocketAddr, may_use_tls: bool, serves: Serves },
    Unix(UnixStream, Serves),
}

/// Serves requests until `shutdown` completes. Then stops accepting, lets requests in progress
/// finish within [`Limits::drain_time`], and returns.
///
/// Must be called within a tokio runtime with time and I/O enabled. The admin listener gets a
/// thread of its own, so that no handler can delay it.
pub async fn run(mut listeners: Listeners, service: Service, shutdown: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let admin =
        listeners.admin.take().map(|listener| admin::Thread::start(listener, service.clone(), stopping.clone()));
    let mut connections = JoinSet::new();
    {
        let accepting = accept(&listeners, &service, &stopping, &mut connections);
        let mut accepting = pin!(accepting);
        let mut stock = pin!(refresh(&service));
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            () = &mut accepting => {}
            () = &mut stock => {}
            () = &mut shutdown => {}
        }
    }
    drop(listeners);
    stop.send_replace(true);
    let drain = service.live().config.limits.drain_time;
    let drained = timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        let left = connections.len();
        tracing::warn!(target: "keyward::server", left, "connections closed: they did not finish within `limits.drain_seconds`");
        connections.shutdown().await;
    }
    if let Some(admin) = admin {
        admin.stop();
    }
}

/// Accepts connections until the task is dropped.
async fn accept(
    listeners: &Listeners,
    service: &Service,
    stopping: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(service.live().config.limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut complained: Option<Instant> = None;
    loop {
        while connections.try_join_next().is_some() {}
        // Without a permit, connections wait in the system's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listeners.accept().await {
            Ok(connection) => {
                let connection = serve(connection, service.clone(), stopping.clone(), permit);
                connections.spawn(connection);
            }
            Err(error) => {
                if complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY) {
                    complained = Some(Instant::now());
                    tracing::warn!(target: "keyward::server", %error, "a connection could not be accepted");
                }
                if !is_about_the_client(&error) {
                    sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// Returns whether the error concerns this connection only. Other errors, such as too many open
/// files, persist.
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves one connection until it closes.
async fn serve(connection: Connection, service: Service, stopping: watch::Receiver<bool>, _room: OwnedSemaphorePermit) {
    let _open = service.metrics().connection();
    // Do not keep the registry alive for the lifetime of the connection: a reload may replace it.
    let (limits, acceptor) = {
        let live = service.live();
        (live.config.limits.clone(), tls(&live))
    };
    let (stream, peer, may_use_tls, serves) = match connection {
        Connection::Tcp { stream, peer, may_use_tls, serves } => (stream, Peer::from(peer.ip()), may_use_tls, serves),
        Connection::Unix(stream, serves) => {
            let stream = bounded(stream, &limits);
            return Box::pin(answer(stream, (Peer::Unix, serves), service, stopping, &limits)).await;
        }
    };
    let client = (peer, serves);
    // A silent client costs a socket and little state: no buffers, and the rest is allocated later.
    // Waiting for readability does not suffice, since tokio reports new connections as readable.
    let mut first = [0];
    let spoke = timely(stopping.clone(), limits.header_time, stream.peek(&mut first)).await;
    if spoke.is_none_or(|bytes| bytes == 0) || stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = bounded(stream, &limits);
    match acceptor.filter(|_| may_use_tls) {
        None => Box::pin(answer(stream, client, service, stopping, &limits)).await,
        Some(acceptor) => Box::pin(answer_over_tls(acceptor, stream, client, service, stopping, &limits)).await,
    }
}

async fn answer_over_tls<S>(
    acceptor: TlsAcceptor,
    stream: S,
    client: (Peer, Serves),
    service: Service,
    stopping: watch::Receiver<bool>,
    limits: &Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Failed handshakes are not logged: clients could flood the log with them.
    let stream = timely(stopping.clone(), limits.header_time, acceptor.accept(stream)).await;
    if let Some(stream) = stream {
        answer(stream, client, service, stopping, limits).await;
    }
}

/// Returns the result of `work`, or `None` if it fails, times out or the server stops.
async fn timely<T>(
    mut stopping: watch::Receiver<bool>,
    time: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Option<T> {
    tokio::select! {
        done = timeout(time, work) => done.ok()?.ok(),
        _ = stopping.wait_for(|stop| *stop) => None,
    }
}

fn tls(live: &LiveConfig) -> Option<TlsAcceptor> {
    live.config.tls.as_ref().map(|tls| TlsAcceptor::from(tls.0.clone()))
}

/// Serves one connection on any stream until it closes, as [`run`] does: for tests without sockets.
#[doc(hidden)]
pub async fn serve_stream<S>(stream: S, peer: IpAddr, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (_never, stopping) = watch::channel(false);
    let limits = service.live().config.limits.clone();
    answer(bounded(stream, &limits), (peer.into(), Serves::All), service, stopping, &limits).await;
}

/// Serves HTTP/1 on a stream, without upgrades and tunnels.
async fn answer<S>(
    stream: S,
    (peer, serves): (Peer, Serves),
    service: Service,
    mut stopping: watch::Receiver<bool>,
    limits: &Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = CompletedStream::new(stream, {
        let service = service.clone();
        move |status| service.unparsed(status)
    });
    let respond = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        // Boxed because hyper reserves space for the future for as long as the connection is open.
        Box::pin(async move { Ok::<_, Infallible>(service.answer(peer, serves, request).await) })
    });
    let connection = http(limits).serve_connection(TokioIo::new(stream), respond);
    let mut connection = pin!(connection);
    let mut age = pin!(sleep(limits.connection_time));
    let mut told = false;
    loop {
        tokio::select! {
            // Errors of a connection are caused by the client, so they are not logged.
            _ = connection.as_mut() => return,
            () = &mut age, if !told => {}
            _ = stopping.wait_for(|stop| *stop), if !told => {}
        }
        told = true;
        connection.as_mut().graceful_shutdown();
    }
}

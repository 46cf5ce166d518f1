//! From listeners to answers: every connection is bounded in number, time and size.

use crate::config::Limits;
use crate::context::Live;
use crate::operations;
use crate::service::Service;
use crate::stock;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// How long to wait when the system has no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How often at most the log says that it has none.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where the server listens. To bind them is for whoever embeds it: to loopback, unless told otherwise.
#[derive(Debug)]
pub struct Listeners {
    /// For host services and proxies.
    pub service: TcpListener,
    /// For `/livez`, `/readyz` and `/metrics`; to be kept private.
    pub operations: Option<TcpListener>,
}

/// Answers until `shutdown` is done; then stops accepting, lets what is being answered finish within
/// [`Limits::drain_time`], and returns.
///
/// Must be called within a tokio runtime with time and I/O enabled. The operations listener gets a thread of its own, so that
/// no handler can delay it.
pub async fn run(listeners: Listeners, service: Service, shutdown: impl Future<Output = ()>) {
    let Listeners { service: listener, operations } = listeners;
    let (stop, stopping) = watch::channel(false);
    let operations = operations.map(|listener| operations::Thread::start(listener, service.clone(), stopping.clone()));
    let mut connections = JoinSet::new();
    {
        let accepting = accept(&listener, &service, &stopping, &mut connections);
        let mut accepting = pin!(accepting);
        let mut stock = pin!(async {
            stock::keep(&service).await;
            std::future::pending::<()>().await;
        });
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            () = &mut accepting => {}
            () = &mut stock => {}
            () = &mut shutdown => {}
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drain = service.live().config.limits.drain_time;
    let drained = timeout(drain, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        let left = connections.len();
        tracing::warn!(target: "keyward::server", left, "connections were cut off: they did not end within `limits.drain_seconds`");
        connections.shutdown().await;
    }
    if let Some(operations) = operations {
        operations.stop();
    }
}

/// Accepts for ever.
async fn accept(
    listener: &TcpListener,
    service: &Service,
    stopping: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let room = Arc::new(Semaphore::new(service.live().config.limits.connections.min(Semaphore::MAX_PERMITS)));
    let mut complained: Option<Instant> = None;
    loop {
        while connections.try_join_next().is_some() {}
        // Without room, connections wait in the system's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = serve(stream, peer, service.clone(), stopping.clone(), permit);
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

/// Whether only this one connection is lost. Other errors, such as too many open files, stay for a while.
fn is_about_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// One connection, from its first byte to its last.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    service: Service,
    stopping: watch::Receiver<bool>,
    _room: OwnedSemaphorePermit,
) {
    let _open = service.metrics().connection();
    // What is kept for as long as the connection lives must be little: not the registry, which may be replaced meanwhile.
    let (limits, acceptor) = {
        let live = service.live();
        (live.config.limits.clone(), tls(&live))
    };
    // A client that says nothing costs a socket and this little state: no buffers yet, and on the heap what comes next.
    // Whether it has said something shows a look at it only: tokio takes a new connection to be readable.
    let mut first = [0];
    let spoke = timely(stopping.clone(), limits.header_time, stream.peek(&mut first)).await;
    if spoke.is_none_or(|bytes| bytes == 0) || stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = bounded(stream, &limits);
    match acceptor {
        None => Box::pin(answer(stream, peer.ip(), service, stopping, &limits)).await,
        Some(acceptor) => Box::pin(answer_over_tls(acceptor, stream, peer.ip(), service, stopping, &limits)).await,
    }
}

async fn answer_over_tls<S>(
    acceptor: TlsAcceptor,
    stream: S,
    peer: IpAddr,
    service: Service,
    stopping: watch::Receiver<bool>,
    limits: &Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // What a client does wrong here is its own affair, and would flood the log.
    let stream = timely(stopping.clone(), limits.header_time, acceptor.accept(stream)).await;
    if let Some(stream) = stream {
        answer(stream, peer, service, stopping, limits).await;
    }
}

/// What `work` comes to, unless it fails, takes too long or the server stops.
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

fn tls(live: &Live) -> Option<TlsAcceptor> {
    live.config.tls.as_ref().map(|tls| TlsAcceptor::from(tls.0.clone()))
}

/// A stream that gives up on a client that takes no answer.
pub(crate) fn bounded<S: AsyncRead + AsyncWrite>(stream: S, limits: &Limits) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.body_time));
    Box::pin(stream)
}

/// What [`run`] does with a connection, on any stream and until it ends: for tests without sockets.
#[doc(hidden)]
pub async fn serve_stream<S>(stream: S, peer: IpAddr, service: Service)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (_never, stopping) = watch::channel(false);
    let limits = service.live().config.limits.clone();
    answer(bounded(stream, &limits), peer, service, stopping, &limits).await;
}

/// HTTP/1 on a stream. Other protocols, upgrades and tunnels are not spoken.
async fn answer<S>(stream: S, peer: IpAddr, service: Service, mut stopping: watch::Receiver<bool>, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let respond = service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        // On the heap while it lasts: hyper keeps room for it as long as the connection is open.
        Box::pin(async move { Ok::<_, Infallible>(service.answer(peer, request).await) })
    });
    let connection = http(limits).serve_connection(TokioIo::new(stream), respond);
    let mut connection = pin!(connection);
    let mut age = pin!(sleep(limits.connection_time));
    let mut told = false;
    loop {
        tokio::select! {
            // How it ended is the client's affair.
            _ = connection.as_mut() => return,
            () = &mut age, if !told => {}
            _ = stopping.wait_for(|stop| *stop), if !told => {}
        }
        told = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// hyper's settings, the same for every connection.
pub(crate) fn http(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes.max(8_192))
        .half_close(true)
        .keep_alive(true);
    builder
}

//! The admin endpoints for monitoring: `/livez`, `/readyz`, `/metrics` and `/key-sets`.

use crate::completed::CompletedStream;
use crate::config::Limits;
use crate::http1::{bounded, http};
use crate::service::Service;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use keyward_runtime::Registry;
use keyward_runtime::clock::{Clock, SystemClock};
use keyward_runtime::registry::BreakerState;
use keyward_runtime::revocation::PendingStatus;
use keyward_service::{KeySetReport, Snapshot};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::thread;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Maximum number of open admin connections; more than monitoring needs. A further one closes the
/// oldest, so that idle connections cannot block monitoring.
const CONNECTIONS: usize = 64;

/// The thread of the admin listener. It runs nothing else, so no handler can delay it.
pub(crate) struct Thread {
    thread: Option<thread::JoinHandle<()>>,
    end: watch::Sender<bool>,
}

impl Thread {
    /// Starts the thread on `listener`. Once `stopping` is set, `/readyz` reports 503.
    pub(crate) fn start(listener: TcpListener, service: Service, stopping: watch::Receiver<bool>) -> Self {
        let (end, mut ended) = watch::channel(false);
        let work = move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener.into_std()?)?;
                tokio::select! {
                    () = accept(&listener, &service, &stopping) => {}
                    _ = ended.wait_for(|end| *end) => {}
                }
                Ok(())
            })
        };
        let thread = thread::Builder::new().name("keyward-ops".to_owned()).spawn(move || {
            if let Err(error) = work() {
                tracing::error!(target: "keyward::server", %error, "the admin listener could not be started");
            }
        });
        Self { thread: thread.ok(), end }
    }

    /// Stops the thread and waits until it has exited.
    pub(crate) fn stop(self) {
        self.end.send_replace(true);
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: &TcpListener, service: &Service, stopping: &watch::Receiver<bool>) {
    let mut open = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        open.retain(|connection: &JoinHandle<()>| !connection.is_finished());
        // Responses are immediate, so the oldest connection is idle, or is not read.
        if open.len() >= CONNECTIONS || accepted.is_err() {
            open.pop_front().inspect(JoinHandle::abort);
        }
        match accepted {
            Ok((stream, _)) => open.push_back(tokio::spawn(serve(stream, service.clone(), stopping.clone()))),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, service: Service, stopping: watch::Receiver<bool>) {
    let limits = Limits::default();
    let respond = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &service, *stopping.borrow());
        async move { Ok::<_, Infallible>(response) }
    });
    let stream = CompletedStream::new(bounded(stream, &limits), |_| "cache-control: no-store\r\n".to_owned());
    let connection = http(&limits).serve_connection(TokioIo::new(stream), respond);
    let _ = timeout(limits.connection_time, connection).await;
}

fn answer(request: &Request<Incoming>, service: &Service, stopping: bool) -> Response<Body> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") if stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "shutting down\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            let live = service.live();
            let (status, mut text) = match live.registry.trouble() {
                Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
                None => (StatusCode::OK, "ok\n".to_owned()),
            };
            for handler in live.registry.handlers().filter(|handler| handler.breaker != BreakerState::Closed) {
                text +=
                    &format!("handler `{}` gets one call at a time: its calls on valid tokens failed\n", handler.name);
            }
            for (name, set) in live.registry.key_sets().iter().filter(|(_, set)| !set.is_usable) {
                let error = set.remote.as_ref().and_then(|remote| remote.error.as_deref()).unwrap_or("not fetched yet");
                text += &format!("key set `{name}` cannot be used: {error}\n");
            }
            for line in pending(pending_status(&live.registry)) {
                text += line;
            }
            if let Some(error) = service.failed_reload() {
                text += &format!("reload failed; keeping the previous configuration: {error}\n");
            }
            (status, PLAIN, text)
        }
        (&Method::GET | &Method::HEAD, "/metrics") => match metrics(service) {
            Ok(text) => (StatusCode::OK, OPENMETRICS, text),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, PLAIN, String::new()),
        },
        (&Method::GET | &Method::HEAD, "/key-sets") => (StatusCode::OK, JSON, key_sets(service)),
        (_, "/livez" | "/readyz" | "/metrics" | "/key-sets") => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD only\n".to_owned())
        }
        _ => (
            StatusCode::NOT_FOUND,
            PLAIN,
            "not found; the paths are /livez, /readyz, /metrics and /key-sets\n".to_owned(),
        ),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Describes revocations that are not written yet, or may be lost. The process is ready
/// nevertheless, since it rejects their tokens.
fn pending_status(registry: &Registry) -> Option<PendingStatus> {
    registry.revocations().ok().map(|revocations| revocations.list().pending())
}

fn pending(status: Option<PendingStatus>) -> impl Iterator<Item = &'static str> {
    let PendingStatus { count, is_volatile, may_be_lost, .. } = status.unwrap_or_default();
    let lines = [
        (count > 0 && !is_volatile, "revocations wait to be written; this process rejects their tokens\n"),
        (is_volatile, "revocations wait to be written, and a restart would lose them: do not restart\n"),
        (
            may_be_lost,
            "revocations that were requested before the restart may be lost: request them again, then run `keyward store accept --revocations`\n",
        ),
    ];
    lines.into_iter().filter_map(|(applies, line)| applies.then_some(line))
}

fn metrics(service: &Service) -> Result<String, fmt::Error> {
    let live = service.live();
    let at = SystemClock.now().unwrap_or_default();
    let (registry, inventory, audit) = (&live.registry, &**service.stock().load(), service.audit());
    service.metrics().text(Snapshot { registry, inventory, audit, keys: &live.config.keys, at })
}

/// Returns the states of the key sets, as a JSON array.
fn key_sets(service: &Service) -> String {
    let sets = service.live().registry.key_sets().into_values().map(KeySetReport::from).collect::<Vec<_>>();
    serde_json::to_string(&sets).unwrap_or_default()
}

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

//! `keyward serve`: the daemon, from its start to its end.

mod first_start;
mod reload;
mod watch;

use crate::args::Serve;
use crate::config::Address;
use crate::load::{Loaded, file_error};
use crate::{Status, Stop, World, load, record};
use keyward_audit::{Entry, Event};
use keyward_runtime::{Registry, list_items};
use keyward_server::{Listeners, Service};
use reload::{Fixed, Ready, Reloader, Source};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

pub(crate) fn run(args: Serve, world: &mut World<'_>) -> Result<Status, Stop> {
    let Serve { config, listen, operations } = args;
    let (file, secret) = match config {
        Some(file) => (file, None),
        None => first_start::configuration(world.stdout)?,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let tokio = Builder::new_multi_thread().worker_threads(threads).enable_io().enable_time().build();
    let tokio = tokio.map_err(|error| cannot("the threads could not be started", &error))?;
    // Before anything is read: what changes while that goes on is then read again.
    let reload = tokio.block_on(async { reload_requests() });
    let reload = reload.map_err(|error| cannot("signals could not be set up", &error))?;

    let mut source = Source::new(file, world.env, load::runtime(None)?);
    let Ready { loaded, registry, mut config } = source.load()?;
    let store = source.store().cloned();
    let server = &loaded.config.server;
    let fixed = Fixed::of(&loaded);
    let audit = record::open(&loaded)?.map(Arc::new);
    fit_connections(&mut config);
    let service_at = Listen { option: "--listen", setting: "listen", given: listen, configured: server.listen };
    let operations_at =
        Listen { option: "--operations", setting: "operations", given: operations, configured: server.operations };
    let done = tokio.block_on(async {
        let told = told_to_end().map_err(|error| cannot("signals could not be set up", &error))?;
        // Whoever writes to a file that may not become longer is told so, as where a disk is full, instead of being ended.
        let _told = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))
            .map_err(|error| cannot("signals could not be set up", &error))?;
        let service = service_at.bind(&loaded)?;
        let operations = operations_at.bind(&loaded)?;
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        announce(world.stdout, scheme, &service, &operations, secret.as_ref().map(|secret| secret.as_str()))?;
        let handlers = registry.handlers().count();
        tracing::info!(target: "keyward::server", handlers, "started");

        if let Some(audit) = &audit {
            audit.note(Entry { detail: Some(handlers_of(&registry)), ..Entry::new(Event::Start) });
        }
        let answers = Service::with_audit(config, registry, audit.clone());
        let reloader = Reloader { source, service: answers.clone(), audit: audit.clone(), fixed, waits: false };
        reloader.start(reload).map_err(|error| cannot("the thread that reloads could not be started", &error))?;
        let listeners = Listeners { service, operations: Some(operations) };
        tokio::select! {
            () = keyward_server::run(listeners, answers, times(told.clone(), 1)) => {
                tracing::info!(target: "keyward::server", "ended");
            }
            () = times(told, 2) => {
                tracing::warn!(target: "keyward::server", "ended at once, as it was told twice: what was being answered is cut off");
            }
        }
        Ok(Status::Good)
    });
    // What still runs is a call that was given up.
    tokio.shutdown_background();
    if let Some(store) = store {
        store.close();
    }
    if let Some(audit) = audit {
        audit.note(Entry::new(Event::Stop));
        if !audit.flush() {
            tracing::warn!(target: "keyward::server", "the audit could not be written to its end");
        }
    }
    done
}

/// Which handlers there are, by their names and the beginnings of their components' digests.
fn handlers_of(registry: &Registry) -> String {
    let handlers = registry.handlers().map(|handler| {
        let digest: String = handler.component.sha256_hex().chars().take(16).collect();
        format!("{} {digest}", handler.name)
    });
    list_items(handlers)
}

fn cannot(what: &str, error: &io::Error) -> Stop {
    Stop::NoVerdict(format!("{what}: {}", file_error(error)))
}

/// SIGHUP: load all anew.
fn reload_requests() -> io::Result<Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (request, requests) = channel();
    tokio::spawn(async move { while hangup.recv().await.is_some() && request.send(()).is_ok() {} });
    Ok(requests)
}

/// SIGTERM and SIGINT: finish; once more: do not wait for it. How often it has been told so.
fn told_to_end() -> io::Result<tokio::sync::watch::Receiver<u32>> {
    let (sender, told) = tokio::sync::watch::channel(0_u32);
    let sender = Arc::new(sender);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                sender.send_modify(|times| *times = times.saturating_add(1));
            }
        });
    }
    Ok(told)
}

/// Waits until it has been told so often.
async fn times(mut told: tokio::sync::watch::Receiver<u32>, wanted: u32) {
    if told.wait_for(|times| *times >= wanted).await.is_err() {
        // Nobody is left who could tell.
        std::future::pending().await
    }
}

/// An address to listen on, and who gave it.
struct Listen {
    option: &'static str,
    setting: &'static str,
    given: Option<SocketAddr>,
    configured: Address,
}

impl Listen {
    fn bind(&self, loaded: &Loaded) -> Result<TcpListener, Stop> {
        let Self { option, setting, given, configured } = self;
        let address = given.unwrap_or(configured.value);
        let error = match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        let (wrong, first) = match error.kind() {
            io::ErrorKind::AddrInUse => ("is in use".to_owned(), "stop the program that has it, or "),
            io::ErrorKind::AddrNotAvailable => ("is none of this machine".to_owned(), ""),
            _ => (format!("cannot be listened on ({})", file_error(&error)), ""),
        };
        let wrong = format!("the address {address} {wrong}: {first}");
        Err(match (given, configured.line) {
            (Some(_), _) => Stop::Mistake(format!("{wrong}give `{option}` another one")),
            (None, Some(line)) => loaded.mistake(line, &format!("{wrong}give `{setting}` another one")),
            (None, None) => loaded.mistake(None, &format!("{wrong}give another one as `{setting}` in `[server]`")),
        })
    }
}

/// How many connections the system keeps until they are accepted; it may allow fewer. Whoever finds no place tries again
/// after a second.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the daemon before this one need not have been forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Says where it listens, for people and for programs that wait for it.
fn announce(
    stdout: &mut dyn Write,
    scheme: &str,
    service: &TcpListener,
    operations: &TcpListener,
    admin: Option<&str>,
) -> Result<(), Stop> {
    let text = || {
        let address = service.local_addr()?;
        let mut text = format!("keyward: listening on {scheme}://{address}\n");
        text += &format!("keyward: operations on http://{}\n", operations.local_addr()?);
        if let Some(secret) = admin {
            text += &format!(
                "keyward: a first token is made by\n  curl -u 'admin:{secret}' -H 'Content-Type: application/json' \
                 -d '{{\"actor\":\"root\",\"expires_after\":3600}}' {scheme}://localhost:{}/v1/tokens\n",
                address.port()
            );
        }
        Ok(Zeroizing::new(text))
    };
    // All at once: who waits for one line need not stay for the others.
    text().and_then(|text| stdout.write_all(text.as_bytes())).and_then(|()| stdout.flush()).map_err(Stop::stdout)
}

/// File descriptors that are no connections: files, listeners, the operations address.
const OTHER_FILES: u64 = 64;

/// Allows itself as many open files as it may, and takes fewer connections if that is not enough.
fn fit_connections(config: &mut keyward_server::Config) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where this fails, what it has is what it gets.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let room = usize::try_from(files.saturating_sub(OTHER_FILES).max(1)).unwrap_or(usize::MAX);
    let wanted = config.limits.connections;
    if room < wanted {
        config.limits.connections = room;
        tracing::warn!(
            target: "keyward::server",
            wanted,
            connections = room,
            "this process may have {files} open files only, so it takes fewer connections: raise its limit (`ulimit -n`)"
        );
    }
}

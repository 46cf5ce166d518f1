//! `keyward serve`: runs the daemon.

mod first_start;
mod keep_pending;
mod listen;
mod reload;
mod watch;

use crate::args::Serve;
use crate::config_file::default_file;
use crate::output::one_line;
use crate::private_file::file_error;
use crate::{CliError, ExitStatus, Io, audit_log, login};
use keyward_audit::{Entry, Event};
use keyward_pages::LINK_MINUTES;
use keyward_runtime::Registry;
use keyward_runtime::text::list_items;
use keyward_server::Service;
use listen::Bound;
use reload::{LoadedConfig, Reloader, RestartOnly, Source};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) fn run(args: Serve, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Serve { config, listen, admin } = args;
    let (file, secret) = match config.or_else(|| default_file(io.env)) {
        Some(file) => (file, None),
        None => first_start::configuration(io.stdout, io.stdout_is_terminal)?,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let tokio = Builder::new_multi_thread().worker_threads(threads).enable_io().enable_time().build();
    let tokio = tokio.map_err(|error| cannot("the threads could not be started", &error))?;
    // Set up before anything is read, so that a change during the start triggers a reload.
    let reload = tokio.block_on(async { reload_requests() });
    let reload = reload.map_err(|error| cannot("signals could not be set up", &error))?;

    let mut source = Source::new(file, io.env, listen, io.worker);
    let LoadedConfig { loaded, registry, mut config, key_sets } = source.load()?;
    source.keep(key_sets);
    let store = source.store().cloned();
    let fixed = RestartOnly::of(&loaded);
    let audit = audit_log::open(&loaded)?;
    fit_connections(&mut config);
    let done = tokio.block_on(async {
        let told = told_to_end().map_err(|error| cannot("signals could not be set up", &error))?;
        // A write beyond the file size limit then fails, as on a full disk, instead of ending the
        // process.
        let _told = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))
            .map_err(|error| cannot("signals could not be set up", &error))?;
        let bound = Bound::new(&loaded, listen, admin)?;
        // Not before, since a daemon that is already running may be using the file.
        if let Ok(revocations) = registry.revocations() {
            keep_pending::start(loaded.pending_file(), revocations.list(), audit.clone());
        }
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let port = bound.pages_port().map_err(|error| cannot("the port of the pages could not be read", &error))?;
        source.serve_pages_on(port);
        config.pages = loaded.config.served_pages(Some(port));
        let link = match (&secret, &config.pages, &store) {
            (Some(_), Some(pages), Some(store)) if io.stdout_is_terminal => {
                Some(login::link(store, pages, audit.as_deref(), FIRST_ACTOR).await?)
            }
            _ => None,
        };
        let first = secret.map(|secret| FirstStart { secret, link });
        announce(io.stdout, scheme, &bound, config.pages.as_ref(), first.as_ref())?;
        let handlers = registry.handlers().count();
        tracing::info!(target: "keyward::server", handlers, config = %loaded.file.display(), "started");

        if let Some(audit) = &audit {
            audit.note(Entry { detail: Some(handlers_of(&registry)), ..Entry::new(Event::Start) });
        }
        let answers = Service::with_audit(config, registry, audit.clone());
        let reloader = Reloader { source, service: answers.clone(), audit: audit.clone(), fixed, waits: false };
        reloader.start(reload).map_err(|error| cannot("the thread that reloads could not be started", &error))?;
        let (listeners, _socket) = bound.into_listeners();
        tokio::select! {
            () = keyward_server::run(listeners, answers, times(told.clone(), 1)) => {
                tracing::info!(target: "keyward::server", "stopped");
            }
            () = times(told, 2) => {
                tracing::warn!(target: "keyward::server", "stopped at once after a second signal: requests in progress were aborted");
            }
        }
        Ok(ExitStatus::Success)
    });
    // Only abandoned calls still run.
    tokio.shutdown_background();
    if let Some(store) = store {
        store.close();
    }
    if let Some(audit) = audit {
        audit.note(Entry::new(Event::Stop));
        if !audit.flush() {
            tracing::warn!(target: "keyward::server", "the audit log could not be written completely");
        }
    }
    done
}

/// Lists the handlers by name, each with the first 16 digits of its component's digest.
fn handlers_of(registry: &Registry) -> String {
    let handlers = registry.handlers().map(|handler| {
        let digest: String = handler.component.sha256_hex().chars().take(16).collect();
        format!("{} {digest}", handler.name)
    });
    list_items(handlers)
}

fn cannot(what: &str, error: &io::Error) -> CliError {
    CliError::Unavailable(format!("{what}: {}", file_error(error)))
}

/// Returns a channel that receives a reload request for each SIGHUP.
fn reload_requests() -> io::Result<Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (request, requests) = channel();
    tokio::spawn(async move { while hangup.recv().await.is_some() && request.send(()).is_ok() {} });
    Ok(requests)
}

/// Counts SIGTERM and SIGINT signals: the first stops the daemon gracefully, the
/// second at once.
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

/// Waits until this number of signals has arrived.
async fn times(mut told: tokio::sync::watch::Receiver<u32>, wanted: u32) {
    if told.wait_for(|times| *times >= wanted).await.is_err() {
        // The sender is gone, so no signal can arrive.
        std::future::pending().await
    }
}

/// The actor of the first token.
const FIRST_ACTOR: &str = "root";

/// The ways to create a first token, which the first start prints.
struct FirstStart {
    /// A shell expression for the secret of the client `admin`.
    secret: String,
    /// A link that signs in on the pages, for a terminal only.
    link: Option<String>,
}

/// Prints the addresses for humans, and for programs that wait for them.
fn announce(
    stdout: &mut dyn Write,
    scheme: &str,
    bound: &Bound,
    pages: Option<&keyward_pages::Config>,
    first: Option<&FirstStart>,
) -> Result<(), CliError> {
    let text = || -> io::Result<String> {
        let address = bound.service.local_addr()?;
        let mut text = format!("keyward: listening on {scheme}://{address}\n");
        text += &format!("keyward: admin on http://{}\n", bound.admin.local_addr()?);
        if let Some(plain) = &bound.plain {
            text += &format!("keyward: listening on http://{}\n", plain.local_addr()?);
        }
        if let Some((_, socket)) = &bound.unix {
            text += &format!("keyward: listening on unix:{}\n", one_line(&socket.path().to_string_lossy()));
        }
        if let Some(listener) = &bound.pages {
            text += &format!("keyward: listening on http://{}, for the pages\n", listener.local_addr()?);
        }
        if let Some(pages) = pages {
            text += &format!("keyward: pages on {}/tokens\n", pages.url);
        }
        if let Some(FirstStart { secret, link }) = first {
            text += &format!(
                "keyward: create a first token with\n  curl -u \"admin:{secret}\" -H 'Content-Type: application/json' \
                 -d '{{\"actor\":\"{FIRST_ACTOR}\",\"expires_after\":3600}}' {scheme}://localhost:{}/v1/tokens\n",
                address.port()
            );
            text += &match link {
                Some(link) => format!(
                    "keyward: sign in as `{FIRST_ACTOR}` to create tokens on a page, within {LINK_MINUTES} minutes: {link}\n"
                ),
                None => {
                    format!("keyward: `keyward login --actor {FIRST_ACTOR}` prints a link that signs in on the pages\n")
                }
            };
        }
        Ok(text)
    };
    // In one write, because a program may stop reading after the line that it waits for.
    text().and_then(|text| stdout.write_all(text.as_bytes())).and_then(|()| stdout.flush()).map_err(CliError::stdout)
}

/// Number of file descriptors reserved for files, listeners and admin connections.
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files to its maximum, and reduces the number of connections to fit.
fn fit_connections(config: &mut keyward_server::Config) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, the current limit applies.
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
            "this process is limited to {files} open files, so it accepts fewer connections: raise the limit (`ulimit -n`)"
        );
    }
}

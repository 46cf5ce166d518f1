//! Loading of a configuration and everything that it names, at the start and on each reload.

use super::handlers_of;
use super::watch::Watched;
use crate::config_file::ConfigFile;
use crate::key_sets::RemoteSets;
use crate::output::one_line;
use crate::store::{self, OpenStore, StoreIdentity};
use crate::{CliError, Env, assemble, doctor};
use keyward_audit::{Audit, AuditError, Entry, Event, Settings};
use keyward_runtime::{Registry, Runtime};
use keyward_server::{Config, Service};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The source of configurations.
pub(super) struct Source {
    file: PathBuf,
    env: &'static Env,
    /// The address that overrides the configured one.
    listen: Option<SocketAddr>,
    /// The port of the listener that serves the pages, once it is open.
    pages_port: Option<u16>,
    /// The program that compiles components.
    worker: PathBuf,
    /// The runtime of all registries, so that a reload does not compile components again. It is
    /// created by the first load.
    runtime: Option<Runtime>,
    /// The store, which is opened once by the first load.
    store: Option<Option<OpenStore>>,
    /// The key sets of the current configuration.
    key_sets: RemoteSets,
    watched: Watched,
}

/// A configuration that was loaded completely and is valid.
pub(super) struct LoadedConfig {
    pub(super) loaded: ConfigFile,
    pub(super) registry: Registry,
    pub(super) config: Config,
    pub(super) key_sets: RemoteSets,
}

impl Source {
    pub(super) fn new(file: PathBuf, env: &'static Env, listen: Option<SocketAddr>, worker: &Path) -> Self {
        let worker = worker.to_owned();
        Self {
            file,
            env,
            listen,
            pages_port: None,
            worker,
            runtime: None,
            store: None,
            key_sets: RemoteSets::default(),
            watched: Watched::default(),
        }
    }

    /// Loads the configuration. Each file is fingerprinted before it is read, so that no change is
    /// missed.
    pub(super) fn load(&mut self) -> Result<LoadedConfig, CliError> {
        self.watched = Watched::default();
        self.watched.add(self.file.clone());
        let mut loaded = ConfigFile::read(&self.file)?;
        // It is part of the node's name.
        if let Some(listen) = self.listen {
            loaded.config.server.listen.value = listen;
        }
        for file in loaded.files() {
            self.watched.add(file);
        }
        let store = match &self.store {
            Some(store) => store,
            None => self.store.insert(store::open_to_serve(&loaded, self.env)?),
        };
        let runtime = match &self.runtime {
            Some(runtime) => runtime,
            None => {
                let runtime = assemble::runtime(None, &self.worker, loaded.cache(true))?;
                doctor::require_proofs(&loaded, &runtime)?;
                self.runtime.insert(runtime)
            }
        };
        let mut key_sets = self.key_sets.next();
        let registry = loaded.registry(runtime, self.env, store.as_ref(), Some(&mut key_sets))?;
        let mut config = loaded.server()?;
        config.pages = loaded.config.served_pages(self.pages_port);
        key_sets.settle();
        Ok(LoadedConfig { loaded, registry, config, key_sets })
    }

    /// Sets the port of the listener that serves the pages, which their address has unless it is
    /// configured.
    pub(super) fn serve_pages_on(&mut self, port: u16) {
        self.pages_port = Some(port);
    }

    /// Ends the refreshes of the key sets that the configuration no longer has.
    pub(super) fn keep(&mut self, key_sets: RemoteSets) {
        self.key_sets = key_sets;
    }

    /// Returns the store; `None` if it is not open or not configured.
    pub(super) fn store(&self) -> Option<&OpenStore> {
        self.store.as_ref()?.as_ref()
    }
}

/// The settings that take effect only on a restart.
#[derive(PartialEq, Eq)]
pub(super) struct RestartOnly {
    listen: SocketAddr,
    listen_plain: Option<SocketAddr>,
    listen_unix: Option<PathBuf>,
    listen_pages: Option<SocketAddr>,
    admin: SocketAddr,
    connections: usize,
    store: StoreIdentity,
    audit: Option<Settings>,
    cache: Option<(PathBuf, PathBuf)>,
}

impl RestartOnly {
    pub(super) fn of(loaded: &ConfigFile) -> Self {
        let server = &loaded.config.server;
        Self {
            listen: server.listen.value,
            listen_plain: server.listen_plain.map(|plain| plain.value),
            listen_unix: server.listen_unix.as_ref().map(|path| path.value.clone()),
            listen_pages: loaded.config.pages.as_ref().and_then(|pages| pages.listen).map(|address| address.value),
            admin: server.admin.value,
            connections: server.config.limits.connections,
            store: StoreIdentity::of(loaded),
            audit: loaded.audit_settings(),
            cache: loaded.config.cache.as_ref().map(|cache| (cache.folder.clone(), cache.key.clone())),
        }
    }

    /// Returns the names of the settings that differ.
    fn changed(&self, new: &Self) -> Vec<&'static str> {
        let Self { listen, listen_plain, listen_unix, listen_pages, admin, connections, store, audit, cache } = self;
        let changed = [
            ("server.listen", *listen != new.listen),
            ("server.listen_plain", *listen_plain != new.listen_plain),
            ("server.listen_unix", *listen_unix != new.listen_unix),
            ("pages.listen", *listen_pages != new.listen_pages),
            ("server.admin", *admin != new.admin),
            ("server.limits.connections", *connections != new.connections),
            ("store", *store != new.store),
            ("audit", *audit != new.audit),
            ("cache", *cache != new.cache),
        ];
        changed.into_iter().filter_map(|(setting, changed)| changed.then_some(setting)).collect()
    }
}

/// Interval at which files are polled.
const POLL: Duration = Duration::from_secs(1);

/// Replaces the running configuration with a new one if that is valid.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) service: Service,
    pub(super) audit: Option<Arc<Audit>>,
    /// The settings at the start.
    pub(super) fixed: RestartOnly,
    /// `true` if the last reload waits until the audit log can record it.
    pub(super) waits: bool,
}

impl Reloader {
    /// Starts a thread for reloads, because reading files and compiling can be slow. Requests that
    /// arrive during a reload cause one more. The thread ends when the senders of requests are
    /// dropped.
    pub(super) fn start(mut self, requests: Receiver<()>) -> io::Result<()> {
        let work = move || {
            loop {
                let request = requests.recv_timeout(POLL);
                if let Some(store) = self.source.store() {
                    store.compare_again();
                }
                match request {
                    Ok(()) => while requests.try_recv().is_ok() {},
                    Err(RecvTimeoutError::Timeout) if self.source.watched.has_settled_change() || self.is_due() => {}
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                // A panic would silently end all reloading.
                if catch_unwind(AssertUnwindSafe(|| self.reload())).is_err() {
                    tracing::error!(target: "keyward::server", "reload panicked; keeping the previous configuration");
                    self.service.reload_failed("the reload panicked");
                }
            }
        };
        thread::Builder::new().name("keyward-reload".to_owned()).spawn(work)?;
        Ok(())
    }

    /// Records the outcome of a reload before it takes effect.
    fn record(&self, outcome: &str, detail: String) -> Result<(), AuditError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let entry = Entry { outcome: Some(outcome.to_owned()), detail: Some(detail), ..Entry::new(Event::Reload) };
        audit.record_blocking(entry).map(drop)
    }

    /// Returns whether a deferred reload can be recorded now.
    fn is_due(&self) -> bool {
        self.waits && self.audit.as_ref().is_none_or(|audit| audit.status().trouble.is_none())
    }

    /// Defers a reload that cannot be recorded. The refusal itself is recorded once this is
    /// possible.
    fn put_off(&mut self, error: &AuditError) {
        tracing::error!(target: "keyward::server", %error, "reload deferred until it can be recorded; keeping the previous configuration");
        self.waits = true;
        self.service.reload_failed(one_line(&error.to_string()));
        if let Some(audit) = &self.audit {
            let [outcome, reason] = ["refused", "audit-unavailable"].map(|word| Some(word.to_owned()));
            audit.note(Entry { outcome, reason, ..Entry::new(Event::Reload) });
        }
    }

    fn reload(&mut self) {
        self.waits = false;
        match self.source.load() {
            Ok(LoadedConfig { loaded, registry, config, key_sets }) => {
                let handlers = registry.handlers().count();
                if let Err(error) = self.record("loaded", handlers_of(&registry)) {
                    return self.put_off(&error);
                }
                self.service.replace(config, registry);
                self.source.keep(key_sets);
                tracing::info!(target: "keyward::server", handlers, "configuration reloaded");
                for setting in self.fixed.changed(&RestartOnly::of(&loaded)) {
                    tracing::warn!(target: "keyward::server", setting, "this setting takes effect only on a restart");
                }
            }
            Err(stop) => {
                let (_, error) = stop.sentence();
                let error = one_line(&error);
                // If recording fails, the log is the only place to report the error.
                let _ = self.record("refused", error.clone());
                self.service.reload_failed(error.clone());
                tracing::error!(target: "keyward::server", error, "reload failed; keeping the previous configuration");
            }
        }
    }
}

//! Loading all that a configuration names: at the start, and again while requests are answered.

use super::handlers_of;
use super::watch::Watched;
use crate::load::Loaded;
use crate::output::one_line;
use crate::store::{self, Kept, OpenStore};
use crate::{Env, Stop, audit};
use keyward_audit::{Audit, AuditError, Entry, Event, Settings};
use keyward_runtime::{Registry, Runtime};
use keyward_server::{Config, Service};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Where it all comes from.
pub(super) struct Source {
    file: PathBuf,
    env: &'static Env,
    /// The one of all registries, so that what is compiled stays compiled.
    runtime: Runtime,
    /// Opened at the start, once and for all.
    store: Option<Option<OpenStore>>,
    watched: Watched,
}

/// All that was loaded, tried and found good.
pub(super) struct Ready {
    pub(super) loaded: Loaded,
    pub(super) registry: Registry,
    pub(super) config: Config,
}

impl Source {
    pub(super) fn new(file: PathBuf, env: &'static Env, runtime: Runtime) -> Self {
        Self { file, env, runtime, store: None, watched: Watched::default() }
    }

    /// Loads all of it. Each file is looked at before it is read, so that no change goes unseen.
    pub(super) fn load(&mut self) -> Result<Ready, Stop> {
        self.watched = Watched::default();
        self.watched.add(self.file.clone());
        let loaded = Loaded::read(&self.file)?;
        for file in loaded.files() {
            self.watched.add(file);
        }
        let store = match &self.store {
            Some(store) => store,
            None => self.store.insert(store::open_to_serve(&loaded, self.env)?),
        };
        let registry = loaded.registry(&self.runtime, self.env, store.as_ref())?;
        let config = loaded.server()?;
        Ok(Ready { loaded, registry, config })
    }

    /// The store, once it is open.
    pub(super) fn store(&self) -> Option<&OpenStore> {
        self.store.as_ref()?.as_ref()
    }
}

/// What a running daemon cannot change.
#[derive(PartialEq, Eq)]
pub(super) struct Fixed {
    listen: SocketAddr,
    operations: SocketAddr,
    connections: usize,
    store: Kept,
    audit: Option<Settings>,
}

impl Fixed {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let server = &loaded.config.server;
        Self {
            listen: server.listen.value,
            operations: server.operations.value,
            connections: server.config.limits.connections,
            store: Kept::of(loaded),
            audit: audit::settings(loaded),
        }
    }

    /// The settings that differ.
    fn changed(&self, new: &Self) -> Vec<&'static str> {
        let Self { listen, operations, connections, store, audit } = self;
        let changed = [
            ("server.listen", *listen != new.listen),
            ("server.operations", *operations != new.operations),
            ("server.limits.connections", *connections != new.connections),
            ("store", *store != new.store),
            ("audit", *audit != new.audit),
        ];
        changed.into_iter().filter_map(|(setting, changed)| changed.then_some(setting)).collect()
    }
}

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(1);

/// Puts what is new in the place of what is there, if all of it is good.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) service: Service,
    pub(super) audit: Option<Arc<Audit>>,
    /// As it was at the start.
    pub(super) fixed: Fixed,
    /// Whether what was loaded last waits until it can be written down.
    pub(super) waits: bool,
}

impl Reloader {
    /// Goes to work on a thread of its own: files may be slow, and compiling takes its time. It reloads once for all that
    /// asked while it was busy, and ends when nobody can ask any more.
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
                // A panic would end reloading, and nobody would notice.
                if catch_unwind(AssertUnwindSafe(|| self.reload())).is_err() {
                    tracing::error!(target: "keyward::server", "reloading has a defect; what was there stays");
                }
            }
        };
        thread::Builder::new().name("keyward-reload".to_owned()).spawn(work)?;
        Ok(())
    }

    /// Writes down what is about to come of a reload.
    fn record(&self, outcome: &str, detail: String) -> Result<(), AuditError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let entry = Entry { outcome: Some(outcome.to_owned()), detail: Some(detail), ..Entry::new(Event::Reload) };
        audit.record_blocking(entry).map(drop)
    }

    /// Whether what could not be written down can be now.
    fn is_due(&self) -> bool {
        self.waits && self.audit.as_ref().is_none_or(|audit| audit.standing().trouble.is_none())
    }

    /// What was loaded is not put in place, as that cannot be written down. That it was not is, when it can be.
    fn put_off(&mut self, error: &AuditError) {
        tracing::error!(target: "keyward::server", %error, "not loaded anew yet; what was there stays");
        self.waits = true;
        if let Some(audit) = &self.audit {
            let [outcome, reason] = ["refused", "unwitnessed"].map(|word| Some(word.to_owned()));
            audit.note(Entry { outcome, reason, ..Entry::new(Event::Reload) });
        }
    }

    fn reload(&mut self) {
        self.waits = false;
        match self.source.load() {
            Ok(Ready { loaded, registry, config }) => {
                let handlers = registry.handlers().count();
                if let Err(error) = self.record("loaded", handlers_of(&registry)) {
                    return self.put_off(&error);
                }
                self.service.replace(config, registry);
                tracing::info!(target: "keyward::server", handlers, "loaded anew");
                for setting in self.fixed.changed(&Fixed::of(&loaded)) {
                    tracing::warn!(target: "keyward::server", setting, "this setting changes with a restart only");
                }
            }
            Err(stop) => {
                let (_, error) = stop.sentence();
                let error = one_line(&error);
                // There is nobody else to tell than the log.
                let _ = self.record("refused", error.clone());
                tracing::error!(target: "keyward::server", error, "not loaded anew; what was there stays");
            }
        }
    }
}

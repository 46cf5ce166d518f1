//! The store of a process: opened once, from what the configuration said at the start, and kept when that is loaded anew.

use crate::audit::settings;
use crate::config::StorePlace;
use crate::load::Loaded;
use crate::{Env, Stop};
use keyward_audit::{ListEnd, noted_list};
use keyward_runtime::{
    Changes, Committed, Entry, Filter, KeyUse, Listed, NodeSeen, Pending, Place, Revocation, Revocations, Revoked,
    SecretDigest, StoreError, Stored, Tally, TokenDigest, TokenStore,
};
use keyward_store::{Location, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A store, and what it says of revoked tokens.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) revocations: Option<Arc<Revocations>>,
    /// The audit that may have noted more of the list than the store has.
    audit: Option<PathBuf>,
    closing: Option<Arc<Closing>>,
}

/// Closes the store when the last one drops it: in a command, which may block.
struct Closing(Arc<Store>);

impl Drop for Closing {
    fn drop(&mut self) {
        close(&self.0);
    }
}

/// Closes the store. An error only means that the journal has to be copied with the file.
pub(crate) fn close(store: &Store) {
    if let Err(error) = pollster::block_on(store.close()) {
        tracing::warn!(target: "keyward::store", %error, "the journal is not in the file: copy both, or use `keyward store backup`");
    }
}

impl OpenStore {
    /// Opens a store. A file that is not there is made.
    fn open(
        location: &Location,
        patience: Duration,
        audit: Option<PathBuf>,
        change: fn(Store) -> Store,
    ) -> Result<Self, String> {
        let opened = Store::open(location.clone()).map(change).map_err(|error| error.to_string())?;
        let opened = Arc::new(opened);
        let closing = Some(Arc::new(Closing(opened.clone())));
        let store: Arc<dyn TokenStore> = opened;
        let revocations = Revocations::open(store.clone(), patience);
        let revocations = revocations.map_err(|error| format!("{location} cannot be read: {error}"))?;
        let this = Self { store, revocations: Some(revocations), audit, closing };
        this.compare().map_err(|error| format!("{location} cannot be compared with the audit: {error}"))?;
        Ok(this)
    }

    /// Compares the list of revocations with what the audit has noted of it.
    fn compare(&self) -> Result<(), String> {
        let (Some(file), Some(revocations)) = (&self.audit, &self.revocations) else { return Ok(()) };
        let Some(ListEnd { number, digest }) = noted_list(file).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let compared = pollster::block_on(revocations.compare(Some((number, digest))));
        if !compared.map_err(|error| error.to_string())?
            && let Some(trouble) = revocations.trouble()
        {
            tracing::error!(target: "keyward::store", "{trouble}");
        }
        Ok(())
    }

    /// Compares again if the list lagged: an operator may have accepted it.
    pub(crate) fn compare_again(&self) {
        if let Some(revocations) = self.revocations.as_ref().filter(|revocations| revocations.is_lagging()) {
            // An error leaves it lagging until the next comparison.
            if self.compare().is_ok() && !revocations.is_lagging() {
                tracing::warn!(target: "keyward::store", "the list of revocations counts as it is: an operator has accepted it");
            }
        }
    }

    /// Closes the store in order, and blocks for that.
    pub(crate) fn close(&self) {
        if let Some(Closing(store)) = self.closing.as_deref() {
            close(store);
        }
    }

    /// One that keeps nothing: to see whether a configuration can be loaded, without a trace.
    pub(crate) fn closed() -> Self {
        Self { store: Arc::new(Closed), revocations: None, audit: None, closing: None }
    }
}

/// What a running process cannot change about its store.
#[derive(PartialEq, Eq)]
pub(crate) enum Kept {
    Nowhere,
    Sqlite(PathBuf, Duration),
    Postgres(Duration),
}

impl Kept {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        match &loaded.config.store {
            None => Self::Nowhere,
            Some(store) => match &store.place.value {
                StorePlace::Sqlite(path) => Self::Sqlite(path.clone(), store.patience),
                StorePlace::Postgres(_) => Self::Postgres(store.patience),
            },
        }
    }
}

/// Opens the store that a configuration names, if it names one. What a command asks about is not used by that.
pub(crate) fn open(loaded: &Loaded, env: &Env) -> Result<Option<OpenStore>, Stop> {
    opened(loaded, env, Store::without_uses)
}

/// The same for the daemon, which is asked because tokens are used.
pub(crate) fn open_to_serve(loaded: &Loaded, env: &Env) -> Result<Option<OpenStore>, Stop> {
    opened(loaded, env, |store| store)
}

fn opened(loaded: &Loaded, env: &Env, change: fn(Store) -> Store) -> Result<Option<OpenStore>, Stop> {
    let (Some(store), Some(location)) = (&loaded.config.store, location(loaded, env)?) else { return Ok(None) };
    let audit = settings(loaded).map(|settings| settings.file);
    let opened = OpenStore::open(&location, store.patience, audit, change);
    opened.map(Some).map_err(|text| not_open(loaded, &text))
}

/// Where the store is, if there is one.
pub(crate) fn location(loaded: &Loaded, env: &Env) -> Result<Option<Location>, Stop> {
    let Some(store) = &loaded.config.store else { return Ok(None) };
    loaded.location(&store.place, env).map(Some).map_err(|text| wrong(loaded, &text))
}

/// What is wrong with the store, and where it is configured.
fn wrong(loaded: &Loaded, text: &str) -> Stop {
    let line = loaded.config.store.as_ref().map(|store| store.place.line);
    loaded.mistake(line, &format!("`store`: {text}"))
}

/// Why the store cannot be opened. A server may be back in a moment; a file is where somebody has put it.
pub(crate) fn not_open(loaded: &Loaded, text: &str) -> Stop {
    match &loaded.config.store {
        Some(store) if matches!(store.place.value, StorePlace::Postgres(_)) => {
            loaded.unavailable(store.place.line, &format!("`store`: {text}"))
        }
        _ => wrong(loaded, text),
    }
}

struct Closed;

impl Closed {
    fn says<T>() -> Pending<'static, T> {
        Box::pin(async { Err(StoreError::new("it is not open")) })
    }
}

impl TokenStore for Closed {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> Pending<'a, Option<Stored>> {
        Self::says()
    }
    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> Pending<'a, Option<Stored>> {
        Self::says()
    }
    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> Pending<'a, Option<Listed>> {
        Self::says()
    }
    fn next_serial<'a>(&'a self, _: &'a str) -> Pending<'a, u64> {
        Self::says()
    }
    fn commit<'a>(&'a self, _: &'a str, _: Changes) -> Pending<'a, Committed> {
        Self::says()
    }
    fn used(&self, _: &str, _: &str, _: u64) {}
    fn count<'a>(&'a self, _: &'a Revocation, _: u64) -> Pending<'a, u64> {
        Self::says()
    }
    fn revoke<'a>(&'a self, _: &'a Revocation, _: u64) -> Pending<'a, Revoked> {
        Self::says()
    }
    fn revocations<'a>(&'a self, _: u64, _: u32) -> Pending<'a, Vec<(u64, Entry)>> {
        Self::says()
    }
    fn clock(&self) -> Pending<'_, Option<u64>> {
        Self::says()
    }
    fn note_clock(&self, _: u64) -> Pending<'_, ()> {
        Self::says()
    }
    fn list<'a>(&'a self, _: &'a Filter, _: Option<&'a Place>, _: u32, _: u64) -> Pending<'a, Vec<Listed>> {
        Self::says()
    }
    fn tally<'a>(&'a self, _: &'a [(String, u64)], _: u64) -> Pending<'a, Vec<Tally>> {
        Self::says()
    }
    fn key_uses<'a>(&'a self, _: u64) -> Pending<'a, Vec<KeyUse>> {
        Self::says()
    }
    fn note_node<'a>(&'a self, _: &'a str, _: u64, _: u64) -> Pending<'a, ()> {
        Self::says()
    }
    fn nodes<'a>(&'a self) -> Pending<'a, Vec<NodeSeen>> {
        Self::says()
    }
}

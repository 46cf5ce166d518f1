//! The store of a process, which is opened once with the settings at the start, and kept on
//! reloads.

use crate::config::StorePlace;
use crate::config_file::ConfigFile;
use crate::{CliError, Env};
use keyward_audit::{ListEnd, noted_list};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{
    CommitOutcome, Entry, ListEntry, NodeDirectory, RecordStore, Revocation, RevocationLog, Revoked, SecretDigest,
    StoreError, StoreFuture, StoredRecord, TicketStore, TokenIndex, TokenStore, Transaction,
};
use keyward_runtime::token::TokenDigest;
use keyward_store::{Location, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An open store and its revocation list.
#[derive(Clone)]
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) revocations: Arc<Revocations>,
    /// The file of the audit log, which may note revocations that an older copy of the store lacks.
    audit: Option<PathBuf>,
    closing: Option<Arc<Closing>>,
}

/// Closes the store when the last clone is dropped. Blocks, so only commands rely on it.
struct Closing(Arc<Store>);

impl Drop for Closing {
    fn drop(&mut self) {
        close(&self.0);
    }
}

/// Closes the store. An error only means that the journal has to be copied with the file.
pub(crate) fn close(store: &Store) {
    if let Err(error) = pollster::block_on(store.close()) {
        tracing::warn!(target: "keyward::store", %error, "the journal could not be merged into the database file: copy both, or use `keyward store backup`");
    }
}

impl OpenStore {
    /// Opens a store. Creates a database file that does not exist.
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
        let this = Self { store, revocations, audit, closing };
        this.compare().map_err(|error| format!("{location} cannot be compared with the audit: {error}"))?;
        Ok(this)
    }

    /// Compares the revocation list with its end as noted in the audit log.
    fn compare(&self) -> Result<(), String> {
        let Some(file) = &self.audit else { return Ok(()) };
        let Some(ListEnd { number, digest }) = noted_list(file).map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let compared = pollster::block_on(self.revocations.compare(Some((number, digest))));
        if !compared.map_err(|error| error.to_string())?
            && let Some(trouble) = self.revocations.trouble()
        {
            tracing::error!(target: "keyward::store", "{trouble}");
        }
        Ok(())
    }

    /// Compares again if the list lagged: an operator may have accepted it.
    pub(crate) fn compare_again(&self) {
        // An error leaves it lagging until the next comparison.
        if self.revocations.is_lagging() && self.compare().is_ok() && !self.revocations.is_lagging() {
            tracing::warn!(target: "keyward::store", "an operator has accepted the revocation list as it is");
        }
    }

    /// Closes the store. Blocks until this is done.
    pub(crate) fn close(&self) {
        if let Some(Closing(store)) = self.closing.as_deref() {
            close(store);
        }
    }

    /// Returns a store that stores nothing, to check whether a configuration loads.
    pub(crate) fn closed() -> Self {
        let revocations = Revocations::unread(Arc::new(NullStore));
        Self { store: Arc::new(NullStore), revocations, audit: None, closing: None }
    }
}

/// The settings of the store that take effect only on a restart.
#[derive(PartialEq, Eq)]
pub(crate) enum StoreIdentity {
    Nowhere,
    Sqlite(PathBuf, Duration, Option<PathBuf>),
    Postgres(Duration, Option<PathBuf>),
}

impl StoreIdentity {
    pub(crate) fn of(loaded: &ConfigFile) -> Self {
        match &loaded.config.store {
            None => Self::Nowhere,
            Some(store) => match &store.place.value {
                StorePlace::Sqlite(path) => Self::Sqlite(path.clone(), store.patience, store.pending_file.clone()),
                StorePlace::Postgres(_) => Self::Postgres(store.patience, store.pending_file.clone()),
            },
        }
    }
}

/// Opens the configured store for a command, which does not record uses of tokens. `None` if no
/// store is configured.
pub(crate) fn open(loaded: &ConfigFile, env: &Env) -> Result<Option<OpenStore>, CliError> {
    opened(loaded, env, Store::without_uses)
}

/// Opens the configured store for the daemon, which records uses of tokens. `None` if no store is
/// configured.
pub(crate) fn open_to_serve(loaded: &ConfigFile, env: &Env) -> Result<Option<OpenStore>, CliError> {
    opened(loaded, env, |store| store)
}

fn opened(loaded: &ConfigFile, env: &Env, change: fn(Store) -> Store) -> Result<Option<OpenStore>, CliError> {
    let (Some(store), Some(location)) = (&loaded.config.store, location(loaded, env)?) else { return Ok(None) };
    let audit = loaded.audit_settings().map(|settings| settings.file);
    let opened = OpenStore::open(&location, store.patience, audit, change);
    opened.map(Some).map_err(|text| not_open(loaded, &text))
}

/// Returns the location of the store; `None` if no store is configured.
pub(crate) fn location(loaded: &ConfigFile, env: &Env) -> Result<Option<Location>, CliError> {
    let Some(store) = &loaded.config.store else { return Ok(None) };
    loaded.location(&store.place, env).map(Some).map_err(|text| wrong(loaded, &text))
}

/// Returns an error about the store, with the line that configures it.
fn wrong(loaded: &ConfigFile, text: &str) -> CliError {
    let line = loaded.config.store.as_ref().map(|store| store.place.line);
    loaded.usage_error(line, &format!("`store`: {text}"))
}

/// Returns the error for a store that cannot be opened. A server may only be temporarily
/// unavailable, but for a file the configuration is wrong.
pub(crate) fn not_open(loaded: &ConfigFile, text: &str) -> CliError {
    match &loaded.config.store {
        Some(store) if matches!(store.place.value, StorePlace::Postgres(_)) => {
            loaded.unavailable(store.place.line, &format!("`store`: {text}"))
        }
        _ => wrong(loaded, text),
    }
}

struct NullStore;

impl NullStore {
    fn says<T>() -> StoreFuture<'static, T> {
        Box::pin(async { Err(StoreError::new("it is not open")) })
    }
}

impl RecordStore for NullStore {
    fn find<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Self::says()
    }
    fn find_digest<'a>(&'a self, _: &'a str, _: &'a SecretDigest) -> StoreFuture<'a, Option<StoredRecord>> {
        Self::says()
    }
    fn find_issued<'a>(&'a self, _: Option<&'a str>, _: &'a TokenDigest) -> StoreFuture<'a, Option<ListEntry>> {
        Self::says()
    }
    fn next_serial<'a>(&'a self, _: &'a str) -> StoreFuture<'a, u64> {
        Self::says()
    }
    fn commit<'a>(&'a self, _: &'a str, _: Transaction) -> StoreFuture<'a, CommitOutcome> {
        Self::says()
    }
}

impl RevocationLog for NullStore {
    fn revoke<'a>(&'a self, _: &'a Revocation, _: UnixTime) -> StoreFuture<'a, Revoked> {
        Self::says()
    }
    fn entries<'a>(&'a self, _: u64, _: u32) -> StoreFuture<'a, Vec<(u64, Entry)>> {
        Self::says()
    }
    fn count<'a>(&'a self, _: &'a Revocation, _: UnixTime) -> StoreFuture<'a, u64> {
        Self::says()
    }
    fn clock(&self) -> StoreFuture<'_, Option<UnixTime>> {
        Self::says()
    }
    fn note_clock(&self, _: UnixTime) -> StoreFuture<'_, ()> {
        Self::says()
    }
}

impl TokenIndex for NullStore {}
impl NodeDirectory for NullStore {}
impl TicketStore for NullStore {}

//! The cache of compiled components: opens it, and `keyward cache`.

use crate::args::cache::{Cache as Args, Clear, Command, List};
use crate::config::Cache;
use crate::config_file::ConfigFile;
use crate::date::date_to_the_minute;
use crate::output::{Column, Table, count_of, write_json, write_lines};
use crate::private_file::{file_error, read_private};
use crate::{CliError, ExitStatus, Io, keygen};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keyward_runtime::compile::{ArtifactCache, CacheEntry};
use keyward_runtime::text::list_items;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

impl ConfigFile {
    /// Opens the cache. Returns `None` if none is configured, or if it cannot be used, which is
    /// logged: components are then compiled each time that they are loaded.
    ///
    /// Only the daemon creates it (`is_daemon`), because it belongs to the daemon's user.
    pub(crate) fn cache(&self, is_daemon: bool) -> Option<ArtifactCache> {
        let Cache { folder, key } = self.config.cache.as_ref()?;
        let (folder, key) = (self.path(folder), self.path(key));
        let exists = folder.exists() && key.exists();
        if !is_daemon && !exists {
            return None;
        }
        let opened = cache_key(&key).and_then(|key| {
            ArtifactCache::open(&folder, *key).map_err(|error| format!("{}: {}", folder.display(), file_error(&error)))
        });
        opened
            .inspect_err(|error| tracing::warn!(target: "keyward::load", error, "the cache of `[cache]` is not used"))
            .ok()
    }

    fn cache_folder(&self) -> Result<PathBuf, CliError> {
        let text = "there is no cache: add a `[cache]` section with `folder` and `key`";
        let cache = self.config.cache.as_ref().ok_or_else(|| self.usage_error(None, text))?;
        Ok(self.path(&cache.folder))
    }
}

/// Reads the key of the cache, or creates it.
fn cache_key(file: &Path) -> Result<Zeroizing<[u8; 32]>, String> {
    if !file.exists() {
        let line = keygen::line().map_err(|stop| stop.sentence().1)?;
        match keygen::create(file, line.as_bytes()) {
            Ok(()) => {}
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{} cannot be created: {}", file.display(), file_error(&error))),
        }
    }
    let text = read_private(file, "correct `cache.key`")?;
    let mut key = Zeroizing::new([0; 32]);
    match BASE64_URL_SAFE_NO_PAD.decode_slice(text.trim_ascii(), &mut *key) {
        Ok(32) => Ok(key),
        _ => Err(format!("{} is not a key of `keyward keygen`: remove it, and a new one is created", file.display())),
    }
}

/// The output of `keyward cache list`.
#[derive(Serialize)]
struct Cached {
    components: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    sha256: String,
    bytes: u64,
    /// Seconds since 1970.
    used: u64,
    handlers: Vec<String>,
}

pub(crate) fn run(args: Args, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::List(List { config, json }) => {
            let loaded = ConfigFile::find(config.as_deref(), io)?;
            let components = rows(&loaded)?;
            if json {
                write_json(io.stdout, &Cached { components })?;
            } else if components.is_empty() {
                write_lines(io.stdout, ["no component is cached"])?;
            } else {
                write_lines(io.stdout, table(io.columns, &components))?;
            }
        }
        Command::Clear(Clear { config }) => {
            let loaded = ConfigFile::find(config.as_deref(), io)?;
            let folder = loaded.cache_folder()?;
            let removed =
                ArtifactCache::clear(&folder).or_else(none_if_missing).map_err(|error| failed(&folder, &error))?;
            let removed = count_of(u64::try_from(removed).unwrap_or(u64::MAX), "compiled component");
            write_lines(io.stdout, [format!("removed {removed}")])?;
        }
    }
    Ok(ExitStatus::Success)
}

fn rows(loaded: &ConfigFile) -> Result<Vec<Row>, CliError> {
    let folder = loaded.cache_folder()?;
    let entries = ArtifactCache::entries(&folder).or_else(none_if_missing).map_err(|error| failed(&folder, &error))?;
    let used = loaded.config.handlers.iter().filter_map(|handler| {
        // A component that cannot be read has no digest.
        let component = loaded.component(handler).ok()?;
        Some((<[u8; 32]>::from(Sha256::digest(component.bytes())), handler.name.value.clone()))
    });
    let used: Vec<_> = used.collect();
    Ok(entries.into_iter().map(|entry| Row::new(&entry, &used)).collect())
}

impl Row {
    fn new(entry: &CacheEntry, used: &[([u8; 32], String)]) -> Self {
        let handlers = used.iter().filter(|(sha256, _)| *sha256 == entry.sha256).map(|(_, name)| name.clone());
        Self {
            sha256: hex::encode(entry.sha256),
            bytes: entry.bytes,
            used: seconds(entry.used),
            handlers: handlers.collect(),
        }
    }
}

fn table(columns: usize, rows: &[Row]) -> Vec<String> {
    let head = ["COMPONENT (SHA-256)", "BYTES", "LAST USE (UTC)", "HANDLERS"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|row| {
        let Row { sha256, bytes, used, handlers } = row;
        vec![sha256.clone(), bytes.to_string(), date_to_the_minute(*used), list_items(handlers)]
    });
    let cells: Vec<_> = std::iter::once(head).chain(cells).collect();
    Table::of(columns, 0, &[Column::Words, Column::Numbers, Column::Words, Column::Names], &cells).all(&cells)
}

fn none_if_missing<T: Default>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound { Ok(T::default()) } else { Err(error) }
}

fn failed(folder: &Path, error: &io::Error) -> CliError {
    CliError::Unavailable(format!("the cache {} cannot be accessed: {}", folder.display(), file_error(error)))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

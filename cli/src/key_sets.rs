//! The key sets of a configuration. Those with a URL are refreshed, also across reloads.

use crate::CliError;
use crate::config::{self, KeySetSource, Located, RemoteUrl};
use crate::config_file::ConfigFile;
use crate::remote::{OpenEndpoint, unshared};
use keyward_fetch::{Endpoint, Fetcher, Refreshes};
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySource, RefreshTimes, RemoteKeySet};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The key sets that this process refreshes, until it is dropped.
#[derive(Default)]
pub(crate) struct RemoteSets {
    fetcher: Option<Fetcher>,
    sets: HashMap<String, Arc<RefreshedSet>>,
    /// The sets of the configuration before.
    previous: HashMap<String, Arc<RefreshedSet>>,
}

/// A key set with the settings that it is refreshed with.
struct RefreshedSet {
    settings: Settings,
    set: Arc<RemoteKeySet>,
    refreshes: Refreshes,
}

#[derive(PartialEq, Eq)]
struct Settings {
    url: RemoteUrl,
    times: RefreshTimes,
    algorithm: Option<Algorithm>,
    /// The content of its file.
    ca: Option<Vec<u8>>,
}

impl RemoteSets {
    /// Returns the sets of the next configuration, to which none has been added. Those that it has
    /// in common with this one are shared, so that a reload neither fetches nor loses their keys.
    pub(crate) fn next(&self) -> Self {
        Self { fetcher: self.fetcher.clone(), sets: HashMap::new(), previous: self.sets.clone() }
    }

    /// Waits until each set was fetched or could not be, and forgets those of the configuration
    /// before.
    pub(crate) fn settle(&mut self) {
        for set in self.sets.values() {
            pollster::block_on(set.refreshes.first_attempt());
        }
        self.previous.clear();
    }

    /// Returns the fetcher of the process, which is started by the first call.
    pub(crate) fn fetcher(&mut self) -> Result<Fetcher, CliError> {
        if let Some(fetcher) = &self.fetcher {
            return Ok(fetcher.clone());
        }
        let fetcher = start_fetcher()?;
        Ok(self.fetcher.insert(fetcher).clone())
    }

    fn add(&mut self, name: &str, settings: Settings, endpoint: Endpoint) -> Result<Arc<RemoteKeySet>, CliError> {
        let known = self.previous.get(name).filter(|known| known.settings == settings);
        let refreshed = match known {
            Some(known) => known.clone(),
            None => {
                let fetcher = self.fetcher()?;
                let set = settings.remote(name);
                let refreshes = fetcher.refresh(set.clone(), endpoint);
                Arc::new(RefreshedSet { settings, set, refreshes })
            }
        };
        let set = refreshed.set.clone();
        self.sets.insert(name.to_owned(), refreshed);
        Ok(set)
    }
}

/// Starts the thread on which URLs are requested.
pub(crate) fn start_fetcher() -> Result<Fetcher, CliError> {
    let cannot = |error| CliError::Unavailable(format!("the thread that requests URLs could not be started: {error}"));
    Fetcher::new().map_err(cannot)
}

impl Settings {
    fn remote(&self, name: &str) -> Arc<RemoteKeySet> {
        Arc::new(RemoteKeySet::new(name, self.algorithm, self.times))
    }
}

impl ConfigFile {
    /// Reads the files of the key sets. Sets with a URL are refreshed by `remote`; without it, they
    /// have no keys. Returns the sets by name.
    pub(crate) fn key_sets(&self, mut remote: Option<&mut RemoteSets>) -> Result<HashMap<&str, KeySource>, CliError> {
        let mut sets = HashMap::new();
        for (name, set) in &self.config.key_sets {
            let source = match &set.source {
                KeySetSource::Files(files) => KeySource::Fixed(self.fixed(name, set, files)?),
                KeySetSource::Url(url) => {
                    let OpenEndpoint { endpoint, ca } = self.endpoint(&format!("key set `{name}`"), &url.remote)?;
                    let settings =
                        Settings { url: url.remote.value.clone(), times: url.times, algorithm: set.algorithm, ca };
                    KeySource::Remote(match &mut remote {
                        Some(remote) => remote.add(name, settings, endpoint)?,
                        None => settings.remote(name),
                    })
                }
            };
            sets.insert(name.as_str(), source);
        }
        Ok(sets)
    }

    fn fixed(&self, name: &str, set: &config::KeySet, files: &[Located<PathBuf>]) -> Result<Arc<KeySet>, CliError> {
        let mut keys = KeySet::new(name);
        for Located { line, value } in files {
            let path = self.path(value);
            let wrong = |text: &str| self.usage_error(*line, &format!("key set `{name}`: {text}"));
            let bytes = unshared(&path, "add the file, or correct `files`").map_err(|text| wrong(&text))?;
            let text = String::from_utf8_lossy(&bytes);
            let is_json = text.trim_start().starts_with('{');
            let read = if is_json { keys.with_jwks(&text, set.algorithm) } else { keys.with_pem(&text, set.algorithm) };
            keys = read.map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
        }
        Ok(Arc::new(keys))
    }
}

//! The key sets of a configuration. Those with a URL are refreshed, also across reloads.

use crate::CliError;
use crate::config::{self, KeySetSource, KeySetUrl, Located};
use crate::config_file::ConfigFile;
use crate::private_file::{read, refuse_shared};
use keyward_fetch::{Endpoint, Fetcher, Refreshes, Roots};
use keyward_runtime::key_sets::{Algorithm, KeySet, KeySource, RemoteKeySet};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Maximum size of a file of public keys or certificates, in bytes.
const MAX_FILE: usize = 1 << 20;

/// The key sets that this process refreshes, until it is dropped.
#[derive(Default)]
pub(crate) struct RemoteSets {
    fetcher: Option<Arc<Fetcher>>,
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
    url: KeySetUrl,
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

    fn add(&mut self, name: &str, settings: Settings, endpoint: Endpoint) -> Result<Arc<RemoteKeySet>, CliError> {
        let known = self.previous.get(name).filter(|known| known.settings == settings);
        let refreshed = match known {
            Some(known) => known.clone(),
            None => {
                let fetcher = match &self.fetcher {
                    Some(fetcher) => fetcher,
                    None => {
                        let new = Fetcher::new().map_err(|error| {
                            CliError::Unavailable(format!(
                                "the thread that fetches key sets could not be started: {error}"
                            ))
                        })?;
                        self.fetcher.insert(Arc::new(new))
                    }
                };
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

impl Settings {
    fn remote(&self, name: &str) -> Arc<RemoteKeySet> {
        Arc::new(RemoteKeySet::new(name, self.algorithm, self.url.times))
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
                    let (settings, endpoint) = self.endpoint(name, set, url)?;
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

    fn fixed(
        &self,
        name: &str,
        set: &config::KeySet,
        files: &[Located<std::path::PathBuf>],
    ) -> Result<Arc<KeySet>, CliError> {
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

    fn endpoint(
        &self,
        name: &str,
        set: &config::KeySet,
        Located { line, value: url }: &Located<KeySetUrl>,
    ) -> Result<(Settings, Endpoint), CliError> {
        let wrong = |text: &str| self.usage_error(*line, &format!("key set `{name}`: {text}"));
        let (ca, roots) = match &url.ca {
            Some(path) => {
                let path = self.path(path);
                let ca = unshared(&path, "add the file, or correct `ca`").map_err(|text| wrong(&text))?;
                let roots = Roots::from_pem(&ca).map_err(|error| wrong(&format!("{}: {error}", path.display())))?;
                (Some(ca), roots)
            }
            None => {
                (None, Roots::from_der(rustls_native_certs::load_native_certs().certs.iter().map(|der| der.to_vec())))
            }
        };
        let endpoint =
            Endpoint::new(&url.url, roots).and_then(|endpoint| endpoint.private(url.private.iter().copied()));
        let endpoint = endpoint.map_err(|error| wrong(&error.to_string()))?;
        let endpoint = endpoint.timeout(url.timeout).max_bytes(url.max_bytes);
        Ok((Settings { url: url.clone(), algorithm: set.algorithm, ca }, endpoint))
    }
}

/// Reads a file that only its owner may write to: with a key or certificate of their own in it,
/// others could sign tokens.
fn unshared(path: &Path, what_to_do: &str) -> Result<Vec<u8>, String> {
    refuse_shared(path)?;
    read(path, MAX_FILE, what_to_do)
}

//! The handler that `keyward test` and `keyward bench` run, with throw-away grants: random keys, an
//! empty store, and what `cases.toml` describes. Nothing of an operator's is read.

mod cases_file;
mod stubs;

use crate::args::kit::Trial as Args;
use crate::config::{AlgorithmName, SchemeName};
use crate::output::with_code;
use crate::{CliError, Io, config_file};
use cases_file::{HttpTable, KeyTable, PublicKeysTable, SessionTable};
use keyward_kit::Project;
use keyward_runtime::clock::Clock;
use keyward_runtime::compile::ArtifactCache;
use keyward_runtime::component::{Component, ComponentInfo};
use keyward_runtime::key_sets::{KeySet, KeySetGrant};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::session::SessionGrant;
use keyward_runtime::{Actors, HandlerConfig, LoadError, Registry, Runtime};
use keyward_store::{Location, Store};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stubs::{StubEndpoint, StubQuery};
use tempfile::TempDir;

pub(crate) use cases_file::{Case, CasesFile, Want};

/// The name of the handler.
pub(crate) const NAME: &str = "handler";

/// The keys of a handler, and the host's part in its verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// The keys of `cases.toml`, and one for each other label. The host believes what the handler
    /// says about its tokens, so that checks find what is wrong with them.
    Believed,
    /// The same keys, and all checks of the host, as in a daemon.
    AsServed,
    /// Other keys, with which no token is valid that was issued with those of `cases.toml`.
    OtherKeys,
}

/// Maximum number of records.
const RECORDS: u64 = 100_000;

/// A component with its throw-away grants.
pub(crate) struct Trial {
    /// The component as it was named.
    pub(crate) path: String,
    pub(crate) runtime: Runtime,
    pub(crate) info: ComponentInfo,
    pub(crate) cases: CasesFile,
    component: Component,
    labels: Vec<String>,
    settings: Vec<(String, String)>,
    /// The folder of the stores, removed at the end.
    folder: TempDir,
}

impl Trial {
    /// Reads the component, by default that of the project in this folder, and its cases.
    pub(crate) fn open(args: Args, io: &Io<'_>, clock: impl Clock + 'static) -> Result<Self, CliError> {
        let Args { component, key, setting, cases } = args;
        let (path, default) = match component {
            Some(path) => (path, None),
            None => {
                let project =
                    Project::open(Path::new(".")).map_err(|error| CliError::Usage(with_code(&error, error.code())))?;
                let cases = PathBuf::from("cases.toml");
                (project.component().display().to_string(), cases.exists().then_some(cases))
            }
        };
        let component = config_file::component(&path)?;
        let cases = cases.or(default).map_or_else(|| Ok(CasesFile::default()), |file| CasesFile::read(&file))?;
        fn unusable(error: impl Display) -> CliError {
            CliError::Unavailable(format!("the temporary folder: {error}"))
        }
        let folder = TempDir::new().map_err(unusable)?;
        // The component is loaded more than once.
        let mut of_cache = [0; 32];
        getrandom::fill(&mut of_cache).map_err(unusable)?;
        let cache = ArtifactCache::open(folder.path().join("cache"), of_cache).map_err(unusable)?;
        let runtime = Runtime::builder().worker(io.worker).cache(cache).clock(clock).backtraces().build();
        let runtime =
            runtime.map_err(|error| CliError::Unavailable(format!("the sandbox could not be set up: {error}")))?;
        let info = runtime.inspect(component.clone()).map_err(|error| load_error(&path, &error))?;
        Ok(Self { path, runtime, info, cases, component, labels: key, settings: setting, folder })
    }

    /// Loads the handler, with a store of its own.
    pub(crate) fn load(&self, setup: Setup) -> Result<Registry, CliError> {
        let wrong = |text: String| CliError::Usage(format!("the cases: {text}"));
        let mut config = HandlerConfig::new(NAME, self.component.clone(), Actors::Any);
        config.wasi = !self.info.wasi.is_empty();
        config.first_party = setup != Setup::AsServed || self.component.built_in().is_some();
        // Each verification is a call, which may take its time on a busy machine.
        config.limits.verdict_cache_bytes = 0;
        (config.limits.cpu, config.limits.wall) = (Duration::from_secs(1), Duration::from_secs(10));
        // Labels have keys of their own: raw ones could forge each other's tokens.
        let is_other = setup == Setup::OtherKeys;
        let throw_away = |label: &str| Secret::new(format!("throw-away key of `{label}`, {is_other}; {label:.<64}"));
        let imports = |interface: &str| self.info.imports.contains(interface);
        let CasesFile { prefixes, settings, keys, secrets, public_keys, queries, http, session, cases: _ } =
            &self.cases;
        config.prefixes.clone_from(prefixes);
        config.settings = settings.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        config.settings.extend(self.settings.iter().cloned());
        if imports("keys") {
            for label in &self.labels {
                config = config.key(label.clone(), KeyGrant::new(ring(throw_away(label))?));
            }
            for (label, KeyTable { secret, scheme, namespace }) in keys {
                let secret = if is_other { throw_away(label) } else { Secret::new(secret.as_bytes()) };
                let mut grant = KeyGrant::new(ring(secret)?);
                grant.scheme = scheme.as_ref().map_or(grant.scheme, |SchemeName(scheme)| *scheme);
                grant.namespace.clone_from(namespace);
                config = config.key(label.clone(), grant);
            }
        }
        // Granted with `keys`, and of no use without a set.
        for (label, keys) in public_keys {
            config = config.public_keys(label.clone(), key_set(label, keys).map_err(wrong)?);
        }
        if imports("public-keys") && config.keys.is_empty() && config.public_keys.is_empty() {
            config = config.public_keys("none", KeySetGrant::new(Arc::new(KeySet::new("none")), []));
        }
        for (name, secret) in secrets {
            config = config.secret(name.clone(), Secret::new(secret.as_bytes()));
        }
        if imports("secrets") && secrets.is_empty() {
            config = config.secret("none", throw_away("none"));
        }
        if imports("store") {
            let file = self.folder.path().join(format!("{setup:?}.db"));
            let store =
                Store::open(Location::sqlite(file)).map_err(|error| CliError::Unavailable(error.to_string()))?;
            config = config.store(Arc::new(store), RECORDS);
        }
        for (label, table) in queries {
            let query = StubQuery::new(table).map_err(|text| wrong(format!("`queries.{label}`: {text}")))?;
            config = config.query(label.clone(), Arc::new(query));
        }
        if imports("queries") && queries.is_empty() {
            config = config.query("none", Arc::new(StubQuery::default()));
        }
        for (label, table) in http {
            config = config.http(label.clone(), Arc::new(StubEndpoint::new(table)));
        }
        if imports("http") && http.is_empty() {
            config = config.http("none", Arc::new(StubEndpoint::new(&HttpTable::default())));
        }
        let SessionTable { cookies, headers, method, path } = session;
        let mut grant = SessionGrant::default();
        (grant.cookies, grant.method, grant.path) = (cookies.clone(), *method, *path);
        grant.headers = headers.iter().map(|name| name.to_ascii_lowercase()).collect();
        config.session = grant;
        let registry = Registry::builder(&self.runtime).handler(config).build();
        registry.map_err(|error| load_error(&self.path, &error))
    }

    /// Returns the warning of [`baked_randomness()`] about the component.
    pub(crate) fn baked_randomness(&self) -> Option<&'static str> {
        baked_randomness(self.component.bytes(), &self.info)
    }

    /// Returns the interfaces that an operator grants, which the component imports and has not
    /// called.
    pub(crate) fn not_called(&self, registry: &Registry) -> Vec<String> {
        let called: Vec<_> = registry.handlers().flat_map(|handler| handler.called).collect();
        let granted = ["keys", "public-keys", "secrets", "store", "queries", "http"];
        let imported = granted.iter().filter(|interface| self.info.imports.contains(**interface));
        imported.filter(|interface| !called.contains(interface)).map(|interface| (*interface).to_owned()).collect()
    }
}

/// Returns a warning if the component is a snapshot of an interpreter that draws randomness from
/// nowhere: it then returns the values that were drawn when the component was built.
pub(crate) fn baked_randomness(bytes: &[u8], info: &ComponentInfo) -> Option<&'static str> {
    const SNAPSHOTS: [(&str, &str); 2] = [
        (
            "ComponentizeJS",
            "`Math.random` and `crypto.getRandomValues` return the same values in every call: build it with \
             `componentize-js -d http fetch-event`, and draw randomness from the import `random`",
        ),
        (
            "componentize_py",
            "`random` returns the same values in every call: build it without `--stub-wasi`, and draw randomness from \
             the import `random`",
        ),
    ];
    if info.wasi.contains("wasi:random/random") {
        return None;
    }
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    SNAPSHOTS.into_iter().find(|(tool, _)| has(tool)).map(|(_, warning)| warning)
}

/// Returns the error of a component that cannot be loaded.
pub(crate) fn load_error(path: &str, error: &LoadError) -> CliError {
    CliError::Usage(with_code(format_args!("{path}: {error}"), error.code()))
}

fn ring(secret: Secret) -> Result<Arc<KeyRing>, CliError> {
    let ring = KeyRing::new("test", secret, Vec::new());
    ring.map(Arc::new).map_err(|error| CliError::Usage(format!("the cases: {error}")))
}

fn key_set(label: &str, table: &PublicKeysTable) -> Result<KeySetGrant, String> {
    let PublicKeysTable { keys, algorithms } = table;
    let algorithms: Vec<_> = algorithms.iter().map(|AlgorithmName(algorithm)| *algorithm).collect();
    let of_rsa = algorithms.first().copied();
    let set = KeySet::new(label);
    let is_json = keys.trim_start().starts_with('{');
    let set = if is_json { set.with_jwks(keys, of_rsa) } else { set.with_pem(keys, of_rsa) };
    let set = set.map_err(|error| format!("`public_keys.{label}`: {error}"))?;
    Ok(KeySetGrant::new(Arc::new(set), algorithms))
}

//! Assembly of the registry and the server's settings from a configuration.

use crate::config::{Component, Handler, Located, Pages, Query, Ring, SecretSource, TlsFiles};
use crate::config_file::{ConfigFile, usage_error};
use crate::key_sets::{RemoteSets, start_fetcher};
use crate::output::{Progress, with_code};
use crate::private_file::{read, read_private};
use crate::store::OpenStore;
use crate::{CliError, Env, Io};
use keyward_pages::SignIn;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::compile::ArtifactCache;
use keyward_runtime::http::HttpEndpoint;
use keyward_runtime::key_sets::{KeySetGrant, KeySource};
use keyward_runtime::keys::{Key, KeyGrant, KeyRing, KeyState, MIN_SECRET_BYTES};
use keyward_runtime::text::list_names;
use keyward_runtime::{HandlerConfig, LoadError, Registry, Runtime};
use keyward_server::{SessionAccess, Tls};
use keyward_store::{NamedQuery, QueryLimits, QueryThreads};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Maximum size of a certificate file, in bytes.
const MAX_CERTIFICATE: usize = 1 << 20;

/// The sections that handlers refer to, by name.
struct Loaded<'a> {
    rings: HashMap<&'a str, Arc<KeyRing>>,
    key_sets: HashMap<&'a str, KeySource>,
    queries: HashMap<&'a str, Arc<NamedQuery>>,
    endpoints: HashMap<&'a str, Arc<dyn HttpEndpoint>>,
}

/// Creates a runtime whose clock is fixed at `at`, or is the system clock.
pub(crate) fn runtime(at: Option<UnixTime>, worker: &Path, cache: Option<ArtifactCache>) -> Result<Runtime, CliError> {
    let builder = Runtime::builder().worker(worker);
    let builder = if let Some(at) = at { builder.clock(at) } else { builder };
    let builder = if let Some(cache) = cache { builder.cache(cache) } else { builder };
    builder.build().map_err(|error| CliError::Unavailable(format!("the sandbox could not be set up: {error}")))
}

impl ConfigFile {
    /// Builds the [registry](Self::registry) of a command, at the time `at` if given. Says so on a
    /// terminal while components are compiled, which can take seconds.
    pub(crate) fn open(
        &self,
        at: Option<UnixTime>,
        io: &mut Io<'_>,
        store: Option<&OpenStore>,
        remote: Option<&mut RemoteSets>,
    ) -> Result<Registry, CliError> {
        let files = self.config.handlers.iter().filter(|handler| matches!(handler.component.value, Component::File(_)));
        let names: Vec<_> = files.map(|handler| &handler.name.value).collect();
        let mut progress = Progress::new(io.stderr, io.stderr_is_terminal);
        if !names.is_empty() {
            progress.display(&format!("compiling {}…", list_names(names)));
        }
        self.registry(&runtime(at, io.worker, self.cache(false))?, io.env, store, remote)
    }

    /// Loads everything that the configuration names, and builds its registry on the store that
    /// this process has opened. Key sets with a URL are refreshed by `remote`.
    pub(crate) fn registry(
        &self,
        runtime: &Runtime,
        env: &Env,
        store: Option<&OpenStore>,
        mut remote: Option<&mut RemoteSets>,
    ) -> Result<Registry, CliError> {
        let endpoints = if self.config.endpoints.is_empty() {
            HashMap::new()
        } else {
            self.endpoints(&remote.as_deref_mut().map_or_else(start_fetcher, RemoteSets::fetcher)?)?
        };
        let (rings, key_sets, queries) = (self.rings(env)?, self.key_sets(remote)?, self.queries(env)?);
        let loaded = Loaded { rings, key_sets, queries, endpoints };
        let mut builder = Registry::builder(runtime);
        if self.config.share_unprefixed {
            builder = builder.dangerous_share_unprefixed();
        }
        if self.config.actions_open {
            builder = builder.open_actions();
        }
        for (name, short) in &self.config.actions {
            builder = builder.action(name, short);
        }
        for (client, max) in &self.config.client_tokens {
            builder = builder.client_tokens(client, *max);
        }
        if let Some(OpenStore { store, revocations, .. }) = store {
            builder = builder.records(store.clone(), revocations.clone());
        }
        // Each file is read once, and its bytes are shared.
        let mut components = HashMap::<_, keyward_runtime::component::Component>::new();
        for handler in &self.config.handlers {
            let component = match &handler.component.value {
                Component::Builtin(_) => self.component(handler)?,
                Component::File(path) => match components.entry(path) {
                    Entry::Occupied(known) => known.get().clone(),
                    Entry::Vacant(new) => new.insert(self.component(handler)?).clone(),
                },
            };
            builder = builder.handler(self.handler(handler, component, &loaded, env, store)?);
        }
        let registry = builder.build().map_err(|error| self.load_error(&error))?;
        self.check_sessions(&registry)?;
        Ok(registry)
    }

    /// Checks that the session handlers of policies and of the pages are such: only loading a
    /// component shows what it exports.
    fn check_sessions(&self, registry: &Registry) -> Result<(), CliError> {
        for (policy, settings) in &self.config.server.config.policies {
            let Some(SessionAccess { handler: name, .. }) = &settings.session else { continue };
            if !session_handlers(registry).any(|handler| handler == name) {
                let text =
                    format!("policy `{policy}`: `session` names `{name}`, which is no session handler: correct it");
                return Err(self.usage_error(None, &text));
            }
        }
        if let Some(Pages { sign_in: Located { line, value: SignIn::Session(name) }, .. }) = &self.config.pages
            && !session_handlers(registry).any(|handler| handler == name)
        {
            let text = format!("`pages`: `session` names `{name}`, which is no session handler: correct it");
            return Err(self.usage_error(*line, &text));
        }
        Ok(())
    }

    /// Returns the settings of the server. Loads the certificate and its key.
    pub(crate) fn server(&self) -> Result<keyward_server::Config, CliError> {
        let mut config = self.config.server.config.clone();
        (config.node, config.keys) = (self.node(), self.key_ages());
        config.pages = self.config.served_pages(None);
        if let Some(Located { line, value: TlsFiles { certificate, key } }) = &self.config.server.tls {
            let wrong = |text: &str| self.usage_error(*line, &format!("`tls`: {text}"));
            let certificate = read(&self.path(certificate), MAX_CERTIFICATE, "correct `certificate`");
            let certificate = certificate.map_err(|text| wrong(&text))?;
            let key = read_private(&self.path(key), "correct `key`").map_err(|text| wrong(&text))?;
            config.tls = Some(Tls::from_pem(&certificate, &key).map_err(|error| wrong(&error.to_string()))?);
        }
        Ok(config)
    }

    fn handler(
        &self,
        handler: &Handler,
        component: keyward_runtime::component::Component,
        loaded: &Loaded<'_>,
        env: &Env,
        store: Option<&OpenStore>,
    ) -> Result<HandlerConfig, CliError> {
        let Handler {
            name,
            component: _,
            sha256,
            prefixes,
            checksum,
            settings,
            keys,
            public_keys,
            secrets,
            store: tokens,
            queries: asked,
            http,
            wasi,
            session,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor,
            leeway,
            limits,
        } = handler;
        let is_signed = component.built_in() == Some(&keyward_handlers::SIGNED);
        let mut config = HandlerConfig::new(&name.value, component, actors.actors.clone());
        config.sha256 = *sha256;
        config.prefixes.clone_from(prefixes);
        config.checksum = *checksum;
        config.settings.clone_from(settings);
        // A record belongs to one token. Without a store, tokens are exactly Datasette's.
        if is_signed && store.is_some() {
            config.settings.entry("unique_tokens".to_owned()).or_insert_with(|| "true".to_owned());
        }
        for (label, key) in keys {
            // The parser has checked that the ring exists.
            if let Some(ring) = loaded.rings.get(key.ring.as_str()) {
                let mut grant = KeyGrant::new(ring.clone()).scheme(key.scheme);
                grant.namespace.clone_from(&key.namespace);
                config.keys.insert(label.clone(), grant);
            }
        }
        for (label, keys) in public_keys {
            // The parser has checked that the set exists.
            if let Some(set) = loaded.key_sets.get(keys.set.as_str()) {
                let grant = KeySetGrant::new(set.clone(), keys.algorithms.iter().copied());
                config.public_keys.insert(label.clone(), grant);
            }
        }
        for (label, source) in secrets {
            let secret = self.secret(&source.value, env).map_err(|text| {
                self.usage_error(source.line, &format!("handler `{}`: the secret `{label}`: {text}", name.value))
            })?;
            config.secrets.push((label.clone(), secret));
        }
        if let Some(max) = *tokens {
            let Some(OpenStore { store, .. }) = store else {
                let text =
                    format!("handler `{}`: the store is opened at the start of the process: restart it", name.value);
                return Err(self.usage_error(name.line, &text));
            };
            config = config.store(store.clone(), max);
        }
        for (label, name) in asked {
            // The parser has checked that the query exists.
            if let Some(query) = loaded.queries.get(name.as_str()) {
                config.queries.insert(label.clone(), query.clone());
            }
        }
        for (label, name) in http {
            // The parser has checked that the endpoint exists.
            if let Some(endpoint) = loaded.endpoints.get(name.as_str()) {
                config.http.insert(label.clone(), endpoint.clone());
            }
        }
        config.wasi = *wasi;
        config.session = session.clone();
        config.default_ttl = default_ttl.map(|seconds| Duration::from_secs(seconds.get().into()));
        config.max_ttl = max_ttl.map(Duration::from_secs);
        config.max_idle = max_idle.map(Duration::from_secs);
        config.max_tokens_per_actor = *max_tokens_per_actor;
        config.leeway = leeway.map_or(config.leeway, Duration::from_secs);
        Ok(config.limits(limits.clone()))
    }

    /// Opens the queries, and tests each on its database. Returns them by name.
    fn queries(&self, env: &Env) -> Result<HashMap<&str, Arc<NamedQuery>>, CliError> {
        let mut queries = HashMap::new();
        let mut threads = None;
        for (name, query) in &self.config.queries {
            let Query { place, sql, deadline, rows } = query;
            let wrong = |line: usize, text: &str| self.usage_error(line, &format!("query `{name}`: {text}"));
            let location = self.location(place, env).map_err(|text| wrong(place.line, &text))?;
            let threads = match &threads {
                Some(threads) => threads,
                None => threads.insert(QueryThreads::new().map_err(|error| CliError::Unavailable(error.to_string()))?),
            };
            let limits = QueryLimits { deadline: *deadline, rows: *rows };
            let opened = NamedQuery::open(threads, location, &sql.value, limits);
            queries.insert(name.as_str(), Arc::new(opened.map_err(|error| wrong(sql.line, &error.to_string()))?));
        }
        Ok(queries)
    }

    /// Loads the secrets of the rings. Returns the rings by name.
    pub(crate) fn rings(&self, env: &Env) -> Result<HashMap<&str, Arc<KeyRing>>, CliError> {
        let rings = self.config.rings.iter();
        rings.map(|(name, ring)| Ok((name.as_str(), Arc::new(self.ring(name, ring, env)?)))).collect()
    }

    fn ring(&self, name: &str, ring: &Ring, env: &Env) -> Result<KeyRing, CliError> {
        let Ring { keys, has_ids: _, allow_short } = ring;
        let wrong = |line: usize, text: &str| self.usage_error(line, &format!("key ring `{name}`: {text}"));
        let load = |source: &Located<SecretSource>| {
            let secret = self.secret(&source.value, env).map_err(|text| wrong(source.line, &text))?;
            let place = self.place(&source.value);
            if secret.is_empty() {
                let text = format!("the secret in {place} is empty: generate one with `keyward keygen FILE`");
                return Err(wrong(source.line, &text));
            }
            if secret.len() < MIN_SECRET_BYTES && !allow_short {
                let text = format!(
                    "the secret in {place} has {} bytes, fewer than {MIN_SECRET_BYTES}: generate one with `keyward keygen FILE`, \
                     or set `dangerous_allow_short = true` in `[keys.{name}]` to keep it",
                    secret.len()
                );
                return Err(wrong(source.line, &text));
            }
            Ok(secret)
        };
        let mut loaded = Vec::new();
        for key in keys {
            let id = &key.id.value;
            // The parser has checked that only retired keys lack a secret.
            let Some(source) = key.loaded() else {
                loaded.push(Key::retired(id));
                continue;
            };
            let secret = load(source)?;
            loaded.push(match key.state {
                KeyState::Pending => Key::pending(id, secret),
                KeyState::Active => Key::active(id, secret),
                KeyState::VerifyOnly => Key::verify_only(id, secret),
                KeyState::Retired => Key::retired(id),
            });
        }
        let made = if *allow_short {
            KeyRing::dangerous_allow_short_keys(name, loaded)
        } else {
            KeyRing::with_keys(name, loaded)
        };
        made.map_err(|error| {
            let about = keys.iter().find(|key| error.id() == Some(key.id.value.as_str()));
            self.usage_error(about.map(|key| key.id.line), &format!("key ring `{name}`: {error}"))
        })
    }

    /// Returns the runtime's error with the line of its handler.
    fn load_error(&self, error: &LoadError) -> CliError {
        let about = self.config.handlers.iter().rfind(|handler| Some(handler.name.value.as_str()) == error.handler());
        usage_error(&self.file, about.map(|handler| handler.name.line), &with_code(error, error.code()))
    }
}

/// Returns the names of the session handlers.
pub(crate) fn session_handlers(registry: &Registry) -> impl Iterator<Item = &str> {
    registry.handlers().filter(|handler| handler.component.handles_sessions()).map(|handler| handler.name)
}

/// Returns the name of the only session handler.
pub(crate) fn only_session_handler(registry: &Registry) -> Result<String, CliError> {
    let wrong = |text: &str| Err(CliError::Usage(text.to_owned()));
    let mut handlers = session_handlers(registry);
    match (handlers.next(), handlers.next()) {
        (None, _) => wrong("the configuration has no session handler: docs/sessions.md describes one"),
        (Some(only), None) => Ok(only.to_owned()),
        (Some(_), Some(_)) => wrong("there are several session handlers: use `--handler`"),
    }
}

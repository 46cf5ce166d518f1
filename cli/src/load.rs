//! From a configuration to what the runtime takes: the only place that reads the files and variables which it names.

use crate::config::{
    At, Component, Config, ConfigError, Handler, Query, Ring, RingKey, SecretSource, StorePlace, TlsFiles,
};
use crate::store::OpenStore;
use crate::{Env, Stop, builtin};
use keyward_runtime::{
    HandlerConfig, Key, KeyGrant, KeyRing, KeyState, Limits, LoadError, MIN_SECRET_BYTES, MonotonicClock, Registry,
    Runtime, RuntimeLimits, Secret, StoreGrant, SystemClock, UnixTime, list_names, printable,
};
use keyward_server::{KeyAge, Tls};
use keyward_store::{Location, NamedQuery, QueryLimits, QueryThreads};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// More than any configuration needs.
const MAX_CONFIG: usize = 1 << 20;

/// More than any secret needs.
const MAX_SECRET: usize = 64 << 10;

/// More than any chain of certificates needs.
const MAX_CERTIFICATE: usize = 1 << 20;

/// A runtime whose clock stands at `at`, or is the system's.
pub(crate) fn runtime(at: Option<UnixTime>) -> Result<Runtime, Stop> {
    let limits = RuntimeLimits::default();
    let runtime = match at {
        Some(at) => Runtime::with(limits, at),
        None => Runtime::with(limits, MonotonicClock::new(SystemClock)),
    };
    runtime.map_err(|error| Stop::NoVerdict(format!("the sandbox could not be set up: {error}")))
}

/// A configuration and the file it came from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    file: PathBuf,
}

impl Loaded {
    /// Reads the file, and nothing that it names.
    pub(crate) fn read(file: &Path) -> Result<Self, Stop> {
        let bytes = read(file, MAX_CONFIG, "correct `--config`").map_err(Stop::Mistake)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Stop::Mistake(format!("{} is not UTF-8 text, as TOML is: correct `--config`", file.display()))
        })?;
        let mistake = |ConfigError { line, text }| mistake(file, line, &text);
        Ok(Self { config: Config::parse(text).map_err(mistake)?, file: file.to_owned() })
    }

    /// Refuses a handler that is not there, without repeating what may be anything.
    pub(crate) fn must_have(&self, name: &str) -> Result<(), Stop> {
        if self.config.handlers.iter().any(|handler| handler.name.value == name) {
            return Ok(());
        }
        Err(Stop::Mistake(format!(
            "the value of --handler is no handler of {}; it has {}",
            self.file.display(),
            list_names(self.config.handlers.iter().map(|handler| &handler.name.value))
        )))
    }

    /// The component of a handler.
    pub(crate) fn component(&self, handler: &Handler) -> Result<Cow<'static, [u8]>, Stop> {
        let At { line, value } = &handler.component;
        match value {
            Component::Builtin(builtin) => Ok(Cow::Borrowed(builtin.component)),
            Component::File(path) => {
                let max = handler.limits.component_bytes;
                let what_to_do = "put the component there, or correct `component`";
                let bytes = read(&self.path(path), max, what_to_do);
                bytes
                    .map(Cow::Owned)
                    .map_err(|text| self.mistake(*line, &format!("handler `{}`: {text}", handler.name.value)))
            }
        }
    }

    /// Loads all that the configuration names and makes its registry.
    /// The store is the one that this process has opened.
    pub(crate) fn registry(&self, runtime: &Runtime, env: &Env, store: Option<&OpenStore>) -> Result<Registry, Stop> {
        let rings = self.rings(env)?;
        let queries = self.queries(env)?;
        let mut builder = Registry::builder(runtime).dangerous_share_unprefixed(self.config.share_unprefixed);
        for (name, short) in &self.config.actions {
            builder = builder.action(name, short);
        }
        if let Some(OpenStore { store, revocations, .. }) = store {
            builder = builder.records(store.clone());
            if let Some(revocations) = revocations {
                builder = builder.revocations(revocations.clone());
            }
        }
        for handler in &self.config.handlers {
            builder = builder.handler(self.handler(handler, &rings, &queries, env, store)?);
        }
        builder.build().map_err(|error| self.load_error(&error))
    }

    /// What the daemon does apart from its handlers. Loads the certificate and its key.
    pub(crate) fn server(&self) -> Result<keyward_server::Config, Stop> {
        let mut config = self.config.server.config.clone();
        (config.node, config.keys) = (self.node(), self.key_ages());
        if let Some(At { line, value: TlsFiles { certificate, key } }) = &self.config.server.tls {
            let wrong = |text: &str| self.mistake(*line, &format!("`tls`: {text}"));
            let certificate = read(&self.path(certificate), MAX_CERTIFICATE, "correct `certificate`");
            let certificate = certificate.map_err(|text| wrong(&text))?;
            let key = read_private(&self.path(key), "correct `key`").map_err(|text| wrong(&text))?;
            config.tls = Some(Tls::from_pem(&certificate, &key).map_err(|error| wrong(&error.to_string()))?);
        }
        Ok(config)
    }

    /// What the daemon of this configuration is called in the store and in the audit: as it says, or by its machine and port.
    pub(crate) fn node(&self) -> String {
        let named = self.config.audit.as_ref().and_then(|audit| audit.node.clone());
        named.unwrap_or_else(|| {
            let machine = rustix::system::uname();
            format!("{}-{}", machine.nodename().to_string_lossy(), self.config.server.listen.value.port())
        })
    }

    /// The keys of all rings.
    pub(crate) fn key_ages(&self) -> Vec<KeyAge> {
        let of_ring = |(ring, config): (&String, &Ring)| -> Vec<KeyAge> {
            let age = |RingKey { id, state, source }: &RingKey| KeyAge {
                key: format!("{ring}/{}", id.value),
                state: state.as_str(),
                made_at: source.as_ref().and_then(|source| self.modified(&source.value)),
            };
            config.keys.iter().map(age).collect()
        };
        self.config.rings.iter().flat_map(of_ring).collect()
    }

    /// The configuration and every file that it names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Config { rings, handlers, actions: _, share_unprefixed: _, store: _, audit: _, queries, server } =
            &self.config;
        let rings = rings.values().flat_map(|ring| ring.keys.iter().filter_map(RingKey::loaded));
        let secrets = rings.chain(handlers.iter().flat_map(|handler| handler.secrets.values()));
        let urls = queries.values().filter_map(|query| match &query.place.value {
            StorePlace::Postgres(source) => Some(source),
            StorePlace::Sqlite(_) => None,
        });
        let secrets = secrets.map(|secret| &secret.value).chain(urls).filter_map(|source| match source {
            SecretSource::File(path) => Some(path),
            SecretSource::Env(_) => None,
        });
        let components = handlers.iter().filter_map(|handler| match &handler.component.value {
            Component::File(path) => Some(path),
            Component::Builtin(_) => None,
        });
        let tls = server.tls.iter().flat_map(|At { value: TlsFiles { certificate, key }, .. }| [certificate, key]);
        let named = secrets.chain(components).chain(tls).map(|path| self.path(path));
        std::iter::once(self.file.clone()).chain(named).collect()
    }

    fn handler(
        &self,
        handler: &Handler,
        rings: &HashMap<&str, Arc<KeyRing>>,
        queries: &HashMap<&str, Arc<NamedQuery>>,
        env: &Env,
        store: Option<&OpenStore>,
    ) -> Result<HandlerConfig, Stop> {
        let Handler {
            name,
            component: _,
            sha256,
            prefixes,
            checksum,
            settings,
            keys,
            secrets,
            store: tokens,
            queries: asked,
            actors,
            default_ttl,
            max_ttl,
            max_idle,
            max_tokens_per_actor,
            leeway,
            limits,
        } = handler;
        let component = self.component(handler)?.into_owned();
        let mut config = HandlerConfig::new(&name.value, component, actors.actors.clone());
        config.first_party = builtin::is_builtin(&config.component);
        config.sha256 = *sha256;
        config.prefixes.clone_from(prefixes);
        config.checksum = *checksum;
        config.settings.clone_from(settings);
        for (label, key) in keys {
            // The parser has checked that the ring is there.
            if let Some(ring) = rings.get(key.ring.as_str()) {
                let grant = KeyGrant { ring: ring.clone(), scheme: key.scheme, namespace: key.namespace.clone() };
                config.keys.insert(label.clone(), grant);
            }
        }
        for (label, source) in secrets {
            let secret = self.secret(&source.value, env).map_err(|text| {
                self.mistake(source.line, &format!("handler `{}`: the secret `{label}`: {text}", name.value))
            })?;
            config.secrets.push((label.clone(), secret));
        }
        if let Some(most) = *tokens {
            let Some(OpenStore { store, .. }) = store else {
                let text =
                    format!("handler `{}`: the store is opened when the process starts: start it anew", name.value);
                return Err(self.mistake(name.line, &text));
            };
            config.store = Some(StoreGrant { store: store.clone(), most });
        }
        for (label, name) in asked {
            // The parser has checked that the query is there.
            if let Some(query) = queries.get(name.as_str()) {
                config.queries.insert(label.clone(), query.clone());
            }
        }
        config.default_ttl = *default_ttl;
        config.max_ttl = *max_ttl;
        config.max_idle = *max_idle;
        config.max_tokens_per_actor = *max_tokens_per_actor;
        config.leeway = leeway.unwrap_or(config.leeway);
        config.limits = limits.clone();
        Ok(config)
    }

    /// The queries by name, each tried on its database.
    fn queries(&self, env: &Env) -> Result<HashMap<&str, Arc<NamedQuery>>, Stop> {
        let mut queries = HashMap::new();
        let mut threads = None;
        for (name, query) in &self.config.queries {
            let Query { place, sql, deadline, rows } = query;
            let wrong = |line: usize, text: &str| self.mistake(line, &format!("query `{name}`: {text}"));
            let location = self.location(place, env).map_err(|text| wrong(place.line, &text))?;
            let threads = match &threads {
                Some(threads) => threads,
                None => threads.insert(QueryThreads::new().map_err(|error| Stop::NoVerdict(error.to_string()))?),
            };
            let limits = QueryLimits { deadline: *deadline, rows: *rows };
            let opened = NamedQuery::open(threads, location, &sql.value, limits);
            queries.insert(name.as_str(), Arc::new(opened.map_err(|error| wrong(sql.line, &error.to_string()))?));
        }
        Ok(queries)
    }

    /// The rings by name, each with its secrets.
    pub(crate) fn rings(&self, env: &Env) -> Result<HashMap<&str, Arc<KeyRing>>, Stop> {
        let rings = self.config.rings.iter();
        rings.map(|(name, ring)| Ok((name.as_str(), Arc::new(self.ring(name, ring, env)?)))).collect()
    }

    fn ring(&self, name: &str, ring: &Ring, env: &Env) -> Result<KeyRing, Stop> {
        let Ring { keys, has_ids: _, allow_short } = ring;
        let wrong = |line: usize, text: &str| self.mistake(line, &format!("key ring `{name}`: {text}"));
        let load = |source: &At<SecretSource>| {
            let secret = self.secret(&source.value, env).map_err(|text| wrong(source.line, &text))?;
            let place = self.place(&source.value);
            if secret.is_empty() {
                let text = format!("the secret in {place} is empty: make one with `keyward keygen FILE`");
                return Err(wrong(source.line, &text));
            }
            if secret.len() < MIN_SECRET_BYTES && !allow_short {
                let text = format!(
                    "the secret in {place} has {} bytes, fewer than {MIN_SECRET_BYTES}: make one with `keyward keygen FILE`, \
                     or say `dangerous_allow_short = true` in `[keys.{name}]` if it must stay",
                    secret.len()
                );
                return Err(wrong(source.line, &text));
            }
            Ok(secret)
        };
        let mut loaded = Vec::new();
        for key in keys {
            let id = &key.id.value;
            // The parser has checked that only retired ones have no secret.
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
            self.mistake(about.map(|key| key.id.line), &format!("key ring `{name}`: {error}"))
        })
    }

    /// Where the store is. The error says nothing of a password.
    pub(crate) fn location(&self, place: &At<StorePlace>, env: &Env) -> Result<Location, String> {
        match &place.value {
            StorePlace::Sqlite(path) => Ok(Location::sqlite(self.path(path))),
            StorePlace::Postgres(source) => {
                let url = self.secret_bytes(source, env)?;
                let url = std::str::from_utf8(&url).map_err(|_| "the URL is not UTF-8 text: correct it")?;
                Location::postgres(url).map_err(|error| error.to_string())
            }
        }
    }

    fn secret(&self, source: &SecretSource, env: &Env) -> Result<Secret, String> {
        self.secret_bytes(source, env).map(|mut bytes| Secret::new(std::mem::take(&mut *bytes)))
    }

    /// Reads a secret. The error says what and what to do, and nothing of the secret.
    fn secret_bytes(&self, source: &SecretSource, env: &Env) -> Result<Zeroizing<Vec<u8>>, String> {
        match source {
            SecretSource::Env(name) => match env(name).map(OsStringExt::into_vec) {
                Some(value) if !value.is_empty() => Ok(Zeroizing::new(value)),
                Some(_) => Err(format!("the environment variable {name} is empty: set it")),
                None => Err(format!("the environment variable {name} is not set: set it")),
            },
            SecretSource::File(path) => {
                let path = self.path(path);
                let what_to_do = format!("make a key with `keyward keygen {}`, or correct `file`", path.display());
                let mut bytes = read_private(&path, &what_to_do)?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(bytes)
            }
        }
    }

    /// When the file of a secret was last written, in unix seconds. It is not read.
    pub(crate) fn modified(&self, source: &SecretSource) -> Option<u64> {
        match source {
            SecretSource::File(path) => fs::metadata(self.path(path)).ok()?.mtime().try_into().ok(),
            SecretSource::Env(_) => None,
        }
    }

    /// Paths are relative to the folder of the configuration.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    fn place(&self, source: &SecretSource) -> String {
        match source {
            SecretSource::File(path) => self.path(path).display().to_string(),
            SecretSource::Env(name) => format!("the environment variable {name}"),
        }
    }

    /// The runtime's sentence, with the line of the handler that it is about.
    fn load_error(&self, error: &LoadError) -> Stop {
        let about = self.config.handlers.iter().rfind(|handler| Some(handler.name.value.as_str()) == error.handler());
        mistake(&self.file, about.map(|handler| handler.name.line), &error.to_string())
    }

    /// A sentence about a line of the configuration.
    pub(crate) fn mistake(&self, line: impl Into<Option<usize>>, text: &str) -> Stop {
        mistake(&self.file, line.into(), text)
    }

    /// What is configured here cannot be had, which need not be the configuration's fault.
    pub(crate) fn unavailable(&self, line: impl Into<Option<usize>>, text: &str) -> Stop {
        Stop::NoVerdict(located(&self.file, line.into(), text))
    }
}

fn mistake(file: &Path, line: Option<usize>, text: &str) -> Stop {
    Stop::Mistake(located(file, line, text))
}

/// Most bytes of a sentence about a configuration, which may repeat names that an operator chose.
const MAX_SENTENCE: usize = 2_000;

fn located(file: &Path, line: Option<usize>, text: &str) -> String {
    let text = printable(text, MAX_SENTENCE);
    match line {
        Some(line) => format!("{}:{line}: {text}", file.display()),
        None => format!("{}: {text}", file.display()),
    }
}

/// Reads the component that `keyward check` is given.
pub(crate) fn component(path: &Path) -> Result<Vec<u8>, Stop> {
    read(path, Limits::default().component_bytes, "correct the path").map_err(Stop::Mistake)
}

/// Reads a regular file of at most `max` bytes.
fn read(path: &Path, max: usize, what_to_do: &str) -> Result<Vec<u8>, String> {
    Opened::new(path, what_to_do)?.read(max)
}

/// Reads a file that nobody but its owner may see.
fn read_private(path: &Path, what_to_do: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let opened = Opened::new(path, what_to_do)?;
    let metadata = &opened.metadata;
    if !is_private(metadata.mode(), metadata.uid(), metadata.gid()) {
        let shown = path.display();
        return Err(format!("{shown} can be read or written by others: run `chmod 600 {shown}`"));
    }
    opened.read(MAX_SECRET).map(Zeroizing::new)
}

/// Whether nobody but its owner may see a file. One that root and root's group may read, and nobody may write, will do: with
/// a service user, that is what a credential of systemd looks like, where an access control list lets that user in.
fn is_private(mode: u32, uid: u32, gid: u32) -> bool {
    mode & 0o077 == 0 || (mode & 0o777 == 0o440 && uid == 0 && gid == 0)
}

/// A regular file that is open: what is looked at is what is read.
struct Opened<'a> {
    path: &'a Path,
    what_to_do: &'a str,
    file: File,
    metadata: Metadata,
}

impl<'a> Opened<'a> {
    /// Refuses what could block for ever or has no end, before it is opened.
    fn new(path: &'a Path, what_to_do: &'a str) -> Result<Self, String> {
        let shown = path.display();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("there is no file {shown}: {what_to_do}"),
            // Another one would not be the same.
            io::ErrorKind::PermissionDenied => {
                format!("{shown} cannot be read ({}): give it to the user who runs keyward", file_error(&error))
            }
            _ => format!("{shown} cannot be read ({}): {what_to_do}", file_error(&error)),
        };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(format!("{shown} is no regular file: name one"));
        }
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self { path, what_to_do, file, metadata })
    }

    /// Reads all of it into memory that does not move, so that no copy of a secret is left behind.
    fn read(self, max: usize) -> Result<Vec<u8>, String> {
        let Self { path, what_to_do, file, metadata } = self;
        let shown = path.display();
        let too_large = || format!("{shown} has more than the {max} bytes allowed: {what_to_do}");
        let size = usize::try_from(metadata.len()).ok().filter(|size| *size <= max).ok_or_else(too_large)?;
        let mut bytes = Vec::with_capacity(size.saturating_add(64));
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{shown} cannot be read ({}): {what_to_do}", file_error(&error)))?;
        if bytes.len() > max { Err(too_large()) } else { Ok(bytes) }
    }
}

/// The system's reason, without the number of the error.
pub(crate) fn file_error(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_roots_group_may_read_a_secret() {
        for (mode, uid, gid) in [(0o600, 7, 7), (0o400, 7, 7), (0o100_600, 0, 0), (0o100_440, 0, 0)] {
            assert!(is_private(mode, uid, gid), "{mode:o} {uid} {gid}");
        }
        for (mode, uid, gid) in
            [(0o440, 7, 7), (0o440, 0, 7), (0o440, 7, 0), (0o444, 0, 0), (0o460, 0, 0), (0o402, 0, 0), (0o640, 0, 0)]
        {
            assert!(!is_private(mode, uid, gid), "{mode:o} {uid} {gid}");
        }
    }

    #[test]
    fn every_file_that_is_read_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keyward.toml");
        let text = r#"
[server]
tls = { certificate = "tls.pem", key = "/etc/tls.key" }
[keys.main]
secret = { file = "main.key" }
previous = [{ env = "OLD" }, { file = "../old.key" }]
[keys.named]
keys = [
  { id = "1", file = "retired.key", state = "retired" },
  { id = "2", file = "two.key", state = "active" },
  { id = "3", env = "THREE", state = "pending" },
]
[[handlers]]
name = "partner"
component = "partner.wasm"
actors = "any"
[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.one = { file = "one.key" }
secrets.two = { env = "TWO" }
"#;
        fs::write(&file, text).unwrap();
        let mut files = Loaded::read(&file).unwrap().files();
        assert_eq!(files.remove(0), file);
        let named = ["main.key", "../old.key", "two.key", "one.key", "partner.wasm", "tls.pem", "/etc/tls.key"];
        assert_eq!(files, named.map(|name| folder.path().join(name)));
    }
}

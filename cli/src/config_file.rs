//! A configuration and its file: reads the files and variables that it names, and locates errors.

use crate::config::{
    Component, Config, ConfigError, Handler, Located, Ring, RingKey, SecretSource, StorePlace, TlsFiles,
};
use crate::private_file::{read, read_private, refuse_shared};
use crate::{CliError, Env, Io, builtin, report_error};
use keyward_audit::Settings;
use keyward_runtime::Limits;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::Secret;
use keyward_runtime::text::{escape_untrusted, list_names};
use keyward_service::KeyAge;
use keyward_store::Location;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Maximum size of a configuration, in bytes.
const MAX_CONFIG: usize = 1 << 20;

/// Maximum size in bytes of an error message, which may repeat names that an operator chose.
const MAX_SENTENCE: usize = 2_000;

/// A configuration and the file that it was read from.
pub(crate) struct ConfigFile {
    pub(crate) config: Config,
    pub(crate) file: PathBuf,
}

/// The variable that names the configuration.
const VARIABLE: &str = "KEYWARD_CONFIG";

/// The configurations in the current folder that are used by default.
const DEFAULTS: [&str; 2] = ["keyward.toml", "keyward-data/keyward.toml"];

/// Returns the path of the default configuration: the variable's, or the first that exists.
pub(crate) fn default_file(env: &Env) -> Option<PathBuf> {
    let named = env(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
    named.or_else(|| DEFAULTS.map(PathBuf::from).into_iter().find(|file| file.exists()))
}

impl ConfigFile {
    /// Reads the configuration of `--config`, or else the default one, whose path is reported on
    /// standard error.
    pub(crate) fn find(file: Option<&Path>, io: &mut Io<'_>) -> Result<Self, CliError> {
        if let Some(file) = file {
            return Self::read(file);
        }
        let text = "there is no configuration: use `--config`, set KEYWARD_CONFIG, or change to a folder with \
                    keyward.toml or keyward-data/keyward.toml";
        let file = default_file(io.env).ok_or_else(|| CliError::Usage(text.to_owned()))?;
        report_error(io.stderr, &format!("using {}", file.display()));
        Self::read(&file)
    }

    /// Reads the configuration, but none of the files that it names.
    ///
    /// Returns an error if others can write to it, to the store or to the audit log.
    pub(crate) fn read(file: &Path) -> Result<Self, CliError> {
        let bytes = read(file, MAX_CONFIG, "correct `--config` or KEYWARD_CONFIG").map_err(CliError::Usage)?;
        refuse_shared(file).map_err(CliError::Usage)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            CliError::Usage(format!("{} is not UTF-8 text: correct `--config` or KEYWARD_CONFIG", file.display()))
        })?;
        let usage_error = |ConfigError { line, text }| usage_error(file, line, &text);
        let this = Self { config: Config::parse(text).map_err(usage_error)?, file: file.to_owned() };
        this.refuse_shared_files()?;
        Ok(this)
    }

    /// Returns an error if others can write to a file of the store or of the audit log.
    fn refuse_shared_files(&self) -> Result<(), CliError> {
        let check = |line: Option<usize>, setting: &str, path: &Path| {
            refuse_shared(path).map_err(|text| self.usage_error(line, &format!("`{setting}`: {text}")))
        };
        if let Some(store) = &self.config.store
            && let StorePlace::Sqlite(path) = &store.place.value
        {
            let path = self.path(path);
            for file in [path.clone(), suffixed(&path, "-wal"), suffixed(&path, "-shm")] {
                check(Some(store.place.line), "store", &file)?;
            }
        }
        if let Some(audit) = &self.config.audit {
            let path = self.path(&audit.file.value);
            check(Some(audit.file.line), "audit", &path)?;
            for file in keyward_audit::other_files(&path) {
                check(Some(audit.file.line), "audit", &file)?;
            }
        }
        self.pending_file().map_or(Ok(()), |path| check(None, "pending_file", &path))
    }

    /// Returns an error if there is no such handler. The error does not repeat the name, which may
    /// be a token.
    pub(crate) fn require_handler(&self, name: &str) -> Result<(), CliError> {
        if self.config.handlers.iter().any(|handler| handler.name.value == name) {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "the value of --handler is not a handler of {}, which has {}",
            self.file.display(),
            list_names(self.config.handlers.iter().map(|handler| &handler.name.value))
        )))
    }

    /// Reads the component of a handler.
    pub(crate) fn component(&self, handler: &Handler) -> Result<keyward_runtime::component::Component, CliError> {
        let Located { line, value } = &handler.component;
        match value {
            Component::Builtin(builtin) => Ok((**builtin).into()),
            Component::File(path) => {
                let max = handler.limits.component_bytes;
                let what_to_do = "add the file, or correct `component`";
                let bytes = read(&self.path(path), max, what_to_do);
                bytes
                    .map(builtin::or_foreign)
                    .map_err(|text| self.usage_error(*line, &format!("handler `{}`: {text}", handler.name.value)))
            }
        }
    }

    /// Returns the name of this node in the store and in the audit log: the configured one, or the
    /// machine's name and the port.
    pub(crate) fn node(&self) -> String {
        let named = self.config.audit.as_ref().and_then(|audit| audit.node.clone());
        named.unwrap_or_else(|| {
            let machine = rustix::system::uname();
            format!("{}-{}", machine.nodename().to_string_lossy(), self.config.server.listen.value.port())
        })
    }

    /// Returns the path of the file of pending revocations: as set, or beside the audit log, or
    /// else beside an SQLite store. `None` if there is none of these.
    pub(crate) fn pending_file(&self) -> Option<PathBuf> {
        let store = self.config.store.as_ref()?;
        if let Some(path) = &store.pending_file {
            return Some(self.path(path));
        }
        let database = || match &store.place.value {
            StorePlace::Sqlite(path) => Some(self.path(path)),
            StorePlace::Postgres(_) => None,
        };
        let beside = self.audit_settings().map(|settings| settings.file).or_else(database)?;
        beside.file_name()?;
        Some(suffixed(&beside, &format!(".{}.pending", self.node())))
    }

    /// Returns the keys of all rings with their ages.
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

    /// Returns the paths of the configuration and of every file that it names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Config {
            rings,
            key_sets,
            handlers,
            actions: _,
            actions_open: _,
            client_tokens: _,
            share_unprefixed: _,
            store: _,
            audit: _,
            cache: _,
            queries,
            endpoints,
            server,
            pages: _,
        } = &self.config;
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
        let tls = server.tls.iter().flat_map(|Located { value: TlsFiles { certificate, key }, .. }| [certificate, key]);
        let key_sets = key_sets.values().flat_map(|set| set.files());
        let authorities = endpoints.values().filter_map(|endpoint| endpoint.remote.value.ca.as_ref());
        let key_sets = key_sets.chain(authorities);
        let named = secrets.chain(key_sets).chain(components).chain(tls).map(|path| self.path(path));
        std::iter::once(self.file.clone()).chain(named).collect()
    }

    /// Returns the location of a store or queried database. Errors never contain a password.
    pub(crate) fn location(&self, place: &Located<StorePlace>, env: &Env) -> Result<Location, String> {
        match &place.value {
            StorePlace::Sqlite(path) => Ok(Location::sqlite(self.path(path))),
            StorePlace::Postgres(source) => {
                let url = self.secret_bytes(source, env)?;
                let url = std::str::from_utf8(&url).map_err(|_| "the URL is not UTF-8 text: correct it")?;
                Location::postgres(url).map_err(|error| error.to_string())
            }
        }
    }

    /// Reads a secret. Errors never contain any of it.
    pub(crate) fn secret(&self, source: &SecretSource, env: &Env) -> Result<Secret, String> {
        self.secret_bytes(source, env).map(|mut bytes| Secret::new(std::mem::take(&mut *bytes)))
    }

    /// Reads the bytes of a secret. Errors never contain any of them.
    fn secret_bytes(&self, source: &SecretSource, env: &Env) -> Result<Zeroizing<Vec<u8>>, String> {
        match source {
            SecretSource::Env(name) => match env(name).map(OsStringExt::into_vec) {
                Some(value) if !value.is_empty() => Ok(Zeroizing::new(value)),
                Some(_) => Err(format!("the environment variable {name} is empty: set it")),
                None => Err(format!("the environment variable {name} is not set: set it")),
            },
            SecretSource::File(path) => {
                let path = self.path(path);
                let what_to_do = format!("generate a key with `keyward keygen {}`, or correct `file`", path.display());
                let mut bytes = read_private(&path, &what_to_do)?;
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(bytes)
            }
        }
    }

    /// Returns the time of the last write to a secret's file, without reading it. `None` for a
    /// variable.
    pub(crate) fn modified(&self, source: &SecretSource) -> Option<UnixTime> {
        match source {
            SecretSource::File(path) => {
                fs::metadata(self.path(path)).ok()?.mtime().try_into().ok().map(UnixTime::from_seconds)
            }
            SecretSource::Env(_) => None,
        }
    }

    /// Resolves a path relative to the folder of the configuration.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// Describes the place of a secret, for error messages.
    pub(crate) fn place(&self, source: &SecretSource) -> String {
        match source {
            SecretSource::File(path) => self.path(path).display().to_string(),
            SecretSource::Env(name) => format!("the environment variable {name}"),
        }
    }

    /// Creates an error about a line of the configuration.
    pub(crate) fn usage_error(&self, line: impl Into<Option<usize>>, text: &str) -> CliError {
        usage_error(&self.file, line.into(), text)
    }

    /// Creates an error about a configured resource that is unavailable, although the configuration
    /// may be valid.
    pub(crate) fn unavailable(&self, line: impl Into<Option<usize>>, text: &str) -> CliError {
        CliError::Unavailable(located(&self.file, line.into(), text))
    }

    /// Returns the settings of the audit log; `None` where the configuration has none.
    pub(crate) fn audit_settings(&self) -> Option<Settings> {
        let audit = self.config.audit.as_ref()?;
        Some(Settings { file: self.path(&audit.file.value), node: self.node(), ..audit.settings.clone() })
    }
}

/// Returns a path whose last name has a suffix.
fn suffixed(path: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(end);
    PathBuf::from(path)
}

pub(crate) fn usage_error(file: &Path, line: Option<usize>, text: &str) -> CliError {
    CliError::Usage(located(file, line, text))
}

fn located(file: &Path, line: Option<usize>, text: &str) -> String {
    let text = escape_untrusted(text, MAX_SENTENCE);
    match line {
        Some(line) => format!("{}:{line}: {text}", file.display()),
        None => format!("{}: {text}", file.display()),
    }
}

/// Returns the component that an argument names, as `builtin:NAME` or by its path.
pub(crate) fn component(argument: &str) -> Result<keyward_runtime::component::Component, CliError> {
    match builtin::parse(argument) {
        Some(builtin) => builtin.map(|builtin| (*builtin).into()),
        None => {
            let bytes = read(Path::new(argument), Limits::default().component_bytes, "correct the path");
            bytes.map(builtin::or_foreign)
        }
    }
    .map_err(CliError::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_read_is_listed() {
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
[key_sets.idp]
files = ["idp.json"]
[endpoints.api]
url = "https://site.example/api"
ca = "ca.pem"
[[handlers]]
name = "partner"
component = "partner.wasm"
actors = "any"
public_keys.idp = { set = "idp", algorithms = ["EdDSA"] }
http.api = "api"
[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.one = { file = "one.key" }
secrets.two = { env = "TWO" }
"#;
        fs::write(&file, text).unwrap();
        let mut files = ConfigFile::read(&file).unwrap().files();
        assert_eq!(files.remove(0), file);
        let named = [
            "main.key",
            "../old.key",
            "two.key",
            "one.key",
            "idp.json",
            "ca.pem",
            "partner.wasm",
            "tls.pem",
            "/etc/tls.key",
        ];
        assert_eq!(files, named.map(|name| folder.path().join(name)));
    }
}

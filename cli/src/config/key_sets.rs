//! `[key_sets.NAME]`: the public keys of an issuer.

use super::remote::{DEFAULT_MAX_BYTES, MAX_BYTES, RemoteSettings, RemoteUrl, Section, TIMEOUT};
use super::schema::{json_schema_for, within};
use super::{ConfigError, Lines, Located};
use keyward_runtime::key_sets::{Algorithm, RefreshTimes};
use schemars::{JsonSchema, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// The bounds of the settings of a URL.
const REFRESH: RangeInclusive<u64> = 10..=86_400;
const COOLDOWN: RangeInclusive<u64> = 1..=3_600;
const MAX_STALE: RangeInclusive<u64> = 10..=31_536_000;

/// The default of `timeout_ms`. No call waits for a refresh.
const DEFAULT_TIMEOUT: u64 = 5_000;

/// The public keys of an issuer.
#[derive(Debug)]
pub(crate) struct KeySet {
    /// The line of its section, from 1.
    pub(crate) line: usize,
    pub(crate) source: KeySetSource,
    pub(crate) algorithm: Option<Algorithm>,
}

impl KeySet {
    /// Returns the files that are read for the set.
    pub(crate) fn files(&self) -> Vec<&PathBuf> {
        match &self.source {
            KeySetSource::Files(files) => files.iter().map(|file| &file.value).collect(),
            KeySetSource::Url(url) => url.remote.value.ca.iter().collect(),
        }
    }
}

/// The source of the keys.
#[derive(Debug)]
pub(crate) enum KeySetSource {
    Files(Vec<Located<PathBuf>>),
    Url(KeySetUrl),
}

/// A JWK Set that is fetched.
#[derive(Debug)]
pub(crate) struct KeySetUrl {
    pub(crate) remote: Located<RemoteUrl>,
    pub(crate) times: RefreshTimes,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["files"], "maxProperties": 2, "propertyNames": { "enum": ["files", "algorithm"] } },
    { "required": ["url"], "properties": { "files": false } }
]))]
pub(super) struct KeySetTable {
    /// Files of the keys, at least one: a JWK, a JWK Set, or `PUBLIC KEY` sections in PEM. Only
    /// their owner may write to them.
    #[schemars(with = "Option<Vec<PathBuf>>", length(min = 1))]
    files: Option<Spanned<Vec<Spanned<PathBuf>>>>,
    /// URL of a JWK Set, such as the `jwks_uri` of an OpenID provider, which is fetched and then
    /// refreshed. Redirects are not followed, and the response may not be compressed. Without
    /// `https`, its host must be in `private`.
    #[schemars(with = "Option<String>", regex(pattern = "^https?://"))]
    url: Option<Spanned<String>>,
    /// File of certificate authorities in PEM, which alone may vouch for the server of `url`.
    /// Without it: those of the system.
    ca: Option<PathBuf>,
    /// Addresses and networks of your own that the host of `url` may be in, such as `10.0.0.0/8`.
    /// Any other address that is not on the public Internet is refused.
    #[serde(default)]
    #[schemars(with = "Vec<String>", extend("default" = []))]
    private: Vec<Spanned<String>>,
    /// Time from one refresh of `url` to the next.
    #[schemars(with = "Option<u64>", transform = within(REFRESH), extend("default" = RefreshTimes::default().refresh.as_secs()))]
    refresh_seconds: Option<Spanned<u64>>,
    /// Minimum time between two refreshes: after a failure, and when a token names a key that the
    /// set does not have.
    #[schemars(with = "Option<u64>", transform = within(COOLDOWN), extend("default" = RefreshTimes::default().cooldown.as_secs()))]
    cooldown_seconds: Option<Spanned<u64>>,
    /// Maximum age of the keys. While refreshes fail, younger ones are still used; with older ones
    /// there is no verdict: 503. At least `refresh_seconds`.
    #[schemars(with = "Option<u64>", transform = within(MAX_STALE), extend("default" = RefreshTimes::default().max_stale.as_secs()))]
    max_stale_seconds: Option<Spanned<u64>>,
    /// Maximum time of a refresh, from the look-up of the host to the last byte.
    #[schemars(with = "Option<u64>", transform = within(TIMEOUT), extend("default" = DEFAULT_TIMEOUT))]
    timeout_ms: Option<Spanned<u64>>,
    /// Maximum size of the response.
    #[schemars(with = "Option<u64>", transform = within(MAX_BYTES), extend("default" = DEFAULT_MAX_BYTES))]
    max_bytes: Option<Spanned<u64>>,
    /// Algorithm of RSA keys that name none: a key has one algorithm. The other types have only
    /// one.
    algorithm: Option<AlgorithmName>,
}

impl KeySetTable {
    pub(super) fn checked(self, name: &Spanned<String>, lines: Lines<'_>) -> Result<KeySet, ConfigError> {
        let Self {
            files,
            url,
            ca,
            private,
            refresh_seconds,
            cooldown_seconds,
            max_stale_seconds,
            timeout_ms,
            max_bytes,
            algorithm,
        } = self;
        let section = Section { lines, kind: "key set", name: name.get_ref() };
        let line = lines.line(name.span().start);
        let algorithm = algorithm.map(|AlgorithmName(algorithm)| algorithm);
        let url = match (files, url) {
            (Some(files), None) => {
                let of_url = [&refresh_seconds, &cooldown_seconds, &max_stale_seconds, &timeout_ms, &max_bytes];
                if ca.is_some() || !private.is_empty() || of_url.iter().any(|setting| setting.is_some()) {
                    let text = "a set with `files` has no other setting than `algorithm`: remove the settings of `url`";
                    return Err(section.wrong(name.span(), text));
                }
                if files.get_ref().is_empty() {
                    return Err(section.wrong(files.span(), "`files` is empty: name the file of its keys"));
                }
                let files = files.into_inner().into_iter().map(|file| lines.at(file)).collect();
                return Ok(KeySet { line, source: KeySetSource::Files(files), algorithm });
            }
            (None, Some(url)) => url,
            _ => {
                let text = "its keys have one source: use `files = [\"keys.json\"]`, or `url = \"https://…\"`";
                return Err(section.wrong(name.span(), text));
            }
        };
        let default = RefreshTimes::default();
        let refresh = section.number("refresh_seconds", refresh_seconds, REFRESH, default.refresh.as_secs())?;
        let cooldown = section.number("cooldown_seconds", cooldown_seconds, COOLDOWN, default.cooldown.as_secs())?;
        let max_stale =
            section.number("max_stale_seconds", max_stale_seconds, MAX_STALE, default.max_stale.as_secs())?;
        let [refresh, cooldown, max_stale] = [refresh, cooldown, max_stale].map(Duration::from_secs);
        let times = RefreshTimes { refresh, cooldown, max_stale };
        if times.max_stale < times.refresh {
            let text =
                "`max_stale_seconds` is less than `refresh_seconds`, so the keys would be too old before each refresh";
            return Err(section.wrong(url.span(), text));
        }
        let settings = RemoteSettings { url, ca, private, timeout_ms, max_bytes };
        let remote = settings.checked(section, DEFAULT_TIMEOUT)?;
        Ok(KeySet { line, source: KeySetSource::Url(KeySetUrl { remote, times }), algorithm })
    }
}

/// The name of an [`Algorithm`].
pub(crate) struct AlgorithmName(pub(crate) Algorithm);

json_schema_for!(AlgorithmName, |_| json_schema!({ "type": "string", "enum": Algorithm::ALL.map(Algorithm::as_str) }));

impl<'de> Deserialize<'de> for AlgorithmName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Algorithm::named(&name).map(Self).ok_or_else(|| {
            let names = Algorithm::ALL.map(|algorithm| format!("`{}`", algorithm.as_str()));
            de::Error::custom(format!("unknown algorithm: use {}", names.join(", ")))
        })
    }
}

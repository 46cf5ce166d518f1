//! The configuration of a handler, and the grants that are bound from it for its calls.

use crate::component::source::Component;
use crate::counts::Counters;
use crate::error::{LoadError, LoadErrorKind};
use crate::http::{Forwards, HttpEndpoint};
use crate::key_sets::KeySetGrant;
use crate::keys::{DerivedKeys, KeyGrant, Secret, UnusableKey};
use crate::limits::Limits;
use crate::peaks::Peaks;
use crate::policy::Actors;
use crate::queries::Query;
use crate::sanitize::{MAX_NAME, escape_untrusted};
use crate::session::SessionGrant;
use crate::store::RecordStore;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of a handler: its component and everything that it may access.
///
/// A handler has no other access, except to the time, randomness, hashing and its log.
///
/// ```no_run
/// # use keyward_runtime::{Actors, HandlerConfig};
/// # use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
/// # use std::time::Duration;
/// # fn config(component: Vec<u8>, ring: KeyRing) -> Result<HandlerConfig, Box<dyn std::error::Error>> {
/// let day = Duration::from_secs(86_400);
/// let partner = HandlerConfig::new("partner", component, Actors::matching(["partner:*"])?)
///     .prefix("ptn_")
///     .key("token", KeyGrant::new(ring.into()))
///     .default_ttl(day)
///     .max_ttl(30 * day);
/// # Ok(partner)
/// # }
/// ```
///
/// Durations count in whole seconds; fractions are dropped.
#[non_exhaustive]
pub struct HandlerConfig {
    /// The name: 1 to 64 characters `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// The [`Component`].
    pub component: Component,
    /// The SHA-256 that the component must have; `None` if it is not pinned.
    pub sha256: Option<[u8; 32]>,
    /// Set if the host trusts the token ids and issue times that the component reports, as it does
    /// for a built-in one.
    ///
    /// Set it only for components that are built and reviewed together with the host; the tokens of
    /// a third-party handler are checked against their records.
    pub first_party: bool,
    /// The prefixes of its tokens. If empty, the handler gets the tokens that no prefix matches.
    pub prefixes: Vec<String>,
    /// Set if its tokens end with the CRC-32 (IEEE) of the text before it, as six base-62 digits
    /// `0-9 A-Z a-z` with leading zeros. Tokens with a wrong checksum are rejected without a call.
    pub checksum: bool,
    /// The values of its settings by name, as JSON text.
    pub settings: BTreeMap<String, String>,
    /// The [`KeyGrant`]s by label.
    pub keys: BTreeMap<String, KeyGrant>,
    /// The [`KeySetGrant`]s by label.
    pub public_keys: BTreeMap<String, KeySetGrant>,
    /// The [`Secret`]s that it may search, with their names. Of equal secrets, the first wins.
    pub secrets: Vec<(String, Secret)>,
    /// The [`StoreGrant`] for records of its own tokens; `None` if it keeps none.
    pub store: Option<StoreGrant>,
    /// The [`Query`] objects that it may run, by label.
    pub queries: BTreeMap<String, Arc<dyn Query>>,
    /// The [`HttpEndpoint`]s that it may request, by label.
    pub http: BTreeMap<String, Arc<dyn HttpEndpoint>>,
    /// `true` if the component may import WASI 0.2, over an inert world: the time of the call, the
    /// host's randomness, output to the handler's log; no files, sockets, variables or arguments.
    pub wasi: bool,
    /// The [`SessionGrant`] for the requests whose users it identifies.
    pub session: SessionGrant,
    /// The [`Actors`] that it may vouch for.
    pub actors: Actors,
    /// The lifetime of tokens that are requested without one, at least a second; `None` if they do
    /// not expire.
    pub default_ttl: Option<Duration>,
    /// Maximum lifetime of its tokens; `None` allows tokens that do not expire.
    pub max_ttl: Option<Duration>,
    /// Maximum time that a token may be unused and stay valid, at least
    /// [`MIN_IDLE`](Self::MIN_IDLE); `None` for no limit.
    ///
    /// Requires records, its own or
    /// [`RegistryBuilder::records`](crate::registry::RegistryBuilder::records), and a lookup at
    /// each verification.
    pub max_idle: Option<Duration>,
    /// Maximum number of valid tokens of an actor; `None` for no limit. Requires records, too.
    pub max_tokens_per_actor: Option<u64>,
    /// Maximum time that a token's issue time may lie in the future; a minute by default.
    pub leeway: Duration,
    /// The [`Limits`] of its calls.
    pub limits: Limits,
}

impl HandlerConfig {
    /// Minimum of [`max_idle`](Self::max_idle): the last use is only recorded to about the minute.
    pub const MIN_IDLE: Duration = Duration::from_secs(600);

    /// Creates the configuration of a handler that may vouch for `actors` and has no other grants.
    pub fn new(name: impl Into<String>, component: impl Into<Component>, actors: Actors) -> Self {
        let component = component.into();
        Self {
            name: name.into(),
            sha256: None,
            first_party: component.built_in().is_some(),
            component,
            prefixes: Vec::new(),
            checksum: false,
            settings: BTreeMap::new(),
            keys: BTreeMap::new(),
            public_keys: BTreeMap::new(),
            secrets: Vec::new(),
            store: None,
            queries: BTreeMap::new(),
            http: BTreeMap::new(),
            wasi: false,
            session: SessionGrant::default(),
            actors,
            default_ttl: None,
            max_ttl: None,
            max_idle: None,
            max_tokens_per_actor: None,
            leeway: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }

    /// Pins the component to this SHA-256.
    #[must_use]
    pub fn sha256(mut self, digest: [u8; 32]) -> Self {
        self.sha256 = Some(digest);
        self
    }

    /// Trusts the token ids and issue times that the component reports; see
    /// [the field](Self::first_party).
    #[must_use]
    pub fn trust_as_first_party(mut self) -> Self {
        self.first_party = true;
        self
    }

    /// Claims the tokens that start with this prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Declares that its tokens end with a [checksum](Self::checksum).
    #[must_use]
    pub fn with_checksum(mut self) -> Self {
        self.checksum = true;
        self
    }

    /// Sets one of its settings, to a JSON text.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, json: impl Into<String>) -> Self {
        self.settings.insert(name.into(), json.into());
        self
    }

    /// Grants a key under a label.
    #[must_use]
    pub fn key(mut self, label: impl Into<String>, grant: KeyGrant) -> Self {
        self.keys.insert(label.into(), grant);
        self
    }

    /// Grants verification with the public keys of a set under a label.
    #[must_use]
    pub fn public_keys(mut self, label: impl Into<String>, grant: KeySetGrant) -> Self {
        self.public_keys.insert(label.into(), grant);
        self
    }

    /// Grants the search for a secret.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secrets.push((name.into(), secret));
        self
    }

    /// Grants a store for at most `max` valid records of its own tokens.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn RecordStore>, max: u64) -> Self {
        self.store = Some(StoreGrant { store, max });
        self
    }

    /// Grants a query under a label.
    #[must_use]
    pub fn query(mut self, label: impl Into<String>, query: Arc<dyn Query>) -> Self {
        self.queries.insert(label.into(), query);
        self
    }

    /// Grants requests to an endpoint under a label.
    #[must_use]
    pub fn http(mut self, label: impl Into<String>, endpoint: Arc<dyn HttpEndpoint>) -> Self {
        self.http.insert(label.into(), endpoint);
        self
    }

    /// Grants [WASI](Self::wasi).
    #[must_use]
    pub fn wasi(mut self) -> Self {
        self.wasi = true;
        self
    }

    /// Sets what it sees of the requests whose users it identifies.
    #[must_use]
    pub fn session(mut self, grant: SessionGrant) -> Self {
        self.session = grant;
        self
    }

    /// Sets the lifetime of tokens that are requested without one.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = Some(ttl);
        self
    }

    /// Sets the maximum lifetime of its tokens.
    #[must_use]
    pub fn max_ttl(mut self, ttl: Duration) -> Self {
        self.max_ttl = Some(ttl);
        self
    }

    /// Sets the [maximum time](Self::max_idle) that a token may be unused.
    #[must_use]
    pub fn max_idle(mut self, idle: Duration) -> Self {
        self.max_idle = Some(idle);
        self
    }

    /// Sets the [maximum number](Self::max_tokens_per_actor) of valid tokens of an actor.
    #[must_use]
    pub fn max_tokens_per_actor(mut self, max: u64) -> Self {
        self.max_tokens_per_actor = Some(max);
        self
    }

    /// Sets the [leeway](Self::leeway) for clocks that differ.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the limits of its calls.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl fmt::Debug for HandlerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A grant to keep records of a handler's own tokens.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "a grant without its bound must not compile")]
pub struct StoreGrant {
    /// The [`RecordStore`] of the records.
    pub store: Arc<dyn RecordStore>,
    /// Maximum number of valid records.
    pub max: u64,
}

impl fmt::Debug for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreGrant").field("most", &self.max).finish_non_exhaustive()
    }
}

/// The grants of a [`HandlerConfig`].
pub(crate) struct Grants {
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) keys: BTreeMap<String, KeyGrant>,
    pub(crate) public_keys: BTreeMap<String, KeySetGrant>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) store: Option<StoreGrant>,
    pub(crate) queries: BTreeMap<String, Arc<dyn Query>>,
    pub(crate) http: BTreeMap<String, Arc<dyn HttpEndpoint>>,
    pub(crate) wasi: bool,
    pub(crate) session: SessionGrant,
}

/// The grants of a [`HandlerConfig`], prepared for the host functions of a call.
pub(crate) struct BoundGrants {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) settings: HashMap<String, String>,
    pub(crate) keys: HashMap<String, DerivedKeys>,
    pub(crate) public_keys: BTreeMap<String, KeySetGrant>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) store: Option<StoreGrant>,
    pub(crate) queries: HashMap<String, Arc<dyn Query>>,
    pub(crate) http: HashMap<String, Arc<dyn HttpEndpoint>>,
    pub(crate) wasi: bool,
    pub(crate) session: SessionGrant,
    /// The parts of a session's request that the handler or its endpoints see.
    pub(crate) session_parts: SessionGrant,
    pub(crate) counters: Counters,
    pub(crate) peaks: Arc<Peaks>,
}

impl BoundGrants {
    pub(crate) fn new(name: Arc<str>, limits: Limits, grants: Grants) -> Result<Self, LoadError> {
        let Grants { settings, keys, public_keys, secrets, store, queries, http, wasi, session } = grants;
        let mut bound = HashMap::new();
        for (label, grant) in keys {
            check_label("key", &label)?;
            if grant.is_public() {
                let text = format!(
                    "`keys.{label}` has a secret that is a key in PEM, so anyone who knows it could sign tokens: use \
                     `public_keys`"
                );
                return Err(LoadError::new(LoadErrorKind::BadSecret, text));
            }
            let namespace = grant.namespace.as_deref().unwrap_or(&name);
            let derived = DerivedKeys::derive(&grant, namespace, &label).map_err(|unusable| {
                let why = match unusable {
                    UnusableKey::NoPrivateKey(id) => format!(
                        "the key `{id}` is not an Ed25519 private key in PKCS#8: generate one with `keyward keygen \
                         --ed25519 FILE`"
                    ),
                    UnusableKey::TooShort(id, bytes) => format!(
                        "the secret of the key `{id}` has {bytes} bytes, fewer than the {} of `{}`: use a longer one, or \
                         set `dangerous_allow_short = true` in its ring to keep it",
                        grant.scheme.min_secret_bytes(),
                        grant.scheme.as_str()
                    ),
                };
                LoadError::new(LoadErrorKind::BadSecret, format!("`keys.{label}`: {why}"))
            });
            bound.insert(label.clone(), derived?);
        }
        for label in public_keys.keys() {
            check_label("public key", label)?;
        }
        for label in queries.keys() {
            check_label("query", label)?;
        }
        for (label, endpoint) in &http {
            check_label("endpoint", label)?;
            let (timeout, wall) = (endpoint.timeout(), limits.wall);
            if timeout >= wall {
                let text = format!(
                    "`http.{label}` may take {} ms, but a call of the handler only {} ms: lower `timeout_ms` of the \
                     endpoint, or raise `limits.wall_ms`",
                    timeout.as_millis(),
                    wall.as_millis()
                );
                return Err(LoadError::new(LoadErrorKind::BadLimit, text));
            }
        }
        let (settings, queries) = (settings.into_iter().collect(), queries.into_iter().collect());
        let mut session_parts = session.clone();
        for endpoint in http.values() {
            let Forwards { cookies, headers, query } = endpoint.forwards();
            session_parts.cookies.extend(cookies.iter().cloned());
            session_parts.headers.extend(headers.iter().chain(query).cloned());
        }
        let http = http.into_iter().collect();
        let peaks = Arc::new(Peaks::new(&limits));
        let counters = Counters::default();
        Ok(Self {
            name,
            limits,
            settings,
            keys: bound,
            public_keys,
            secrets,
            store,
            queries,
            http,
            wasi,
            session,
            session_parts,
            counters,
            peaks,
        })
    }

    /// Returns a number that changes with the keys of a granted set.
    pub(crate) fn generation(&self) -> u64 {
        self.public_keys.values().map(KeySetGrant::generation).fold(0, u64::wrapping_add)
    }
}

fn check_label(kind: &str, label: &str) -> Result<(), LoadError> {
    let fine =
        (1..=64).contains(&label.len()) && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fine {
        return Ok(());
    }
    let text = format!(
        "`{}` is not a valid {kind} label: use 1 to 64 characters of `a-z 0-9 -`",
        escape_untrusted(label, MAX_NAME)
    );
    Err(LoadError::new(LoadErrorKind::BadLabel, text))
}

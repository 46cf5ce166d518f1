//! The configuration of a handler, and the grants that are bound from it for its calls.

use crate::counts::Counters;
use crate::error::LoadError;
use crate::keys::{DerivedKeys, KeyGrant, Secret};
use crate::limits::Limits;
use crate::policy::Actors;
use crate::queries::Query;
use crate::sanitize::{MAX_NAME, escape_untrusted};
use crate::store::TokenStore;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The configuration of a handler: its component and everything that it may access.
///
/// A handler has no other access, except to the time, randomness, hashing and its log.
pub struct HandlerConfig {
    /// The name: 1 to 64 characters `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// The bytes of the component. The digest is computed from the same bytes that are compiled.
    pub component: Vec<u8>,
    /// The SHA-256 that the component must have; `None` if it is not pinned.
    pub sha256: Option<[u8; 32]>,
    /// Set if the host trusts the token ids and issue times that the component reports.
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
    /// The [`Secret`]s that it may search, with their names. Of equal secrets, the first wins.
    pub secrets: Vec<(String, Secret)>,
    /// The [`StoreGrant`] for records of its own tokens; `None` if it keeps none.
    pub store: Option<StoreGrant>,
    /// The [`Query`] objects that it may run, by label.
    pub queries: BTreeMap<String, Arc<dyn Query>>,
    /// The [`Actors`] that it may vouch for.
    pub actors: Actors,
    /// The lifetime in seconds of tokens that are requested without one; `None` if they do not
    /// expire.
    pub default_ttl: Option<NonZeroU32>,
    /// Maximum lifetime of its tokens in seconds; `None` allows tokens that do not expire.
    pub max_ttl: Option<u64>,
    /// Maximum time in seconds that a token may be unused and stay valid, at least 600; `None` for
    /// no limit.
    ///
    /// Requires records, its own or [`RegistryBuilder::records`](crate::registry::RegistryBuilder::records),
    /// and a lookup at each verification.
    pub max_idle: Option<u64>,
    /// Maximum number of valid tokens of an actor; `None` for no limit. Requires records, too.
    pub max_tokens_per_actor: Option<u64>,
    /// Maximum number of seconds that a token's issue time may lie in the future.
    pub leeway: u64,
    /// The [`Limits`] of its calls.
    pub limits: Limits,
}

impl HandlerConfig {
    /// Minimum of [`max_idle`](Self::max_idle) in seconds: the last use is only recorded to about
    /// the minute.
    pub const MIN_IDLE: u64 = 600;

    /// Creates the configuration of a handler that may vouch for `actors` and has no other grants.
    pub fn new(name: impl Into<String>, component: impl Into<Vec<u8>>, actors: Actors) -> Self {
        Self {
            name: name.into(),
            component: component.into(),
            sha256: None,
            first_party: false,
            prefixes: Vec::new(),
            checksum: false,
            settings: BTreeMap::new(),
            keys: BTreeMap::new(),
            secrets: Vec::new(),
            store: None,
            queries: BTreeMap::new(),
            actors,
            default_ttl: None,
            max_ttl: None,
            max_idle: None,
            max_tokens_per_actor: None,
            leeway: 60,
            limits: Limits::default(),
        }
    }
}

impl fmt::Debug for HandlerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A grant to keep records of a handler's own tokens.
#[derive(Clone)]
pub struct StoreGrant {
    /// The [`TokenStore`] of the records.
    pub store: Arc<dyn TokenStore>,
    /// Maximum number of valid records.
    pub max: u64,
}

impl fmt::Debug for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreGrant").field("most", &self.max).finish_non_exhaustive()
    }
}

/// The grants of a [`HandlerConfig`], prepared for the host functions of a call.
pub(crate) struct BoundGrants {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) settings: HashMap<String, String>,
    pub(crate) keys: HashMap<String, DerivedKeys>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) store: Option<StoreGrant>,
    pub(crate) queries: HashMap<String, Arc<dyn Query>>,
    pub(crate) counters: Counters,
}

impl BoundGrants {
    pub(crate) fn new(
        name: Arc<str>,
        limits: Limits,
        settings: BTreeMap<String, String>,
        keys: BTreeMap<String, KeyGrant>,
        secrets: Vec<(String, Secret)>,
        store: Option<StoreGrant>,
        queries: BTreeMap<String, Arc<dyn Query>>,
    ) -> Result<Self, LoadError> {
        let mut bound = HashMap::new();
        for (label, grant) in keys {
            check_label("key", &label)?;
            let namespace = grant.namespace.as_deref().unwrap_or(&name);
            bound.insert(label.clone(), DerivedKeys::derive(&grant, namespace, &label));
        }
        for label in queries.keys() {
            check_label("query", label)?;
        }
        let (settings, queries) = (settings.into_iter().collect(), queries.into_iter().collect());
        Ok(Self { name, limits, settings, keys: bound, secrets, store, queries, counters: Counters::default() })
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
    Err(LoadError::new("bad-label", text))
}

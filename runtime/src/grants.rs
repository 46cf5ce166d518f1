//! What an operator gives a handler, and what becomes of it when it is bound.

use crate::counts::Counters;
use crate::error::LoadError;
use crate::keys::{BoundKeys, KeyGrant, Secret};
use crate::limits::Limits;
use crate::policy::Actors;
use crate::queries::Query;
use crate::store::TokenStore;
use crate::text::{MAX_NAME, printable};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

/// One handler as its operator configured it: the component and all that it may touch. A handler gets nothing that does
/// not stand here, but the time, randomness, a log and its settings.
pub struct HandlerConfig {
    /// Its name: 1 to 64 characters `A-Z a-z 0-9 _ -`.
    pub name: String,
    /// The component, as it was read. What is digested is what is compiled.
    pub component: Vec<u8>,
    /// The SHA-256 that the component must have, if it is pinned.
    pub sha256: Option<[u8; 32]>,
    /// Vouches for the component itself: the host believes the token ids and issue times that it reports. Set it only for
    /// components that are built and reviewed together with the host; a third-party handler is held to its records.
    pub first_party: bool,
    /// The beginnings of the tokens that are its own. Without any it gets the tokens that no prefix matches.
    pub prefixes: Vec<String>,
    /// Whether its tokens end with the CRC-32 (IEEE) of all that stands before it, as six digits `0-9 A-Z a-z` of base 62
    /// with leading zeros. Others are then refused without a call.
    pub checksum: bool,
    /// The values of its settings, as JSON text.
    pub settings: BTreeMap<String, String>,
    /// The key labels that it may use.
    pub keys: BTreeMap<String, KeyGrant>,
    /// The secrets that it may look for, by name. Of equal ones the first wins.
    pub secrets: Vec<(String, Secret)>,
    /// The records of its tokens, if it may have some.
    pub store: Option<StoreGrant>,
    /// The queries that it may run, by label.
    pub queries: BTreeMap<String, Arc<dyn Query>>,
    /// Whom it may vouch for.
    pub actors: Actors,
    /// The lifetime in seconds of tokens for which none is asked; `None`: they do not end.
    pub default_ttl: Option<NonZeroU32>,
    /// The longest lifetime of its tokens in seconds; `None` allows tokens that do not end.
    pub max_ttl: Option<u64>,
    /// For how many seconds a token of it may go unused and stay good; at least 600. It needs records: of its own, or
    /// [`RegistryBuilder::records`](crate::RegistryBuilder::records), and then they are looked up at each verification.
    pub max_idle: Option<u64>,
    /// How many good tokens of it an actor may have at once. It needs records too.
    pub max_tokens_per_actor: Option<u64>,
    /// How far in the future a token may have been issued, in seconds.
    pub leeway: u64,
    /// What it may use.
    pub limits: Limits,
}

impl HandlerConfig {
    /// A handler that may vouch for `actors` and is granted nothing else.
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

/// Records of a handler's own tokens.
#[derive(Clone)]
pub struct StoreGrant {
    /// Where they are kept.
    pub store: Arc<dyn TokenStore>,
    /// How many of them may be good at once.
    pub most: u64,
}

impl fmt::Debug for StoreGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreGrant").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Grants made ready for use: what one call's host functions look at.
pub(crate) struct Bound {
    pub(crate) name: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) settings: HashMap<String, String>,
    pub(crate) keys: HashMap<String, BoundKeys>,
    pub(crate) secrets: Vec<(String, Secret)>,
    pub(crate) store: Option<StoreGrant>,
    pub(crate) queries: HashMap<String, Arc<dyn Query>>,
    pub(crate) counters: Counters,
}

impl Bound {
    pub(crate) fn new(
        name: Arc<str>,
        limits: Limits,
        settings: BTreeMap<String, String>,
        keys: BTreeMap<String, KeyGrant>,
        secrets: Vec<(String, Secret)>,
        store: Option<StoreGrant>,
        queries: BTreeMap<String, Arc<dyn Query>>,
    ) -> Result<Self, LoadError> {
        for (setting, value) in &settings {
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(value) {
                let setting = printable(setting, MAX_NAME);
                return Err(LoadError::new("bad-setting", format!("the setting `{setting}` is no JSON: {error}")));
            }
        }
        let mut bound = HashMap::new();
        for (label, grant) in keys {
            check_label("key", &label)?;
            let namespace = grant.namespace.as_deref().unwrap_or(&name);
            bound.insert(label.clone(), BoundKeys::derive(&grant, namespace, &label));
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
    let text = format!("`{}` is no {kind} label: use 1 to 64 of `a-z 0-9 -`", printable(label, MAX_NAME));
    Err(LoadError::new("bad-label", text))
}

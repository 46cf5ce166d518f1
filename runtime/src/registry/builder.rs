//! The builder of a registry, and the checks of handlers against each other.

use super::actions::check_actions;
use super::{Handlers, Registry};
use crate::compile::LOAD_TIME;
use crate::error::{LoadError, LoadErrorKind};
use crate::grants::HandlerConfig;
use crate::handler::Handler;
use crate::hook::VerifyHook;
use crate::limits::Limits;
use crate::revocation_list::Revocations;
use crate::runtime::Runtime;
use crate::sanitize::{MAX_NAME, escape_untrusted, list_names};
use crate::store::{RecordStore, TokenStore};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// A builder of a [`Registry`]: collects handlers, which [`build`](Self::build) loads and checks
/// together.
#[expect(missing_debug_implementations, reason = "a store has no `Debug`")]
pub struct RegistryBuilder {
    runtime: Runtime,
    handlers: Vec<HandlerConfig>,
    actions: HashMap<String, String>,
    actions_open: bool,
    client_tokens: HashMap<String, u64>,
    share_unprefixed: bool,
    revocations: Option<Arc<Revocations>>,
    records: Option<Arc<dyn TokenStore>>,
    verify_hook: Option<Arc<dyn VerifyHook>>,
}

impl RegistryBuilder {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self {
            runtime: runtime.clone(),
            handlers: Vec::new(),
            actions: HashMap::new(),
            actions_open: false,
            client_tokens: HashMap::new(),
            share_unprefixed: false,
            revocations: None,
            records: None,
            verify_hook: None,
        }
    }

    /// Appends a handler. The first one creates tokens by default.
    pub fn handler(mut self, config: HandlerConfig) -> Self {
        self.handlers.push(config);
        self
    }

    /// Gives an action the short name that tokens carry, such as `vi` for `view-instance`. It must
    /// be unique.
    ///
    /// Once there are actions, requests and edits that restrict a token to others are denied; see
    /// [`open_actions`](Self::open_actions). Issued tokens are not affected.
    pub fn action(mut self, name: impl Into<String>, short: impl Into<String>) -> Self {
        self.actions.insert(name.into(), short.into());
        self
    }

    /// Allows requests to restrict a token to actions that have no short name here, because the
    /// application defines more. A misspelled action then allows nothing, without an error. Without
    /// any [`action`](Self::action), all are allowed.
    pub fn open_actions(mut self) -> Self {
        self.actions_open = true;
        self
    }

    /// Limits the number of valid tokens that a client
    /// ([`CreateRequest::client`](crate::CreateRequest::client)) may have issued, with all handlers
    /// together. Requires [`records`](Self::records). Tokens that have expired because they were
    /// idle count.
    pub fn client_tokens(mut self, client: impl Into<String>, max: u64) -> Self {
        self.client_tokens.insert(client.into(), max);
        self
    }

    /// Allows several handlers without prefixes: each token is passed to them in order until one
    /// returns another verdict than "not mine", so they see each other's tokens.
    pub fn dangerous_share_unprefixed(mut self) -> Self {
        self.share_unprefixed = true;
        self
    }

    /// Checks every valid token against these [`Revocations`]. Without them, tokens of handlers
    /// that keep no records cannot be revoked.
    pub fn revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Keeps a record of every created token in this [`TokenStore`]: handlers with a store of their
    /// own keep their records in that, for others the host writes one if the token has an id.
    /// Listing, counting and idle expiry use these records.
    ///
    /// An operator who can list a token must be able to revoke it, so this requires the
    /// [`Revocations`] of the same store, against which every valid token is checked.
    pub fn records(mut self, records: Arc<dyn TokenStore>, revocations: Arc<Revocations>) -> Self {
        self.records = Some(records);
        self.revocations(revocations)
    }

    /// Calls `hook` for each token that is otherwise valid. It can only reject.
    pub fn verify_hook(mut self, hook: Arc<dyn VerifyHook>) -> Self {
        self.verify_hook = Some(hook);
        self
    }

    /// Loads, compiles and instantiates every handler. This takes CPU time and blocks: in an async
    /// program, call it where blocking is allowed.
    ///
    /// # Errors
    /// Returns the first error.
    pub fn build(self) -> Result<Registry, LoadError> {
        let Self {
            runtime,
            handlers,
            actions,
            actions_open,
            client_tokens,
            share_unprefixed,
            revocations,
            records,
            verify_hook,
        } = self;
        check_actions(&actions)?;
        let mut names = HashSet::new();
        if let Some(twice) = handlers.iter().find(|config| !names.insert(config.name.clone())) {
            return Err(LoadError::new(LoadErrorKind::DuplicateName, "duplicate name; give each handler its own name")
                .in_handler(&escape_untrusted(&twice.name, MAX_NAME)));
        }
        let deadline = Instant::now() + LOAD_TIME;
        let handlers = handlers.into_iter().map(|config| {
            Handler::load(&runtime, config, records.clone().map(|records| records as Arc<dyn RecordStore>), deadline)
        });
        let handlers = handlers.collect::<Result<Vec<_>, _>>()?;
        let prefixes = claims(&handlers)?;
        let unprefixed: Vec<usize> = handlers
            .iter()
            .enumerate()
            .filter(|(_, handler)| handler.prefixes.is_empty() && handler.info().handles_tokens())
            .map(|(place, _)| place)
            .collect();
        if unprefixed.len() > 1 && !share_unprefixed {
            return Err(LoadError::new(
                LoadErrorKind::SeveralUnprefixed,
                format!(
                    "handlers {} claim no prefix, so each would see the others' tokens: give all but one `prefixes`, or \
                 set `dangerous_share_unprefixed = true`",
                    list_names(unprefixed.iter().filter_map(|place| handlers.get(*place)).map(|handler| &handler.name))
                ),
            ));
        }
        check_keys(&handlers)?;
        let token_bytes = handlers.iter().map(|handler| handler.bound.limits.token_bytes).max();
        let token_bytes = token_bytes.unwrap_or_else(|| Limits::default().token_bytes);
        let actor_id_bytes = handlers.iter().map(|handler| handler.bound.limits.actor_id_bytes).max();
        let actor_id_bytes = actor_id_bytes.unwrap_or_else(|| Limits::default().actor_id_bytes);
        let registry = Registry(Arc::new(Handlers {
            runtime,
            handlers,
            prefixes,
            unprefixed,
            actions,
            actions_open,
            client_tokens,
            revocations,
            records,
            verify_hook,
            token_bytes,
            actor_id_bytes,
        }));
        check_secrets(&registry)?;
        Ok(registry)
    }
}

/// Returns every prefix once, longest first, so that the first match is the longest match.
fn claims(handlers: &[Handler]) -> Result<Vec<(String, usize)>, LoadError> {
    let mut claimed: HashMap<&str, &str> = HashMap::new();
    let mut prefixes = Vec::new();
    for (place, handler) in handlers.iter().enumerate() {
        for prefix in &handler.prefixes {
            if let Some(other) = claimed.insert(prefix, &handler.name) {
                return Err(LoadError::new(
                    LoadErrorKind::DuplicatePrefix,
                    format!("the prefix `{prefix}` is also claimed by `{other}`, and a token can have only one owner: change one of the prefixes"),
                )
                .in_handler(&handler.name));
            }
            prefixes.push((prefix.clone(), place));
        }
    }
    prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    Ok(prefixes)
}

/// Checks that no two labels have the same key, however they share it: they could forge each
/// other's tokens.
fn check_keys(handlers: &[Handler]) -> Result<(), LoadError> {
    let mut labels =
        handlers.iter().flat_map(|handler| handler.bound.keys.iter().map(move |(label, keys)| (handler, label, keys)));
    while let Some((handler, label, keys)) = labels.next() {
        if let Some((other, other_label, _)) = labels.clone().find(|(.., others)| keys.overlap(others)) {
            return Err(LoadError::new(LoadErrorKind::SharedKey, format!(
                "`keys.{other_label}` is the same key as `keys.{label}` of `{}`, so they could forge each other's tokens: \
                 give one of them another `namespace` or key ring", handler.name
            ))
            .in_handler(&other.name));
        }
    }
    Ok(())
}

/// Checks that each secret, when presented, is routed to the handler that it was configured for.
fn check_secrets(registry: &Registry) -> Result<(), LoadError> {
    for (place, handler) in registry.0.handlers.iter().enumerate() {
        for (name, secret) in &handler.bound.secrets {
            let wrong = |code, text: String| {
                let name = escape_untrusted(name, MAX_NAME);
                Err(LoadError::new(code, format!("the secret `{name}` {text}")).in_handler(&handler.name))
            };
            if secret.is_empty() {
                return wrong(LoadErrorKind::BadSecret, "is empty; give it a value or remove it".into());
            }
            if secret.len() > handler.bound.limits.token_bytes {
                return wrong(LoadErrorKind::BadSecret, "is longer than a token may be (`limits.token_bytes`)".into());
            }
            let Ok(token) = std::str::from_utf8(secret.expose()) else {
                return wrong(LoadErrorKind::BadSecret, "is not UTF-8 text, so no caller could present it".into());
            };
            if handler.is_only_prefix(token) {
                return wrong(
                    LoadErrorKind::BadSecret,
                    "is only the prefix of its handler, and no such token is accepted".into(),
                );
            }
            let owners = registry.owners(token);
            if !owners.contains(&place) {
                let owner = owners.first().and_then(|place| registry.0.handlers.get(*place));
                return match owner {
                    Some(owner) => wrong(
                        LoadErrorKind::ForeignSecret,
                        format!(
                            "begins with a prefix of `{}`, which would receive it: change the secret or the prefix",
                            owner.name
                        ),
                    ),
                    None => wrong(
                        LoadErrorKind::ForeignSecret,
                        "does not begin with a prefix of its handler, so no caller could present it".into(),
                    ),
                };
            }
        }
    }
    Ok(())
}

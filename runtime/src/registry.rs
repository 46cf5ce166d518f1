//! The registry of handlers, which routes each token to its handler.

mod actions;
mod presented;
mod redact;
mod revoke;
mod tokens;

use crate::component::ComponentInfo;
use crate::counts::Counts;
use crate::error::{Error, ErrorKind, LoadError};
use crate::grants::HandlerConfig;
use crate::handler::{Handler, IssueContext, PARENT_REVOKED};
use crate::limits::Limits;
use crate::restrictions::Permission;
use crate::revocation_list::{Revocations, Subject};
use crate::runtime::Runtime;
use crate::sanitize::{MAX_NAME, escape_untrusted, list_names};
use crate::store::{StoreError, TokenStore};
use crate::token::TokenDigest;
use crate::verdict::{
    CreateRequest, Created, Creation, Denial, Denied, IssueHook, Parent, Reason, Rejection, Restrictions, Verdict,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

pub use presented::{Presented, Requested};
pub use redact::IdKind;
pub use tokens::{TokenUpdate, UpdateOutcome};

/// An immutable list of handlers with their grants. To reload, build another registry on the same
/// [`Runtime`] and replace this one. Cheap to clone.
#[derive(Clone)]
pub struct Registry(Arc<Handlers>);

struct Handlers {
    runtime: Runtime,
    /// The handlers in the operator's order: the first creates tokens unless another is named.
    handlers: Vec<Handler>,
    /// Every prefix with the index of its handler, longest prefix first.
    prefixes: Vec<(String, usize)>,
    /// Indexes of the handlers without prefixes: at most one, unless the operator lets several
    /// share tokens.
    unprefixed: Vec<usize>,
    /// Full action names, each with the short name that tokens carry.
    actions: HashMap<String, String>,
    /// `true` if tokens may be restricted to other actions, too.
    actions_open: bool,
    /// Maximum number of valid tokens that each client may have issued, by client.
    client_tokens: HashMap<String, u64>,
    /// The revocation list, if tokens can be revoked here.
    revocations: Option<Arc<Revocations>>,
    /// The store of token records, if there is one.
    records: Option<Arc<dyn TokenStore>>,
    /// Maximum length of a token over all handlers, in bytes.
    token_bytes: usize,
    /// Maximum length of an actor's id over all handlers, in bytes.
    actor_id_bytes: usize,
}

/// A handler of a [`Registry`], for display.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HandlerInfo<'a> {
    /// The name of the handler.
    pub name: &'a str,
    /// The prefixes that the handler claims.
    pub prefixes: &'a [String],
    /// The handler's component.
    pub component: &'a ComponentInfo,
    /// The handler's call counts.
    pub counts: Counts,
}

impl Registry {
    /// Creates a [`RegistryBuilder`] on `runtime`.
    pub fn builder(runtime: &Runtime) -> RegistryBuilder {
        RegistryBuilder {
            runtime: runtime.clone(),
            handlers: Vec::new(),
            actions: HashMap::new(),
            actions_open: false,
            client_tokens: HashMap::new(),
            share_unprefixed: false,
            revocations: None,
            records: None,
        }
    }

    /// Returns the [`HandlerInfo`] of each handler, in order.
    pub fn handlers(&self) -> impl Iterator<Item = HandlerInfo<'_>> {
        self.0.handlers.iter().map(|handler| HandlerInfo {
            name: &handler.name,
            prefixes: &handler.prefixes,
            component: handler.info(),
            counts: handler.counts(),
        })
    }

    /// Verifies a token. It is passed to only one handler: that of the longest prefix that it
    /// starts with. A token that belongs to no handler costs no call.
    ///
    /// # Errors
    /// No [`Verdict`] is available; the caller must deny access.
    pub async fn verify(&self, token: &str) -> Result<Verdict, Error> {
        self.verify_among(token, |_| true).await
    }

    /// Like [`verify`](Self::verify), for the tokens of one handler only: others are
    /// [`Verdict::NotMine`].
    ///
    /// # Errors
    /// No verdict is available, or no handler has that name.
    pub async fn verify_with(&self, handler: &str, token: &str) -> Result<Verdict, Error> {
        self.named(handler)?;
        self.verify_among(token, |name| name == handler).await
    }

    /// Like [`verify`](Self::verify), for the tokens of the handlers that `handlers` selects by
    /// name: others are [`Verdict::NotMine`]. The selection only narrows: of handlers that share
    /// tokens, an earlier one is still called, and a token that it rejects is `NotMine`.
    ///
    /// # Errors
    /// As for `verify`.
    pub async fn verify_among(&self, token: &str, handlers: impl Fn(&str) -> bool) -> Result<Verdict, Error> {
        if token.len() > self.0.token_bytes {
            return Ok(too_long(self.0.token_bytes));
        }
        let mut owners = self.owners(token).iter().filter_map(|place| self.0.handlers.get(*place));
        while let Some(handler) = owners.next() {
            let counts = handlers(&handler.name);
            // Skip the call if neither this handler nor a later owner is selected.
            if !counts && !owners.clone().any(|other| handlers(&other.name)) {
                return Ok(Verdict::NotMine);
            }
            if token.len() > handler.bound.limits.token_bytes {
                return Ok(too_long(handler.bound.limits.token_bytes));
            }
            let digest = TokenDigest::of(token);
            match handler.verify(token, digest).await? {
                Verdict::NotMine => {}
                verdict if counts => return self.unless_revoked(handler, verdict, &digest).await,
                _ => return Ok(Verdict::NotMine),
            }
        }
        Ok(Verdict::NotMine)
    }

    /// Returns whether a token with these restrictions may be used for a [`Permission`]. `None`
    /// allows everything that the actor may do, which only the host service knows.
    ///
    /// The rules are Datasette's for `_r`: an entry names the action in full or by its short name
    /// in this registry. An entry for everything covers all, an entry for a database what is in it,
    /// an entry for a resource only that resource.
    pub fn allows(&self, restrictions: Option<&Restrictions>, permission: &Permission) -> bool {
        restrictions.is_none_or(|restrictions| permission.is_allowed_by(restrictions, &self.0.actions))
    }

    /// Like [`verify`](Self::verify) for callers that are not async: blocks this thread, but needs
    /// no async runtime.
    ///
    /// # Errors
    /// As for `verify`.
    pub fn verify_blocking(&self, token: &str) -> Result<Verdict, Error> {
        pollster::block_on(self.verify(token))
    }

    /// Creates a token with the named handler, or the first one. With [`RegistryBuilder::records`],
    /// a durable record of the token exists before this returns, for every handler.
    ///
    /// # Errors
    /// No token was created, and the reason is not a denial by the policy or the handler.
    pub async fn create(&self, handler: Option<&str>, request: CreateRequest) -> Result<Creation, Error> {
        self.create_in_context(handler, request, IssueContext::default()).await
    }

    /// Like [`create`](Self::create), and calls `hook` before the token becomes valid.
    ///
    /// # Errors
    /// As for `create`, and the error of the hook.
    pub async fn create_with_hook(
        &self,
        handler: Option<&str>,
        request: CreateRequest,
        hook: &dyn IssueHook,
    ) -> Result<Creation, Error> {
        self.create_in_context(handler, request, IssueContext { hook: Some(hook), ..IssueContext::default() }).await
    }

    async fn create_in_context(
        &self,
        handler: Option<&str>,
        request: CreateRequest,
        together: IssueContext<'_>,
    ) -> Result<Creation, Error> {
        let place = match handler {
            Some(name) => self.named(name)?,
            None => 0,
        };
        let Some(handler) = self.0.handlers.get(place) else {
            return Err(Error::without_handler(ErrorKind::NoHandler));
        };
        // A replacement keeps the restrictions of the token that it replaces.
        if let (Some(restrictions), None) = (&request.restrictions, &together.edit) {
            let parent = request.parent.as_ref().and_then(|parent| parent.0.restrictions.as_ref());
            if let Err(message) = self.check_known_actions(restrictions, parent) {
                return Ok(Creation::Denied(denied(Denial::InvalidRequest, message)));
            }
        }
        let restrictions = request.restrictions.map(|restrictions| self.abbreviate(restrictions));
        let refused = |message: &str| Ok(Creation::Denied(denied(Denial::NotPermitted, message)));
        let request = match self.within_parent(CreateRequest { restrictions, ..request }) {
            Ok(request) => request,
            Err(message) => return refused(message),
        };
        if let Some(Parent(parent)) = &request.parent {
            let Some(owner) = self.0.handlers.iter().find(|handler| handler.name == parent.handler) else {
                return refused("the handler of the presented token is not configured");
            };
            if self.is_revoked(owner, parent, None).await? {
                return refused(PARENT_REVOKED);
            }
        }
        let max_per_client = request.client.as_ref().and_then(|client| self.0.client_tokens.get(client)).copied();
        let together = IssueContext { max_per_client, ..together };
        let actor_id = request.actor_id.clone();
        let check = |created: &Created, now| {
            if !self.owners(&created.token).contains(&place) {
                return Err(ErrorKind::BadToken("it does not begin with a prefix of this handler"));
            }
            let Some(revocations) = &self.0.revocations else { return Ok(()) };
            let (token_id, digest) = (created.token_id.as_deref(), TokenDigest::of(&created.token));
            let subject = Subject {
                handler: &created.handler,
                token_id,
                token: Some(&digest),
                actor_id: Some(&actor_id),
                issued_at: handler.first_party.then_some(now),
                leeway: handler.policy.leeway,
            };
            let keeps_record = token_id.is_some() && handler.store().is_some();
            match revocations.may_issue(subject, now, keeps_record) {
                Ok(true) => Ok(()),
                Ok(false) => Err(ErrorKind::JustRevoked),
                Err(unsure) => Err(unsure.into()),
            }
        };
        handler.create(request, together, check).await
    }

    /// Narrows the request to the rights of the parent token. A request without restrictions gets
    /// the parent's.
    fn within_parent(&self, request: CreateRequest) -> Result<CreateRequest, &'static str> {
        let Some(Parent(parent)) = &request.parent else { return Ok(request) };
        if !parent.actor.has_text_id(&request.actor_id) {
            return Err("a presented token can create tokens for its own actor only");
        }
        let restrictions = request.restrictions.or_else(|| parent.restrictions.clone());
        if !Permission::is_covered(restrictions.as_ref(), parent.restrictions.as_ref(), &self.0.actions) {
            return Err("the requested restrictions exceed those of the presented token");
        }
        Ok(CreateRequest { restrictions, ..request })
    }

    /// Like [`create`](Self::create) for callers that are not async.
    ///
    /// # Errors
    /// As for `create`.
    pub fn create_blocking(&self, handler: Option<&str>, request: CreateRequest) -> Result<Creation, Error> {
        pollster::block_on(self.create(handler, request))
    }

    /// Measures the phases of one verification by the first handler.
    #[cfg(feature = "phases")]
    #[doc(hidden)]
    pub fn phases(&self, token: &str) -> Option<Vec<(&'static str, std::time::Duration)>> {
        pollster::block_on(self.0.handlers.first()?.phases(token)).ok()
    }

    /// Returns the full name of the action with this short name; `None` if there is none.
    pub fn action(&self, short: &str) -> Option<&str> {
        self.0.actions.iter().find(|(_, known)| *known == short).map(|(name, _)| name.as_str())
    }

    /// Returns the indexes of the handlers that a token may belong to, in order: one, except for
    /// shared tokens without a prefix.
    fn owners(&self, token: &str) -> &[usize] {
        match self.0.prefixes.iter().find(|(prefix, _)| token.starts_with(prefix.as_str())) {
            Some((_, place)) => std::slice::from_ref(place),
            None => &self.0.unprefixed,
        }
    }

    fn named(&self, name: &str) -> Result<usize, Error> {
        self.0.handlers.iter().position(|handler| &*handler.name == name).ok_or_else(|| {
            let known = list_names(self.0.handlers.iter().map(|handler| &handler.name));
            Error::without_handler(ErrorKind::NoSuchHandler { name: escape_untrusted(name, MAX_NAME), known })
        })
    }
}

/// Returns a denial by the host.
fn denied(denial: Denial, message: impl Into<String>) -> Denied {
    Denied { handler: None, denial, message: message.into() }
}

fn store_error(error: StoreError) -> Error {
    Error::without_handler(ErrorKind::Store(error.to_string()))
}

fn too_long(max: usize) -> Verdict {
    Verdict::Rejected(Rejection {
        handler: None,
        reason: Reason::Malformed,
        message: format!("Token is longer than {max} bytes"),
    })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handlers()).finish()
    }
}

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
}

impl RegistryBuilder {
    /// Appends a handler. The first one creates tokens by default.
    pub fn handler(mut self, config: HandlerConfig) -> Self {
        self.handlers.push(config);
        self
    }

    /// Gives an action the short name that tokens carry, such as `vi` for `view-instance`. It must
    /// be unique.
    ///
    /// Once there are actions, requests and edits that restrict a token to others are denied; see
    /// [`actions_open`](Self::actions_open). Issued tokens are not affected.
    pub fn action(mut self, name: impl Into<String>, short: impl Into<String>) -> Self {
        self.actions.insert(name.into(), short.into());
        self
    }

    /// Allows requests to restrict a token to actions that have no short name here, because the
    /// application defines more. A misspelled action then allows nothing, without an error. Without
    /// any [`action`](Self::action), all are allowed.
    pub fn actions_open(mut self, open: bool) -> Self {
        self.actions_open = open;
        self
    }

    /// Limits the number of valid tokens that a client ([`CreateRequest::client`]) may have issued,
    /// with all handlers together. Requires [`records`](Self::records). Tokens that have expired
    /// because they were idle count.
    pub fn client_tokens(mut self, client: impl Into<String>, max: u64) -> Self {
        self.client_tokens.insert(client.into(), max);
        self
    }

    /// Allows several handlers without prefixes: each token is passed to them in order until one
    /// returns another verdict than "not mine", so they see each other's tokens.
    pub fn dangerous_share_unprefixed(mut self, share: bool) -> Self {
        self.share_unprefixed = share;
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
    pub fn records(mut self, records: Arc<dyn TokenStore>) -> Self {
        self.records = Some(records);
        self
    }

    /// Loads, compiles and instantiates every handler. This takes CPU time and blocks: in an async
    /// program, call it where blocking is allowed.
    ///
    /// # Errors
    /// Returns the first error.
    pub fn build(self) -> Result<Registry, LoadError> {
        let Self { runtime, handlers, actions, actions_open, client_tokens, share_unprefixed, revocations, records } =
            self;
        actions::check_actions(&actions)?;
        let mut names = HashSet::new();
        if let Some(twice) = handlers.iter().find(|config| !names.insert(config.name.clone())) {
            return Err(LoadError::new("duplicate-name", "duplicate name; give each handler its own name")
                .in_handler(&escape_untrusted(&twice.name, MAX_NAME)));
        }
        let handlers = handlers.into_iter().map(|config| Handler::load(&runtime, config, records.clone()));
        let handlers = handlers.collect::<Result<Vec<_>, _>>()?;
        let prefixes = claims(&handlers)?;
        let unprefixed: Vec<usize> = handlers
            .iter()
            .enumerate()
            .filter(|(_, handler)| handler.prefixes.is_empty())
            .map(|(place, _)| place)
            .collect();
        if unprefixed.len() > 1 && !share_unprefixed {
            return Err(LoadError::new(
                "several-unprefixed",
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
                    "duplicate-prefix",
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
            return Err(LoadError::new("shared-key", format!(
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
                return wrong("bad-secret", "is empty; give it a value or remove it".into());
            }
            if secret.len() > handler.bound.limits.token_bytes {
                return wrong("bad-secret", "is longer than a token may be (`limits.token_bytes`)".into());
            }
            let Ok(token) = std::str::from_utf8(secret.expose()) else {
                return wrong("bad-secret", "is not UTF-8 text, so no caller could present it".into());
            };
            if handler.is_only_prefix(token) {
                return wrong("bad-secret", "is only the prefix of its handler, and no such token is accepted".into());
            }
            let owners = registry.owners(token);
            if !owners.contains(&place) {
                let owner = owners.first().and_then(|place| registry.0.handlers.get(*place));
                return match owner {
                    Some(owner) => wrong(
                        "foreign-secret",
                        format!(
                            "begins with a prefix of `{}`, which would receive it: change the secret or the prefix",
                            owner.name
                        ),
                    ),
                    None => wrong(
                        "foreign-secret",
                        "does not begin with a prefix of its handler, so no caller could present it".into(),
                    ),
                };
            }
        }
    }
    Ok(())
}

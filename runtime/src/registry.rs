//! The registry of handlers, which routes each token to its handler.

mod actions;
mod builder;
mod jwk_set;
mod presented;
pub(crate) mod redact;
mod revocations;
mod tokens;

use crate::actor::VerifiedActor;
use crate::clock::UnixTime;
use crate::component::ComponentInfo;
use crate::counts::Counts;
use crate::error::{Error, ErrorKind};
use crate::handler::{Handler, IssueContext, PARENT_REVOKED};
use crate::hook::{HookDecision, IssueHook, VerifyHook};
use crate::key_sets::KeySetStatus;
use crate::restrictions::Permission;
use crate::revocation_list::{Revocations, Subject};
use crate::runtime::Runtime;
use crate::sanitize::{MAX_NAME, escape_untrusted, list_names};
use crate::session::SessionRequest;
use crate::store::TokenStore;
use crate::token::TokenDigest;
use crate::verdict::{
    Acceptance, CreateRequest, Created, Creation, Denial, Denied, Parent, Reason, Rejection, Restrictions, Verdict,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

pub use crate::breaker::BreakerState;
pub use crate::peaks::LimitPeak;
pub use builder::RegistryBuilder;
pub use presented::{Presented, Requested};
pub use redact::IdKind;
pub use revocations::TokenRevocations;
pub use tokens::{TokenUpdate, Tokens, UpdateOutcome};

/// Maximum length of a message of a hook, in bytes.
const MAX_MESSAGE: usize = 300;

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
    /// The embedder's own check of valid tokens.
    verify_hook: Option<Arc<dyn VerifyHook>>,
    /// Maximum length of a token over all handlers, in bytes.
    token_bytes: usize,
    /// Maximum length of an actor's id over all handlers, in bytes.
    actor_id_bytes: usize,
}

/// The options of issuing a token.
#[derive(Clone, Copy, Default)]
#[expect(missing_debug_implementations, reason = "a hook has no `Debug`")]
pub struct IssueOptions<'a> {
    hook: Option<&'a dyn IssueHook>,
}

impl<'a> IssueOptions<'a> {
    /// Creates the default options: no hook.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `hook` before the token becomes valid.
    #[must_use]
    pub fn hook(self, hook: &'a dyn IssueHook) -> Self {
        Self { hook: Some(hook) }
    }
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
    /// The state of the handler's breaker.
    pub breaker: BreakerState,
    /// Number of times that the breaker has opened since the handler was loaded.
    pub breaker_openings: u64,
    /// The highest use of limits by its calls in the last five to ten minutes.
    pub peaks: Vec<LimitPeak>,
    /// The lifetime of its tokens that are requested without one, in seconds; `None` if they do not
    /// expire.
    pub default_ttl: Option<NonZeroU32>,
    /// Maximum lifetime of its tokens in seconds; `None` for no limit.
    pub max_ttl: Option<u64>,
    /// The interfaces among its grants that it has called since it was loaded, such as `keys`, or
    /// `wasi` for any of WASI's.
    pub called: Vec<&'static str>,
}

impl Registry {
    /// Creates a [`RegistryBuilder`] on `runtime`.
    pub fn builder(runtime: &Runtime) -> RegistryBuilder {
        RegistryBuilder::new(runtime)
    }

    /// Returns the [`HandlerInfo`] of each handler, in order.
    pub fn handlers(&self) -> impl Iterator<Item = HandlerInfo<'_>> {
        let seconds = self.0.runtime.shared().now().map_or(0, |now| now.seconds);
        self.0.handlers.iter().map(move |handler| {
            let (breaker, breaker_openings) = handler.breaker();
            HandlerInfo {
                name: &handler.name,
                prefixes: &handler.prefixes,
                component: handler.info(),
                counts: handler.counts(),
                breaker,
                breaker_openings,
                peaks: handler.bound.peaks.read(seconds),
                default_ttl: handler.policy.default_ttl,
                max_ttl: handler.policy.max_ttl,
                called: handler.bound.counters.called.names(),
            }
        })
    }

    /// Returns the prefixes of a handler's tokens, or `None` if no handler has that name.
    pub fn prefixes(&self, handler: &str) -> Option<&[String]> {
        self.named(handler, |_| true).ok().map(|(_, handler)| handler.prefixes.as_slice())
    }

    /// Returns whether the handler may vouch for an actor with this text as its id.
    pub fn may_vouch_for(&self, handler: &str, actor_id: &str) -> bool {
        self.named(handler, |_| true).is_ok_and(|(_, handler)| handler.policy.actors.contains(Some(actor_id)))
    }

    /// Returns whether the handler keeps records of its own tokens, so that they can be edited and
    /// rotated.
    pub fn keeps_records(&self, handler: &str) -> bool {
        self.named(handler, |_| true).is_ok_and(|(_, handler)| handler.bound.store.is_some())
    }

    /// Returns whether `wide` allows everything that `narrow` allows; `None` allows everything.
    pub fn is_covered(&self, narrow: Option<&Restrictions>, wide: Option<&Restrictions>) -> bool {
        Permission::is_covered(narrow, wide, &self.0.actions)
    }

    /// Returns the names of the known actions, each with its abbreviation, in the order of the
    /// names, and whether tokens may be restricted to others as well.
    pub fn actions(&self) -> (Vec<(&str, &str)>, bool) {
        let mut actions: Vec<_> = self.0.actions.iter().map(|(name, short)| (name.as_str(), short.as_str())).collect();
        actions.sort_unstable();
        (actions, self.0.actions_open || self.0.actions.is_empty())
    }

    /// Returns the state of each key set that a handler may use, by name.
    pub fn key_sets(&self) -> BTreeMap<String, KeySetStatus> {
        let grants = self.0.handlers.iter().flat_map(|handler| handler.bound.public_keys.values());
        grants.map(|grant| grant.set.status()).map(|status| (status.name.clone(), status)).collect()
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
        self.named(handler, |_| true)?;
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
                verdict if counts => {
                    let verdict = self.unless_revoked(handler, verdict, &digest).await?;
                    return self.unless_hook_rejects(handler, verdict).await;
                }
                _ => return Ok(Verdict::NotMine),
            }
        }
        Ok(Verdict::NotMine)
    }

    /// Identifies the user of a request by its cookies or headers, with the session handler of this
    /// name. Without a user that the handler knows, the verdict is [`Verdict::NotMine`] or a
    /// rejection.
    ///
    /// Requests that are equal in all parts that the handler and its endpoints see, and that arrive
    /// while one of them is identified, share one call. With
    /// [`SessionGrant::ttl`](crate::session::SessionGrant::ttl), later ones use its verdict. A
    /// revocation ends what was known before it.
    ///
    /// The caller must only ask for a request without a token: a token, valid or not, is never
    /// followed by cookies. Those are sent by every page that the user visits, so the caller also
    /// protects against forged requests.
    ///
    /// # Errors
    /// No [`Verdict`] is available, or no session handler has that name.
    pub async fn identify(&self, handler: &str, request: &SessionRequest) -> Result<Verdict, Error> {
        let handler = self.named(handler, |handler| handler.info().handles_sessions())?.1;
        let verdict = handler.identify(request, self.0.revocations.as_deref()).await?;
        self.unless_hook_rejects(handler, verdict).await
    }

    /// Like [`identify`](Self::identify) for callers that are not async, as
    /// [`verify_blocking`](Self::verify_blocking) is.
    ///
    /// # Errors
    /// As for `identify`.
    pub fn identify_blocking(&self, handler: &str, request: &SessionRequest) -> Result<Verdict, Error> {
        pollster::block_on(self.identify(handler, request))
    }

    /// Returns the actor of a token if its restrictions allow it to be used for a [`Permission`].
    /// They do not grant the permission: the host service decides what the actor may do.
    ///
    /// The rules are Datasette's for `_r`: an entry names the action in full or by its short name
    /// in this registry. An entry for everything covers all, an entry for a database what is in it,
    /// an entry for a resource only that resource.
    pub fn authorize<'a>(&self, acceptance: &'a Acceptance, permission: &Permission) -> Option<&'a VerifiedActor> {
        self.allows(acceptance.restrictions.as_ref(), permission).then_some(&acceptance.actor)
    }

    /// Returns whether a token with these restrictions may be used for a [`Permission`], by the
    /// rules of [`authorize`](Self::authorize). `None` allows everything that the actor may do.
    pub fn allows(&self, restrictions: Option<&Restrictions>, permission: &Permission) -> bool {
        restrictions.is_none_or(|restrictions| permission.is_allowed_by(restrictions, &self.0.actions))
    }

    /// Returns the records of issued tokens.
    ///
    /// # Errors
    /// [`ErrorKind::NoStore`] without [`RegistryBuilder::records`].
    pub fn tokens(&self) -> Result<Tokens<'_>, Error> {
        let store = self.0.records.as_ref().ok_or_else(|| Error::without_handler(ErrorKind::NoStore))?;
        Ok(Tokens::new(self, &**store))
    }

    /// Returns the revocations that are applied to verified tokens.
    ///
    /// # Errors
    /// [`ErrorKind::NoStore`] without [`RegistryBuilder::revocations`]: tokens cannot be revoked
    /// here.
    pub fn revocations(&self) -> Result<TokenRevocations<'_>, Error> {
        let list = self.0.revocations.as_ref().ok_or_else(|| Error::without_handler(ErrorKind::NoStore))?;
        Ok(TokenRevocations::new(self, list))
    }

    /// Returns whether verdicts can be given now; [`trouble`](Self::trouble) returns the reason if
    /// not.
    pub fn is_ready(&self) -> bool {
        self.trouble().is_none()
    }

    /// Returns why no verdicts can be given now, for the operator: there has been no contact with
    /// the store for too long, it has lost revocations, or this node's clock is behind the store's.
    /// `None` if verdicts can be given.
    pub fn trouble(&self) -> Option<String> {
        let revocations = self.0.revocations.as_ref()?;
        let behind = || Some(self.is_behind(revocations)?.to_string());
        revocations.trouble().or_else(behind)
    }

    /// Checks the length of an actor's id by which tokens are to be listed or revoked. No handler's
    /// token with a longer one is issued or accepted.
    ///
    /// # Errors
    /// Returns a message for the client.
    pub fn check_actor_id(&self, id: &str) -> Result<(), &'static str> {
        if id.len() <= self.0.actor_id_bytes {
            return Ok(());
        }
        Err("the actor id is longer than the ids of actors may be (`limits.actor_id_bytes`, by default 1024 bytes)")
    }

    /// Like [`verify`](Self::verify) for callers that are not async: blocks this thread, but needs
    /// no async runtime.
    ///
    /// # Errors
    /// As for `verify`.
    pub fn verify_blocking(&self, token: &str) -> Result<Verdict, Error> {
        pollster::block_on(self.verify(token))
    }

    /// Creates a token with the [handler](CreateRequest::handler) of the request. With
    /// [`RegistryBuilder::records`], a durable record of the token exists before this returns, for
    /// every handler.
    ///
    /// # Errors
    /// No token was created, and the reason is not a denial by the policy or the handler.
    pub async fn create(&self, request: CreateRequest) -> Result<Creation, Error> {
        self.create_with(request, IssueOptions::new()).await
    }

    /// Like [`create`](Self::create), with [`IssueOptions`].
    ///
    /// # Errors
    /// As for `create`, and the error of the hook.
    pub async fn create_with(&self, request: CreateRequest, options: IssueOptions<'_>) -> Result<Creation, Error> {
        self.create_in_context(request, IssueContext { hook: options.hook, ..IssueContext::default() }).await
    }

    async fn create_in_context(&self, request: CreateRequest, together: IssueContext<'_>) -> Result<Creation, Error> {
        // A session handler issues no tokens.
        let issues = |handler: &Handler| handler.info().handles_tokens();
        let (place, handler) = match request.handler.as_deref() {
            Some(name) => self.named(name, issues)?,
            None => {
                let first = self.0.handlers.iter().enumerate().find(|(_, handler)| issues(handler));
                first.ok_or_else(|| Error::without_handler(ErrorKind::NoHandler))?
            }
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
    pub fn create_blocking(&self, request: CreateRequest) -> Result<Creation, Error> {
        pollster::block_on(self.create(request))
    }

    /// Returns the full name of the action with this short name; `None` if there is none.
    pub fn action(&self, short: &str) -> Option<&str> {
        self.0.actions.iter().find(|(_, known)| *known == short).map(|(name, _)| name.as_str())
    }

    async fn unless_hook_rejects(&self, handler: &Handler, verdict: Verdict) -> Result<Verdict, Error> {
        let (Verdict::Accepted(acceptance), Some(hook)) = (&verdict, &self.0.verify_hook) else { return Ok(verdict) };
        match hook.check(acceptance).await {
            Ok(HookDecision::Accept) => Ok(verdict),
            Ok(HookDecision::Reject(message)) => Ok(Verdict::Rejected(Rejection {
                handler: None,
                reason: Reason::NotPermitted,
                message: escape_untrusted(&message, MAX_MESSAGE),
            })),
            Err(failure) => {
                Err(Error::new(&handler.name, ErrorKind::HookFailed(escape_untrusted(&failure, MAX_MESSAGE))))
            }
        }
    }

    /// Returns the current time in whole seconds.
    /// Returns the time of the runtime's clock, without a fraction of a second.
    ///
    /// # Errors
    /// The clock returns no time.
    pub fn now(&self) -> Result<UnixTime, Error> {
        Ok(self.0.runtime.shared().now().map_err(Error::without_handler)?.whole())
    }

    /// Returns the indexes of the handlers that a token may belong to, in order: one, except for
    /// shared tokens without a prefix.
    fn owners(&self, token: &str) -> &[usize] {
        match self.0.prefixes.iter().find(|(prefix, _)| token.starts_with(prefix.as_str())) {
            Some((_, place)) => std::slice::from_ref(place),
            None => &self.0.unprefixed,
        }
    }

    /// Returns the handler of this name among those of a kind, with its place.
    fn named(&self, name: &str, is_of_kind: impl Fn(&Handler) -> bool) -> Result<(usize, &Handler), Error> {
        let mut handlers = self.0.handlers.iter().enumerate().filter(|(_, handler)| is_of_kind(handler));
        handlers.clone().find(|(_, handler)| &*handler.name == name).ok_or_else(|| {
            let known = list_names(handlers.by_ref().map(|(_, handler)| &handler.name));
            Error::without_handler(ErrorKind::NoSuchHandler { name: escape_untrusted(name, MAX_NAME), known })
        })
    }
}

/// Returns a denial by the host.
fn denied(denial: Denial, message: impl Into<String>) -> Denied {
    Denied { handler: None, denial, message: message.into() }
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

//! Revocation: requests to revoke tokens, and the check of each verified token.

use super::Registry;
use crate::actor::ActorId;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind};
use crate::handler::Handler;
use crate::hook::RevocationHook;
use crate::limits::MAX_TOKEN_ID_BYTES;
use crate::revocation_list::{APART, Revocations, Ruling, Subject};
use crate::store::{NodeDirectory, Revocation, StoreError};
use crate::token::TokenDigest;
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Verdict};
use std::sync::Arc;

/// Number of seconds by which the clocks of other nodes may be ahead when no handler's leeway
/// applies, and by which `issued_until` may be in the future.
const AHEAD: u64 = 60;

/// The revocations of a [`Registry`]'s tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenRevocations<'a> {
    pub(super) registry: &'a Registry,
    list: &'a Arc<Revocations>,
}

impl<'a> TokenRevocations<'a> {
    pub(super) fn new(registry: &'a Registry, list: &'a Arc<Revocations>) -> Self {
        Self { registry, list }
    }

    /// Returns the list that this process applies.
    pub fn list(&self) -> &'a Arc<Revocations> {
        self.list
    }

    /// Reports this node to a directory: the last revocation that it has read, and the time of its
    /// clock, which the log of revocations notes too.
    ///
    /// # Errors
    /// [`ErrorKind::Store`] if the directory or the log fails.
    pub async fn report_node(&self, directory: &dyn NodeDirectory, node: &str) -> Result<(), Error> {
        let now = self.registry.now()?;
        directory.note_node(node, self.list.last(), now).await?;
        self.list.keep_clock(now).await.map_err(Error::from)
    }

    /// Revokes tokens of any handler, stored or signed. Returns the number of records that were
    /// ended; a token that was not issued here has none.
    ///
    /// The revocation is durable before this returns, and covers every verification that starts
    /// later: immediately in this process, usually within a second in others with the same store. A
    /// revocation without a token and without a time of issue covers everything issued up to now.
    ///
    /// # Errors
    /// * [`ErrorKind::BadRevocation`] if it names a token without a handler, or tokens that do not
    ///   exist yet, or if an id is longer than any that is accepted.
    /// * [`ErrorKind::TooManyPending`] as for `Store`, but this process neither rejects the tokens
    ///   nor writes the revocation later: too many others wait to be written.
    /// * [`ErrorKind::Store`] if the store did not confirm it. The tokens may then still be valid
    ///   elsewhere and after a restart. This process rejects them, and writes the revocation as
    ///   soon as it can. A retry is harmless.
    pub async fn revoke(&self, revocation: Revocation) -> Result<u64, Error> {
        let (revocation, now) = self.checked(revocation)?;
        let leeway = self.registry.leeway(revocation.handler.as_deref());
        self.list.revoke(revocation, now, leeway).await.map_err(Error::without_handler)
    }

    /// Rejects tokens in this process from now on, and revokes them once `hook` succeeds. Until
    /// then nothing is durable unless the embedder keeps it ([`Revocations::pending_since`]), and
    /// no other node knows of it.
    ///
    /// # Errors
    /// As for [`revoke`](Self::revoke), except for [`ErrorKind::Store`].
    pub fn block(&self, revocation: Revocation, hook: Arc<dyn RevocationHook>) -> Result<(), Error> {
        let (revocation, now) = self.checked(revocation)?;
        let leeway = self.registry.leeway(revocation.handler.as_deref());
        self.list.block(revocation, now, leeway, hook).map_err(Error::without_handler)
    }

    /// Returns the number of records that [`revoke`](Self::revoke) would end now.
    ///
    /// # Errors
    /// As for `revoke`.
    pub async fn count(&self, revocation: Revocation) -> Result<u64, Error> {
        let (revocation, now) = self.checked(revocation)?;
        self.list.count(&revocation, now).await.map_err(Error::from)
    }

    fn checked(&self, mut revocation: Revocation) -> Result<(Revocation, UnixTime), Error> {
        let now = self.registry.now()?;
        revocation.issued_until = revocation.issued_until.map(UnixTime::whole);
        if revocation.token_id.is_none() && revocation.token_digest.is_none() {
            revocation.issued_until.get_or_insert(now);
        }
        let bad = |text| Err(Error::without_handler(ErrorKind::BadRevocation(text)));
        if revocation.token_id.is_some() && revocation.handler.is_none() {
            return bad("revoking a token by its id requires the name of its handler");
        }
        let Revocation { handler, token_id, token_digest: _, actor_id, issued_until, keep_children: _ } = &revocation;
        if [handler, token_id, actor_id].into_iter().flatten().any(|text| text.contains('\0')) {
            return bad("a handler name, token id or actor id cannot contain a NUL");
        }
        // Every node keeps these texts for good.
        if let Some(Err(text)) = actor_id.as_ref().map(|id| self.registry.check_actor_id(id)) {
            return bad(text);
        }
        if token_id.as_ref().is_some_and(|id| id.len() > MAX_TOKEN_ID_BYTES) {
            return bad("a token id has at most 256 bytes");
        }
        if issued_until.is_some_and(|until| until > now.later(AHEAD)) {
            return bad("`issued_until` is in the future; only tokens that already exist can be revoked");
        }
        Ok((revocation, now))
    }
}

impl Registry {
    /// Returns the maximum [`leeway`](crate::HandlerConfig::leeway) of this handler, or of all, in
    /// seconds.
    fn leeway(&self, handler: Option<&str>) -> u64 {
        let covered = self.0.handlers.iter().filter(|known| handler.is_none_or(|name| name == &*known.name));
        covered.map(|handler| handler.policy.leeway).max().unwrap_or(AHEAD)
    }

    /// Applies the revocation list to a token that its handler and the policy accept.
    pub(super) async fn unless_revoked(
        &self,
        handler: &Handler,
        verdict: Verdict,
        token: &TokenDigest,
    ) -> Result<Verdict, Error> {
        let (Verdict::Accepted(acceptance), Some(revocations)) = (&verdict, &self.0.revocations) else {
            return Ok(verdict);
        };
        if self.is_revoked(handler, acceptance, Some(token)).await? {
            return Ok(Rejection::of(&handler.name, Reason::Revoked, "Token has been revoked"));
        }
        let ends = acceptance.expires_at.is_some() || handler.policy.max_idle.is_some();
        match ends.then(|| self.is_behind(revocations)).flatten() {
            Some(fault) => Err(Error::new(&handler.name, fault)),
            None => Ok(verdict),
        }
    }

    /// Returns whether a token that was accepted is on the revocation list. Its digest is needed
    /// for tokens that were revoked without an id.
    ///
    /// # Errors
    /// The list is not fresh enough, or the token's record cannot be read.
    pub(super) async fn is_revoked(
        &self,
        handler: &Handler,
        acceptance: &Acceptance,
        token: Option<&TokenDigest>,
    ) -> Result<bool, Error> {
        let Some(revocations) = &self.0.revocations else { return Ok(false) };
        let failed = |fault| Error::new(&handler.name, fault);
        let Acceptance { actor, token_id, issued_at, issue_time, .. } = acceptance;
        let subject = Subject {
            handler: &handler.name,
            token_id: token_id.as_deref(),
            token,
            actor_id: actor.id().map(ActorId::as_str),
            issued_at: issued_at.filter(|_| *issue_time != IssueTime::Claimed),
            leeway: handler.policy.leeway,
        };
        match revocations.rule(subject).map_err(|unsure| failed(unsure.into()))? {
            Ruling::Clear => Ok(false),
            // Boxed, so that the future of uncovered tokens stays small.
            Ruling::Covered => Ok(!Box::pin(handler.has_live_record(acceptance)).await.map_err(failed)?),
            Ruling::Revoked => Ok(true),
        }
    }

    /// Returns whether a revocation covers everything that an actor was given at `issued_at`, such
    /// as a sign-in. Includes what was given up to the longest
    /// [`leeway`](crate::HandlerConfig::leeway) of a handler later, because clocks differ.
    ///
    /// # Errors
    /// The revocations are not fresh enough, or this node's clock is behind, so that it cannot
    /// judge whether the sign-in has expired.
    pub fn is_actor_revoked(&self, actor_id: &str, issued_at: UnixTime) -> Result<bool, Error> {
        let Some(revocations) = &self.0.revocations else { return Ok(false) };
        if let Some(fault) = self.is_behind(revocations) {
            return Err(Error::without_handler(fault));
        }
        let subject = Subject {
            // A revocation for one handler does not concern others.
            handler: "",
            token_id: None,
            token: None,
            actor_id: Some(actor_id),
            issued_at: Some(issued_at),
            leeway: self.leeway(None),
        };
        match revocations.rule(subject).map_err(|unsure| Error::without_handler(unsure.into()))? {
            Ruling::Clear => Ok(false),
            Ruling::Covered | Ruling::Revoked => Ok(true),
        }
    }

    /// Returns why this node cannot judge expiry, if its clock is behind the newest time in the
    /// store.
    pub(super) fn is_behind(&self, revocations: &Revocations) -> Option<ErrorKind> {
        if self.0.runtime.shared().has_chosen_time() {
            return None;
        }
        let now = self.now().ok()?;
        let UnixTime { seconds: newest, .. } = revocations.is_behind(now)?;
        let UnixTime { seconds: now, .. } = now;
        Some(StoreError::new(format!(
            "this node's clock shows {now}, more than {APART} s behind the newest time in the store, {newest} (unix seconds), so \
             expiry cannot be judged. Correct the clock; if it is correct, run `keyward store accept --clock`"
        )).into())
    }
}

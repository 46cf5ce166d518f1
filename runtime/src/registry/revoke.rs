//! Revocation: asked of a registry, and applied to the tokens that it judges.

use super::{Registry, store_error};
use crate::error::{Error, ErrorKind};
use crate::handler::Handler;
use crate::revocation_list::{APART, Revocations, Ruling, Subject};
use crate::store::Revocation;
use crate::token::TokenDigest;
use crate::verdict::RevocationHook;
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Verdict};
use std::sync::Arc;

/// How far ahead of its clock a node takes tokens to have been issued, in seconds: those of another
/// whose clock is fast.
const AHEAD: u64 = 60;

impl Registry {
    /// Returns whether valid tokens can be told from others now; [`trouble`](Self::trouble) says
    /// why not.
    pub fn is_ready(&self) -> bool {
        self.trouble().is_none()
    }

    /// Returns why valid tokens cannot be told from others now, for the operator: the store has
    /// been silent for too long, has lost revocations, or the clock lies behind the store's.
    pub fn trouble(&self) -> Option<String> {
        let revocations = self.0.revocations.as_ref()?;
        let behind = || Some(self.is_behind(revocations)?.to_string());
        revocations.trouble().or_else(behind)
    }

    /// Returns the list of revocations, if tokens can be revoked here.
    pub fn revocations(&self) -> Option<&Arc<Revocations>> {
        self.0.revocations.as_ref()
    }

    /// Whether tokens can be taken back here at all.
    pub fn can_revoke(&self) -> bool {
        self.0.revocations.is_some()
    }

    /// Whether something is refused as revoked here that the store has not confirmed yet: that a
    /// token is revoked then does not say that this is durable.
    pub fn has_pending_revocations(&self) -> bool {
        self.0.revocations.as_ref().is_some_and(|revocations| revocations.has_unwritten())
    }

    /// Takes tokens back, of any handler, stored or signed. Durable before it answers, and a
    /// verification that begins later says no: at once in this process, within a second as a rule
    /// in others with the same store. Where neither a token nor a time of issue is given, it is
    /// what has been issued so far. Says how many records it ended; a token that was not made here
    /// has none.
    ///
    /// # Errors
    /// [`ErrorKind::NoStore`] without
    /// [`RegistryBuilder::revocations`](crate::RegistryBuilder::revocations).
    /// [`ErrorKind::BadRevocation`]: it names a token without a handler, or tokens that are yet to
    /// be made. [`ErrorKind::Store`]: the store did not confirm it, so the tokens must be taken to
    /// be good still elsewhere and after a restart; here they are refused, and it is written down
    /// as soon as that can be done. To ask again does no harm.
    pub async fn revoke(&self, revocation: Revocation) -> Result<u64, Error> {
        let (revocations, revocation, now) = self.revocation(revocation)?;
        let leeway = self.leeway(revocation.handler.as_deref());
        revocations.revoke(revocation, now, leeway).await.map_err(store_error)
    }

    /// Refuses tokens in this process from now on, and revokes them as soon as `hook` lets it, for
    /// as long as the process runs. Until then nothing of it is durable, and no other node knows.
    ///
    /// # Errors
    /// As for [`revoke`](Self::revoke), apart from the store's.
    pub fn block(&self, revocation: Revocation, hook: Arc<dyn RevocationHook>) -> Result<(), Error> {
        let (revocations, revocation, now) = self.revocation(revocation)?;
        let leeway = self.leeway(revocation.handler.as_deref());
        revocations.block(revocation, now, leeway, hook);
        Ok(())
    }

    /// How many records [`revoke`](Self::revoke) would end now.
    ///
    /// # Errors
    /// As for `revoke`.
    pub async fn count_revoked(&self, revocation: Revocation) -> Result<u64, Error> {
        let (revocations, revocation, now) = self.revocation(revocation)?;
        revocations.count(&revocation, now).await.map_err(store_error)
    }

    fn revocation(&self, mut revocation: Revocation) -> Result<(&Revocations, Revocation, u64), Error> {
        let Some(revocations) = &self.0.revocations else { return Err(Error::without_handler(ErrorKind::NoStore)) };
        let now = self.0.runtime.shared().now().map_err(Error::without_handler)?.seconds;
        if revocation.token_id.is_none() && revocation.token_digest.is_none() {
            revocation.issued_until.get_or_insert(now);
        }
        let bad = |text| Err(Error::without_handler(ErrorKind::BadRevocation(text)));
        if revocation.token_id.is_some() && revocation.handler.is_none() {
            return bad("a token is revoked by its id only together with its handler");
        }
        let Revocation { handler, token_id, token_digest: _, actor_id, issued_until } = &revocation;
        if [handler, token_id, actor_id].into_iter().flatten().any(|text| text.contains('\0')) {
            return bad("no handler, token or actor has a NUL in its name");
        }
        if issued_until.is_some_and(|until| until > now.saturating_add(AHEAD)) {
            return bad("`issued_until` is yet to come: tokens that are not made yet cannot be taken back");
        }
        Ok((revocations, revocation, now))
    }

    /// Returns the seconds by which clocks may be ahead that issue tokens of this handler, or of
    /// any.
    fn leeway(&self, handler: Option<&str>) -> u64 {
        let covered = self.0.handlers.iter().filter(|known| handler.is_none_or(|name| name == &*known.name));
        covered.map(|handler| handler.policy.leeway).max().unwrap_or(AHEAD)
    }

    /// Has the last word about a token that its handler and the policy accept.
    pub(super) async fn unless_revoked(
        &self,
        handler: &Handler,
        verdict: Verdict,
        token: &TokenDigest,
    ) -> Result<Verdict, Error> {
        let (Verdict::Accepted(acceptance), Some(revocations)) = (&verdict, &self.0.revocations) else {
            return Ok(verdict);
        };
        let failed = |fault| Error::new(&handler.name, fault);
        let Acceptance { actor, token_id, issued_at, issue_time, .. } = acceptance;
        let subject = Subject {
            handler: &handler.name,
            token_id: token_id.as_deref(),
            token: Some(token),
            actor_id: actor.id(),
            issued_at: issued_at.filter(|_| *issue_time != IssueTime::Claimed),
            leeway: handler.policy.leeway,
        };
        let is_valid = match revocations.rule(subject).map_err(|unsure| failed(unsure.into()))? {
            Ruling::Clear => true,
            // In a box: tokens that nothing covers need not carry it about.
            Ruling::Covered => Box::pin(handler.has_live_record(acceptance)).await.map_err(failed)?,
            Ruling::Revoked => false,
        };
        if !is_valid {
            return Ok(Rejection::of(&handler.name, Reason::Revoked, "Token has been revoked"));
        }
        let ends = acceptance.expires_at.is_some() || handler.policy.max_idle.is_some();
        match ends.then(|| self.is_behind(revocations)).flatten() {
            Some(fault) => Err(failed(fault)),
            None => Ok(verdict),
        }
    }

    /// Returns why this node cannot tell which tokens have ended, if its clock lies behind what the
    /// store has seen.
    fn is_behind(&self, revocations: &Revocations) -> Option<ErrorKind> {
        if self.0.runtime.shared().has_chosen_time() {
            return None;
        }
        let now = self.now().ok()?;
        let newest = revocations.is_behind(now)?;
        Some(ErrorKind::Store(format!(
            "this node's clock shows {now}, more than {APART} s behind the {newest} that the store has seen (unix seconds), so no \
             token is known not to have ended. Set the clock right; if it is right, run `keyward store accept --clock`"
        )))
    }
}

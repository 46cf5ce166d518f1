//! What is taken back: asked of a registry, and said of the tokens that it judges.

use super::{Registry, store_error};
use crate::error::{Error, Fault};
use crate::revocations::Revocations;
use crate::store::Revocation;
use crate::token::TokenDigest;
use crate::verdict::{Acceptance, Reason, Rejection, Verdict};

/// How far ahead of its clock a node takes tokens to have been issued, in seconds: those of another whose clock is fast.
const AHEAD: u64 = 60;

impl Registry {
    /// Whether good tokens can be told from revoked ones now: not if the store has said nothing for too long.
    pub fn is_ready(&self) -> bool {
        self.0.revocations.as_ref().is_none_or(|revocations| revocations.are_fresh())
    }

    /// Whether tokens can be taken back here at all.
    pub fn can_revoke(&self) -> bool {
        self.0.revocations.is_some()
    }

    /// Whether something is refused as revoked here that the store has not confirmed yet: that a token is revoked then does
    /// not say that this is durable.
    pub fn has_unconfirmed_revocations(&self) -> bool {
        self.0.revocations.as_ref().is_some_and(|revocations| revocations.has_unwritten())
    }

    /// Takes tokens back, of any handler, stored or signed. Durable before it answers, and a verification that begins later
    /// says no: at once in this process, within a second as a rule in others with the same store. Where neither a token nor a
    /// time of issue is given, it is what has been issued so far. Says how many records it ended; a token
    /// that was not made here has none.
    ///
    /// # Errors
    /// [`Fault::NoStore`] without [`RegistryBuilder::revocations`](crate::RegistryBuilder::revocations). [`Fault::BadRevocation`]: it names a token without a
    /// handler, or tokens that are yet to be made. [`Fault::Store`]: the store did not confirm it, so the tokens must be taken to
    /// be good still elsewhere and after a restart; here they are refused, and it is written down as soon as that can be done. To
    /// ask again does no harm.
    pub async fn revoke(&self, revocation: Revocation) -> Result<u64, Error> {
        let (revocations, revocation, now) = self.revocation(revocation)?;
        revocations.revoke(revocation, now).await.map_err(store_error)
    }

    /// Refuses tokens here from now on that cannot be revoked yet, because what must be done before that cannot be: nothing of it
    /// is durable, and no other node knows. Gives the revocation that is to follow as soon as it can, or `None` if this process
    /// has been told already, and whoever told it sees to that.
    ///
    /// # Errors
    /// As for [`revoke`](Self::revoke), but for what the store says.
    pub fn hold(&self, revocation: Revocation) -> Result<Option<Revocation>, Error> {
        let (revocations, revocation, _) = self.revocation(revocation)?;
        Ok(revocations.hold(revocation.clone()).then_some(revocation))
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
        let Some(revocations) = &self.0.revocations else { return Err(Error::without_handler(Fault::NoStore)) };
        let now = self.0.runtime.shared().now().map_err(Error::without_handler)?.seconds;
        if revocation.token_id.is_none() && revocation.token_digest.is_none() {
            revocation.issued_until.get_or_insert(now);
        }
        let bad = |text| Err(Error::without_handler(Fault::BadRevocation(text)));
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

    /// The last word about a good token.
    pub(super) fn unless_revoked(&self, verdict: Verdict, token: &TokenDigest) -> Result<Verdict, Error> {
        let (Verdict::Accepted(acceptance), Some(revocations)) = (&verdict, &self.0.revocations) else {
            return Ok(verdict);
        };
        let Acceptance { handler, actor, token_id, issued_at, .. } = acceptance;
        match revocations.include(handler, token_id.as_deref(), Some(token), actor.id(), *issued_at) {
            Ok(false) => Ok(verdict),
            Ok(true) => Ok(Rejection::of(handler, Reason::Revoked, "Token has been revoked")),
            Err(stale) => Err(Error::new(handler, stale.into())),
        }
    }
}

//! Identification of users: the cache, the shared call, and the check against revocations.

use super::{Handler, names_no_token, size};
use crate::actor::ActorId;
use crate::bindings::Answer;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind};
use crate::limits::LimitKind;
use crate::revocation_list::{Revocations, Subject};
use crate::session::SessionRequest;
use crate::session_cache::CachedSession;
use crate::verdict::{Reason, Rejection, Verdict};
use std::sync::Arc;

/// Estimated size in memory of a verdict without a user, in bytes.
const OTHER_BYTES: usize = 512;

impl Handler {
    /// Identifies the user of a request: calls the handler and judges its proposal, unless a
    /// verdict is cached, or an equal request is waiting for one.
    ///
    /// # Errors
    /// Returns an [`Error`] if no verdict is available.
    pub(crate) async fn identify(
        &self,
        request: &SessionRequest,
        list: Option<&Revocations>,
    ) -> Result<Verdict, Error> {
        let now = self.runtime.shared().now().map_err(|fault| Error::new(&self.name, fault))?;
        // What was revoked before the handler asks its service does not concern its answer.
        let version = list.map(Revocations::version);
        let key = self.sessions.hasher.key(request, &self.bound.session_parts, self.bound.generation());
        let cache = self.sessions.cache.as_ref();
        let valid =
            |session: &Arc<CachedSession>| self.is_revoked_since(session.version, &session.verdict, list).map(|is| !is);
        if let Some(session) = cache.and_then(|cache| cache.fresh(&key, now))
            && valid(&session)?
        {
            self.bound.counters.cache_hits.count();
            return Ok(session.verdict.clone());
        }
        let stale = match cache.and_then(|cache| cache.stale(&key, now)) {
            Some(session) if valid(&session)? => Some(session),
            _ => None,
        };
        // The service is asked again in the next second.
        if let Some(session) = stale.as_ref().filter(|session| session.has_failed(now)) {
            return Ok(session.verdict.clone());
        }
        let request = Arc::new(request.seen_by(&self.bound.session_parts));
        let call = || async {
            let verdict = self.identify_now(request, now).await.map_err(|fault| Error::new(&self.name, fault))?;
            // After a revocation during the call, a later call may have ended before this one.
            if let Some(cache) = cache.filter(|_| list.map(Revocations::version) == version) {
                let bytes = if let Verdict::Accepted(acceptance) = &verdict { size(acceptance) } else { OTHER_BYTES };
                cache.keep(key, CachedSession::new(verdict.clone(), now, version, bytes));
            }
            Ok(verdict)
        };
        match (self.flights.join(key, version, call).await, stale) {
            (Ok(verdict), _) if self.is_revoked_since(version, &verdict, list)? => {
                Ok(Rejection::of(&self.name, Reason::Revoked, "Session has been revoked"))
            }
            (Err(error), Some(session)) if is_outage(error.kind()) && valid(&session)? => {
                session.failed(now);
                Ok(session.verdict.clone())
            }
            (verdict, _) => verdict,
        }
    }

    async fn identify_now(&self, request: Arc<SessionRequest>, now: UnixTime) -> Result<Verdict, ErrorKind> {
        let verdict = match self.sandbox.identify(request.clone(), now).await? {
            Answer::Proposal(proposal) => self.policy.judge_session(&self.name, &self.bound.limits, proposal, now)?,
            Answer::NotMine => Verdict::NotMine,
            Answer::Rejected(reason, message) => Rejection::of(&self.name, reason, message),
        };
        for secret in request.secrets() {
            names_no_token(&verdict, &secret)?;
        }
        Ok(verdict)
    }

    /// Returns whether a user was revoked since the list had this version, which it had before the
    /// handler asked its service: an answer to a later question postdates the revocation.
    ///
    /// # Errors
    /// The list is not fresh enough.
    fn is_revoked_since(
        &self,
        version: Option<u64>,
        verdict: &Verdict,
        list: Option<&Revocations>,
    ) -> Result<bool, Error> {
        let (Verdict::Accepted(acceptance), Some(list)) = (verdict, list) else { return Ok(false) };
        let subject = Subject {
            handler: &self.name,
            token_id: None,
            token: None,
            actor_id: acceptance.actor.id().map(ActorId::as_str),
            issued_at: acceptance.issued_at,
            leeway: self.policy.leeway,
        };
        let subjects = [&*self.name, &self.sessions.scope].map(|handler| Subject { handler, ..subject });
        list.has_revoked_since(version, subjects).map_err(|unsure| Error::new(&self.name, unsure.into()))
    }
}

/// Returns whether a call failed because something is not available or busy, and not because the
/// handler or its answer is wrong.
fn is_outage(fault: &ErrorKind) -> bool {
    match fault {
        ErrorKind::Unavailable(_) | ErrorKind::Busy { .. } | ErrorKind::BreakerOpen => true,
        ErrorKind::Limit(exceeded) => exceeded.limit == LimitKind::Wall,
        _ => false,
    }
}

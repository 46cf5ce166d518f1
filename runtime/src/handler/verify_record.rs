//! Token records at verification, and their effect on a handler's result.

use super::Handler;
use crate::clock::UnixTime;
use crate::error::ErrorKind;
use crate::host::store::Records;
use crate::policy::{IDLE, Proposal, is_token_id};
use crate::store::{CommitOutcome, Record, StoredRecord};
use crate::token::TokenDigest;
use crate::verdict::{Acceptance, IssueTime, Reason, Rejection, Verdict};
use std::sync::Arc;

/// Maximum age of a record's time of last use, in seconds, before it is updated.
const LAST_USED: u64 = 60;

/// A presented token, with the key that verified its signature.
pub(super) struct Presented<'a> {
    pub(super) token: &'a str,
    pub(super) digest: &'a TokenDigest,
    pub(super) key: Option<Arc<str>>,
}

impl Handler {
    /// Returns whether records are read when a token is verified.
    pub(super) fn looks_up(&self) -> bool {
        self.notes_uses() || (!self.first_party && self.records.is_some())
    }

    /// Returns whether the record of a token restricts it.
    fn is_held(&self) -> bool {
        self.bound.store.is_some() || !self.first_party
    }

    fn notes_uses(&self) -> bool {
        self.bound.store.is_some() || self.policy.max_idle.is_some()
    }

    /// Judges a proposal together with the token's record, even if the handler did not read it;
    /// then commits the changes of the call.
    ///
    /// # Errors
    /// Returns an [`ErrorKind`] if the store fails, or if the handler's result contradicts the
    /// record.
    pub(super) async fn judge_with_record(
        &self,
        mut proposal: Proposal,
        presented: Presented<'_>,
        records: Option<Box<Records>>,
        now: UnixTime,
    ) -> Result<Verdict, ErrorKind> {
        let Records { shown, changes, .. } = *records.unwrap_or_default();
        let Presented { token, digest, key } = presented;
        // `judge` refuses an id that is not valid, or that contains the token.
        let named = proposal.token_id.as_deref().filter(|id| is_token_id(id) && !id.contains(token));
        let record = self.find_record(named, digest, shown).await?;
        if let Some((reason, message)) = record.as_ref().and_then(|record| self.policy.refuse_record(record, now)) {
            return Ok(Rejection::of(&self.name, reason, message));
        }
        let held_to = record.as_ref().filter(|_| self.is_held());
        if let Some(record) = held_to {
            // The host recorded the issue time itself, and no token may outlast its record.
            proposal.issued_at = Some(record.issued_at);
            proposal.expires_at = proposal.expires_at.into_iter().chain(record.expires_at).min();
        }
        let mut acceptance = match self.judge(proposal, token, key, now)? {
            Verdict::Accepted(acceptance) => acceptance,
            refused => return Ok(refused),
        };
        if let Some(record) = held_to {
            check_against(record, &acceptance)?;
            acceptance.issue_time = IssueTime::Recorded;
        }
        if record.is_none()
            && let Some((reason, message)) = self.refuse_unrecorded(&acceptance, now)
        {
            return Ok(Rejection::of(&self.name, reason, message));
        }
        if self.commit(changes, now).await? != CommitOutcome::Done {
            return Ok(Rejection::of(&self.name, Reason::Revoked, "Token has been revoked"));
        }
        if let Some(record) = record.filter(|_| self.notes_uses()) {
            self.note_use(&record, now);
        }
        Ok(Verdict::Accepted(acceptance))
    }

    /// Finds the record of a token that the handler accepts under the id `named`. The id of a
    /// first-party handler is trusted; a third-party handler must return the id that the host
    /// recorded with the token's digest.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Renamed`] or [`ErrorKind::BadResult`] if the id is that of another
    /// token.
    async fn find_record(
        &self,
        named: Option<&str>,
        token: &TokenDigest,
        shown: Vec<StoredRecord>,
    ) -> Result<Option<Record>, ErrorKind> {
        let by_id = match named {
            None => None,
            Some(id) => match shown.into_iter().find(|stored| stored.record.id == id) {
                Some(stored) => Some(stored),
                None => self.look_up(id).await?,
            },
        };
        let digest = by_id.as_ref().and_then(|stored| stored.token_digest);
        let by_id = by_id.map(|stored| stored.record);
        if self.first_party || digest.as_ref() == Some(token) {
            return Ok(by_id);
        }
        match (self.look_up_issued(token).await?, digest) {
            (true, _) => Err(ErrorKind::Renamed { named: named.map(str::to_owned) }),
            (false, Some(_)) => {
                Err(ErrorKind::BadResult("the token id that it returned belongs to another token".into()))
            }
            // A record without a digest was imported, or predates digests.
            (false, None) => Ok(by_id),
        }
    }

    /// Returns whether an accepted token has a record for its actor that was neither revoked nor
    /// replaced.
    pub(crate) async fn has_live_record(&self, acceptance: &Acceptance) -> Result<bool, ErrorKind> {
        let Some(id) = &acceptance.token_id else { return Ok(false) };
        let is_its = |record: &Record| acceptance.actor.has_text_id(&record.actor_id);
        let found = self.look_up(id).await?;
        Ok(found.is_some_and(|StoredRecord { record, .. }| record.ended.is_none() && is_its(&record)))
    }

    async fn look_up(&self, id: &str) -> Result<Option<StoredRecord>, ErrorKind> {
        let Some(store) = self.store() else { return Ok(None) };
        self.bound.counters.lookups.count();
        Ok(store.find(&self.name, id).await?)
    }

    /// Returns whether the handler issued exactly this token.
    async fn look_up_issued(&self, token: &TokenDigest) -> Result<bool, ErrorKind> {
        let Some(store) = self.store() else { return Ok(false) };
        self.bound.counters.lookups.count();
        Ok(store.find_issued(Some(&self.name), token).await?.is_some())
    }

    /// Rejects a token without a record if the policy requires recent use.
    fn refuse_unrecorded(&self, acceptance: &Acceptance, now: UnixTime) -> Option<(Reason, &'static str)> {
        match (&acceptance.token_id, acceptance.issued_at) {
            _ if self.policy.max_idle.is_none() => None,
            (None, _) => Some((Reason::NotPermitted, "Token has no id, so its last use is unknown")),
            (Some(_), Some(issued)) if !self.policy.is_idle(issued, now) => None,
            (Some(_), _) => Some((Reason::Expired, IDLE)),
        }
    }

    fn note_use(&self, record: &Record, now: UnixTime) {
        let is_old = |used_at: UnixTime| now.whole() >= used_at.later(LAST_USED);
        if let Some(store) = self.store()
            && record.last_used_at.is_none_or(is_old)
        {
            store.record_use(&self.name, &record.id, now.whole());
        }
    }
}

/// Checks that a token allows no more than its record, and is for the same actor.
fn check_against(record: &Record, acceptance: &Acceptance) -> Result<(), ErrorKind> {
    let kept = record.restrictions.as_ref();
    if kept.is_some_and(|kept| !kept.lists_all_of(acceptance.restrictions.as_ref())) {
        return Err(ErrorKind::BadResult("the token is less restricted than its record".into()));
    }
    if !acceptance.actor.has_text_id(&record.actor_id) {
        return Err(ErrorKind::BadResult("the token is for a different actor than its record".into()));
    }
    Ok(())
}

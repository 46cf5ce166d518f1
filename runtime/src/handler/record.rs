//! What is written down of a good token, and what that makes of it.

use super::Handler;
use crate::clock::UnixTime;
use crate::error::Fault;
use crate::host::store::Records;
use crate::policy::IDLE;
use crate::store::{Committed, Record, Stored};
use crate::verdict::{Acceptance, Reason, Rejection, Verdict};

/// How old the time of the last use may be that a record says, in seconds.
const LAST_USED: u64 = 60;

impl Handler {
    /// Whether there is more to a good token than what its handler says.
    pub(super) fn looks_up(&self) -> bool {
        self.bound.store.is_some() || self.policy.max_idle.is_some()
    }

    /// What its record says of a token that is good otherwise, whether the handler has looked at it or not; then what the call
    /// changes is kept.
    pub(super) async fn with_record(
        &self,
        mut acceptance: Acceptance,
        records: Records,
        now: UnixTime,
    ) -> Result<Verdict, Fault> {
        let Records { shown, changes, .. } = records;
        let record = match &acceptance.token_id {
            None => None,
            Some(id) => match shown.into_iter().find(|record| record.id == *id) {
                Some(record) => Some(record),
                None => self.look_up(id).await?,
            },
        };
        if let Some((reason, message)) = self.refuse(&acceptance, record.as_ref(), now) {
            return Ok(Rejection::of(&self.name, reason, message));
        }
        if let Some(record) = &record
            && self.bound.store.is_some()
        {
            hold_to(record, &mut acceptance)?;
        }
        if self.commit(changes, now).await? != Committed::Done {
            return Ok(Rejection::of(&self.name, Reason::Revoked, "Token has been revoked"));
        }
        if let Some(record) = record {
            self.note_use(&record, now);
        }
        Ok(Verdict::Accepted(acceptance))
    }

    async fn look_up(&self, id: &str) -> Result<Option<Record>, Fault> {
        let Some(store) = self.store() else { return Ok(None) };
        self.bound.counters.lookups.count();
        let found = store.find(&self.name, id).await.map_err(|error| Fault::Store(error.to_string()))?;
        Ok(found.map(|Stored { record, .. }| record))
    }

    /// Why a token is not good by its record, or for want of one.
    fn refuse(
        &self,
        acceptance: &Acceptance,
        record: Option<&Record>,
        now: UnixTime,
    ) -> Option<(Reason, &'static str)> {
        match (record, &acceptance.token_id, acceptance.issued_at) {
            (Some(record), ..) => self.policy.refuse_record(record, now),
            _ if self.policy.max_idle.is_none() => None,
            (None, None, _) => Some((Reason::NotPermitted, "Token has no id, so nobody knows when it was last used")),
            (None, Some(_), Some(issued)) if !self.policy.is_idle(issued, now) => None,
            (None, Some(_), _) => Some((Reason::Expired, IDLE)),
        }
    }

    fn note_use(&self, record: &Record, now: UnixTime) {
        let is_old = |used_at: u64| now.seconds >= used_at.saturating_add(LAST_USED);
        if let Some(store) = self.store()
            && record.last_used_at.is_none_or(is_old)
        {
            store.used(&self.name, &record.id, now.seconds);
        }
    }
}

/// What an edit has changed of a record counts, whatever the handler makes of it.
fn hold_to(record: &Record, acceptance: &mut Acceptance) -> Result<(), Fault> {
    let kept = record.restrictions.as_ref();
    if kept.is_some_and(|kept| !kept.lists_all_of(acceptance.restrictions.as_ref())) {
        return Err(Fault::BadResult("the token is less restricted than its record".into()));
    }
    if acceptance.actor.id() != Some(&record.actor_id) {
        return Err(Fault::BadResult("the token is for another actor than its record".into()));
    }
    // Nothing that is asked for with it is to last longer.
    acceptance.expires_at = acceptance.expires_at.into_iter().chain(record.expires_at).min();
    Ok(())
}

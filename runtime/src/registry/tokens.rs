//! Administration of issued tokens: listing, editing and rotating their records.

use super::{IssueOptions, Registry, denied};
use crate::clock::{MAX_SECONDS, UnixTime};
use crate::error::Error;
use crate::handler::{Handler, IssueContext};
use crate::policy::MAX_DESCRIPTION_BYTES;
use crate::restrictions::Permission;
use crate::revocation_list::{Ruling, Subject};
use crate::store::{
    CommitOutcome, Cursor, Filter, ListPage, Record, RecordUpdate, Status, StatusCount, StoredRecord, TokenStore,
    TokenTerms, Transaction,
};
use crate::token::TokenId;
use crate::verdict::{CreateRequest, Creation, Denial, Denied, Restrictions};
use std::fmt;
use std::time::Duration;

/// An update of a record. Fields that are `None` stay unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "written with `..TokenUpdate::default()`")]
pub struct TokenUpdate {
    /// The new note; `Some(None)` removes it.
    pub description: Option<Option<String>>,
    /// An earlier expiry.
    pub expires_at: Option<UnixTime>,
    /// Narrower restrictions, in full action names.
    pub restrictions: Option<Restrictions>,
}

/// Lists the changed terms, for the decision log and the audit log.
impl fmt::Display for TokenUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { description, expires_at, restrictions } = self;
        let named = [
            description.as_ref().map(|_| "description".to_owned()),
            expires_at.map(|end| format!("expires_at {}", end.seconds)),
            restrictions.as_ref().map(|_| "restrictions".to_owned()),
        ];
        f.write_str(&named.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// The outcome of a [`TokenUpdate`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[expect(clippy::large_enum_variant, reason = "only one exists at a time, nearly always the large variant")]
#[expect(clippy::exhaustive_enums, reason = "no caller may miss an outcome")]
pub enum UpdateOutcome {
    /// The record is updated, durably, for every verification that starts from now on.
    Done(Record),
    /// The update was denied.
    Denied(Denied),
    /// No such record exists.
    Unknown,
}

/// The records of a [`Registry`]'s tokens.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a store has no `Debug`")]
pub struct Tokens<'a> {
    registry: &'a Registry,
    store: &'a dyn TokenStore,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(registry: &'a Registry, store: &'a dyn TokenStore) -> Self {
        Self { registry, store }
    }

    /// Returns the store.
    pub fn store(&self) -> &'a dyn TokenStore {
        self.store
    }

    /// Returns up to `max` records that match the filter, newest first. `after` is the [`Cursor`]
    /// of the last record of the previous page, or its [`stopped_at`](ListPage::stopped_at): a page
    /// may be short although more records match. This fills in the filter's `idle` from the
    /// handlers' [`max_idle`](crate::HandlerConfig::max_idle).
    ///
    /// # Errors
    /// [`ErrorKind::Store`](crate::error::ErrorKind::Store) if the store fails.
    pub async fn list(&self, filter: Filter, after: Option<&Cursor>, max: u32) -> Result<ListPage, Error> {
        let now = self.registry.now()?;
        let unused_since = filter.unused_since.map(UnixTime::whole);
        let after = after.map(|after| Cursor { issued_at: after.issued_at.whole(), ..after.clone() });
        let filter = Filter { idle: self.idle(now), unused_since, ..filter };
        self.store.list(&filter, after.as_ref(), max, now).await.map_err(Error::from)
    }

    /// Returns the [`Record`] of a token.
    ///
    /// # Errors
    /// As for [`list`](Self::list), or no handler has that name.
    pub async fn find(&self, token: &TokenId) -> Result<Option<Record>, Error> {
        self.registry.named(&token.handler, |_| true)?;
        let found = self.store.find(&token.handler, &token.id).await?;
        Ok(found.map(|StoredRecord { record, .. }| record))
    }

    /// Returns the current [`Status`] of a record of this handler.
    ///
    /// # Errors
    /// The clock returns no time.
    pub fn status(&self, handler: &str, record: &Record) -> Result<Status, Error> {
        let now = self.registry.now()?;
        let handler = self.handler(handler).ok();
        Ok(record.status(now, handler.and_then(|handler| handler.policy.idle_before(now))))
    }

    /// Returns the number of records by handler and [`Status`].
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub async fn tally(&self) -> Result<Vec<StatusCount>, Error> {
        let now = self.registry.now()?;
        self.store.tally(&self.idle(now), now).await.map_err(Error::from)
    }

    /// Applies a [`TokenUpdate`] to a token's record. Expiry can only be brought forward and
    /// restrictions can only be tightened, and both only for handlers that look up their tokens.
    ///
    /// # Errors
    /// As for [`list`](Self::list), or no handler has that name.
    pub async fn edit(&self, token: &TokenId, amendment: TokenUpdate) -> Result<UpdateOutcome, Error> {
        let TokenId { handler, id } = token;
        let Some(record) = self.find(token).await? else { return Ok(UpdateOutcome::Unknown) };
        let now = self.registry.now()?;
        let owner = self.handler(handler)?;
        let before = record.terms();
        let after = match self.amended(owner, &record, amendment, now) {
            Ok(after) => after,
            Err((denial, message)) => return Ok(UpdateOutcome::Denied(denied(denial, message))),
        };
        let edit = RecordUpdate { id: id.clone(), before, after: after.clone(), replaced: false };
        let changes = Transaction { at: now, edit: Some(edit), ..Transaction::default() };
        match self.store.commit(handler, changes).await? {
            CommitOutcome::Done => {
                let TokenTerms { description, expires_at, restrictions } = after;
                Ok(UpdateOutcome::Done(Record { description, expires_at, restrictions, ..record }))
            }
            _ => Ok(UpdateOutcome::Denied(denied(
                Denial::NotPermitted,
                "the token was changed or revoked in the meantime: read it again and retry",
            ))),
        }
    }

    /// Replaces a token by a new one of the same handler, for the same actor, with the same
    /// restrictions, note and expiry. The old token ends immediately, or remains valid for at most
    /// `overlap` longer, in whole seconds. Returns `None` if there is no such record.
    ///
    /// # Errors
    /// As for [`list`](Self::list) and [`Registry::create_with`].
    pub async fn rotate(
        &self,
        token: &TokenId,
        overlap: Duration,
        options: IssueOptions<'_>,
    ) -> Result<Option<Creation>, Error> {
        let TokenId { handler, id } = token;
        let Some(record) = self.find(token).await? else { return Ok(None) };
        let now = self.registry.now()?;
        let no = |message: &str| Ok(Some(Creation::Denied(denied(Denial::NotPermitted, message))));
        let owner = self.handler(handler)?;
        if let Err(message) = may_change(owner, &record, now) {
            return no(message);
        }
        // The store may not have this revocation yet. A cutoff that it has would have ended the
        // record.
        if let Some(revocations) = &self.registry.0.revocations {
            let subject = Subject {
                handler,
                token_id: Some(id),
                token: None,
                actor_id: Some(&record.actor_id),
                issued_at: Some(record.issued_at),
                leeway: owner.policy.leeway,
            };
            match revocations.rule(subject) {
                Ok(Ruling::Clear | Ruling::Covered) => {}
                Ok(Ruling::Revoked) => return no("the token has been revoked"),
                Err(unsure) => return Err(Error::new(&owner.name, unsure.into())),
            }
        }
        let before = record.terms();
        let cut = now.later(overlap.as_secs());
        let expires_at = Some(before.expires_at.map_or(cut, |end| end.min(cut)));
        let after = if overlap.as_secs() == 0 { before.clone() } else { TokenTerms { expires_at, ..before.clone() } };
        let Record { actor_id, description, restrictions, client, parent, .. } = record;
        // The expiry is taken from the old token where the new one is created.
        let request =
            CreateRequest { restrictions, description, client, ..CreateRequest::new(actor_id).handler(handler) };
        let edit = RecordUpdate { id: id.clone(), before, after, replaced: overlap.as_secs() == 0 };
        let context = IssueContext { hook: options.hook, edit: Some(edit), parent, ..IssueContext::default() };
        self.registry.create_in_context(request, context).await.map(Some)
    }

    fn amended(
        &self,
        handler: &Handler,
        record: &Record,
        amendment: TokenUpdate,
        now: UnixTime,
    ) -> Result<TokenTerms, (Denial, String)> {
        let TokenUpdate { description, expires_at, restrictions } = amendment;
        let expires_at = expires_at.map(UnixTime::whole);
        let wrong = |text: &str| Err((Denial::InvalidRequest, text.to_owned()));
        if expires_at.is_some() || restrictions.is_some() {
            may_change(handler, record, now).map_err(|message| (Denial::NotPermitted, message.to_owned()))?;
        }
        if let Some(restrictions) = &restrictions {
            let known = self.registry.check_known_actions(restrictions, record.restrictions.as_ref());
            known.map_err(|message| (Denial::InvalidRequest, message))?;
        }
        let restrictions = restrictions.map(|restrictions| self.registry.abbreviate(restrictions));
        if description.iter().flatten().any(|text| text.len() > MAX_DESCRIPTION_BYTES) {
            return wrong("`description` has more than 4096 bytes: shorten it");
        }
        if expires_at.is_some_and(|end| record.expires_at.is_some_and(|known| end > known)) {
            return wrong("`expires_at` is later than the token's expiry: it can only be brought forward");
        }
        if expires_at.is_some_and(|end| end.seconds > MAX_SECONDS) {
            return wrong("`expires_at` is after the year 9999: give it in seconds");
        }
        if expires_at.is_some_and(|end| end < now) {
            return wrong("`expires_at` is in the past: revoke the token instead");
        }
        if restrictions.is_some()
            && !Permission::is_covered(restrictions.as_ref(), record.restrictions.as_ref(), &self.registry.0.actions)
        {
            return wrong("`restrictions` exceed those of the token: they can only be tightened");
        }
        Ok(TokenTerms {
            description: description.unwrap_or_else(|| record.description.clone()),
            expires_at: expires_at.or(record.expires_at),
            restrictions: restrictions.or_else(|| record.restrictions.clone()),
        })
    }

    /// Returns the handlers whose tokens expire when idle, each with its cutoff: a token that has
    /// been idle since before that second is expired.
    fn idle(&self, now: UnixTime) -> Vec<(String, UnixTime)> {
        let idle = |handler: &Handler| Some((handler.name.to_string(), handler.policy.idle_before(now)?));
        self.registry.0.handlers.iter().filter_map(idle).collect()
    }

    fn handler(&self, name: &str) -> Result<&'a Handler, Error> {
        Ok(self.registry.named(name, |_| true)?.1)
    }
}

/// Checks that the record of a token is active, and that its terms apply to the token.
fn may_change(handler: &Handler, record: &Record, now: UnixTime) -> Result<(), &'static str> {
    if handler.bound.store.is_none() {
        return Err(
            "tokens of this handler carry their own restrictions and expiry: revoke the token and create another",
        );
    }
    match record.status(now, handler.policy.idle_before(now)) {
        Status::Active => Ok(()),
        Status::Expired => Err("the token has expired"),
        Status::Revoked => Err("the token has been revoked"),
        Status::Replaced => Err("the token has been replaced"),
    }
}

//! Making tokens: what is asked for, what the handler makes of it, and what is kept of that.

use super::Handler;
use crate::bindings::Answer;
use crate::checksum;
use crate::clock::{MAX_SECONDS, UnixTime};
use crate::error::{Error, Fault};
use crate::host::store::Records;
use crate::policy::{is_actor_id, is_token_id};
use crate::sandbox::{Creating, Made, Verified};
use crate::store::{Changes, Committed, Edit, Insert, Record, Stored, Terms};
use crate::token::{TokenDigest, is_token_text};
use crate::verdict::{Acceptance, CreateRequest, Created, Creation, Denial, Denied, Verdict, Witness};
use std::num::NonZeroU32;

/// Refuses a token that the handler has issued before.
const DUPLICATE: &str = "it, or its id, was issued before, so the handler's randomness may be constant (JavaScript that is \
     built without WASI has a constant `crypto.getRandomValues`): have the handler use the import `random`";

/// What a token is made together with.
#[derive(Default)]
pub(crate) struct Together<'a> {
    /// Is told of the token before it is good.
    pub(crate) witness: Option<&'a dyn Witness>,
    /// What becomes of the record in whose place it is made.
    pub(crate) edit: Option<Edit>,
}

impl Handler {
    /// Asks the handler for a token, unless the policy refuses at once. `check` is for what the registry knows: whether the
    /// token would be shown to this handler, and be good. It is given the second in which the token was made. What is to be kept
    /// of the token is kept when all is well.
    pub(crate) async fn create(
        &self,
        request: CreateRequest,
        together: Together<'_>,
        check: impl Fn(&Created, u64) -> Result<(), Fault>,
    ) -> Result<Creation, Error> {
        let made = async {
            let now = self.runtime.shared().now()?;
            let denied = |handler, denial, message| Ok(Creation::Denied(Denied { handler, denial, message }));
            let request = match self.admit(request, &together, now.seconds) {
                Ok(request) => request,
                Err((denial, message)) => return denied(None, denial, message),
            };
            let check_new = !self.first_party || request.parent.is_some();
            let Creating { made, records, checked } = self.sandbox.create(request.clone(), now, check_new).await?;
            let Records { mut changes, .. } = records;
            let created = match made {
                Made::Denied(denial, message) => return denied(Some(self.name.clone()), denial, message),
                Made::Token(made, key) => {
                    Created { key, ..self.check_created(made.token, made.token_id, made.expires_at)? }
                }
            };
            check_recorded(&created, &changes)?;
            check_end(&created, request.expires_after, now)?;
            check(&created, now.seconds)?;
            if let Some(verified) = checked {
                self.check_verified(&created, &request, verified?, now)?;
            }
            changes.edit = together.edit;
            self.keep(&created, &request, now, &mut changes);
            if changes.insert.is_none() && (self.policy.max_tokens_per_actor.is_some() || changes.edit.is_some()) {
                return Err(Fault::BadResult("the token has no id, so no record of it can be kept".into()));
            }
            if let Some(witness) = together.witness {
                witness.made(&created).await.map_err(Fault::Unwitnessed)?;
            }
            match self.commit(changes, now).await? {
                Committed::Done => Ok(Creation::Created(created)),
                Committed::Full => denied(None, Denial::NotPermitted, self.is_full()),
                Committed::FullForActor => denied(None, Denial::NotPermitted, self.is_full_for_actor()),
                Committed::Duplicate => Err(Fault::BadToken(DUPLICATE)),
                Committed::Ended => denied(None, Denial::NotPermitted, "what it would replace has ended".into()),
                Committed::Changed => {
                    denied(None, Denial::NotPermitted, "what it would replace has changed meanwhile: ask again".into())
                }
            }
        };
        made.await.map_err(|fault| Error::new(&self.name, fault))
    }

    /// The request as the policy lets it through, with the lifetime that the token is to have.
    fn admit(
        &self,
        request: CreateRequest,
        together: &Together<'_>,
        now: u64,
    ) -> Result<CreateRequest, (Denial, String)> {
        let id = &request.actor_id;
        if !is_actor_id(id) {
            return Err((
                Denial::InvalidRequest,
                "an actor id has a visible character and no control characters".into(),
            ));
        }
        let max = self.bound.limits.actor_id_bytes;
        if id.len() > max {
            return Err((Denial::InvalidRequest, format!("the actor id has {} bytes of {max} allowed", id.len())));
        }
        if !self.policy.actors.include(Some(id)) {
            return Err((Denial::NotPermitted, format!("handler `{}` may not vouch for this actor", self.name)));
        }
        let parent_ends = request.parent.as_ref().and_then(|parent| parent.expires_at);
        let wanted = match &together.edit {
            // As long as the one in whose place it is made.
            Some(Edit { before: Terms { expires_at: Some(end), .. }, .. }) => {
                let left = u32::try_from(end.saturating_sub(now)).unwrap_or(u32::MAX);
                Some(NonZeroU32::new(left).ok_or_else(|| (Denial::NotPermitted, "it ends now".to_owned()))?)
            }
            _ => request.expires_after,
        };
        let expires_after = self.policy.lifetime(wanted, parent_ends, now);
        let expires_after = expires_after.map_err(|message| (Denial::NotPermitted, message))?;
        Ok(CreateRequest { expires_after, ..request })
    }

    /// Checks what the handler says of its new token against what it said when it made it, and against what was asked for. One
    /// that names a token differently later could not be revoked by its id, and a child could be wider than its parent.
    fn check_verified(
        &self,
        created: &Created,
        request: &CreateRequest,
        verified: Verified,
        now: UnixTime,
    ) -> Result<(), Fault> {
        let bad = |text| Err(Fault::BadToken(text));
        let Answer::Proposal(proposal) = verified.answer else { return bad("its handler does not accept it") };
        let Verdict::Accepted(acceptance) = self.judge(proposal, &created.token, None, now)? else {
            return bad("its handler's policy does not accept it");
        };
        let Acceptance { actor, restrictions, token_id, issued_at, expires_at, .. } = acceptance;
        if token_id != created.token_id {
            return bad("its handler names it differently when it verifies it");
        }
        if actor.id() != Some(&request.actor_id) {
            return bad("it is not for the actor that was asked for");
        }
        if request.restrictions.as_ref().is_some_and(|wanted| !wanted.lists_all_of(restrictions.as_ref())) {
            return bad("it is not restricted as was asked for");
        }
        if created.expires_at.is_some_and(|end| expires_at.is_none_or(|own| own > end)) {
            return bad("it ends later when it is verified than its handler said");
        }
        if issued_at.is_some_and(|issued| issued.abs_diff(now.seconds) > self.policy.leeway) {
            return bad("its time of issue is not now");
        }
        Ok(())
    }

    /// Adds what the host itself knows to the record that the handler has made, or makes one if it has made none.
    fn keep(&self, created: &Created, request: &CreateRequest, now: UnixTime, changes: &mut Changes) {
        if changes.insert.is_none()
            && self.store().is_some()
            && let Some(id) = &created.token_id
        {
            let record = Record {
                id: id.clone(),
                actor_id: request.actor_id.clone(),
                description: request.description.clone(),
                restrictions: request.restrictions.clone(),
                issued_at: now.seconds,
                expires_at: created.expires_at,
                last_used_at: None,
                ended: None,
                caller: None,
                key: None,
            };
            let stored = Stored { record, digest: None, token_digest: None };
            changes.insert = Some(Insert {
                stored,
                replace: false,
                most: self.bound.store.as_ref().map_or(u64::MAX, |grant| grant.most),
                most_per_actor: None,
                idle_before: None,
                same_is_fine: self.first_party,
            });
        }
        if let Some(insert) = &mut changes.insert {
            // One that takes another's place needs none of its own.
            let extra = u64::from(changes.edit.is_some());
            insert.most = insert.most.saturating_add(extra);
            insert.most_per_actor = self.policy.max_tokens_per_actor.map(|most| most.saturating_add(extra));
            insert.idle_before = self.policy.idle_before(now.seconds);
            insert.stored.token_digest = Some(TokenDigest::of(&created.token));
            insert.stored.record.caller.clone_from(&request.caller);
            insert.stored.record.key = created.key.as_deref().map(str::to_owned);
        }
    }

    fn is_full(&self) -> String {
        let most = self.bound.store.as_ref().map_or(u64::MAX, |grant| grant.most);
        format!("handler `{}` has {most} tokens, as many as it may (`store.tokens`)", self.name)
    }

    fn is_full_for_actor(&self) -> String {
        let most = self.policy.max_tokens_per_actor.unwrap_or(u64::MAX);
        format!("the actor has {most} tokens of handler `{}`, as many as it may (`max_tokens_per_actor`)", self.name)
    }

    fn check_created(
        &self,
        token: String,
        token_id: Option<String>,
        expires_at: Option<u64>,
    ) -> Result<Created, Fault> {
        if token.is_empty() {
            return Err(Fault::BadToken("it is empty"));
        }
        if token.len() > self.bound.limits.token_bytes {
            return Err(Fault::BadToken("it is longer than `limits.token_bytes`"));
        }
        if !is_token_text(&token) {
            return Err(Fault::BadToken("it has characters other than `A-Z a-z 0-9 . _ ~ + / = -`"));
        }
        if token_id.as_deref().is_some_and(|id| !is_token_id(id)) {
            return Err(Fault::BadResult(
                "the token id is not 1 to 256 printable ASCII characters without a blank at either end".into(),
            ));
        }
        if expires_at.is_some_and(|time| time > MAX_SECONDS) {
            return Err(Fault::BadResult("a time is after the year 9999".into()));
        }
        if self.checksum && !checksum::fits(&token) {
            return Err(Fault::BadToken("it does not end with its checksum"));
        }
        if self.is_only_prefix(&token) {
            return Err(Fault::BadToken("it is only a prefix of its handler"));
        }
        if !self.is_of_its_form(&token) {
            return Err(Fault::BadToken("it has none of the forms that its component states"));
        }
        Ok(Created { handler: self.name.clone(), token, token_id, expires_at, key: None })
    }
}

/// A token ends when it was to end, or sooner.
fn check_end(created: &Created, expires_after: Option<NonZeroU32>, now: UnixTime) -> Result<(), Fault> {
    let Some(lifetime) = expires_after else { return Ok(()) };
    let latest = now.seconds.saturating_add(lifetime.get().into());
    if created.expires_at.is_none_or(|end| end > latest) {
        return Err(Fault::BadResult("the token ends later than was asked for".into()));
    }
    Ok(())
}

/// Whether what is said of a token is what is written down of it.
fn check_recorded(created: &Created, changes: &Changes) -> Result<(), Fault> {
    let Some(Insert { stored: Stored { record, .. }, .. }) = &changes.insert else { return Ok(()) };
    if created.token_id.as_ref() != Some(&record.id) || created.expires_at != record.expires_at {
        return Err(Fault::BadResult("the token's id or its end is not that of its record".into()));
    }
    Ok(())
}

//! Issuing tokens: checks the request, calls the handler, checks its result and writes the record.

use super::Handler;
use crate::bindings::Answer;
use crate::checksum;
use crate::clock::{MAX_SECONDS, UnixTime};
use crate::error::{Error, ErrorKind};
use crate::hook::IssueHook;
use crate::host::store::Records;
use crate::policy::{MAX_DESCRIPTION_BYTES, is_actor_id, is_token_id, too_large};
use crate::sandbox::{Creating, IssueOutcome, VerifyOutcome};
use crate::store::{CommitOutcome, NewRecord, Record, RecordUpdate, StoredRecord, TokenTerms, Transaction};
use crate::token::{TokenDigest, TokenId, is_token_text};
use crate::verdict::{Acceptance, CreateRequest, Created, Creation, Denial, Denied, Verdict};
use std::num::NonZeroU32;

/// The error message for a token that the handler has issued before.
const DUPLICATE: &str = "it or its id was issued before, so the handler's randomness may be constant (JavaScript built \
     without WASI has a constant `crypto.getRandomValues`): use the `random` import in the handler";

/// The message if the parent of a token was revoked while the token was being issued.
pub(crate) const PARENT_REVOKED: &str = "the presented token has been revoked";

/// Maximum length of the members that a built-in handler and the host add to an actor's id and
/// restrictions, in bytes.
const OTHER_MEMBERS: usize = 256;

/// The context in which a token is issued.
#[derive(Default)]
pub(crate) struct IssueContext<'a> {
    /// The hook to call before the token becomes valid.
    pub(crate) hook: Option<&'a dyn IssueHook>,
    /// The update of the record that the token replaces.
    pub(crate) edit: Option<RecordUpdate>,
    /// The parent of the token that the token replaces.
    pub(crate) parent: Option<TokenId>,
    /// Maximum number of valid tokens that the client of the request may have issued.
    pub(crate) max_per_client: Option<u64>,
}

impl Handler {
    /// Issues a token, unless the policy denies the request, and commits its record.
    ///
    /// `check` is the registry's check that the token would be routed to this handler and be valid.
    /// Its second argument is when the token was issued.
    ///
    /// # Errors
    /// Returns an [`Error`] if the handler, the hook, the store or a check fails.
    pub(crate) async fn create(
        &self,
        request: CreateRequest,
        context: IssueContext<'_>,
        check: impl Fn(&Created, UnixTime) -> Result<(), ErrorKind>,
    ) -> Result<Creation, Error> {
        let made = async {
            let now = self.runtime.shared().now()?;
            let denied = |handler, denial, message| Ok(Creation::Denied(Denied { handler, denial, message }));
            let request = match self.admit(request, &context, now.whole()) {
                Ok(request) => request,
                Err((denial, message)) => return denied(None, denial, message),
            };
            let check_new = !self.first_party || request.parent.is_some() || self.may_be_too_large(&request);
            let Creating { made, records, checked } = self.sandbox.create(&request, now, check_new).await?;
            let Records { mut changes, .. } = *records.unwrap_or_default();
            let created = match made {
                IssueOutcome::Denied(denial, message) => return denied(Some(self.name.clone()), denial, message),
                // Third-party handlers must not create such tokens: only the restrictions of the
                // request make a token of a built-in handler so long.
                IssueOutcome::Token(made, _)
                    if self.first_party && made.token.len() > self.bound.limits.token_bytes =>
                {
                    let (bytes, max) = (made.token.len(), self.bound.limits.token_bytes);
                    let message = format!(
                        "the token would have {bytes} bytes, more than the {max} allowed (`limits.token_bytes`): request fewer restrictions"
                    );
                    return denied(None, Denial::InvalidRequest, message);
                }
                IssueOutcome::Token(made, key) => Created {
                    key,
                    ..self.check_created(made.token, made.token_id, made.expires_at.map(UnixTime::from_seconds))?
                },
            };
            check_recorded(&created, &changes)?;
            check_end(&created, request.expires_after, now)?;
            check(&created, now.whole())?;
            if let Some(verified) = checked {
                let verified = verified?;
                if let Answer::Proposal(proposal) = &verified.answer
                    && let Some(message) = too_large(proposal, &self.bound.limits)
                {
                    return denied(None, Denial::InvalidRequest, message);
                }
                self.check_verified(&created, &request, verified, now)?;
            }
            let IssueContext { hook, edit, parent, max_per_client } = context;
            changes.edit = edit;
            self.keep(&created, &request, now, (parent, max_per_client), &mut changes);
            let needs_record = self.policy.max_tokens_per_actor.or(max_per_client).is_some()
                || changes.edit.is_some()
                || self.has_recorded_parent(&request);
            if changes.insert.is_none() && needs_record {
                return Err(ErrorKind::BadResult("the token has no id, so its record cannot be kept".into()));
            }
            if let Some(hook) = hook {
                hook.before_commit(&created).await.map_err(ErrorKind::AuditUnavailable)?;
            }
            match self.commit(changes, now).await? {
                CommitOutcome::Done => Ok(Creation::Created(created)),
                CommitOutcome::Full => denied(None, Denial::NotPermitted, self.is_full()),
                CommitOutcome::FullForActor => denied(None, Denial::NotPermitted, self.is_full_for_actor()),
                CommitOutcome::FullForClient => {
                    let max = max_per_client.unwrap_or(u64::MAX);
                    let text = format!("the client has reached its limit of {max} tokens (`max_tokens`)");
                    denied(None, Denial::NotPermitted, text)
                }
                CommitOutcome::Duplicate if self.first_party => Err(ErrorKind::JustIssued),
                CommitOutcome::Duplicate => Err(ErrorKind::BadToken(DUPLICATE)),
                CommitOutcome::Ended => {
                    denied(None, Denial::NotPermitted, "the token to replace has been revoked or replaced".into())
                }
                CommitOutcome::ParentEnded => denied(None, Denial::NotPermitted, PARENT_REVOKED.into()),
                CommitOutcome::Changed => {
                    denied(None, Denial::NotPermitted, "the token to replace has changed: retry".into())
                }
            }
        };
        made.await.map_err(|fault| Error::new(&self.name, fault))
    }

    /// Checks the request against the policy and returns it with the lifetime of the token.
    ///
    /// # Errors
    /// Returns a [`Denial`] and a message for the client if the policy denies the request.
    fn admit(
        &self,
        request: CreateRequest,
        context: &IssueContext<'_>,
        now: UnixTime,
    ) -> Result<CreateRequest, (Denial, String)> {
        let id = &request.actor_id;
        if !is_actor_id(id) {
            return Err((
                Denial::InvalidRequest,
                "an actor id must have a visible character and no control characters".into(),
            ));
        }
        let max = self.bound.limits.actor_id_bytes;
        if id.len() > max {
            return Err((
                Denial::InvalidRequest,
                format!("the actor id has {} bytes, more than the {max} allowed", id.len()),
            ));
        }
        let description = request.description.as_ref().map_or(0, String::len);
        // A replacement keeps the note of the token that it replaces, which may be older than the
        // limit.
        if description > MAX_DESCRIPTION_BYTES && context.edit.is_none() {
            return Err((
                Denial::InvalidRequest,
                format!("the description has {description} bytes, more than the {MAX_DESCRIPTION_BYTES} allowed"),
            ));
        }
        if !self.policy.actors.contains(Some(id)) {
            return Err((Denial::NotPermitted, format!("handler `{}` may not vouch for this actor", self.name)));
        }
        if let Some(restrictions) = &request.restrictions {
            let bytes = serde_json::to_string(restrictions)
                .map_or(usize::MAX, |json| json.len())
                .saturating_add(id.len())
                .saturating_add(OTHER_MEMBERS);
            let max = self.bound.limits.actor_bytes;
            if bytes > max {
                let text = format!(
                    "the actor and its restrictions would have about {bytes} bytes, more than the {max} allowed \
                     (`limits.actor_bytes`): request fewer restrictions"
                );
                return Err((Denial::InvalidRequest, text));
            }
        }
        let parent_ends = request.parent.as_ref().and_then(|parent| parent.0.expires_at);
        let wanted = match &context.edit {
            // A replacement expires when the token that it replaces would expire.
            Some(RecordUpdate { before: TokenTerms { expires_at: Some(end), .. }, .. }) => {
                let left = u32::try_from(end.seconds_since(now)).unwrap_or(u32::MAX);
                Some(
                    NonZeroU32::new(left)
                        .ok_or_else(|| (Denial::NotPermitted, "the token to replace expires now".to_owned()))?,
                )
            }
            _ => request.expires_after,
        };
        let expires_after = self.policy.lifetime(wanted, parent_ends, now);
        let expires_after = expires_after.map_err(|message| (Denial::NotPermitted, message))?;
        Ok(CreateRequest { expires_after, ..request })
    }

    /// Returns whether the actor of a requested token may exceed the limits.
    fn may_be_too_large(&self, request: &CreateRequest) -> bool {
        // Escaped JSON has at most six bytes for each byte of a text.
        let plain = request.actor_id.len().saturating_mul(6).saturating_add(OTHER_MEMBERS);
        request.restrictions.is_some() || plain > self.bound.limits.actor_bytes
    }

    /// Checks the verification of a new token against its creation and the request.
    ///
    /// A token whose id differs at verification could not be revoked by id, and a child could allow
    /// more than its parent.
    fn check_verified(
        &self,
        created: &Created,
        request: &CreateRequest,
        verified: VerifyOutcome,
        now: UnixTime,
    ) -> Result<(), ErrorKind> {
        let bad = |text| Err(ErrorKind::BadToken(text));
        let Answer::Proposal(proposal) = verified.answer else {
            return bad("its handler does not accept it at verification");
        };
        let Verdict::Accepted(acceptance) = self.judge(proposal, &created.token, None, now)? else {
            return bad("its handler's policy does not accept it");
        };
        let Acceptance { actor, restrictions, token_id, issued_at, expires_at, .. } = acceptance;
        if token_id != created.token_id {
            return bad("its handler returns a different token id at verification");
        }
        if !actor.has_text_id(&request.actor_id) {
            return bad("it is not for the requested actor");
        }
        if request.restrictions.as_ref().is_some_and(|wanted| !wanted.lists_all_of(restrictions.as_ref())) {
            return bad("it is not restricted as requested");
        }
        if created.expires_at.is_some_and(|end| expires_at.is_none_or(|own| own > end)) {
            return bad("it expires later at verification than at creation");
        }
        if issued_at.is_some_and(|issued| issued.seconds.abs_diff(now.seconds) > self.policy.leeway) {
            return bad("its issue time is not the current time");
        }
        Ok(())
    }

    /// Completes the record that the handler inserted with the host's own data. Inserts one if the
    /// handler did not and there is a store.
    fn keep(
        &self,
        created: &Created,
        request: &CreateRequest,
        now: UnixTime,
        (parent, max_per_client): (Option<TokenId>, Option<u64>),
        changes: &mut Transaction,
    ) {
        if changes.insert.is_none()
            && self.store().is_some()
            && let Some(id) = &created.token_id
        {
            let record = Record::requested(request, id.clone(), now.whole(), created.expires_at);
            let stored = StoredRecord { record, digest: None, token_digest: None };
            changes.insert = Some(NewRecord {
                stored,
                replace: false,
                max: self.bound.store.as_ref().map_or(u64::MAX, |grant| grant.max),
                max_per_actor: None,
                max_per_client: None,
                idle_before: None,
            });
        }
        if let Some(insert) = &mut changes.insert {
            // A replacement does not need a slot of its own in these limits.
            let extra = u64::from(changes.edit.is_some());
            insert.max = insert.max.saturating_add(extra);
            insert.max_per_actor = self.policy.max_tokens_per_actor.map(|max| max.saturating_add(extra));
            insert.max_per_client = max_per_client.map(|max| max.saturating_add(extra));
            insert.idle_before = self.policy.idle_before(now);
            if parent.is_some() {
                insert.stored.record.parent = parent;
            }
            insert.stored.token_digest = Some(TokenDigest::of(&created.token));
            insert.stored.record.key = created.key.as_deref().map(str::to_owned);
        }
    }

    /// Returns whether the token must be revoked with its parent, for which it needs a record.
    fn has_recorded_parent(&self, request: &CreateRequest) -> bool {
        self.store().is_some() && request.parent.as_ref().is_some_and(|parent| parent.token().is_some())
    }

    fn is_full(&self) -> String {
        let max = self.bound.store.as_ref().map_or(u64::MAX, |grant| grant.max);
        format!("handler `{}` has reached its limit of {max} tokens (`store.tokens`)", self.name)
    }

    fn is_full_for_actor(&self) -> String {
        let max = self.policy.max_tokens_per_actor.unwrap_or(u64::MAX);
        format!("the actor has reached the limit of {max} tokens of handler `{}` (`max_tokens_per_actor`)", self.name)
    }

    fn check_created(
        &self,
        token: String,
        token_id: Option<String>,
        expires_at: Option<UnixTime>,
    ) -> Result<Created, ErrorKind> {
        if token.is_empty() {
            return Err(ErrorKind::BadToken("it is empty"));
        }
        if token.len() > self.bound.limits.token_bytes {
            return Err(ErrorKind::BadToken("it is longer than `limits.token_bytes`"));
        }
        if !is_token_text(&token) {
            return Err(ErrorKind::BadToken("it has characters other than `A-Z a-z 0-9 . _ ~ + / = -`"));
        }
        if token_id.as_deref().is_some_and(|id| !is_token_id(id)) {
            return Err(ErrorKind::BadResult(
                "the token id is not 1 to 256 printable ASCII characters without leading or trailing spaces".into(),
            ));
        }
        if expires_at.is_some_and(|time| time.seconds > MAX_SECONDS) {
            return Err(ErrorKind::BadResult("a time is after the year 9999".into()));
        }
        if self.checksum && !checksum::matches(&token) {
            return Err(ErrorKind::BadToken("it does not end with its checksum"));
        }
        if self.is_only_prefix(&token) {
            return Err(ErrorKind::BadToken("it is only a prefix of its handler"));
        }
        if !self.is_of_its_form(&token) {
            return Err(ErrorKind::BadToken("it matches none of the patterns that its component declares"));
        }
        Ok(Created { handler: self.name.clone(), token, token_id, expires_at, key: None })
    }
}

/// Checks that the token expires within the requested lifetime.
fn check_end(created: &Created, expires_after: Option<NonZeroU32>, now: UnixTime) -> Result<(), ErrorKind> {
    let Some(lifetime) = expires_after else { return Ok(()) };
    let latest = now.whole().later(lifetime.get().into());
    if created.expires_at.is_none_or(|end| end > latest) {
        return Err(ErrorKind::BadResult("the token expires later than requested".into()));
    }
    Ok(())
}

/// Checks that the id and expiry of a new token are those of its record.
fn check_recorded(created: &Created, changes: &Transaction) -> Result<(), ErrorKind> {
    let Some(NewRecord { stored: StoredRecord { record, .. }, .. }) = &changes.insert else { return Ok(()) };
    if created.token_id.as_ref() != Some(&record.id) || created.expires_at != record.expires_at {
        return Err(ErrorKind::BadResult("the token's id or expiry differs from that of its record".into()));
    }
    Ok(())
}

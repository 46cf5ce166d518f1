//! Issue, edit, rotate and revoke.

use crate::audited_change::{AuditedChange, note_list};
use crate::named::Named;
use crate::unrecorded::Unrecorded;
use keyward_audit::{Audit, Entry, Event};
use keyward_runtime::error::ErrorKind;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenId;
use keyward_runtime::{CreateRequest, Creation, Error, IssueOptions, Parent, Registry};
use std::sync::Arc;
use std::time::Duration;

/// The party that requests an operation. The default is the operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// The id of the HTTP request.
    pub request: Option<&'a str>,
    /// The API client, by its id.
    pub client: Option<&'a str>,
}

/// The operations of one registry, for one request.
#[derive(Debug, Clone, Copy)]
pub struct Operations<'a> {
    registry: &'a Registry,
    audit: Option<&'a Arc<Audit>>,
    origin: Origin<'a>,
    retries: bool,
}

impl<'a> Operations<'a> {
    /// Creates the operations of a registry. With an audit log, only what it records can be
    /// changed.
    #[must_use]
    pub fn new(registry: &'a Registry, audit: Option<&'a Arc<Audit>>, origin: Origin<'a>) -> Self {
        Self { registry, audit, origin, retries: false }
    }

    /// Retries revocations that could not be recorded, for as long as the process runs. Not for a
    /// process that exits after the operation: it would report a failure, but might still revoke.
    #[must_use]
    pub fn with_retries(self) -> Self {
        Self { retries: true, ..self }
    }

    /// Issues a token.
    ///
    /// # Errors
    /// Returns the errors of [`Registry::create_with`].
    pub async fn issue(&self, request: CreateRequest) -> Result<Creation, Error> {
        let parent = request.parent.as_ref().and_then(Parent::token);
        let entry = Entry {
            actor: Some(request.actor_id.clone()),
            parent: parent.map(|parent| parent.to_string()),
            ..self.entry(Event::Create, request.handler.as_deref())
        };
        let change = self.change(entry);
        let creation = self.registry.create_with(request, IssueOptions::new().hook(&change)).await;
        change.made(&creation);
        creation
    }

    /// Narrows a token, whose actor is named in the audit log if it is known.
    ///
    /// # Errors
    /// Returns the errors of [`Tokens::edit`](keyward_runtime::registry::Tokens::edit), or an error
    /// if the audit log could not be written.
    pub async fn edit(
        &self,
        token: &TokenId,
        actor: Option<&str>,
        update: TokenUpdate,
    ) -> Result<UpdateOutcome, Error> {
        let change = self.change(Entry {
            actor: actor.map(str::to_owned),
            token_id: Some(token.id.clone()),
            detail: Some(update.to_string()),
            ..self.entry(Event::Edit, Some(&token.handler))
        });
        let change = change.recorded().await?;
        let updated = async { self.registry.tokens()?.edit(token, update).await }.await;
        match &updated {
            Ok(UpdateOutcome::Done(_)) => {}
            Ok(UpdateOutcome::Denied(denied)) => change.denied(denied.denial.as_str()),
            Ok(UpdateOutcome::Unknown) => change.denied("unknown"),
            Err(error) => change.failed(error),
        }
        updated
    }

    /// Issues a token in the place of another one, which stays valid for `overlap`, in whole
    /// seconds. Returns `None` if there is no record of it.
    ///
    /// # Errors
    /// Returns the errors of [`Tokens::rotate`](keyward_runtime::registry::Tokens::rotate).
    pub async fn rotate(
        &self,
        token: &TokenId,
        actor: Option<&str>,
        overlap: Duration,
    ) -> Result<Option<Creation>, Error> {
        let change = self.change(Entry {
            actor: actor.map(str::to_owned),
            replaces: Some(token.id.clone()),
            detail: Some(format!("the replaced token stays valid for {} s", overlap.as_secs())),
            ..self.entry(Event::Rotate, Some(&token.handler))
        });
        let options = IssueOptions::new().hook(&change);
        let rotated = async { self.registry.tokens()?.rotate(token, overlap, options).await }.await;
        match rotated.transpose() {
            Some(creation) => {
                change.made(&creation);
                creation.map(Some)
            }
            None => {
                change.denied("unknown");
                Ok(None)
            }
        }
    }

    /// Revokes tokens, which the audit log calls by `named`. Returns the number of revoked records.
    ///
    /// # Errors
    /// Returns the errors of
    /// [`TokenRevocations::revoke`](keyward_runtime::registry::TokenRevocations::revoke), or an
    /// error if the audit log could not be written. With [retries](Self::with_retries) the tokens
    /// are refused nevertheless, except after [`ErrorKind::TooManyPending`].
    pub async fn revoke(&self, revocation: Revocation, named: Named<'_>) -> Result<u64, Error> {
        let Revocation { handler, issued_until, keep_children, .. } = &revocation;
        let until = issued_until.map(|until| format!("issued until {}", until.seconds));
        let kept = keep_children.then(|| "its children stay valid".to_owned());
        let details: Vec<_> = named.note.map(str::to_owned).into_iter().chain(until).chain(kept).collect();
        let change = self.change(Entry {
            actor: named.actor.map(str::to_owned),
            token_id: named.token_id.map(str::to_owned),
            detail: (!details.is_empty()).then(|| details.join("; ")),
            ..self.entry(Event::Revoke, revocation.handler_of_sessions().or(handler.as_deref()))
        });
        let entry = change.entry().clone();
        let change = match change.recorded().await {
            Ok(change) => change,
            Err(error) => {
                if let Some(audit) = self.audit.filter(|_| self.retries) {
                    let hook = Unrecorded { audit: audit.clone(), entry };
                    if let Err(full) =
                        self.registry.revocations().and_then(|list| list.block(revocation, Arc::new(hook)))
                        && matches!(full.kind(), ErrorKind::TooManyPending)
                    {
                        return Err(full);
                    }
                }
                return Err(error);
            }
        };
        let ended = async { self.registry.revocations()?.revoke(revocation).await }.await;
        note_list(self.audit.map(Arc::as_ref), self.registry);
        if let Err(error) = &ended {
            change.failed(error);
        }
        ended
    }

    /// Creates a change whose audit record contains no token, wherever the caller put one.
    fn change(&self, entry: Entry) -> AuditedChange<'a> {
        let redact = |text: Option<String>| text.map(|text| self.registry.redact(&text).into_owned());
        let entry = Entry {
            actor: redact(entry.actor),
            token_id: redact(entry.token_id),
            replaces: redact(entry.replaces),
            parent: redact(entry.parent),
            detail: redact(entry.detail),
            ..entry
        };
        AuditedChange::new(self.audit.map(Arc::as_ref), entry)
    }

    fn entry(&self, event: Event, handler: Option<&str>) -> Entry {
        let Origin { request, client } = self.origin;
        let loaded = handler.and_then(|name| self.registry.handlers().find(|handler| handler.name == name));
        Entry {
            request: request.map(str::to_owned),
            client: client.map(str::to_owned),
            handler: handler.map(str::to_owned),
            handler_sha256: loaded.map(|handler| handler.component.sha256_hex()),
            ..Entry::new(event)
        }
    }
}

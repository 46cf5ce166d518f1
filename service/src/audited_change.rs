//! Changes with an audit record, which is written before the change, and a second one if it did not
//! happen.

use keyward_audit::{Audit, AuditError, Entry, Event, ListEnd, Recorded};
use keyward_runtime::hook::{HookFuture, IssueHook};
use keyward_runtime::{Created, Creation, Error, Registry};
use std::sync::OnceLock;
use std::time::Instant;

/// A requested change. With an audit log it may happen only after [`record`](Self::record) has
/// succeeded; without one nothing is recorded.
#[derive(Debug)]
pub struct AuditedChange<'a> {
    audit: Option<&'a Audit>,
    /// The entry of the audit record.
    entry: Entry,
    begun: Instant,
    /// The number of the record, once it is written.
    number: OnceLock<Option<u64>>,
}

impl<'a> AuditedChange<'a> {
    /// Creates a change without recording it.
    #[must_use]
    pub fn new(audit: Option<&'a Audit>, entry: Entry) -> Self {
        Self { audit, entry, begun: Instant::now(), number: OnceLock::new() }
    }

    /// Records the change. It may happen only if this returns `Ok`.
    ///
    /// # Errors
    /// The record was not written, and the change must not happen.
    pub async fn record(&self) -> Result<(), AuditError> {
        self.write(self.entry.clone()).await
    }

    /// Records the change, and returns it. It may happen only then.
    ///
    /// # Errors
    /// The record was not written, which is noted as a failure.
    pub async fn recorded(self) -> Result<Self, Error> {
        match self.record().await {
            Ok(()) => Ok(self),
            Err(error) => {
                let error = Error::audit_unavailable(error.to_string());
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Returns the entry of the audit record.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    async fn write(&self, entry: Entry) -> Result<(), AuditError> {
        let Some(audit) = self.audit else { return Ok(()) };
        let number = match audit.record(Entry { duration: Some(self.begun.elapsed()), ..entry }).await? {
            Recorded::Written(number) => Some(number),
            Recorded::Deferred => None,
        };
        // If the change was recorded twice, the first record counts.
        let _ = self.number.set(number);
        Ok(())
    }

    /// Finishes the creation of a token. Notes nothing on success, which was recorded before.
    pub fn made(self, creation: &Result<Creation, Error>) {
        match creation {
            Ok(Creation::Created(_)) => {}
            Ok(Creation::Denied(denied)) => self.finish_unsuccessfully("denied", denied.denial.as_str(), None),
            Err(error) => self.failed(error),
        }
    }

    /// Notes that the change failed, or that its outcome is unknown.
    pub fn failed(self, error: &Error) {
        self.failed_for(error.code(), error.to_string());
    }

    /// Notes that the change failed for another reason than an [`Error`]. `why` is for the
    /// operator.
    pub fn failed_for(self, reason: &str, why: String) {
        self.finish_unsuccessfully("failed", reason, Some(why));
    }

    /// Notes that the change was denied.
    pub fn denied(self, reason: &str) {
        self.finish_unsuccessfully("denied", reason, None);
    }

    /// Notes the outcome: in a second record that refers to the first one, or in the only record if
    /// the change was not recorded.
    fn finish_unsuccessfully(self, outcome: &str, reason: &str, detail: Option<String>) {
        let Self { audit, entry, begun, number } = self;
        let Some(audit) = audit else { return };
        let detail = match (&entry.detail, detail) {
            (Some(what), Some(why)) => Some(format!("{what}: {why}")),
            (what, why) => why.or_else(|| what.clone()),
        };
        let said = Entry {
            outcome: Some(outcome.to_owned()),
            reason: Some(reason.to_owned()),
            detail,
            duration: Some(begun.elapsed()),
            ..entry
        };
        audit.note(match number.into_inner() {
            None => said,
            Some(number) => Entry { event: Event::Failed, refers_to: number, ..said },
        });
    }
}

/// Notes the end of the store's revocation list in the audit log, so that an older copy of the
/// store is detected later. A list that is not trusted is not noted.
pub fn note_list(audit: Option<&Audit>, registry: &Registry) {
    if let Some(audit) = audit
        && let Some((number, digest)) = registry.revocations().ok().and_then(|revocations| revocations.list().end())
    {
        audit.note_list(ListEnd { number, digest });
    }
}

impl IssueHook for AuditedChange<'_> {
    fn before_commit<'a>(&'a self, created: &'a Created) -> HookFuture<'a> {
        let Created { handler, token_id, key, .. } = created;
        let entry = Entry {
            handler: Some(handler.to_string()),
            token_id: token_id.clone(),
            key: key.as_deref().map(str::to_owned),
            ..self.entry.clone()
        };
        Box::pin(async { self.write(entry).await.map_err(|error| error.to_string()) })
    }
}

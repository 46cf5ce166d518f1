//! Changes that are about to be made: written down before, and again if nothing came of them.

use keyward_audit::{Audit, AuditError, Entry, Event, ListEnd, Recorded};
use keyward_runtime::{Created, Creation, Error, Registry, Witness, Witnessed};
use std::sync::OnceLock;
use std::time::Instant;

/// A change that somebody wants to make. With an audit it is made only if it can be written down first; without one nothing is
/// written.
#[derive(Debug)]
pub struct Intent<'a> {
    audit: Option<&'a Audit>,
    /// What is known of it.
    entry: Entry,
    begun: Instant,
    /// The number of the record, once there is one.
    number: OnceLock<Option<u64>>,
}

impl<'a> Intent<'a> {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(audit: Option<&'a Audit>, entry: Entry) -> Self {
        Self { audit, entry, begun: Instant::now(), number: OnceLock::new() }
    }

    /// Writes it down: only when this has come back well may the change be made.
    ///
    /// # Errors
    /// It is not written, and the change must not be made.
    pub async fn record(&self) -> Result<(), AuditError> {
        self.write(self.entry.clone()).await
    }

    /// What would be written.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    async fn write(&self, entry: Entry) -> Result<(), AuditError> {
        let Some(audit) = self.audit else { return Ok(()) };
        let number = match audit.record(Entry { duration: Some(self.begun.elapsed()), ..entry }).await? {
            Recorded::Written(number) => Some(number),
            Recorded::Later => None,
        };
        // Told twice, the first record is the one that counts.
        let _ = self.number.set(number);
        Ok(())
    }

    /// What came of a creation. What was made has been written down.
    pub fn made(self, creation: &Result<Creation, Error>) {
        match creation {
            Ok(Creation::Created(_)) => {}
            Ok(Creation::Denied(denied)) => self.came_to_nothing("denied", denied.denial.as_str(), None),
            Err(error) => self.failed(error),
        }
    }

    /// It could not be done, or nobody knows whether it was.
    pub fn failed(self, error: &Error) {
        self.failed_for(error.code(), error.to_string());
    }

    /// The same where no handler was asked. `why` is for the operator.
    pub fn failed_for(self, reason: &str, why: String) {
        self.came_to_nothing("failed", reason, Some(why));
    }

    /// It was not done.
    pub fn denied(self, reason: &str) {
        self.came_to_nothing("denied", reason, None);
    }

    /// If it has been written down, there is a record more, which says so; otherwise this is the first that is said of it.
    fn came_to_nothing(self, outcome: &str, reason: &str, detail: Option<String>) {
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
            Some(number) => Entry { event: Event::Failed, of: number, ..said },
        });
    }
}

/// Has the audit note up to where the store's list of revocations is known, so that an older copy of the store is found out.
/// A list that is not believed is not noted.
pub fn note_list(audit: Option<&Audit>, registry: &Registry) {
    if let Some(audit) = audit
        && let Some((number, digest)) = registry.revocations().and_then(|revocations| revocations.end())
    {
        audit.note_list(ListEnd { number, digest });
    }
}

impl Witness for Intent<'_> {
    fn made<'a>(&'a self, created: &'a Created) -> Witnessed<'a> {
        let Created { handler, token: _, token_id, expires_at: _, key } = created;
        let entry = Entry {
            handler: Some(handler.to_string()),
            token_id: token_id.clone(),
            key: key.as_deref().map(str::to_owned),
            ..self.entry.clone()
        };
        Box::pin(async { self.write(entry).await.map_err(|error| error.to_string()) })
    }
}

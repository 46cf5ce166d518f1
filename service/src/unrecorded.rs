//! Revocations that wait for the audit log, in this process or after a restart.

use keyward_audit::{Audit, Entry, Event};
use keyward_runtime::hook::{HookFuture, RevocationHook};
use keyward_runtime::revocation::{PendingRevocation, Revocations};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A revocation that waits for the audit log.
pub(crate) struct Unrecorded {
    pub(crate) audit: Arc<Audit>,
    pub(crate) entry: Entry,
}

/// The members of the audit record that the revocation itself does not have.
#[derive(Default, Serialize, Deserialize)]
struct Note {
    request: Option<String>,
    client: Option<String>,
    actor: Option<String>,
    token_id: Option<String>,
    detail: Option<String>,
}

impl RevocationHook for Unrecorded {
    fn before_write(&self) -> HookFuture<'_> {
        Box::pin(async {
            // Records that it could not write are not queued up behind each other.
            if let Some(trouble) = self.audit.status().trouble {
                return Err(trouble.to_string());
            }
            self.audit.record(self.entry.clone()).await.map(drop).map_err(|error| error.to_string())
        })
    }

    fn note(&self) -> String {
        let Entry { request, client, actor, token_id, detail, .. } = self.entry.clone();
        // Cannot fail: all members are texts.
        serde_json::to_string(&Note { request, client, actor, token_id, detail }).unwrap_or_default()
    }
}

/// Resumes a revocation that an earlier process requested and could not write: its tokens are
/// refused at once, and it is recorded and stored as soon as that is possible.
pub fn resume(revocations: &Revocations, audit: Option<&Arc<Audit>>, pending: PendingRevocation) {
    let hook = pending.note.as_deref().zip(audit).map(|(note, audit)| {
        let Note { request, client, actor, token_id, detail } = serde_json::from_str(note).unwrap_or_default();
        let requested = format!("requested at {} (unix seconds), before a restart", pending.at.seconds);
        let detail = match detail {
            // It was resumed before.
            Some(detail) if detail.ends_with(&requested) => detail,
            Some(detail) => format!("{detail}; {requested}"),
            None => requested,
        };
        let handler = pending.revocation.handler.clone();
        let entry =
            Entry { request, client, actor, token_id, handler, detail: Some(detail), ..Entry::new(Event::Revoke) };
        Arc::new(Unrecorded { audit: audit.clone(), entry }) as Arc<dyn RevocationHook>
    });
    revocations.resume(pending, hook);
}

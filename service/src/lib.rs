//! Operations that change tokens, each with its audit record: the one implementation behind
//! Keyward's HTTP API and its command line.
//!
//! [`Operations`] issues, edits, rotates and revokes. Every operation performs these steps in order
//! and stops at the first step that fails:
//!
//! 1. **Policy.** The registry checks the request, the actor, the lifetime and the parent token.
//! 2. **Handler.** A new token is created in a fresh sandbox. Edits and revocations call no
//!    handler.
//! 3. **Checks.** The new token is verified once, and compared with what was requested.
//! 4. **Audit.** The change is recorded durably, before it happens. Without an audit log this step
//!    is empty.
//! 5. **Commit.** The store changes its records, or appends to the revocation list, in one
//!    transaction.
//! 6. **Result.** The caller gets the token or the outcome. An operation that was recorded but did
//!    not happen gets a second record, which notes that.
//!
//! Revocations of already issued tokens fail closed: where step 4 or 5 fails, a process that keeps
//! running refuses the tokens at once, and retries until the revocation is recorded and stored.
//! [`resume`] continues this in the next process.
//!
//! [`Metrics`] counts operations and verifications, with or without a server.

mod audited_change;
mod key_set_notes;
mod key_set_report;
mod metrics;
mod named;
mod operations;
mod outcome;
mod session_body;
mod unrecorded;

pub use audited_change::{AuditedChange, note_list};
pub use key_set_notes::KeySetNotes;
pub use key_set_report::{KeySetReport, PublicKeyReport};
pub use metrics::{Inventory, KeyAge, Metrics, Operation, Snapshot};
pub use named::Named;
pub use operations::{Operations, Origin};
pub use outcome::{Outcome, actor_json, escape_json};
pub use session_body::SessionBody;
pub use unrecorded::resume;

//! Keeps the revocations that only this process applies until the next start, and resumes those of
//! the last one.

use crate::pending_file::{PendingFile, PendingState};
use crate::private_file::file_error;
use keyward_audit::Audit;
use keyward_runtime::revocation::Revocations;
use keyward_service::resume;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// Maximum time until a change by the operator is noticed. Pending revocations are written at once.
const POLL: Duration = Duration::from_millis(200);

/// The file, which is opened again when it was removed or could not be used.
struct Keeper {
    path: PathBuf,
    file: Option<PendingFile>,
    audit: Option<Arc<Audit>>,
    /// The number of changes that are in the file; `None` if it has to be written again.
    kept: Option<u64>,
}

/// Resumes the revocations in the file at `path`, and keeps those of this process there, on a
/// thread and for as long as they live. Logs that revocations may be lost.
pub(super) fn start(path: Option<PathBuf>, revocations: &Arc<Revocations>, audit: Option<Arc<Audit>>) {
    let Some(path) = path else {
        tracing::warn!(target: "keyward::server", "a restart would lose revocations that the store has not confirmed: set `pending_file` in `[store]`, or add `[audit]`");
        return;
    };
    let shown = path.display().to_string();
    let mut keeper = Keeper { path, file: None, audit, kept: None };
    let opened = keeper.open(revocations);
    let has_failed = opened.is_err();
    let weak = Arc::downgrade(revocations);
    // A file that cannot be used now is tried again.
    let thread = thread::Builder::new().name("keyward-pending".to_owned());
    let started = thread.spawn(move || keeper.run(&weak, has_failed)).map(drop);
    for error in [opened, started].into_iter().filter_map(Result::err) {
        report(&shown, &error);
    }
}

fn report(file: &str, error: &io::Error) {
    tracing::error!(target: "keyward::server", file, error = file_error(error), "the file cannot be used: revocations that were requested before the restart may be lost, and a restart would lose those that are not confirmed");
}

impl Keeper {
    fn run(mut self, revocations: &Weak<Revocations>, mut has_failed: bool) {
        loop {
            let Some(revocations) = revocations.upgrade() else { return };
            match self.keep(&revocations) {
                Ok(()) => has_failed = false,
                Err(error) => {
                    if !has_failed {
                        report(&self.path.display().to_string(), &error);
                    }
                    has_failed = true;
                    self.kept = None;
                    if let Some((changes, _)) = revocations.pending_since(u64::MAX, Duration::ZERO) {
                        revocations.note_not_kept(changes);
                    }
                    drop(revocations);
                    thread::sleep(POLL);
                }
            }
        }
    }

    /// Waits for a change for a moment, and writes it.
    fn keep(&mut self, revocations: &Revocations) -> io::Result<()> {
        if self.file.as_ref().map(PendingFile::is_gone).transpose()?.unwrap_or(true) {
            self.open(revocations)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let is_accepted = file.is_accepted()?;
        if is_accepted {
            self.kept = None;
        }
        // The number of changes is never so high.
        let Some((changes, pending)) = revocations.pending_since(self.kept.unwrap_or(u64::MAX), POLL) else {
            return Ok(());
        };
        self.kept = None;
        if is_accepted {
            // In both slots, since either may be damaged.
            file.write(&pending)?;
        }
        file.write(&pending)?;
        if is_accepted {
            file.end_acceptance()?;
            revocations.clear_possible_loss();
            tracing::warn!(target: "keyward::server", "an operator has accepted that revocations may be lost");
        }
        self.kept = Some(changes);
        revocations.note_kept(changes);
        Ok(())
    }

    /// Opens the file and resumes its revocations.
    fn open(&mut self, revocations: &Revocations) -> io::Result<()> {
        let (file, PendingState { may_be_lost, revocations: left }) = PendingFile::open(&self.path)?;
        let shown = self.path.display();
        if may_be_lost {
            revocations.note_possible_loss();
            tracing::error!(target: "keyward::server", file = %shown, "revocations that were requested before the restart may be lost: request them again, then run `keyward store accept --revocations`");
        } else {
            revocations.clear_possible_loss();
        }
        if !left.is_empty() {
            tracing::warn!(target: "keyward::server", file = %shown, revocations = left.len(), "revocations that were requested before the restart are not written yet: this process rejects their tokens, and retries");
        }
        for pending in left {
            resume(revocations, self.audit.as_ref(), pending);
        }
        (self.file, self.kept) = (Some(file), None);
        Ok(())
    }
}

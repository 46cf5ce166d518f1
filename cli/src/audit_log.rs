//! The audit log of commands, which record each change before applying it.

use crate::config_file::ConfigFile;
use crate::{CliError, Io, report_error};
use keyward_audit::{Audit, AuditError};
use keyward_runtime::Registry;
use keyward_runtime::clock::{Clock, SystemClock};
use keyward_service::note_list;
use std::sync::Arc;
use std::time::Duration;

/// Opens the audit log of a configuration; `None` if it has none.
pub(crate) fn open(loaded: &ConfigFile) -> Result<Option<Arc<Audit>>, CliError> {
    let Some(settings) = loaded.audit_settings() else { return Ok(None) };
    Audit::open(settings, now).map(Arc::new).map(Some).map_err(|error| not_recorded(&error))
}

/// Returns the time for records, which `--at` does not affect.
pub(crate) fn now() -> Duration {
    SystemClock.now().map_or(Duration::ZERO, |now| Duration::new(now.seconds, now.nanoseconds))
}

/// Notes the end of the revocation list in the audit log, and closes the log.
///
/// Prints an error if some records could not be written, because no process remains to write them
/// later.
pub(crate) fn end_with(audit: Option<Arc<Audit>>, registry: &Registry, io: &mut Io<'_>) {
    if audit.is_some()
        && let Ok(revocations) = registry.revocations()
        && pollster::block_on(revocations.list().catch_up()).is_ok()
    {
        note_list(audit.as_deref(), registry);
    }
    end(audit, io);
}

/// Closes the audit log of a command that does not change the revocation list.
pub(crate) fn end(audit: Option<Arc<Audit>>, io: &mut Io<'_>) {
    let Some(audit) = audit.filter(|audit| !audit.flush()) else { return };
    let (file, deadline) = (audit.settings().file.display(), audit.settings().deadline.as_millis());
    let text = format!("audit log {file} could not be written within {deadline} ms: it lacks records of this command");
    report_error(io.stderr, &text);
}

/// Returns the error for a change that was not applied because it could not be recorded.
pub(crate) fn not_recorded(error: &AuditError) -> CliError {
    CliError::Unavailable(format!("{error}; nothing was changed"))
}

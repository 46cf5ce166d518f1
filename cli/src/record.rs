//! What commands change is written down in the audit before it is changed.

use crate::audit::settings;
use crate::load::Loaded;
use crate::{Stop, World, complain};
use keyward_audit::{Audit, AuditError, Entry, Event};
use keyward_runtime::{Clock, Registry, SystemClock};
use keyward_server::note_list;
use std::time::Duration;

/// Opens the audit of a configuration, if it has one.
pub(crate) fn open(loaded: &Loaded) -> Result<Option<Audit>, Stop> {
    let Some(settings) = settings(loaded) else { return Ok(None) };
    Audit::open(settings, now).map(Some).map_err(|error| not_recorded(&error))
}

/// The time of records, whatever `--at` says.
pub(crate) fn now() -> Duration {
    SystemClock.now().map_or(Duration::ZERO, |now| Duration::new(now.seconds, now.nanoseconds))
}

/// What is known of something that is about to be changed with a handler: the operator does it.
pub(crate) fn entry(event: Event, registry: &Registry, handler: Option<&str>) -> Entry {
    let found = handler.and_then(|name| registry.handlers().find(|handler| handler.name == name));
    Entry {
        handler: handler.map(str::to_owned),
        handler_sha256: found.map(|handler| handler.component.sha256_hex()),
        ..Entry::new(event)
    }
}

/// Has the audit note what a command has added to the list of revocations, and ends it. Complains if the audit lacks something
/// when the command ends, because no process is left that could write it later.
pub(crate) fn end_with(audit: Option<Audit>, registry: &Registry, world: &mut World<'_>) {
    if audit.is_some()
        && let Some(revocations) = registry.revocations()
        && pollster::block_on(revocations.read_on()).is_ok()
    {
        note_list(audit.as_ref(), registry);
    }
    end(audit, world);
}

/// Ends the audit of a command that adds nothing to the list.
pub(crate) fn end(audit: Option<Audit>, world: &mut World<'_>) {
    let Some(audit) = audit.filter(|audit| !audit.flush()) else { return };
    let (file, deadline) = (audit.settings().file.display(), audit.settings().deadline.as_millis());
    let text =
        format!("the audit {file} could not be written within {deadline} ms: it lacks what this command has done");
    complain(world.stderr, &text);
}

/// Nothing has been changed.
pub(crate) fn not_recorded(error: &AuditError) -> Stop {
    Stop::NoVerdict(format!("{error}; so nothing is changed"))
}

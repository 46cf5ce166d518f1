//! `keyward tokens import`.

use crate::args::tokens::Import;
use crate::output::{Progress, with_code};
use crate::{CliError, ExitStatus, Io, assemble, audit_log, config_file, store};
use keyward_audit::{Entry, Event};
use keyward_runtime::clock::{Clock, SystemClock};
use keyward_runtime::store::StoreError;
use keyward_service::AuditedChange;
use keyward_store::{ImportOptions, ImportProgress, Imported, Store};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The time between two updates of the displayed progress.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

pub(super) fn import(args: Import, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Import { config, handler, unrestricted, database } = args;
    let config = config_file::ConfigFile::find(config.as_deref(), io)?;
    config.require_handler(&handler)?;
    let known = config.config.handlers.iter().find(|known| known.name.value == handler && known.store.is_some());
    let limits = known.map(|known| known.limits.clone()).ok_or_else(|| {
        CliError::Usage(format!("handler `{handler}` has no access to the store: add `store = true` to it"))
    })?;
    let location = store::location(&config, io.env)?;
    let location = location.ok_or_else(|| config.usage_error(None, "there is no `[store]` section: add one"))?;
    let at = SystemClock.now();
    let at = at.ok_or_else(|| CliError::Unavailable("the system clock is set before 1970: correct it".to_owned()))?;
    let store = Store::open(location).map_err(|error| store::not_open(&config, &error.to_string()))?;
    let audit = audit_log::open(&config)?;
    let entry = Entry {
        handler: Some(handler.clone()),
        handler_sha256: if audit.is_some() { digest(&config, &handler, io.worker)? } else { None },
        ..Entry::new(Event::Import)
    };
    let intent = AuditedChange::new(audit.as_deref(), entry);
    pollster::block_on(intent.record()).map_err(|error| audit_log::not_recorded(&error))?;
    let options = ImportOptions { at, limits, unrestricted, ..ImportOptions::default() };
    let progress = options.progress.clone();
    let work = || pollster::block_on(store.import(&handler, database, options));
    let done = match with_progress(&progress, io, work) {
        Ok(Imported { active, ended }) => {
            let told = writeln!(io.stdout, "imported {active} active tokens and {ended} inactive ones");
            told.map(|()| ExitStatus::Success).map_err(CliError::stdout)
        }
        Err(error) => {
            intent.failed_for("store", error.to_string());
            Err(CliError::Usage(error.to_string()))
        }
    };
    audit_log::end(audit, io);
    store::close(&store);
    done
}

/// Does the work on another thread, and displays its progress if standard error is a terminal.
fn with_progress(
    progress: &ImportProgress,
    io: &mut Io<'_>,
    work: impl FnOnce() -> Result<Imported, StoreError> + Send,
) -> Result<Imported, StoreError> {
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, move || {
            // The receiver outlives this thread.
            let _ = sender.send(work());
        });
        started.map_err(|error| StoreError::new(format!("cannot start a thread: {error}")))?;
        let mut displayed = Progress::new(io.stderr, io.stderr_is_terminal);
        loop {
            match receiver.recv_timeout(UPDATE_EVERY) {
                Ok(done) => break done,
                Err(RecvTimeoutError::Timeout) => displayed.display(&line(progress.done(), progress.total())),
                Err(RecvTimeoutError::Disconnected) => break Err(StoreError::new("internal error: the call panicked")),
            }
        }
    })
}

/// Formats the progress.
fn line(done: u64, total: u64) -> String {
    match total {
        0 => "keyward: reading tokens".to_owned(),
        total => format!("keyward: imported {done} of {total} tokens"),
    }
}

/// Returns the SHA-256 digest of a handler's component in hexadecimal.
fn digest(config: &config_file::ConfigFile, handler: &str, worker: &Path) -> Result<Option<String>, CliError> {
    let Some(handler) = config.config.handlers.iter().find(|known| known.name.value == handler) else {
        return Ok(None);
    };
    let info = assemble::runtime(None, worker, config.cache(false))?.inspect(config.component(handler)?);
    let info = info.map_err(|error| config.usage_error(handler.component.line, &with_code(&error, error.code())))?;
    Ok(Some(info.sha256_hex()))
}

//! `keyward store`: backs up, checks and accepts the store.

use crate::args::store::{Accept, Backup, Check, Command, Store as Args};
use crate::config::StorePlace;
use crate::config_file::ConfigFile;
use crate::output::{count_of, write_json, write_lines};
use crate::pending_file::PendingFile;
use crate::private_file::file_error;
use crate::{CliError, ExitStatus, Io, audit_log, report_error, store};
use keyward_audit::{Entry, Event, ListEnd, noted_list};
use keyward_runtime::clock::{Clock, SystemClock};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::TokenStore;
use keyward_service::AuditedChange;
use keyward_store::{Capped, Checked, Location, Store};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Maximum number of seconds by which the store's newest time may be ahead of this machine's clock.
const APART: u64 = 300;

/// Maximum age of the revocation list once read, which exceeds the run time of any command.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(crate) fn run(args: Args, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::Backup(args) => back_up(args, io),
        Command::Check(args) => check(&args, io),
        Command::Accept(args) => accept(&args, io),
    }
}

/// Returns the location of the configured store. A file that does not exist is an error.
fn location(loaded: &ConfigFile, io: &Io<'_>) -> Result<Location, CliError> {
    let location = store::location(loaded, io.env)?;
    let location = location.ok_or_else(|| loaded.usage_error(None, "there is no `[store]` section: add one"))?;
    match file(loaded) {
        Some((line, path)) if !loaded.path(path).exists() => {
            let text = format!("`store`: {} does not exist yet", loaded.path(path).display());
            Err(loaded.usage_error(line, &text))
        }
        _ => Ok(location),
    }
}

/// Returns the file of an SQLite store and the line that names it; `None` for PostgreSQL.
fn file(loaded: &ConfigFile) -> Option<(usize, &Path)> {
    let place = &loaded.config.store.as_ref()?.place;
    match &place.value {
        StorePlace::Sqlite(path) => Some((place.line, path)),
        StorePlace::Postgres(_) => None,
    }
}

fn open(loaded: &ConfigFile, location: Location) -> Result<Store, CliError> {
    let opened = Store::open(location).map(Store::without_uses);
    opened.map_err(|error| store::not_open(loaded, &error.to_string()))
}

fn back_up(args: Backup, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Backup { config, file: to } = args;
    let loaded = ConfigFile::find(config.as_deref(), io)?;
    let location = location(&loaded, io)?;
    let Some((line, _)) = file(&loaded) else {
        let line = loaded.config.store.as_ref().map(|store| store.place.line);
        return Err(loaded.usage_error(line, "`store`: back up a PostgreSQL store with `pg_dump`, see docs/backup.md"));
    };
    if to.try_exists().unwrap_or(true) {
        let text = format!("{} exists and is not overwritten: use another name", to.display());
        return Err(loaded.usage_error(line, &text));
    }
    let store = open(&loaded, location)?;
    pollster::block_on(store.back_up(to.clone())).map_err(|error| CliError::Unavailable(error.to_string()))?;
    writeln!(io.stdout, "copied the store to {}", to.display()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// The output of `keyward store check`. The members are in the order of the JSON.
#[derive(Serialize)]
struct Facts {
    store: String,
    records: u64,
    /// The number of the last revocation.
    revocations: u64,
    /// The number of the last revocation that the audit log notes.
    audit_revocations: Option<u64>,
    /// The newest time in the store, in Unix seconds.
    newest: Option<u64>,
    problems: Vec<String>,
}

fn check(args: &Check, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    let location = location(&loaded, io)?;
    let shown = location.to_string();
    let facts = match open(&loaded, location) {
        Ok(store) => look(&loaded, shown, Arc::new(store))?,
        // A file that cannot be opened is a finding; a server may only be temporarily unavailable.
        Err(CliError::Usage(problem)) if file(&loaded).is_some() => Facts {
            store: shown,
            records: 0,
            revocations: 0,
            audit_revocations: None,
            newest: None,
            problems: vec![problem],
        },
        Err(stop) => return Err(stop),
    };
    if args.json {
        write_json(io.stdout, &facts)?;
    } else {
        write_lines(io.stdout, facts.lines())?;
    }
    Ok(if facts.problems.is_empty() { ExitStatus::Success } else { ExitStatus::Negative })
}

fn look(loaded: &ConfigFile, shown: String, store: Arc<Store>) -> Result<Facts, CliError> {
    let no_answer = |error: keyward_runtime::store::StoreError| CliError::Unavailable(error.to_string());
    let Checked { defects, foreign, records, newest } = match pollster::block_on(store.check()) {
        Ok(checked) => checked,
        Err(error) if file(loaded).is_none() => return Err(no_answer(error)),
        Err(error) => Checked { defects: vec![error.to_string()], foreign: Vec::new(), records: 0, newest: None },
    };
    let mut problems: Vec<_> = defects.into_iter().map(|defect| format!("the database is damaged: {defect}")).collect();
    problems.extend(foreign.into_iter().map(|table| format!("the table `{table}` belongs to another program")));
    let noted = match loaded.audit_settings() {
        Some(settings) => noted_list(&settings.file).map_err(|error| CliError::Unavailable(error.to_string()))?,
        None => None,
    };
    let store: Arc<dyn TokenStore> = store;
    let mut last = 0;
    match Revocations::open(store, PATIENCE) {
        Ok(revocations) => {
            last = revocations.end().map_or(0, |(number, _)| number);
            let noted = noted.map(|ListEnd { number, digest }| (number, digest));
            if !pollster::block_on(revocations.compare(noted)).map_err(no_answer)? {
                problems.extend(revocations.trouble());
            }
        }
        Err(error) if problems.is_empty() => problems.push(error.to_string()),
        Err(_) => {}
    }
    let now = SystemClock.now().map_or(0, |now| now.seconds);
    let newest = newest.map(|newest| newest.seconds);
    if let Some(newest) = newest.filter(|newest| *newest > now.saturating_add(APART)) {
        problems.push(format!(
            "the newest time in the store is {newest}, but this machine's clock shows {now} (Unix seconds): correct the clock; if \
             it is correct, run `keyward store accept --clock`"
        ));
    }
    let audit_revocations = noted.map(|noted| noted.number);
    Ok(Facts { store: shown, records, revocations: last, audit_revocations, newest, problems })
}

impl Facts {
    fn lines(&self) -> Vec<String> {
        let Self { store, records, revocations, audit_revocations, newest, problems } = self;
        let mut lines = vec![format!("{store}: {}", count_of(*records, "record"))];
        lines.push(match audit_revocations {
            Some(noted) => format!("last revocation: {revocations} in the store, {noted} in the audit log"),
            None => format!("last revocation: {revocations} in the store, none in an audit log"),
        });
        lines.extend(newest.map(|newest| format!("newest time: {newest} (Unix seconds)")));
        lines.extend(problems.iter().map(|problem| format!("problem: {problem}")));
        if problems.is_empty() {
            lines.push("no problem found".to_owned());
        }
        lines
    }
}

fn accept(args: &Accept, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    if args.revocations {
        return accept_loss(&loaded, io);
    }
    let location = location(&loaded, io)?;
    let store = Arc::new(open(&loaded, location)?);
    let unsure = |error: keyward_runtime::store::StoreError| {
        CliError::Unavailable(format!("the operation may or may not have been applied: {error}; retry"))
    };
    let revocations = Revocations::open(store.clone(), PATIENCE).map_err(unsure)?;
    let (number, digest) = revocations.end().unwrap_or((0, 0));
    let now = SystemClock
        .now()
        .ok_or_else(|| CliError::Unavailable("the system clock is set before 1970: correct it".to_owned()))?;
    let detail = match args.clock {
        true => format!("the clock, which shows {}", now.seconds),
        false => format!("the list of revocations up to number {number}"),
    };
    let audit = audit_log::open(&loaded)?;
    let intent = AuditedChange::new(audit.as_deref(), Entry { detail: Some(detail), ..Entry::new(Event::Accept) });
    pollster::block_on(intent.record()).map_err(|error| audit_log::not_recorded(&error))?;
    let said = if args.clock {
        match pollster::block_on(store.cap(now)) {
            Ok(Capped { cutoffs: 0, newest: false }) => "no time in the store is in the future".to_owned(),
            Ok(Capped { cutoffs, newest: false }) => format!("capped: {}", count_of(cutoffs, "cutoff")),
            Ok(Capped { cutoffs, newest: true }) => {
                format!("capped: {} and the newest time", count_of(cutoffs, "cutoff"))
            }
            Err(error) => {
                intent.failed_for("store", error.to_string());
                return Err(unsure(error));
            }
        }
    } else {
        match &audit {
            Some(audit) => audit.accept_list(ListEnd { number, digest }),
            None => report_error(io.stderr, "no `[audit]` is configured: restart the daemon to accept the store"),
        }
        format!("accepted: the last revocation in the store is number {number}")
    };
    audit_log::end(audit, io);
    store::close(&store);
    writeln!(io.stdout, "{said}").map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Accepts that a restart may have lost revocations.
fn accept_loss(loaded: &ConfigFile, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let path = match loaded.pending_file() {
        Some(path) if PendingFile::look(&path)?.may_be_lost => Some(path),
        _ => None,
    };
    let said = match path {
        None => "no restart is known to have lost revocations".to_owned(),
        Some(path) => {
            let audit = audit_log::open(loaded)?;
            let detail = Some("that a restart may have lost revocations".to_owned());
            let intent = AuditedChange::new(audit.as_deref(), Entry { detail, ..Entry::new(Event::Accept) });
            pollster::block_on(intent.record()).map_err(|error| audit_log::not_recorded(&error))?;
            if let Err(error) = PendingFile::accept(&path) {
                let text = format!("nothing can be written beside {}: {}", path.display(), file_error(&error));
                intent.failed_for("pending-file", text.clone());
                return Err(CliError::Unavailable(text));
            }
            audit_log::end(audit, io);
            format!("accepted: the possible loss of revocations that {} reports", path.display())
        }
    };
    writeln!(io.stdout, "{said}").map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

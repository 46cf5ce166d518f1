//! `keyward store …`

use crate::args::store::{Accept, Backup, Check, Command, Store as Args};
use crate::audit::settings;
use crate::config::StorePlace;
use crate::load::Loaded;
use crate::output::{count_of, write_json, write_lines};
use crate::{Status, Stop, World, complain, record, store};
use keyward_audit::{Entry, Event, ListEnd, noted_list};
use keyward_runtime::{Clock, Revocations, SystemClock, TokenStore};
use keyward_server::Intent;
use keyward_store::{Capped, Checked, Location, Store};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The most by which the store's newest time may lie ahead of this machine's clock, in seconds.
const APART: u64 = 300;

/// The time for which the list of revocations is believed once read. A command ends before.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(crate) fn run(args: Args, world: &mut World<'_>) -> Result<Status, Stop> {
    match args.command {
        Command::Backup(args) => back_up(args, world),
        Command::Check(args) => check(&args, world),
        Command::Accept(args) => accept(&args, world),
    }
}

/// The store that a configuration names. One that is not there is not made.
fn location(loaded: &Loaded, world: &World<'_>) -> Result<Location, Stop> {
    let location = store::location(loaded, world.env)?;
    let location = location.ok_or_else(|| loaded.mistake(None, "there is no `[store]`: add it"))?;
    match file(loaded) {
        Some((line, path)) if !loaded.path(path).exists() => {
            let text = format!("`store`: there is no file {} yet", loaded.path(path).display());
            Err(loaded.mistake(line, &text))
        }
        _ => Ok(location),
    }
}

/// The file of a store in SQLite, and the line that names it.
fn file(loaded: &Loaded) -> Option<(usize, &Path)> {
    let place = &loaded.config.store.as_ref()?.place;
    match &place.value {
        StorePlace::Sqlite(path) => Some((place.line, path)),
        StorePlace::Postgres(_) => None,
    }
}

fn open(loaded: &Loaded, location: Location) -> Result<Store, Stop> {
    let opened = Store::open(location).map(Store::without_uses);
    opened.map_err(|error| store::not_open(loaded, &error.to_string()))
}

fn back_up(args: Backup, world: &mut World<'_>) -> Result<Status, Stop> {
    let Backup { config, file: to } = args;
    let loaded = Loaded::read(&config)?;
    let location = location(&loaded, world)?;
    let Some((line, _)) = file(&loaded) else {
        let line = loaded.config.store.as_ref().map(|store| store.place.line);
        return Err(loaded.mistake(line, "`store`: it is in PostgreSQL: back it up with `pg_dump`, see docs/backup.md"));
    };
    if to.try_exists().unwrap_or(true) {
        let text = format!("{} is there already, and is not overwritten: name another file", to.display());
        return Err(loaded.mistake(line, &text));
    }
    let store = open(&loaded, location)?;
    pollster::block_on(store.back_up(to.clone())).map_err(|error| Stop::NoVerdict(error.to_string()))?;
    writeln!(world.stdout, "{} is a copy of the store", to.display()).map_err(Stop::stdout)?;
    Ok(Status::Good)
}

/// The facts that `check` prints. The order of the members is that of the JSON.
#[derive(Serialize)]
struct Facts {
    store: String,
    records: u64,
    /// The number of the last revocation.
    revocations: u64,
    /// The number that the audit has noted.
    audit_revocations: Option<u64>,
    /// The newest time that the store has seen, in unix seconds.
    newest: Option<u64>,
    problems: Vec<String>,
}

fn check(args: &Check, world: &mut World<'_>) -> Result<Status, Stop> {
    let loaded = Loaded::read(&args.config)?;
    let location = location(&loaded, world)?;
    let shown = location.to_string();
    let facts = match open(&loaded, location) {
        Ok(store) => look(&loaded, shown, Arc::new(store))?,
        // A server may be back in a moment. A file that cannot be opened is what was asked about.
        Err(Stop::Mistake(problem)) if file(&loaded).is_some() => Facts {
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
        write_json(world.stdout, &facts)?;
    } else {
        write_lines(world.stdout, facts.lines())?;
    }
    Ok(if facts.problems.is_empty() { Status::Good } else { Status::No })
}

fn look(loaded: &Loaded, shown: String, store: Arc<Store>) -> Result<Facts, Stop> {
    let no_answer = |error: keyward_runtime::StoreError| Stop::NoVerdict(error.to_string());
    let Checked { defects, foreign, records, newest } = match pollster::block_on(store.check()) {
        Ok(checked) => checked,
        Err(error) if file(loaded).is_none() => return Err(no_answer(error)),
        Err(error) => Checked { defects: vec![error.to_string()], foreign: Vec::new(), records: 0, newest: None },
    };
    let mut problems: Vec<_> = defects.into_iter().map(|defect| format!("the database is damaged: {defect}")).collect();
    problems.extend(foreign.into_iter().map(|table| format!("the table `{table}` is another program's")));
    let noted = match settings(loaded) {
        Some(settings) => noted_list(&settings.file).map_err(|error| Stop::NoVerdict(error.to_string()))?,
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
    if let Some(newest) = newest.filter(|newest| *newest > now.saturating_add(APART)) {
        problems.push(format!(
            "the store has seen the time {newest}, and this machine's clock shows {now} (unix seconds): set the clock right; if \
             it is right, run `keyward store accept --clock`"
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
            Some(noted) => format!("last revocation {revocations}; the audit has noted {noted}"),
            None => format!("last revocation {revocations}; no audit has noted any"),
        });
        lines.extend(newest.map(|newest| format!("newest time {newest} (unix seconds)")));
        lines.extend(problems.iter().map(|problem| format!("problem: {problem}")));
        if problems.is_empty() {
            lines.push("no problem found".to_owned());
        }
        lines
    }
}

fn accept(args: &Accept, world: &mut World<'_>) -> Result<Status, Stop> {
    let loaded = Loaded::read(&args.config)?;
    let location = location(&loaded, world)?;
    let store = Arc::new(open(&loaded, location)?);
    let unsure =
        |error: keyward_runtime::StoreError| Stop::NoVerdict(format!("it is not known to be done: {error}; ask again"));
    let revocations = Revocations::open(store.clone(), PATIENCE).map_err(unsure)?;
    let (number, digest) = revocations.end().unwrap_or((0, 0));
    let now = SystemClock
        .now()
        .ok_or_else(|| Stop::NoVerdict("the system's clock shows a time before 1970: set it".to_owned()))?;
    let detail = match args.clock {
        true => format!("the clock, which shows {}", now.seconds),
        false => format!("the list of revocations up to number {number}"),
    };
    let audit = record::open(&loaded)?;
    let intent = Intent::new(audit.as_ref(), Entry { detail: Some(detail), ..Entry::new(Event::Accept) });
    pollster::block_on(intent.record()).map_err(|error| record::not_recorded(&error))?;
    let said = if args.clock {
        match pollster::block_on(store.cap(now.seconds)) {
            Ok(Capped { cutoffs: 0, newest: false }) => "nothing lies in the future".to_owned(),
            Ok(Capped { cutoffs, newest: false }) => format!("capped: {}", count_of(cutoffs, "cut-off")),
            Ok(Capped { cutoffs, newest: true }) => {
                format!("capped: {} and the newest time", count_of(cutoffs, "cut-off"))
            }
            Err(error) => {
                intent.failed_for("store", error.to_string());
                return Err(unsure(error));
            }
        }
    } else {
        match &audit {
            Some(audit) => audit.accept_list(ListEnd { number, digest }),
            None => {
                complain(world.stderr, "there is no `[audit]` that could have noted more: a restart accepts the store")
            }
        }
        format!("accepted: the list of revocations ends with number {number}")
    };
    record::end(audit, world);
    store::close(&store);
    writeln!(world.stdout, "{said}").map_err(Stop::stdout)?;
    Ok(Status::Good)
}

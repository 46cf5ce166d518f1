//! `keyward keys`: lists keys with their numbers of tokens, and checks which ones can be retired.

mod sets;

use crate::args::CommonArgs;
use crate::args::keys::{Check, Command, Keys, List as ListArgs};
use crate::config::{Located, RingKey};
use crate::config_file::ConfigFile;
use crate::date::{age, date, date_to_the_minute};
use crate::output::{Column, Table, WIDTH, wrap, write_json, write_lines};
use crate::{CliError, Env, ExitStatus, Io, store};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::KeyState;
use keyward_runtime::store::{KeyUsage, TokenIndex};
use keyward_runtime::text::list_items;
use keyward_store::Store;
use serde::Serialize;
use sets::SetRow;
use std::collections::BTreeMap;

/// The note about tokens that are not counted.
const NOT_KNOWN: &str = "Not counted: tokens that were issued elsewhere or before there was a store.";

/// A key and its use. The members are in the order of the JSON.
#[derive(Serialize)]
struct Row {
    ring: String,
    key: String,
    /// `None` if the configuration has no such key.
    state: Option<&'static str>,
    /// Age of its file.
    age_seconds: Option<u64>,
    /// Users, as `handler.label`.
    used_by: Vec<String>,
    /// `None` without a store.
    tokens: Option<Tokens>,
}

/// Numbers of tokens that a key has signed.
#[derive(Serialize, Clone, Copy, Default)]
struct Tokens {
    minted: u64,
    good: u64,
    /// Number of valid tokens without an expiry.
    never_end: u64,
    newest_expiry: Option<u64>,
}

/// The output of `keyward keys list`.
#[derive(Serialize)]
struct List {
    keys: Vec<Row>,
    key_sets: Vec<SetRow>,
}

/// The output of `keyward keys check`.
#[derive(Serialize)]
struct Checked {
    keys: Vec<Finding>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Finding {
    #[serde(flatten)]
    row: Row,
    /// `true` if tokens that would otherwise be valid are rejected because this key is not loaded.
    broken: bool,
    advice: String,
}

pub(crate) fn run(args: Keys, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::List(ListArgs { of }) => list(&of, io),
        Command::Check(Check { of }) => check(&of, io),
    }
}

fn list(args: &CommonArgs, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    let keys = rows(&loaded, args.now()?, io.env)?;
    let key_sets = sets::reports(&loaded)?;
    if args.json {
        write_json(io.stdout, &List { keys, key_sets })?;
    } else {
        write_lines(io.stdout, table(&keys).into_iter().chain(sets::lines(&loaded, &key_sets)))?;
    }
    Ok(ExitStatus::Success)
}

fn check(args: &CommonArgs, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    loaded.rings(io.env)?;
    let keys: Vec<_> = rows(&loaded, args.now()?, io.env)?.into_iter().map(Finding::of).collect();
    let status = if keys.iter().any(|finding| finding.broken) { ExitStatus::Negative } else { ExitStatus::Success };
    let mut notes: Vec<String> = loaded.config.rings.iter().filter(|(_, ring)| !ring.has_ids).map(by_name).collect();
    notes.push(NOT_KNOWN.to_owned());
    if args.json {
        write_json(io.stdout, &Checked { keys, notes })?;
    } else {
        let findings = keys.iter().map(|finding| &finding.advice).chain(&notes);
        write_lines(io.stdout, findings.flat_map(|text| wrap(text)))?;
    }
    Ok(status)
}

fn by_name((name, _): (&String, &crate::config::Ring)) -> String {
    format!(
        "Ring {name} identifies keys by the names of files and variables, so a new key under an old name counts as the old one. \
         Use `keys = [{{ id = \"…\", … }}]` to give each key an id."
    )
}

/// Returns the keys by ring, in the order of the configuration. Keys that are known only to the
/// store come last in their ring.
fn rows(loaded: &ConfigFile, now: UnixTime, env: &Env) -> Result<Vec<Row>, CliError> {
    let mut uses = uses(loaded, now, env)?;
    let mut rows = Vec::new();
    for (ring, config) in &loaded.config.rings {
        let used_by = used_by(loaded, ring);
        for RingKey { id: Located { value: id, .. }, state, source } in &config.keys {
            let changed = source.as_ref().and_then(|source| loaded.modified(&source.value));
            let tokens = uses.as_mut().map(|uses| uses.remove(&format!("{ring}/{id}")).unwrap_or_default());
            rows.push(Row {
                ring: ring.clone(),
                key: id.clone(),
                state: Some(state.as_str()),
                age_seconds: changed.map(|changed| now.seconds_since(changed)),
                used_by: used_by.clone(),
                tokens,
            });
        }
    }
    for (name, tokens) in uses.into_iter().flatten() {
        // An id has no slash, but the name of a ring may.
        let (ring, key) = name.rsplit_once('/').unwrap_or(("", &name));
        rows.push(Row {
            ring: ring.to_owned(),
            key: key.to_owned(),
            state: None,
            age_seconds: None,
            used_by: used_by(loaded, ring),
            tokens: Some(tokens),
        });
    }
    // Keys that are no longer configured are listed with their ring.
    let place = |row: &Row| loaded.config.rings.get_index_of(&row.ring).unwrap_or(usize::MAX);
    rows.sort_by(|one, other| place(one).cmp(&place(other)).then_with(|| one.ring.cmp(&other.ring)));
    Ok(rows)
}

/// Returns the numbers of tokens by `ring/id`; `None` without a store.
fn uses(loaded: &ConfigFile, now: UnixTime, env: &Env) -> Result<Option<BTreeMap<String, Tokens>>, CliError> {
    let Some(location) = store::location(loaded, env)? else { return Ok(None) };
    let store = Store::open(location).map_err(|error| store::not_open(loaded, &error.to_string()))?;
    let uses = pollster::block_on(store.key_uses(now)).map_err(|error| CliError::Unavailable(error.to_string()))?;
    let uses = uses.into_iter().map(|KeyUsage { key, minted, good, never_end, newest_expiry }| {
        (key, Tokens { minted, good, never_end, newest_expiry: newest_expiry.map(|time| time.seconds) })
    });
    Ok(Some(uses.collect()))
}

/// Returns `handler.label` for each label that is bound to the ring.
fn used_by(loaded: &ConfigFile, ring: &str) -> Vec<String> {
    let handlers = loaded.config.handlers.iter();
    let labels = handlers.flat_map(|handler| handler.keys.iter().map(|(label, key)| (&handler.name.value, label, key)));
    labels.filter(|(.., key)| key.ring == ring).map(|(handler, label, _)| format!("{handler}.{label}")).collect()
}

impl Finding {
    /// Returns the advice about a key.
    fn of(row: Row) -> Self {
        let Row { ring, key, state, tokens, .. } = &row;
        let states = KeyState::ALL.into_iter();
        let state = states.into_iter().find(|known| *state == Some(known.as_str()));
        let is = match state {
            Some(state) => format!("{ring}/{key} is {}", state.as_str()),
            None => format!("{ring}/{key} is not in the configuration"),
        };
        let (broken, what) = match (state, tokens) {
            (Some(KeyState::Pending), _) => (false, ": make it active once every node has loaded it".to_owned()),
            (Some(KeyState::Active), _) => (false, ": it signs tokens".to_owned()),
            (Some(KeyState::VerifyOnly), Some(tokens)) => (false, format!(": {}", tokens.before_it_retires())),
            (Some(KeyState::VerifyOnly), None) => (false, ": its tokens cannot be counted without a store".to_owned()),
            (None | Some(KeyState::Retired), Some(tokens)) if tokens.good > 0 => (true, tokens.broken()),
            (None | Some(KeyState::Retired), Some(_)) => (false, ", and no valid token uses it".to_owned()),
            (None | Some(KeyState::Retired), None) => {
                (false, ": its tokens cannot be counted without a store".to_owned())
            }
        };
        let advice = format!("{}{is}{what}.", if broken { "BROKEN: " } else { "" });
        Self { row, broken, advice }
    }
}

impl Tokens {
    fn before_it_retires(self) -> String {
        let Self { minted: _, good, never_end, newest_expiry } = self;
        let last = newest_expiry.map(date);
        match (good, never_end, last) {
            (0, ..) => "it can be retired, because no valid token uses it".to_owned(),
            (_, 0, Some(last)) => format!("retire it after {last}; until then, {} it", are_good(good)),
            (_, 0, None) => format!("{} it", are_good(good)),
            (1, _, None) => {
                "1 valid token that never expires uses it: replace and revoke the token before you retire the key"
                    .to_owned()
            }
            (_, _, None) => {
                format!(
                    "{good} valid tokens that never expire use it: replace and revoke them before you retire the key"
                )
            }
            (_, _, Some(last)) => format!(
                "{} it, {never_end} of which never expire: replace and revoke those, and retire it after {last}",
                are_good(good)
            ),
        }
    }

    fn broken(self) -> String {
        let Self { minted: _, good, never_end, newest_expiry } = self;
        let tokens = if good == 1 { "1 token".to_owned() } else { format!("{good} tokens") };
        let until = match (never_end, newest_expiry.map(date)) {
            (0, Some(last)) => format!(" until {last}"),
            (_, Some(last)) => format!(" ({never_end} forever, the last of the others until {last})"),
            (_, None) => " forever".to_owned(),
        };
        format!(
            ", but {tokens} would otherwise be valid{until}: make it `verify-only` again, unless its secret has leaked, or revoke \
             its tokens"
        )
    }
}

fn are_good(tokens: u64) -> String {
    if tokens == 1 { "1 valid token uses".to_owned() } else { format!("{tokens} valid tokens use") }
}

impl Row {
    /// Returns the cells of the first columns.
    fn cells(&self, columns: usize) -> Vec<String> {
        let Self { ring: _, key, state, age_seconds, used_by: _, tokens } = self;
        let mut cells = vec![key.clone(), state.unwrap_or("gone").to_owned(), age_seconds.map_or_else(none, age)];
        let numbers = tokens.map(|Tokens { minted, good, never_end, .. }| [minted, good, never_end]);
        match numbers {
            Some(numbers) => cells.extend(numbers.map(|number| number.to_string())),
            None => cells.extend([none(), none(), none()]),
        }
        let end = tokens.and_then(|tokens| tokens.newest_expiry);
        cells.push(end.map_or_else(none, date_to_the_minute));
        cells.truncate(columns);
        cells
    }
}

fn none() -> String {
    "-".to_owned()
}

/// Returns the lines of the table, with the keys of each ring below its name.
fn table(rows: &[Row]) -> Vec<String> {
    use Column::{Numbers, Words};
    const HEAD: [&str; 7] = ["KEY", "STATE", "AGE", "ISSUED", "VALID", "NO EXPIRY", "LAST EXPIRY (UTC)"];
    const CELLS: [Column; 7] = [Words, Words, Numbers, Numbers, Numbers, Numbers, Words];
    let columns = if rows.iter().any(|row| row.tokens.is_some()) { HEAD.len() } else { 3 };
    let head: Vec<String> = HEAD.iter().take(columns).map(|head| (*head).to_owned()).collect();
    let cells = rows.iter().map(|row| row.cells(columns));
    let cells: Vec<_> = std::iter::once(head.clone()).chain(cells).collect();
    let table = Table::of(WIDTH, 2, CELLS.get(..columns).unwrap_or(&CELLS), &cells);
    let mut lines = Vec::new();
    let mut last = None;
    for (row, cells) in rows.iter().zip(cells.iter().skip(1)) {
        if last.replace(&row.ring) != Some(&row.ring) {
            let users = if row.used_by.is_empty() { "no handler".to_owned() } else { list_items(&row.used_by) };
            lines.extend(wrap(&format!("Ring {}, used by {users}", row.ring)));
            lines.extend(table.lines(&head));
        }
        lines.extend(table.lines(cells));
    }
    lines
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;

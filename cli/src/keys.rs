//! `keyward keys …`: which keys there are, what is known of the tokens under them, and what it would break to retire one.

use crate::args::Of;
use crate::args::keys::{Check, Command, Keys, List as ListArgs};
use crate::config::{At, RingKey};
use crate::date::{age, date};
use crate::load::Loaded;
use crate::output::{Cells, Table, wrap, write_json, write_lines};
use crate::{Env, Status, Stop, World, store};
use keyward_runtime::{KeyState, KeyUse, TokenStore, list_items};
use keyward_store::Store;
use serde::Serialize;
use std::collections::BTreeMap;

/// What no store can say.
const NOT_KNOWN: &str = "Not known: tokens that were made elsewhere, or before there was a store.";

/// A key, and what is known of it. The order of the members is that of the JSON.
#[derive(Serialize)]
struct Row {
    ring: String,
    key: String,
    /// `None`: the configuration has no such key.
    state: Option<&'static str>,
    /// How old its file is.
    age_seconds: Option<u64>,
    /// `handler.label`.
    used_by: Vec<String>,
    /// `None`: there is no store to say so.
    tokens: Option<Tokens>,
}

/// Tokens that a key has signed.
#[derive(Serialize, Clone, Copy, Default)]
struct Tokens {
    minted: u64,
    good: u64,
    /// Of the good ones.
    never_end: u64,
    newest_expiry: Option<u64>,
}

/// What a list says.
#[derive(Serialize)]
struct List {
    keys: Vec<Row>,
}

/// What a check says.
#[derive(Serialize)]
struct Checked {
    keys: Vec<Finding>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Finding {
    #[serde(flatten)]
    row: Row,
    /// Whether good tokens are refused for want of this key.
    broken: bool,
    advice: String,
}

pub(crate) fn run(args: Keys, world: &mut World<'_>) -> Result<Status, Stop> {
    match args.command {
        Command::List(ListArgs { of }) => list(&of, world),
        Command::Check(Check { of }) => check(&of, world),
    }
}

fn list(args: &Of, world: &mut World<'_>) -> Result<Status, Stop> {
    let loaded = Loaded::read(&args.config)?;
    let keys = rows(&loaded, args.now()?, world.env)?;
    if args.json {
        write_json(world.stdout, &List { keys })?;
    } else {
        write_lines(world.stdout, table(&keys))?;
    }
    Ok(Status::Good)
}

fn check(args: &Of, world: &mut World<'_>) -> Result<Status, Stop> {
    let loaded = Loaded::read(&args.config)?;
    loaded.rings(world.env)?;
    let keys: Vec<_> = rows(&loaded, args.now()?, world.env)?.into_iter().map(Finding::of).collect();
    let status = if keys.iter().any(|finding| finding.broken) { Status::No } else { Status::Good };
    let mut notes: Vec<String> = loaded.config.rings.iter().filter(|(_, ring)| !ring.has_ids).map(by_name).collect();
    notes.push(NOT_KNOWN.to_owned());
    if args.json {
        write_json(world.stdout, &Checked { keys, notes })?;
    } else {
        let findings = keys.iter().map(|finding| &finding.advice).chain(&notes);
        write_lines(world.stdout, findings.flat_map(|text| wrap(text)))?;
    }
    Ok(status)
}

fn by_name((name, _): (&String, &crate::config::Ring)) -> String {
    format!(
        "Ring {name} goes by the names of files and variables: a key that takes another's place under its name is taken for it. \
         With `keys = [{{ id = \"…\", … }}]` each has an id of its own."
    )
}

/// The keys of the configuration in its order, and behind them those that the store knows and the configuration does not.
fn rows(loaded: &Loaded, now: u64, env: &Env) -> Result<Vec<Row>, Stop> {
    let mut uses = uses(loaded, now, env)?;
    let mut rows = Vec::new();
    for (ring, config) in &loaded.config.rings {
        let used_by = used_by(loaded, ring);
        for RingKey { id: At { value: id, .. }, state, source } in &config.keys {
            let changed = source.as_ref().and_then(|source| loaded.modified(&source.value));
            let tokens = uses.as_mut().map(|uses| uses.remove(&format!("{ring}/{id}")).unwrap_or_default());
            rows.push(Row {
                ring: ring.clone(),
                key: id.clone(),
                state: Some(state.as_str()),
                age_seconds: changed.map(|changed| now.saturating_sub(changed)),
                used_by: used_by.clone(),
                tokens,
            });
        }
    }
    for (name, tokens) in uses.into_iter().flatten() {
        // An id has no slash; the name of a ring may.
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
    // Those that are gone stand with what is left of their ring.
    let place = |row: &Row| loaded.config.rings.get_index_of(&row.ring).unwrap_or(usize::MAX);
    rows.sort_by(|one, other| place(one).cmp(&place(other)).then_with(|| one.ring.cmp(&other.ring)));
    Ok(rows)
}

/// What the store knows, by `ring/id`, if there is a store.
fn uses(loaded: &Loaded, now: u64, env: &Env) -> Result<Option<BTreeMap<String, Tokens>>, Stop> {
    let Some(location) = store::location(loaded, env)? else { return Ok(None) };
    let store = Store::open(location).map_err(|error| store::not_open(loaded, &error.to_string()))?;
    let uses = pollster::block_on(store.key_uses(now)).map_err(|error| Stop::NoVerdict(error.to_string()))?;
    let uses = uses.into_iter().map(|KeyUse { key, minted, good, never_end, newest_expiry }| {
        (key, Tokens { minted, good, never_end, newest_expiry })
    });
    Ok(Some(uses.collect()))
}

/// `handler.label`, for each label that is bound to the ring.
fn used_by(loaded: &Loaded, ring: &str) -> Vec<String> {
    let handlers = loaded.config.handlers.iter();
    let labels = handlers.flat_map(|handler| handler.keys.iter().map(|(label, key)| (&handler.name.value, label, key)));
    labels.filter(|(.., key)| key.ring == ring).map(|(handler, label, _)| format!("{handler}.{label}")).collect()
}

impl Finding {
    /// What is to be done about a key, or has been broken.
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
            (Some(KeyState::Active), _) => (false, ": it signs".to_owned()),
            (Some(KeyState::VerifyOnly), Some(tokens)) => (false, format!(": {}", tokens.before_it_retires())),
            (Some(KeyState::VerifyOnly), None) => (false, ": no store says which tokens are under it".to_owned()),
            (None | Some(KeyState::Retired), Some(tokens)) if tokens.good > 0 => (true, tokens.broken()),
            (None | Some(KeyState::Retired), Some(_)) => (false, ", and no good token is under it".to_owned()),
            (None | Some(KeyState::Retired), None) => (false, ": no store says which tokens are under it".to_owned()),
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
            (0, ..) => "it can be retired, no good token is under it".to_owned(),
            (_, 0, Some(last)) => format!("retire it after {last}; until then {} under it", are_good(good)),
            (_, 0, None) => format!("{} under it", are_good(good)),
            (1, _, None) => {
                "1 good token is under it that never ends: replace and revoke it before you retire the key".to_owned()
            }
            (_, _, None) => {
                format!(
                    "{good} good tokens are under it that never end: replace and revoke them before you retire the key"
                )
            }
            (_, _, Some(last)) => format!(
                "{} under it, and {never_end} of them never end: replace and revoke those, and retire it after {last}",
                are_good(good)
            ),
        }
    }

    fn broken(self) -> String {
        let Self { minted: _, good, never_end, newest_expiry } = self;
        let tokens = if good == 1 { "1 token that is".to_owned() } else { format!("{good} tokens that are") };
        let until = match (never_end, newest_expiry.map(date)) {
            (0, Some(last)) => format!(" until {last}"),
            (_, Some(last)) => format!(" ({never_end} for ever, the last of the others until {last})"),
            (_, None) => " for ever".to_owned(),
        };
        format!(
            " and refuses {tokens} good otherwise{until}: make it `verify-only` again, unless its secret has leaked, or revoke \
             what is under it"
        )
    }
}

fn are_good(tokens: u64) -> String {
    if tokens == 1 { "1 good token is".to_owned() } else { format!("{tokens} good tokens are") }
}

impl Row {
    /// As many cells as there is something to say in.
    fn cells(&self, columns: usize) -> Vec<String> {
        let Self { ring: _, key, state, age_seconds, used_by: _, tokens } = self;
        let mut cells = vec![key.clone(), state.unwrap_or("gone").to_owned(), age_seconds.map_or_else(none, age)];
        let numbers = tokens.map(|Tokens { minted, good, never_end, .. }| [minted, good, never_end]);
        match numbers {
            Some(numbers) => cells.extend(numbers.map(|number| number.to_string())),
            None => cells.extend([none(), none(), none()]),
        }
        // To the minute is enough to look at.
        let end = tokens.and_then(|tokens| tokens.newest_expiry).map(date);
        cells.push(end.map_or_else(none, |end| end.chars().take(16).collect()));
        cells.truncate(columns);
        cells
    }
}

fn none() -> String {
    "-".to_owned()
}

/// The table: each ring, and its keys below it.
fn table(rows: &[Row]) -> Vec<String> {
    use Cells::{Numbers, Words};
    const HEAD: [&str; 7] = ["KEY", "STATE", "AGE", "MINTED", "GOOD", "NO END", "LAST END (UTC)"];
    const CELLS: [Cells; 7] = [Words, Words, Numbers, Numbers, Numbers, Numbers, Words];
    let columns = if rows.iter().any(|row| row.tokens.is_some()) { HEAD.len() } else { 3 };
    let head: Vec<String> = HEAD.iter().take(columns).map(|head| (*head).to_owned()).collect();
    let cells = rows.iter().map(|row| row.cells(columns));
    let cells: Vec<_> = std::iter::once(head.clone()).chain(cells).collect();
    let table = Table::of(2, CELLS.get(..columns).unwrap_or(&CELLS), &cells);
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

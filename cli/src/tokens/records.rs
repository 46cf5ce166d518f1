//! `keyward tokens list`, `show`, `edit` and `rotate`: what is known of tokens, and less for them.

use super::unconfirmed;
use crate::args::tokens::{Edit, List, Rotate, Show};
use crate::date::date;
use crate::load::{self, Loaded};
use crate::output::{WIDTH, cut, one_line, write_json, write_lines};
use crate::{Status, Stop, World, complain, create, record, store};
use keyward_audit::{Entry, Event};
use keyward_runtime::{Amendment, Edited, Error, Filter, Listed, Record, Registry, Restrictions, UnixTime};
use keyward_server::Intent;
use serde::Serialize;

/// What is known of a token. The order of the members is that of the JSON.
#[derive(Serialize)]
struct Known<'a> {
    token_id: &'a str,
    handler: &'a str,
    actor: &'a str,
    description: Option<&'a str>,
    /// As the token carries them.
    restrictions: Option<&'a Restrictions>,
    issued_at: u64,
    expires_at: Option<u64>,
    last_used_at: Option<u64>,
    status: &'static str,
    ended_at: Option<u64>,
    /// The daemon's caller that had it made.
    caller: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn of(registry: &Registry, handler: &'a str, record: &'a Record) -> Result<Self, Stop> {
        Ok(Self {
            token_id: &record.id,
            handler,
            actor: &record.actor_id,
            description: record.description.as_deref(),
            restrictions: record.restrictions.as_ref(),
            issued_at: record.issued_at,
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            status: registry.status(handler, record).map_err(|error| no_answer(&error))?.name(),
            ended_at: record.ended.map(|ended| ended.at),
            caller: record.caller.as_deref(),
            key: record.key.as_deref(),
        })
    }

    fn lines(&self) -> Result<Vec<String>, Stop> {
        let restrictions = self.restrictions.map(serde_json::to_string).transpose();
        let restrictions = restrictions.map_err(|error| Stop::stdout(error.into()))?;
        let some = |text: Option<&str>, none: &str| text.unwrap_or(none).to_owned();
        let when = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), date);
        let mut lines = vec![
            format!("token:        {}", self.token_id),
            format!("handler:      {}", self.handler),
            format!("actor:        {}", self.actor),
            format!("description:  {}", some(self.description, "none")),
            format!("restrictions: {}", restrictions.as_deref().unwrap_or("none: all that its actor may do")),
            format!("issued:       {}", date(self.issued_at)),
            format!("expires:      {}", when(self.expires_at, "never")),
            format!("last used:    {}", when(self.last_used_at, "never")),
            format!("status:       {}", self.status),
        ];
        lines.extend(self.ended_at.map(|at| format!("ended:        {}", date(at))));
        lines.push(format!("made by:      {}", some(self.caller, "the operator, or nobody knows")));
        lines.push(format!("key:          {}", some(self.key, "none, or not known")));
        Ok(lines)
    }
}

pub(super) fn list(args: List, world: &mut World<'_>) -> Result<Status, Stop> {
    let List { config, actor, handler, status, unused_since, never_ends, limit, at, json } = args;
    let config = Loaded::read(&config)?;
    if let Some(name) = &handler {
        config.must_have(name)?;
    }
    let registry = registry(&config, at, world)?;
    let handlers = handler.map(|name| vec![name]);
    let filter = Filter { handlers, actor_id: actor, status, unused_since, never_ends, ..Filter::default() };
    let found = pollster::block_on(registry.list(filter, None, limit.saturating_add(1)));
    let mut found = found.map_err(|error| no_answer(&error))?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > shown;
    found.truncate(shown);
    let mut rows = Vec::new();
    for Listed { handler, record } in &found {
        let known = Known::of(&registry, handler, record)?;
        if json {
            write_json(world.stdout, &known)?;
        } else {
            rows.push(known);
        }
    }
    if !json {
        write_lines(world.stdout, table(&rows))?;
        if rows.is_empty() {
            write_lines(world.stdout, ["no token fits"])?;
        }
    }
    if is_more {
        complain(world.stderr, &format!("there are more than {limit}: give a greater --limit, or say more of which"));
    }
    Ok(Status::Good)
}

pub(super) fn show(args: &Show, world: &mut World<'_>) -> Result<Status, Stop> {
    let Show { config, handler, id, at, json } = args;
    let config = Loaded::read(config)?;
    config.must_have(handler)?;
    let registry = registry(&config, *at, world)?;
    let found = pollster::block_on(registry.find(handler, id)).map_err(|error| no_answer(&error))?;
    let Some(record) = found else { return Ok(unknown(world, handler)) };
    shown(&registry, handler, &record, *json, world)
}

pub(super) fn edit(args: Edit, world: &mut World<'_>) -> Result<Status, Stop> {
    let Edit { config, handler, id, description, expires_at, restrictions, json } = args;
    let restrictions = restrictions.restrictions();
    if description.is_none() && expires_at.is_none() && restrictions.is_none() {
        return Err(Stop::Mistake(
            "say what to change: --description, --expires-at, --all, --database or --resource; see `keyward tokens edit --help`"
                .to_owned(),
        ));
    }
    let config = Loaded::read(&config)?;
    config.must_have(&handler)?;
    let registry = registry(&config, None, world)?;
    let audit = record::open(&config)?;
    let changes = [
        description.as_ref().map(|_| "another note".to_owned()),
        expires_at.map(|end| format!("an end at {end}")),
        restrictions.as_ref().map(|_| "other restrictions".to_owned()),
    ];
    let entry = Entry {
        token_id: Some(id.clone()),
        detail: Some(changes.into_iter().flatten().collect::<Vec<_>>().join(", ")),
        ..record::entry(Event::Edit, &registry, Some(&handler))
    };
    let intent = Intent::new(audit.as_ref(), entry);
    pollster::block_on(intent.record()).map_err(|error| record::not_recorded(&error))?;
    let description = description.map(|text| Some(text).filter(|text| !text.is_empty()));
    let amendment = Amendment { description, expires_at, restrictions };
    match pollster::block_on(registry.edit(&handler, &id, amendment)) {
        Ok(Edited::Done(record)) => shown(&registry, &handler, &record, json, world),
        Ok(Edited::Denied(denied)) => {
            intent.denied(denied.denial.as_str());
            complain(world.stderr, &format!("it is not changed: {}", denied.message));
            Ok(Status::No)
        }
        Ok(Edited::Unknown) => {
            intent.denied("unknown");
            Ok(unknown(world, &handler))
        }
        Err(error) => {
            let stop = unconfirmed(&error);
            intent.failed(&error);
            Err(stop)
        }
    }
}

pub(super) fn rotate(args: &Rotate, world: &mut World<'_>) -> Result<Status, Stop> {
    let Rotate { config, handler, id, overlap, json } = args;
    let config = Loaded::read(config)?;
    config.must_have(handler)?;
    let registry = registry(&config, None, world)?;
    let audit = record::open(&config)?;
    let entry = Entry {
        detail: Some(format!("in the place of {id}")),
        ..record::entry(Event::Rotate, &registry, Some(handler))
    };
    let intent = Intent::new(audit.as_ref(), entry);
    match pollster::block_on(registry.rotate(handler, id, *overlap, Some(&intent))).transpose() {
        Some(creation) => {
            intent.made(&creation);
            create::print(creation, *json, world)
        }
        None => {
            intent.denied("unknown");
            Ok(unknown(world, handler))
        }
    }
}

fn registry(config: &Loaded, at: Option<UnixTime>, world: &World<'_>) -> Result<Registry, Stop> {
    let store = store::open(config, world.env)?;
    config.registry(&load::runtime(at)?, world.env, store.as_ref())
}

fn shown(
    registry: &Registry,
    handler: &str,
    record: &Record,
    json: bool,
    world: &mut World<'_>,
) -> Result<Status, Stop> {
    let known = Known::of(registry, handler, record)?;
    if json {
        write_json(world.stdout, &known)?;
    } else {
        write_lines(world.stdout, known.lines()?)?;
    }
    Ok(Status::Good)
}

fn unknown(world: &mut World<'_>, handler: &str) -> Status {
    complain(world.stderr, &format!("handler `{handler}` has no record of a token with this id"));
    Status::No
}

/// Nothing was to be changed, so there is nothing to be unsure of.
fn no_answer(error: &Error) -> Stop {
    match error.code() {
        "no-store" => Stop::Mistake(error.to_string()),
        _ => Stop::NoVerdict(error.to_string()),
    }
}

/// The columns that are cut first if the others leave them no room, and how narrow they get.
const NARROWEST: usize = 8;

/// A line a token: ids are whole, because commands ask for them, and names give way.
fn table(rows: &[Known<'_>]) -> Vec<String> {
    let day = |time: Option<u64>, none: &str| {
        time.map_or_else(|| none.to_owned(), |time| date(time).chars().take(10).collect())
    };
    let head = ["TOKEN", "STATUS", "EXPIRES", "USED", "HANDLER", "ACTOR"].map(str::to_owned);
    let cells = rows.iter().map(|known| {
        [
            one_line(known.token_id),
            known.status.to_owned(),
            day(known.expires_at, "never"),
            day(known.last_used_at, "never"),
            one_line(known.handler),
            one_line(known.actor),
        ]
    });
    let mut rows: Vec<[String; 6]> = std::iter::once(head).chain(cells).collect();
    let widest = |rows: &[[String; 6]], column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for column in [5, 4] {
        let all: usize = (0..6).map(|column| widest(&rows, column).saturating_add(2)).sum();
        let too_wide = all.saturating_sub(WIDTH.saturating_add(2));
        let width = widest(&rows, column).saturating_sub(too_wide).max(NARROWEST);
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            *cell = cut(cell, width);
        }
    }
    let widths: Vec<usize> = (0..6).map(|column| widest(&rows, column)).collect();
    let line = |row: [String; 6]| {
        let cells: Vec<String> = row.into_iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    if rows.len() == 1 { Vec::new() } else { rows.into_iter().map(line).collect() }
}

//! `keyward tokens list`, `show`, `edit` and `rotate`: what is known of tokens, and less for them.

use super::{must_be_id, unconfirmed};
use crate::args::tokens::{Edit, List, One, Rotate, Show};
use crate::date::date;
use crate::load::{self, Loaded};
use crate::output::{Cells, Table, name, one_line, write_json, write_lines};
use crate::{Status, Stop, World, complain, create, record, store};
use keyward_audit::{Entry, Event};
use keyward_runtime::{
    Amendment, Edited, Error, Filter, Listed, Place, Record, Registry, Restrictions, Stored, UnixTime,
};
use keyward_server::{Intent, scope};
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
    /// For people: `vi` is `view-instance`.
    #[serde(skip)]
    scopes: Option<String>,
    /// Whether it would stand here if the token had been used.
    #[serde(skip)]
    is_use_noted: bool,
}

impl<'a> Known<'a> {
    fn of(config: &Loaded, registry: &Registry, handler: &'a str, record: &'a Record) -> Result<Self, Stop> {
        let configured = config.config.handlers.iter().find(|known| known.name.value == handler);
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
            scopes: record.restrictions.as_ref().map(|restrictions| scopes(registry, restrictions)),
            is_use_noted: configured.is_some_and(|handler| handler.store.is_some() || handler.max_idle.is_some()),
        })
    }

    fn lines(&self) -> Vec<String> {
        let unused = if self.is_use_noted { "never" } else { "not known: its handler has no `max_idle`" };
        let some = |text: Option<&str>, none: &str| text.unwrap_or(none).to_owned();
        let when = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), date);
        let mut lines = vec![
            format!("token:        {}", self.token_id),
            format!("handler:      {}", self.handler),
            format!("actor:        {}", name(self.actor)),
            format!("description:  {}", self.description.map_or_else(|| "none".to_owned(), name)),
            format!("restrictions: {}", some(self.scopes.as_deref(), "none: all that its actor may do")),
            format!("issued:       {}", date(self.issued_at)),
            format!("expires:      {}", when(self.expires_at, "never")),
            format!("last used:    {}", when(self.last_used_at, unused)),
            format!("status:       {}", self.status),
        ];
        lines.extend(self.ended_at.map(|at| format!("ended:        {}", date(at))));
        lines.push(format!("made by:      {}", some(self.caller, "the operator, or nobody knows")));
        lines.push(format!("key:          {}", some(self.key, "none, or not known")));
        lines
    }
}

/// What a token is restricted to, action by action.
fn scopes(registry: &Registry, restrictions: &Restrictions) -> String {
    let scopes = restrictions
        .iter()
        .map(|(action, database, resource)| scope(registry.action(action).unwrap_or(action), database, resource));
    let scopes: Vec<_> = scopes.collect();
    if scopes.is_empty() { "it allows nothing".to_owned() } else { scopes.join(", ") }
}

pub(super) fn list(args: List, world: &mut World<'_>) -> Result<Status, Stop> {
    let List { config, actor, handler, status, unused_since, never_ends, limit, after, at, json } = args;
    let config = Loaded::read(&config)?;
    if let Some(name) = &handler {
        config.must_have(name)?;
    }
    let registry = registry(&config, at, world)?;
    let handlers = handler.map(|name| vec![name]);
    let filter = Filter { handlers, actor_id: actor, status, unused_since, never_ends, ..Filter::default() };
    let after = match after.as_slice() {
        [handler, id] => Some(place(&registry, handler, id)?),
        _ => None,
    };
    let found = pollster::block_on(registry.list(filter, after.as_ref(), limit.saturating_add(1)));
    let mut found = found.map_err(|error| no_answer(&error))?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > shown;
    found.truncate(shown);
    let mut rows = Vec::new();
    for Listed { handler, record } in &found {
        let known = Known::of(&config, &registry, handler, record)?;
        if json {
            write_json(world.stdout, &known)?;
        } else {
            rows.push(known);
        }
    }
    if !json {
        write_lines(world.stdout, if rows.is_empty() { vec!["no token fits".to_owned()] } else { table(&rows) })?;
    }
    if let Some(Listed { handler, record }) = found.last().filter(|_| is_more) {
        let id = &record.id;
        complain(
            world.stderr,
            &format!("there are more than {limit}: go on with --after {handler} {id}, or give a greater --limit"),
        );
    }
    Ok(Status::Good)
}

/// Where a token stands among all others.
fn place(registry: &Registry, handler: &str, id: &str) -> Result<Place, Stop> {
    let found = pollster::block_on(registry.records().map_err(|error| no_answer(&error))?.find(handler, id));
    match found.map_err(|error| Stop::NoVerdict(error.to_string()))? {
        Some(Stored { record, .. }) => Ok(Listed { handler: handler.to_owned(), record }.place()),
        None => Err(Stop::Mistake(
            "--after names a token that has no record: take the handler and the id from a list, or leave it out"
                .to_owned(),
        )),
    }
}

pub(super) fn show(args: &Show, world: &mut World<'_>) -> Result<Status, Stop> {
    let Show { of: One { config, handler, id }, at, json } = args;
    let config = Loaded::read(config)?;
    config.must_have(handler)?;
    let registry = registry(&config, *at, world)?;
    must_be_id(&registry, id)?;
    let found = pollster::block_on(registry.find(handler, id)).map_err(|error| no_answer(&error))?;
    let Some(record) = found else { return Ok(unknown(world, handler)) };
    shown(&Known::of(&config, &registry, handler, &record)?, *json, world)
}

pub(super) fn edit(args: Edit, world: &mut World<'_>) -> Result<Status, Stop> {
    let Edit { of: One { config, handler, id }, description, expires_at, restrictions, json } = args;
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
    must_be_id(&registry, &id)?;
    let found = pollster::block_on(registry.find(&handler, &id)).map_err(|error| no_answer(&error))?;
    let audit = record::open(&config)?;
    let description = description.map(|text| Some(text).filter(|text| !text.is_empty()));
    let amendment = Amendment { description, expires_at, restrictions };
    let entry = Entry {
        actor: found.map(|record| record.actor_id),
        token_id: Some(id.clone()),
        detail: Some(amendment.to_string()),
        ..record::entry(Event::Edit, &registry, Some(&handler))
    };
    let intent = Intent::new(audit.as_ref(), entry);
    pollster::block_on(intent.record()).map_err(|error| record::not_recorded(&error))?;
    let done = match pollster::block_on(registry.edit(&handler, &id, amendment)) {
        Ok(Edited::Done(record)) => {
            Known::of(&config, &registry, &handler, &record).and_then(|known| shown(&known, json, world))
        }
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
    };
    record::end_with(audit, &registry, world);
    done
}

pub(super) fn rotate(args: &Rotate, world: &mut World<'_>) -> Result<Status, Stop> {
    let Rotate { of: One { config, handler, id }, overlap, json } = args;
    let config = Loaded::read(config)?;
    config.must_have(handler)?;
    let registry = registry(&config, None, world)?;
    registry.records().map_err(|error| no_answer(&error))?;
    must_be_id(&registry, id)?;
    let found = pollster::block_on(registry.find(handler, id)).map_err(|error| no_answer(&error))?;
    let audit = record::open(&config)?;
    let entry = Entry {
        actor: found.map(|record| record.actor_id),
        detail: Some(format!("in the place of {id}, which is good for {overlap} s more")),
        ..record::entry(Event::Rotate, &registry, Some(handler))
    };
    let intent = Intent::new(audit.as_ref(), entry);
    let done = match pollster::block_on(registry.rotate(handler, id, *overlap, Some(&intent))).transpose() {
        Some(creation) => {
            intent.made(&creation);
            create::print(creation, *json, world)
        }
        None => {
            intent.denied("unknown");
            Ok(unknown(world, handler))
        }
    };
    record::end_with(audit, &registry, world);
    done
}

fn registry(config: &Loaded, at: Option<UnixTime>, world: &World<'_>) -> Result<Registry, Stop> {
    let store = store::open(config, world.env)?;
    config.registry(&load::runtime(at)?, world.env, store.as_ref())
}

fn shown(known: &Known<'_>, json: bool, world: &mut World<'_>) -> Result<Status, Stop> {
    if json {
        write_json(world.stdout, known)?;
    } else {
        write_lines(world.stdout, known.lines())?;
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

/// A line a token: ids are whole, because commands ask for them, and names give way.
fn table(known: &[Known<'_>]) -> Vec<String> {
    use Cells::{Names, Words};
    let day = |time: Option<u64>, none: &str| {
        time.map_or_else(|| none.to_owned(), |time| date(time).chars().take(10).collect())
    };
    let head = ["TOKEN", "STATUS", "EXPIRES", "USED", "HANDLER", "ACTOR"].map(str::to_owned);
    let cells = known.iter().map(|known| {
        [
            one_line(known.token_id),
            known.status.to_owned(),
            day(known.expires_at, "never"),
            day(known.last_used_at, if known.is_use_noted { "never" } else { "-" }),
            one_line(known.handler),
            name(known.actor),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(cells).map(Vec::from).collect();
    Table::of(0, &[Words, Words, Words, Words, Names, Names], &rows).all(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{WIDTH, width};

    #[test]
    fn every_list_fits_and_has_whole_ids() {
        let long = "x".repeat(200);
        let ids = ["4GAtsCiYAQWTNiDbMScMBJ", "767ed2bf2ec63f8d6af12fbcab3ba84a", &long[..60]];
        let known = |token_id, actor, time| Known {
            token_id,
            handler: &long[..64],
            actor,
            description: None,
            restrictions: None,
            issued_at: 0,
            expires_at: time,
            last_used_at: time,
            status: "replaced",
            ended_at: None,
            caller: None,
            key: None,
            scopes: None,
            is_use_noted: true,
        };
        for time in [None, Some(1_767_225_600)] {
            let rows: Vec<_> =
                ids.iter().flat_map(|id| [known(id, &long, time), known(id, "日本語日本語日本語", time)]).collect();
            for rows in [&rows[..], &rows[..2], &rows[2..4], &rows[4..]] {
                let lines = table(rows);
                assert!(lines.iter().all(|line| width(line) <= WIDTH), "{lines:#?}");
                for Known { token_id, .. } in rows {
                    assert!(lines.iter().any(|line| line.split(' ').next() == Some(token_id)), "{lines:#?}");
                }
            }
        }
    }
}

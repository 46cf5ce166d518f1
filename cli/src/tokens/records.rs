//! `keyward tokens list`, `show`, `edit` and `rotate`: the records of tokens.

use super::{must_be_id, unconfirmed};
use crate::args::tokens::{Edit, List, Rotate, Show, TokenArgs};
use crate::config_file::ConfigFile;
use crate::date::{date, date_to_the_minute};
use crate::output::{Column, Table, name, one_line, write_json, write_lines};
use crate::{CliError, ExitStatus, Io, audit_log, create, report_error, store};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::registry::{TokenUpdate, Tokens, UpdateOutcome};
use keyward_runtime::store::{Cursor, Filter, ListEntry, ListPage, Record};
use keyward_runtime::token::TokenId;
use keyward_runtime::{Error, Registry, Restrictions};
use keyward_server::scope;
use keyward_service::{Operations, Origin};
use serde::Serialize;
use std::time::Duration;

/// A record for output. The members are in the order of the JSON.
#[derive(Serialize)]
struct Known<'a> {
    token_id: &'a str,
    handler: &'a str,
    actor: &'a str,
    description: Option<&'a str>,
    /// The restrictions as the token carries them.
    restrictions: Option<&'a Restrictions>,
    issued_at: u64,
    expires_at: Option<u64>,
    last_used_at: Option<u64>,
    status: &'static str,
    ended_at: Option<u64>,
    /// The client of the daemon that created the token.
    client: Option<&'a str>,
    key: Option<&'a str>,
    /// The token with which it was requested, as `handler/id`.
    parent: Option<String>,
    /// The restrictions for humans, with `view-instance` for `vi`.
    #[serde(skip)]
    scopes: Option<String>,
    /// `true` if the use of the token is recorded.
    #[serde(skip)]
    is_use_noted: bool,
}

impl<'a> Known<'a> {
    fn of(config: &ConfigFile, registry: &Registry, handler: &'a str, record: &'a Record) -> Result<Self, CliError> {
        let configured = config.config.handlers.iter().find(|known| known.name.value == handler);
        Ok(Self {
            token_id: &record.id,
            handler,
            actor: &record.actor_id,
            description: record.description.as_deref(),
            restrictions: record.restrictions.as_ref(),
            issued_at: record.issued_at.seconds,
            expires_at: record.expires_at.map(|time| time.seconds),
            last_used_at: record.last_used_at.map(|time| time.seconds),
            status: tokens(registry)?.status(handler, record).map_err(|error| no_answer(&error))?.name(),
            ended_at: record.ended.map(|ended| ended.at.seconds),
            client: record.client.as_deref(),
            key: record.key.as_deref(),
            parent: record.parent.as_ref().map(TokenId::to_string),
            scopes: record.restrictions.as_ref().map(|restrictions| scopes(registry, restrictions)),
            is_use_noted: configured.is_some_and(|handler| handler.store.is_some() || handler.max_idle.is_some()),
        })
    }

    fn lines(&self) -> Vec<String> {
        let unused = if self.is_use_noted { "never" } else { "unknown: its handler has no `max_idle`" };
        let some = |text: Option<&str>, none: &str| text.unwrap_or(none).to_owned();
        let when = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), date);
        let mut lines = vec![
            format!("token:        {}", self.token_id),
            format!("handler:      {}", self.handler),
            format!("actor:        {}", name(self.actor)),
            format!("description:  {}", self.description.map_or_else(|| "none".to_owned(), name)),
            format!("restrictions: {}", some(self.scopes.as_deref(), "none: all rights of its actor")),
            format!("issued:       {}", date(self.issued_at)),
            format!("expires:      {}", when(self.expires_at, "never")),
            format!("last used:    {}", when(self.last_used_at, unused)),
            format!("status:       {}", self.status),
        ];
        lines.extend(self.ended_at.map(|at| format!("ended:        {}", date(at))));
        lines.push(format!("created by:   {}", some(self.client, "the operator, or unknown")));
        lines.push(format!("key:          {}", some(self.key, "none, or unknown")));
        lines.extend(self.parent.as_deref().map(|parent| format!("parent:       {}", name(parent))));
        lines
    }
}

/// Lists the scopes of restrictions for humans.
fn scopes(registry: &Registry, restrictions: &Restrictions) -> String {
    let scopes = restrictions
        .iter()
        .map(|(action, database, resource)| scope(registry.action(action).unwrap_or(action), database, resource));
    let scopes: Vec<_> = scopes.collect();
    if scopes.is_empty() { "no rights".to_owned() } else { scopes.join(", ") }
}

pub(super) fn list(args: List, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let List { config, actor, handler, status, unused_since, never_ends, limit, after, at, json } = args;
    let config = ConfigFile::find(config.as_deref(), io)?;
    if let Some(name) = &handler {
        config.require_handler(name)?;
    }
    let registry = registry(&config, at, io)?;
    if let Some(actor) = &actor {
        registry.check_actor_id(actor).map_err(|text| CliError::Usage(text.to_owned()))?;
    }
    let handlers = handler.map(|name| vec![name]);
    let filter = Filter { handlers, actor_id: actor, status, unused_since, never_ends, ..Filter::default() };
    let after = match after.as_slice() {
        [handler, id] => Some(place(&registry, handler, id)?),
        _ => None,
    };
    let mut found = all(&registry, &filter, after, limit.saturating_add(1)).map_err(|error| no_answer(&error))?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_more = found.len() > shown;
    found.truncate(shown);
    let mut rows = Vec::new();
    for ListEntry { handler, record } in &found {
        let known = Known::of(&config, &registry, handler, record)?;
        if json {
            write_json(io.stdout, &known)?;
        } else {
            rows.push(known);
        }
    }
    if !json {
        write_lines(
            io.stdout,
            if rows.is_empty() { vec!["no matching token".to_owned()] } else { table(io.columns, &rows) },
        )?;
    }
    if let Some(ListEntry { handler, record }) = found.last().filter(|_| is_more) {
        let id = &record.id;
        report_error(
            io.stderr,
            &format!("more than {limit} tokens match: continue with --after {handler} {id}, or raise --limit"),
        );
    }
    Ok(ExitStatus::Success)
}

/// Returns up to `max` tokens, however few of the others match.
fn all(registry: &Registry, filter: &Filter, mut after: Option<Cursor>, max: u32) -> Result<Vec<ListEntry>, Error> {
    let mut found = Vec::new();
    loop {
        let left = max.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let ListPage { entries, stopped_at } =
            pollster::block_on(registry.tokens()?.list(filter.clone(), after.as_ref(), left))?;
        found.extend(entries);
        match stopped_at {
            None => return Ok(found),
            stopped_at => after = stopped_at,
        }
    }
}

/// Returns the position of a token in the list.
fn place(registry: &Registry, handler: &str, id: &str) -> Result<Cursor, CliError> {
    let found = pollster::block_on(tokens(registry)?.find(&TokenId::new(handler, id)));
    match found.map_err(|error| no_answer(&error))? {
        Some(record) => Ok(ListEntry { handler: handler.to_owned(), record }.place()),
        None => Err(CliError::Usage(
            "--after names a token without a record: use a handler and an id from a list, or omit it".to_owned(),
        )),
    }
}

pub(super) fn show(args: &Show, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Show { of: TokenArgs { config, handler, id }, at, json } = args;
    let config = ConfigFile::find(config.as_deref(), io)?;
    config.require_handler(handler)?;
    let registry = registry(&config, *at, io)?;
    must_be_id(&registry, id)?;
    let found =
        pollster::block_on(tokens(&registry)?.find(&TokenId::new(handler, id))).map_err(|error| no_answer(&error))?;
    let Some(record) = found else { return Ok(unknown(io, handler)) };
    shown(&Known::of(&config, &registry, handler, &record)?, *json, io)
}

pub(super) fn edit(args: Edit, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Edit { of: TokenArgs { config, handler, id }, description, expires_at, restrictions, json } = args;
    let restrictions = restrictions.restrictions();
    if description.is_none() && expires_at.is_none() && restrictions.is_none() {
        return Err(CliError::Usage(
            "nothing to change: use --description, --expires-at, --all, --database or --resource; see `keyward tokens edit --help`"
                .to_owned(),
        ));
    }
    let config = ConfigFile::find(config.as_deref(), io)?;
    config.require_handler(&handler)?;
    let registry = registry(&config, None, io)?;
    must_be_id(&registry, &id)?;
    let token = TokenId::new(&handler, &id);
    let found = pollster::block_on(tokens(&registry)?.find(&token)).map_err(|error| no_answer(&error))?;
    let audit = audit_log::open(&config)?;
    let description = description.map(|text| Some(text).filter(|text| !text.is_empty()));
    let update = TokenUpdate { description, expires_at, restrictions };
    let operations = Operations::new(&registry, audit.as_ref(), Origin::default());
    let actor = found.map(|record| record.actor_id);
    let done = match pollster::block_on(operations.edit(&token, actor.as_deref(), update)) {
        Ok(UpdateOutcome::Done(record)) => {
            Known::of(&config, &registry, &handler, &record).and_then(|known| shown(&known, json, io))
        }
        Ok(UpdateOutcome::Denied(denied)) => {
            report_error(io.stderr, &format!("the token was not changed: {}", denied.message));
            Ok(ExitStatus::Negative)
        }
        Ok(UpdateOutcome::Unknown) => Ok(unknown(io, &handler)),
        Err(error) => Err(unconfirmed(&error)),
    };
    audit_log::end_with(audit, &registry, io);
    done
}

pub(super) fn rotate(args: &Rotate, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Rotate { of: TokenArgs { config, handler, id }, overlap, json } = args;
    let config = ConfigFile::find(config.as_deref(), io)?;
    config.require_handler(handler)?;
    let registry = registry(&config, None, io)?;
    tokens(&registry)?;
    must_be_id(&registry, id)?;
    let token = TokenId::new(handler, id);
    let found = pollster::block_on(tokens(&registry)?.find(&token)).map_err(|error| no_answer(&error))?;
    let audit = audit_log::open(&config)?;
    let operations = Operations::new(&registry, audit.as_ref(), Origin::default());
    let actor = found.map(|record| record.actor_id);
    let done =
        match pollster::block_on(operations.rotate(&token, actor.as_deref(), Duration::from_secs((*overlap).into())))
            .transpose()
        {
            Some(creation) => create::print(creation, *json, io),
            None => Ok(unknown(io, handler)),
        };
    audit_log::end_with(audit, &registry, io);
    done
}

fn tokens(registry: &Registry) -> Result<Tokens<'_>, CliError> {
    registry.tokens().map_err(|error| no_answer(&error))
}

fn registry(config: &ConfigFile, at: Option<UnixTime>, io: &mut Io<'_>) -> Result<Registry, CliError> {
    let store = store::open(config, io.env)?;
    config.open(at, io, store.as_ref(), None)
}

fn shown(known: &Known<'_>, json: bool, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    if json {
        write_json(io.stdout, known)?;
    } else {
        write_lines(io.stdout, known.lines())?;
    }
    Ok(ExitStatus::Success)
}

fn unknown(io: &mut Io<'_>, handler: &str) -> ExitStatus {
    report_error(io.stderr, &format!("handler `{handler}` has no record of a token with this id"));
    ExitStatus::Negative
}

/// Returns the error for an operation that only reads.
fn no_answer(error: &Error) -> CliError {
    match error.code() {
        "no-store" => CliError::Usage(error.to_string()),
        _ => CliError::Unavailable(error.to_string()),
    }
}

/// Returns a table with a row for each token. Ids are complete, because commands take them; names
/// are truncated.
fn table(columns: usize, known: &[Known<'_>]) -> Vec<String> {
    use Column::{Names, Words};
    let minute = |time: Option<u64>, none: &str| time.map_or_else(|| none.to_owned(), date_to_the_minute);
    let head = ["TOKEN", "STATUS", "EXPIRES (UTC)", "USED (UTC)", "HANDLER", "ACTOR"].map(str::to_owned);
    let cells = known.iter().map(|known| {
        [
            one_line(known.token_id),
            known.status.to_owned(),
            minute(known.expires_at, "never"),
            minute(known.last_used_at, if known.is_use_noted { "never" } else { "-" }),
            one_line(known.handler),
            name(known.actor),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(cells).map(Vec::from).collect();
    Table::of(columns, 0, &[Words, Words, Words, Words, Names, Names], &rows).all(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{WIDTH, width};

    #[test]
    fn every_list_fits_and_has_complete_ids() {
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
            client: None,
            key: None,
            parent: None,
            scopes: None,
            is_use_noted: true,
        };
        for time in [None, Some(1_767_225_600)] {
            let rows: Vec<_> =
                ids.iter().flat_map(|id| [known(id, &long, time), known(id, "日本語日本語日本語", time)]).collect();
            for rows in [&rows[..], &rows[..2], &rows[2..4], &rows[4..]] {
                let lines = table(WIDTH, rows);
                assert!(lines.iter().all(|line| width(line) <= WIDTH), "{lines:#?}");
                for Known { token_id, .. } in rows {
                    assert!(lines.iter().any(|line| line.split(' ').next() == Some(token_id)), "{lines:#?}");
                }
            }
        }
    }
}

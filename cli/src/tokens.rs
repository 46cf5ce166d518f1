//! `keyward tokens …`

mod records;

use crate::args::tokens::{Command, Import, Revoke, Tokens};
use crate::output::{count_of, write_json};
use crate::verify::next_line;
use crate::{Status, Stop, World, complain, load, record, store};
use keyward_audit::{Audit, Entry, Event};
use keyward_runtime::{Clock, Error, Presented, Registry, Requested, Revocation, SystemClock};
use keyward_server::Intent;
use keyward_store::{Imported, Store};
use serde::Serialize;

pub(crate) fn run(args: Tokens, world: &mut World<'_>) -> Result<Status, Stop> {
    match args.command {
        Command::List(args) => records::list(args, world),
        Command::Show(args) => records::show(&args, world),
        Command::Edit(args) => records::edit(args, world),
        Command::Rotate(args) => records::rotate(&args, world),
        Command::Revoke(args) => revoke(args, world),
        Command::Import(args) => import(&args, world),
    }
}

fn import(args: &Import, world: &mut World<'_>) -> Result<Status, Stop> {
    let Import { config, handler, database } = args;
    let config = load::Loaded::read(config)?;
    config.must_have(handler)?;
    if !config.config.handlers.iter().any(|known| known.name.value == *handler && known.store.is_some()) {
        return Err(Stop::Mistake(format!("handler `{handler}` keeps no records: add `store = true` to it")));
    }
    let location = store::location(&config, world.env)?;
    let location = location.ok_or_else(|| config.mistake(None, "there is no `[store]`: add it"))?;
    let store = Store::open(location).map_err(|error| store::not_open(&config, &error.to_string()))?;
    let audit = record::open(&config)?;
    let entry = Entry {
        handler: Some(handler.clone()),
        handler_sha256: if audit.is_some() { digest(&config, handler)? } else { None },
        ..Entry::new(Event::Import)
    };
    let intent = Intent::new(audit.as_ref(), entry);
    pollster::block_on(intent.record()).map_err(|error| record::not_recorded(&error))?;
    let now = SystemClock.now().map_or(0, |now| now.seconds);
    let done = match pollster::block_on(store.import(handler, database.clone(), now)) {
        Ok(Imported { active, ended }) => {
            let told = writeln!(world.stdout, "imported {active} active tokens, and {ended} that have ended");
            told.map(|()| Status::Good).map_err(Stop::stdout)
        }
        Err(error) => {
            intent.failed_for("store", error.to_string());
            Err(Stop::Mistake(error.to_string()))
        }
    };
    record::end(audit, world);
    store::close(&store);
    done
}

/// The SHA-256 of a handler's component.
fn digest(config: &load::Loaded, handler: &str) -> Result<Option<String>, Stop> {
    let Some(handler) = config.config.handlers.iter().find(|known| known.name.value == handler) else {
        return Ok(None);
    };
    let info = load::runtime(None)?.inspect(&config.component(handler)?);
    let info = info.map_err(|error| config.mistake(handler.component.line, &error.to_string()))?;
    Ok(Some(info.sha256_hex()))
}

fn revoke(args: Revoke, world: &mut World<'_>) -> Result<Status, Stop> {
    let Revoke { config, handler, id, actor, issued_until, dry_run, json, words } = args;
    let from_stdin = !words.is_empty();
    if words.iter().any(|word| word != "-") {
        return Err(mistake("tokens come on standard input, behind `-`, and not as arguments"));
    }
    let given = [handler.is_some(), id.is_some(), actor.is_some(), issued_until.is_some()].contains(&true);
    match (from_stdin, given) {
        (true, true) => return Err(mistake("say which tokens, or give them on standard input: not both")),
        (false, false) => return Err(mistake("say which tokens: --handler, --id, --actor, --issued-until, or `-`")),
        _ => {}
    }
    if id.is_some() && handler.is_none() {
        return Err(mistake("--id needs --handler: each handler has ids of its own"));
    }
    let config = load::Loaded::read(&config)?;
    if let Some(name) = &handler {
        config.must_have(name)?;
    }
    let store = store::open(&config, world.env)?;
    let registry = config.registry(&load::runtime(None)?, world.env, store.as_ref())?;
    // Counting changes nothing.
    let audit = if dry_run { None } else { record::open(&config)? };
    let revocation = Revocation { handler, token_id: id, actor_id: actor, issued_until, ..Revocation::default() };
    let done = if from_stdin {
        presented(&registry, audit.as_ref(), dry_run, json, world)
    } else {
        described(&registry, audit.as_ref(), revocation, (dry_run, json), world)
    };
    record::end_with(audit, &registry, world);
    done
}

fn described(
    registry: &Registry,
    audit: Option<&Audit>,
    revocation: Revocation,
    (dry_run, json): (bool, bool),
    world: &mut World<'_>,
) -> Result<Status, Stop> {
    let mut records = 0_u64;
    for requested in pollster::block_on(registry.requested(revocation)) {
        let done = if dry_run {
            pollster::block_on(registry.count_revoked(requested.revocation))
        } else {
            let named = Named::of(&requested);
            take_back(registry, audit, requested.revocation, named)?
        };
        records = records.saturating_add(done.map_err(|error| unconfirmed(&error))?);
    }
    let done = if dry_run { Done::WouldEnd { would_end: records } } else { Done::Ended { ended: records } };
    if json {
        write_json(world.stdout, &done)?;
    } else {
        let text = match done {
            Done::Ended { ended: 0 } => {
                "revoked; no record ended: what fits was not made here, or has ended before, or was never made"
                    .to_owned()
            }
            Done::Ended { ended } => {
                format!("revoked; {} ended (tokens that were not made here have none)", count_of(ended, "record"))
            }
            Done::WouldEnd { would_end } => {
                format!("would end {} (tokens that were not made here have none)", count_of(would_end, "record"))
            }
        };
        writeln!(world.stdout, "{text}").map_err(Stop::stdout)?;
    }
    Ok(Status::Good)
}

/// What was done, as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Done {
    Ended { ended: u64 },
    WouldEnd { would_end: u64 },
}

/// What became of a token on standard input, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    outcome: &'static str,
    handler: Option<&'a str>,
    token_id: Option<&'a str>,
}

/// A token in the place of its id names nothing, and would stand in the audit.
fn must_be_id(registry: &Registry, id: &str) -> Result<(), Stop> {
    if pollster::block_on(registry.is_token(id, true)) {
        return Err(Stop::Mistake(
            "the value of --id is a token, and not its id, which `keyward tokens list` shows: `keyward tokens revoke … -` \
             takes tokens on standard input"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The words for what is revoked, in the audit. They never hold a token.
#[derive(Default)]
struct Named {
    token_id: Option<String>,
    actor: Option<String>,
    note: Option<String>,
}

impl Named {
    /// Names what the operator has asked for.
    fn of(requested: &Requested) -> Self {
        let Requested { revocation: Revocation { token_id, actor_id, .. }, is_like_a_token, .. } = requested;
        let redacted = || REDACTED.to_owned();
        if *is_like_a_token {
            // The digest replaces the id.
            let token_id = actor_id.is_none().then(redacted);
            return Self { token_id, actor: actor_id.as_ref().map(|_| redacted()), note: None };
        }
        Self { token_id: token_id.clone(), actor: actor_id.clone(), note: None }
    }
}

/// Replaces, in the audit, a text that looks like a token where an id should be.
const REDACTED: &str = "[redacted: looks like a token]";

/// Revokes, if the audit was told of it before.
fn take_back(
    registry: &Registry,
    audit: Option<&Audit>,
    revocation: Revocation,
    named: Named,
) -> Result<Result<u64, Error>, Stop> {
    let Revocation { handler, issued_until, .. } = &revocation;
    let Named { token_id, actor, note } = named;
    let until = issued_until.map(|until| format!("issued until {until}"));
    let details: Vec<_> = note.into_iter().chain(until).collect();
    let entry = Entry {
        token_id,
        actor,
        detail: (!details.is_empty()).then(|| details.join("; ")),
        ..record::entry(Event::Revoke, registry, handler.as_deref())
    };
    let intent = Intent::new(audit, entry);
    pollster::block_on(intent.record()).map_err(|error| record::not_recorded(&error))?;
    let ended = pollster::block_on(registry.revoke(revocation));
    if let Err(error) = &ended {
        intent.failed(error);
    }
    Ok(ended)
}

fn presented(
    registry: &Registry,
    audit: Option<&Audit>,
    dry_run: bool,
    json: bool,
    world: &mut World<'_>,
) -> Result<Status, Stop> {
    let mut status = Status::Good;
    let mut line = Vec::new();
    while let Some(whole) = next_line(world.stdin, &mut line)? {
        let known = match std::str::from_utf8(&line).ok().filter(|_| whole) {
            Some(token) => identify(registry, token)?,
            None => None,
        };
        let answer = match &known {
            Some(Presented { handler, actor_id, revocations, mismatch, .. }) => {
                if let Some(mismatch) = mismatch {
                    complain(world.stderr, mismatch);
                }
                for revocation in revocations.iter().filter(|_| !dry_run) {
                    let named = Named {
                        token_id: revocation.token_id.clone(),
                        actor: actor_id.clone(),
                        note: mismatch.clone(),
                    };
                    take_back(registry, audit, revocation.clone(), named)?.map_err(|error| unconfirmed(&error))?;
                }
                let outcome = if dry_run { "would-revoke" } else { "revoked" };
                let token_id = revocations.first().and_then(|revocation| revocation.token_id.as_deref());
                Line { outcome, handler: Some(handler), token_id }
            }
            None => {
                status = status.max(Status::No);
                Line { outcome: "no-good-token", handler: None, token_id: None }
            }
        };
        if json {
            write_json(world.stdout, &answer)?;
        } else {
            let Line { outcome, handler, token_id } = answer;
            let parts = [Some(outcome), handler, token_id].into_iter().flatten().collect::<Vec<_>>();
            writeln!(world.stdout, "{}", parts.join(" ")).map_err(Stop::stdout)?;
        }
    }
    Ok(status)
}

/// Finds what revokes a token, if it is accepted or was issued here, and has not been revoked.
fn identify(registry: &Registry, token: &str) -> Result<Option<Presented>, Stop> {
    let verdict = registry.verify_blocking(token);
    let known = pollster::block_on(registry.presented(token, &verdict)).map_err(|error| unconfirmed(&error))?;
    match (known, verdict) {
        (Some(presented), _) => Ok(Some(presented).filter(|presented| !presented.revocations.is_empty())),
        (None, Ok(_)) => Ok(None),
        (None, Err(error)) => Err(unconfirmed(&error)),
    }
}

fn mistake(text: &str) -> Stop {
    Stop::Mistake(format!("{text}; see `keyward tokens revoke --help`"))
}

/// What was not confirmed may have happened or not.
fn unconfirmed(error: &Error) -> Stop {
    match error.code() {
        "no-store" | "bad-revocation" => Stop::Mistake(error.to_string()),
        _ => Stop::NoVerdict(format!("it is not known to be done: {error}; ask again")),
    }
}

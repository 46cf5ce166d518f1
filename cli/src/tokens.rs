//! `keyward tokens`: lists, shows, edits, rotates, revokes and imports tokens.

mod import;
mod records;

use crate::args::tokens::{Command, Revoke, Tokens};
use crate::output::{count_of, write_json};
use crate::verify::next_line;
use crate::{CliError, ExitStatus, Io, audit_log, config_file, report_error, store};
use keyward_runtime::limits::MAX_TOKEN_ID_BYTES;
use keyward_runtime::registry::Presented;
use keyward_runtime::store::Revocation;
use keyward_runtime::{Error, Registry};
use keyward_service::{Named, Operations, Origin};
use serde::Serialize;

pub(crate) fn run(args: Tokens, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::List(args) => records::list(args, io),
        Command::Show(args) => records::show(&args, io),
        Command::Edit(args) => records::edit(args, io),
        Command::Rotate(args) => records::rotate(&args, io),
        Command::Revoke(args) => revoke(args, io),
        Command::Import(args) => import::import(args, io),
    }
}

fn revoke(args: Revoke, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Revoke { config, handler, id, actor, issued_until, keep_children, dry_run, json, words } = args;
    let from_stdin = !words.is_empty();
    if words.iter().any(|word| word != "-") {
        return Err(usage_error("tokens are read from standard input with `-`, not from arguments"));
    }
    let given = [handler.is_some(), id.is_some(), actor.is_some(), issued_until.is_some()].contains(&true);
    match (from_stdin, given) {
        (true, true) => {
            return Err(usage_error("filters cannot be combined with `-`, which reads tokens from standard input"));
        }
        (false, false) => {
            return Err(usage_error("no tokens selected: use --handler, --id, --actor, --issued-until or `-`"));
        }
        _ => {}
    }
    if id.is_some() && handler.is_none() {
        return Err(usage_error("--id requires --handler: ids are unique only within a handler"));
    }
    let config = config_file::ConfigFile::find(config.as_deref(), io)?;
    if let Some(name) = &handler {
        config.require_handler(name)?;
    }
    let store = store::open(&config, io.env)?;
    let registry = config.open(None, io, store.as_ref(), None)?;
    // A dry run changes nothing.
    let audit = if dry_run { None } else { audit_log::open(&config)? };
    let revocation =
        Revocation { handler, token_id: id, token_digest: None, actor_id: actor, issued_until, keep_children };
    let operations = Operations::new(&registry, audit.as_ref(), Origin::default());
    let done = if from_stdin {
        presented(&registry, operations, keep_children, (dry_run, json), io)
    } else {
        described(&registry, operations, revocation, (dry_run, json), io)
    };
    audit_log::end_with(audit, &registry, io);
    done
}

fn described(
    registry: &Registry,
    operations: Operations<'_>,
    revocation: Revocation,
    (dry_run, json): (bool, bool),
    io: &mut Io<'_>,
) -> Result<ExitStatus, CliError> {
    let mut records = 0_u64;
    let revocations = registry.revocations().map_err(|error| unconfirmed(&error))?;
    for requested in pollster::block_on(revocations.requested(revocation)) {
        let done = if dry_run {
            pollster::block_on(revocations.count(requested.revocation.clone()))
        } else {
            let named = Named::of(&requested);
            pollster::block_on(operations.revoke(requested.revocation.clone(), named))
        };
        records = records.saturating_add(done.map_err(|error| unconfirmed(&error))?);
    }
    let done = if dry_run { Done::WouldEnd { would_end: records } } else { Done::Ended { ended: records } };
    if json {
        write_json(io.stdout, &done)?;
    } else {
        let text = match done {
            Done::Ended { ended: 0 } => {
                "revoked; no record ended: matching tokens were issued elsewhere, had already ended, or do not exist"
                    .to_owned()
            }
            Done::Ended { ended } => {
                format!("revoked; {} ended (tokens issued elsewhere have no record)", count_of(ended, "record"))
            }
            Done::WouldEnd { would_end } => {
                format!("would end {} (tokens issued elsewhere have no record)", count_of(would_end, "record"))
            }
        };
        writeln!(io.stdout, "{text}").map_err(CliError::stdout)?;
    }
    Ok(ExitStatus::Success)
}

/// The result of a revocation by filters, as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Done {
    Ended { ended: u64 },
    WouldEnd { would_end: u64 },
}

/// The result for a token on standard input, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    outcome: &'static str,
    handler: Option<&'a str>,
    token_id: Option<&'a str>,
}

/// Rejects a text that is too long for an id, and a token in place of its id, which would otherwise
/// be written to the audit log.
fn must_be_id(registry: &Registry, id: &str) -> Result<(), CliError> {
    if id.len() > MAX_TOKEN_ID_BYTES {
        let text = format!("the value of --id is longer than a token id may be ({MAX_TOKEN_ID_BYTES} bytes)");
        return Err(CliError::Usage(text));
    }
    if pollster::block_on(registry.is_token(id, keyward_runtime::registry::IdKind::Token)) {
        return Err(CliError::Usage(
            "the value of --id is a token: use its id, which `keyward tokens list` shows, or revoke the token with \
             `keyward tokens revoke … -` on standard input"
                .to_owned(),
        ));
    }
    Ok(())
}

fn presented(
    registry: &Registry,
    operations: Operations<'_>,
    keep_children: bool,
    (dry_run, json): (bool, bool),
    io: &mut Io<'_>,
) -> Result<ExitStatus, CliError> {
    let mut status = ExitStatus::Success;
    let mut line = Vec::new();
    while let Some(whole) = next_line(io.stdin, &mut line)? {
        let known = match std::str::from_utf8(&line).ok().filter(|_| whole) {
            Some(token) => identify(registry, token)?,
            None => None,
        };
        let answer = match &known {
            Some(Presented { handler, actor_id, revocations, mismatch, .. }) => {
                if let Some(mismatch) = mismatch {
                    report_error(io.stderr, mismatch);
                }
                for revocation in revocations.iter().filter(|_| !dry_run) {
                    let named = Named {
                        token_id: revocation.token_id.as_deref(),
                        actor: actor_id.as_deref(),
                        note: mismatch.as_deref(),
                    };
                    let ended = pollster::block_on(
                        operations.revoke(Revocation { keep_children, ..revocation.clone() }, named),
                    );
                    ended.map_err(|error| unconfirmed(&error))?;
                }
                let outcome = if dry_run { "would-revoke" } else { "revoked" };
                let token_id = revocations.first().and_then(|revocation| revocation.token_id.as_deref());
                Line { outcome, handler: Some(handler), token_id }
            }
            None => {
                status = status.max(ExitStatus::Negative);
                Line { outcome: "no-good-token", handler: None, token_id: None }
            }
        };
        if json {
            write_json(io.stdout, &answer)?;
        } else {
            let Line { outcome, handler, token_id } = answer;
            let parts = [Some(outcome), handler, token_id].into_iter().flatten().collect::<Vec<_>>();
            writeln!(io.stdout, "{}", parts.join(" ")).map_err(CliError::stdout)?;
        }
    }
    Ok(status)
}

/// Returns the revocations of a presented token; `None` if it was neither accepted nor issued here,
/// or is revoked already.
fn identify(registry: &Registry, token: &str) -> Result<Option<Presented>, CliError> {
    let verdict = registry.verify_blocking(token);
    let revocations = registry.revocations().map_err(|error| unconfirmed(&error))?;
    let known = pollster::block_on(revocations.presented(token, &verdict)).map_err(|error| unconfirmed(&error))?;
    match (known, verdict) {
        (Some(presented), _) => Ok(Some(presented).filter(|presented| !presented.revocations.is_empty())),
        (None, Ok(_)) => Ok(None),
        (None, Err(error)) => Err(unconfirmed(&error)),
    }
}

fn usage_error(text: &str) -> CliError {
    CliError::Usage(format!("{text}; see `keyward tokens revoke --help`"))
}

/// Returns the error for an operation that may or may not have been applied.
pub(crate) fn unconfirmed(error: &Error) -> CliError {
    match error.code() {
        "no-store" | "bad-revocation" => CliError::Usage(error.to_string()),
        // Nothing happens before it is recorded.
        "audit-unavailable" => CliError::Unavailable(error.to_string()),
        _ => CliError::Unavailable(format!("the operation may or may not have been applied: {error}; retry")),
    }
}

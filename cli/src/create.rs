//! `keyward create`: creates a token and prints it.

use crate::args::Create;
use crate::output::{self, write_json};
use crate::{CliError, ExitStatus, Io, audit_log, config_file, report_error, store};
use keyward_runtime::{CreateRequest, Creation, Error};
use keyward_service::{Operations, Origin, Outcome};

pub(crate) fn run(args: Create, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let config = config_file::ConfigFile::find(args.config.as_deref(), io)?;
    if let Some(name) = &args.handler {
        config.require_handler(name)?;
    }
    let store = store::open(&config, io.env)?;
    let registry = config.open(args.at, io, store.as_ref(), None)?;
    if pollster::block_on(registry.is_token(&args.actor, keyward_runtime::registry::IdKind::Actor)) {
        return Err(CliError::Usage("the value of --actor is a token: use the id of its actor".to_owned()));
    }
    let audit = audit_log::open(&config)?;
    let Create { actor, expires_after, restrictions, description, handler, json, .. } = args;
    let restrictions = restrictions.restrictions();
    let first = || registry.handlers().find(|handler| handler.component.handles_tokens());
    let handler = handler.or_else(|| Some(first()?.name.to_owned()));
    let mut request = CreateRequest::new(actor);
    request.handler = handler;
    request.expires_after = expires_after;
    request.restrictions = restrictions;
    request.description = description;
    let operations = Operations::new(&registry, audit.as_ref(), Origin::default());
    let creation = pollster::block_on(operations.issue(request));
    let printed = print(creation, json, io);
    audit_log::end_with(audit, &registry, io);
    printed
}

/// Prints a token, or the reason that none was created.
pub(crate) fn print(creation: Result<Creation, Error>, json: bool, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match output::created(creation) {
        Ok(created) => {
            output::write_token(io.stdout, &created, json)?;
            Ok(ExitStatus::Success)
        }
        Err(outcome) => {
            // A script that reads a token from standard output must not read a message instead.
            if json {
                write_json(io.stdout, &outcome)?;
            } else {
                report_error(io.stderr, &output::text(&outcome));
            }
            Ok(if matches!(outcome, Outcome::Denied { .. }) { ExitStatus::Negative } else { ExitStatus::Unavailable })
        }
    }
}

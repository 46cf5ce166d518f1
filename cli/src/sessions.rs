//! `keyward sessions`: revokes the sessions of a handler.

use crate::args::sessions::{Command, Purge, Sessions};
use crate::tokens::unconfirmed;
use crate::{CliError, ExitStatus, Io, assemble, audit_log, config_file, store};
use keyward_runtime::store::Revocation;
use keyward_service::{Named, Operations, Origin};

pub(crate) fn run(args: Sessions, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match args.command {
        Command::Purge(args) => purge(&args, io),
    }
}

fn purge(args: &Purge, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let config = config_file::ConfigFile::find(args.config.as_deref(), io)?;
    if let Some(name) = &args.handler {
        config.require_handler(name)?;
    }
    let store = store::open(&config, io.env)?;
    let registry = config.open(None, io, store.as_ref(), None)?;
    let handler = match &args.handler {
        None => assemble::only_session_handler(&registry)?,
        Some(name) if assemble::session_handlers(&registry).any(|known| known == name) => name.clone(),
        Some(_) => {
            let text = "the value of --handler is no session handler: use `keyward tokens revoke` for its tokens";
            return Err(CliError::Usage(text.to_owned()));
        }
    };
    let audit = audit_log::open(&config)?;
    let operations = Operations::new(&registry, audit.as_ref(), Origin::default());
    let named = Named { note: Some("sessions only"), ..Named::default() };
    let ended = pollster::block_on(operations.revoke(Revocation::of_sessions(&handler), named));
    audit_log::end_with(audit, &registry, io);
    ended.map_err(|error| unconfirmed(&error))?;
    writeln!(io.stdout, "revoked the sessions of `{handler}`").map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

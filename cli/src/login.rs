//! `keyward login`: prints a link that signs in on the pages.

use crate::args::login::Login;
use crate::config_file::ConfigFile;
use crate::store::{self, OpenStore};
use crate::{CliError, ExitStatus, Io, audit_log, report_error};
use keyward_audit::Audit;
use keyward_pages::{LINK_MINUTES, SignIn};
use keyward_runtime::clock::{Clock, SystemClock};
use keyward_runtime::policy::is_actor_id;
use keyward_runtime::text::resembles_token;

pub(crate) fn run(args: &Login, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    let pages = pages(&loaded)?;
    check_actor(&loaded, &args.actor)?;
    let store = store::open(&loaded, io.env)?;
    // The parser has checked that there is one.
    let store = store.ok_or_else(|| loaded.usage_error(None, "there is no `[store]` section: add one"))?;
    let audit = audit_log::open(&loaded)?;
    let link = pollster::block_on(link(&store, &pages, audit.as_deref(), &args.actor));
    audit_log::end(audit, io);
    let link = link?;
    writeln!(io.stdout, "{link}").map_err(CliError::stdout)?;
    if io.stderr_is_terminal {
        report_error(io.stderr, &format!("the link is valid for {LINK_MINUTES} minutes, once"));
    }
    Ok(ExitStatus::Success)
}

/// Creates a link that signs in an actor.
pub(crate) async fn link(
    store: &OpenStore,
    pages: &keyward_pages::Config,
    audit: Option<&Audit>,
    actor: &str,
) -> Result<String, CliError> {
    let now = SystemClock
        .now()
        .ok_or_else(|| CliError::Unavailable("the system clock is set before 1970: correct it".to_owned()))?;
    let link = keyward_pages::link(store.store.as_ref(), pages, audit, actor, now).await;
    link.map_err(|error| CliError::Unavailable(format!("no link could be created: {error}")))
}

/// Returns the settings of the pages, if links sign in there.
fn pages(loaded: &ConfigFile) -> Result<keyward_pages::Config, CliError> {
    let config = &loaded.config;
    let (Some(pages), Some(served)) = (&config.pages, config.served_pages(None)) else {
        return Err(loaded.usage_error(None, "there are no pages: add a `[pages]` section"));
    };
    let setting = match pages.sign_in.value {
        SignIn::Session(_) => Some("session"),
        SignIn::Header { .. } => Some("user_header"),
        _ => None,
    };
    if let Some(setting) = setting {
        let text =
            format!("links do not sign in on these pages, because they have `{setting}`: open {}/tokens", served.url);
        return Err(CliError::Usage(text));
    }
    if pages.url.is_none() && pages.port(&config.server) == 0 {
        let text = "the system picks the port of the pages when the daemon starts: set `url` in `[pages]`";
        return Err(loaded.usage_error(pages.sign_in.line, text));
    }
    Ok(served)
}

/// Checks the id of an actor, without loading the handlers. Errors do not repeat it, because it may
/// be a token.
fn check_actor(loaded: &ConfigFile, actor: &str) -> Result<(), CliError> {
    if !is_actor_id(actor) {
        let text = "the value of --actor must have a visible character and no control characters";
        return Err(CliError::Usage(text.to_owned()));
    }
    if resembles_token(actor, loaded.config.handlers.iter().flat_map(|handler| &handler.prefixes)) {
        let text = "the value of --actor looks like a token: give the id of an actor";
        return Err(CliError::Usage(text.to_owned()));
    }
    let longest = loaded.config.handlers.iter().map(|handler| handler.limits.actor_id_bytes).max();
    if longest.is_some_and(|longest| actor.len() > longest) {
        let text = "the value of --actor is longer than the ids of actors may be (`limits.actor_id_bytes`, by default 1024 bytes)";
        return Err(CliError::Usage(text.to_owned()));
    }
    Ok(())
}

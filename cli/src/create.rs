//! `keyward create`: a token on standard output.

use crate::args::Create;
use crate::output::{self, write_json};
use crate::{Status, Stop, World, complain, load, store};
use keyward_runtime::{CreateRequest, Creation, Error};
use keyward_server::Outcome;

pub(crate) fn run(args: Create, world: &mut World<'_>) -> Result<Status, Stop> {
    let config = load::Loaded::read(&args.config)?;
    if let Some(name) = &args.handler {
        config.must_have(name)?;
    }
    let store = store::open(&config, world.env)?;
    let registry = config.registry(&load::runtime(args.at)?, world.env, store.as_ref())?;
    let Create { actor: actor_id, expires_after, restrictions, description, handler, json, .. } = args;
    let restrictions = restrictions.restrictions();
    let request = CreateRequest { expires_after, restrictions, description, ..CreateRequest::new(actor_id) };
    print(registry.create_blocking(handler.as_deref(), request), json, world)
}

/// Prints a token, or why there is none.
pub(crate) fn print(creation: Result<Creation, Error>, json: bool, world: &mut World<'_>) -> Result<Status, Stop> {
    match output::created(creation) {
        Ok(created) => {
            output::write_token(world.stdout, &created, json)?;
            Ok(Status::Good)
        }
        Err(outcome) => {
            // Standard output is for the token: a script that takes it from there must not take a sentence.
            if json {
                write_json(world.stdout, &outcome)?;
            } else {
                complain(world.stderr, &output::text(&outcome));
            }
            Ok(if matches!(outcome, Outcome::Denied { .. }) { Status::No } else { Status::NoVerdict })
        }
    }
}

//! `keyward create`: a token on standard output.

use crate::args::Create;
use crate::output::{self, write_json};
use crate::{Status, Stop, World, complain, load, record, store};
use keyward_audit::{Entry, Event};
use keyward_runtime::{CreateRequest, Creation, Error};
use keyward_server::{Intent, Outcome};

pub(crate) fn run(args: Create, world: &mut World<'_>) -> Result<Status, Stop> {
    let config = load::Loaded::read(&args.config)?;
    if let Some(name) = &args.handler {
        config.must_have(name)?;
    }
    let store = store::open(&config, world.env)?;
    let registry = config.registry(&load::runtime(args.at)?, world.env, store.as_ref())?;
    if pollster::block_on(registry.is_token(&args.actor, false)) {
        return Err(Stop::Mistake("the value of --actor is a token, and not its actor's id".to_owned()));
    }
    let audit = record::open(&config)?;
    let Create { actor, expires_after, restrictions, description, handler, json, .. } = args;
    let restrictions = restrictions.restrictions();
    let handler = handler.or_else(|| registry.handlers().next().map(|first| first.name.to_owned()));
    let entry = Entry { actor: Some(actor.clone()), ..record::entry(Event::Create, &registry, handler.as_deref()) };
    let request = CreateRequest { expires_after, restrictions, description, ..CreateRequest::new(actor) };
    let intent = Intent::new(audit.as_ref(), entry);
    let creation = pollster::block_on(registry.create_witnessed(handler.as_deref(), request, &intent));
    intent.made(&creation);
    let printed = print(creation, json, world);
    record::end_with(audit, &registry, world);
    printed
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

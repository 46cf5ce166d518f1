//! `keyward create`: a token on standard output.

use crate::args::Create;
use crate::output::{self, write_json};
use crate::{Status, Stop, World, complain, load, store};
use keyward_runtime::{CreateRequest, Restrictions};
use keyward_server::Outcome;

pub(crate) fn run(args: Create, world: &mut World<'_>) -> Result<Status, Stop> {
    let config = load::Loaded::read(&args.config)?;
    if let Some(name) = &args.handler {
        config.must_have(name)?;
    }
    let store = store::open(&config, world.env)?;
    let registry = config.registry(&load::runtime(args.at)?, world.env, store.as_ref())?;
    let restrictions = restrictions(&args);
    let Create { actor: actor_id, expires_after, description, handler, json, .. } = args;
    let request = CreateRequest { actor_id, expires_after, restrictions, description };
    match output::created(registry.create_blocking(handler.as_deref(), request)) {
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

/// None without an option for them: that is "all the actor's rights", not "none".
fn restrictions(args: &Create) -> Option<Restrictions> {
    if args.all.is_empty() && args.database.is_empty() && args.resource.is_empty() {
        return None;
    }
    let mut restrictions = Restrictions::new();
    for action in &args.all {
        restrictions = restrictions.allow_all(action);
    }
    for pair in args.database.chunks_exact(2) {
        if let [database, action] = pair {
            restrictions = restrictions.allow_database(database, action);
        }
    }
    for triple in args.resource.chunks_exact(3) {
        if let [database, resource, action] = triple {
            restrictions = restrictions.allow_resource(database, resource, action);
        }
    }
    Some(restrictions)
}

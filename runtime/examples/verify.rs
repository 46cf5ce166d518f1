//! Issues a token with a built-in handler, and verifies it for a permission.

use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{
    Actors, CreateRequest, Creation, HandlerConfig, Permission, Registry, Restrictions, Runtime, Verdict,
};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    // Lives as long as the process: engine, compiled components, threads.
    let runtime = Runtime::new()?;

    // A handler and its grants. A service reads the secret from a file that only it can read.
    let ring = KeyRing::new("main", Secret::new(*b"a secret of at least 32 bytes..."), vec![])?;
    let signed = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::matching(["user:*"])?)
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));

    // Compiles, checks and instantiates every handler.
    let registry = Registry::builder(&runtime).handler(signed).build()?;

    let view = Restrictions::new().allow_all("view-table");
    let token = match registry.create_blocking(CreateRequest::new("user:ann").restrictions(view))? {
        Creation::Created(created) => created.token,
        Creation::Denied(denied) => return Err(denied.message.into()),
    };

    match registry.verify_blocking(&token) {
        Ok(Verdict::Accepted(accepted)) => {
            // The actor is available only together with a decision about the token's restrictions.
            for action in ["view-table", "drop-table"] {
                match registry.authorize(&accepted, &Permission::new(action)) {
                    Some(actor) => println!("{action}: allowed, if {} may do it", actor.json()),
                    None => println!("{action}: 403"),
                }
            }
        }
        Ok(Verdict::NotMine) => println!("not a token of any handler: try other credentials"),
        Ok(Verdict::Rejected(rejection)) => println!("401: {}", rejection.message),
        Err(error) => println!("503: no verdict, so deny access: {error}"),
    }
    Ok(())
}

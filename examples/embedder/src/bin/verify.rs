//! Verifies a token of the built-in handler `signed`, and checks its restrictions.

use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Permission, Registry, Restrictions};
use keyward_runtime::{Runtime, Verdict};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ring = KeyRing::new("main", Secret::new(*b"a secret of at least 32 bytes..."), vec![])?;
    let signed = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::Any)
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));
    let registry = Registry::builder(&Runtime::new()?).handler(signed).build()?;
    let only_view = CreateRequest::new("ann").restrictions(Restrictions::new().allow_all("view-table"));
    let Creation::Created(created) = registry.create_blocking(only_view)? else { return Err("denied".into()) };

    let Verdict::Accepted(accepted) = registry.verify_blocking(&created.token)? else { return Err("401".into()) };
    let actor = registry.authorize(&accepted, &Permission::new("view-table")).ok_or("403")?;
    let refused = registry.authorize(&accepted, &Permission::new("drop-table")).is_none();
    println!("{} may view tables; refused to drop them: {refused}", actor.json());
    if refused { Ok(()) } else { Err("the token allows more than it should".into()) }
}

//! Rotates a key while other threads verify tokens.

use keyward_runtime::keys::Secret;
use keyward_runtime::keys::{Key, KeyGrant, KeyRing};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, LoadError, Registry, Runtime, Verdict};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;

/// Builds a registry with these keys. On the same runtime, no component is compiled again.
fn registry(runtime: &Runtime, keys: Vec<Key>) -> Result<Registry, Box<dyn Error>> {
    let ring = KeyRing::with_keys("main", keys)?;
    let signed = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::Any)
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));
    let built: Result<Registry, LoadError> = Registry::builder(runtime).handler(signed).build();
    Ok(built?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let (old, new) = (Secret::new([1; 32]), Secret::new([2; 32]));
    // A registry is immutable and cheap to clone. Each request uses the one that is current.
    let current = RwLock::new(registry(&runtime, vec![Key::active("2025", old)])?);
    let registry_now = || current.read().unwrap_or_else(PoisonError::into_inner).clone();

    let token = match registry_now().create_blocking(CreateRequest::new("ann"))? {
        Creation::Created(created) => created.token,
        Creation::Denied(denied) => return Err(denied.message.into()),
    };
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let requests = scope.spawn(|| {
            let mut accepted = 0_u64;
            while !is_done.load(Ordering::SeqCst) {
                if matches!(registry_now().verify_blocking(&token), Ok(Verdict::Accepted(_))) {
                    accepted += 1;
                }
            }
            accepted
        });
        // If the new configuration does not load, the previous registry stays in use.
        let keys = vec![Key::active("2026", new), Key::verify_only("2025", Secret::new([1; 32]))];
        match registry(&runtime, keys) {
            Ok(next) => *current.write().unwrap_or_else(PoisonError::into_inner) = next,
            Err(error) => eprintln!("the configuration is unchanged: {error}"),
        }
        is_done.store(true, Ordering::SeqCst);
        println!("{} verifications during the reload", requests.join().unwrap_or_default());
    });

    match registry_now().verify_blocking(&token)? {
        Verdict::Accepted(accepted) => println!("still valid, by the key {:?}", accepted.key),
        other => return Err(format!("not valid any more: {other:?}").into()),
    }
    Ok(())
}

//! Token administration: who may create tokens and for how long, how tokens may be changed, and who
//! may see them.

mod actions;
mod actor_ids;
mod children;
mod issued;
mod kept;
mod months;
mod narrowing;
mod policy;
mod program;
mod quota;
mod seconds;

use crate::support::{RUNTIME, SIGNED, unhurried};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Restrictions, StoreGrant};
use keyward_store::{Location, Store};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Longer than the duration of any test.
pub(crate) const FOREVER: Duration = Duration::from_secs(3_600);

/// Creates a store in memory, if the machine has a folder for that: no test needs durability.
fn store() -> (TempDir, Arc<Store>) {
    let memory = fs::metadata("/dev/shm").is_ok_and(|folder| folder.is_dir());
    let folder = if memory { TempDir::new_in("/dev/shm") } else { TempDir::new() }.unwrap();
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    (folder, Arc::new(store))
}

/// Builds a registry of the handlers of [`builder`] that accepts any action.
pub(crate) fn registry(
    store: Arc<dyn TokenStore>,
    ring: Arc<KeyRing>,
    change: impl Fn(&mut HandlerConfig),
) -> Registry {
    builder(store, ring, change).open_actions().build().unwrap()
}

/// Returns a builder with `stored`, which keeps records, and `signed`, whose records the host
/// keeps.
///
/// `change` makes the final adjustments to each handler.
pub(crate) fn builder(
    store: Arc<dyn TokenStore>,
    ring: Arc<KeyRing>,
    change: impl Fn(&mut HandlerConfig),
) -> RegistryBuilder {
    let mut stored = HandlerConfig::new("stored", keyward_handlers::STORED, Actors::Any);
    stored.first_party = true;
    stored.prefixes = vec!["kwt_test_".into()];
    stored.settings.insert("prefix".into(), "\"kwt_test_\"".into());
    stored.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
    let mut signed = HandlerConfig::new("signed", SIGNED, Actors::Any);
    signed.first_party = true;
    signed.prefixes = vec!["dstok_".into()];
    signed.keys.insert("token".into(), KeyGrant::new(ring));
    signed.settings.insert("unique_tokens".into(), "true".into());
    let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
    let mut builder = Registry::builder(&RUNTIME).records(store, revocations);
    for (action, short) in [("view-table", "vt"), ("execute-sql", "es"), ("view-database", "vd")] {
        builder = builder.action(action, short);
    }
    for mut handler in [stored, signed] {
        unhurried(&mut handler.limits);
        change(&mut handler);
        builder = builder.handler(handler);
    }
    builder
}

pub(crate) fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::new("main", Secret::new([7; 32]), vec![]).unwrap())
}

fn create(registry: &Registry, handler: &str, request: CreateRequest) -> Result<String, String> {
    match registry.create_blocking(request.handler(handler)) {
        Ok(Creation::Created(created)) => Ok(created.token),
        Ok(Creation::Denied(denied)) => Err(denied.message),
        Err(error) => panic!("{error}"),
    }
}

/// Builds restrictions from actions, each with an optional database and resource.
fn restrictions(entries: &[(&str, Option<&str>, Option<&str>)]) -> Restrictions {
    entries.iter().fold(Restrictions::new(), |all, (action, database, resource)| match (database, resource) {
        (None, _) => all.allow_all(*action),
        (Some(database), None) => all.allow_database(*database, *action),
        (Some(database), Some(resource)) => all.allow_resource(*database, *resource, *action),
    })
}

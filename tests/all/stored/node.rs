//! A node without a daemon: a registry of the relevant handlers, over a store.

use crate::support::{self, SIGNED, TestClock};
use keyward_runtime::clock::{Clock, UnixTime};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{Revocation, TokenStore};
use keyward_runtime::{
    Acceptance, Actors, CreateRequest, Creation, HandlerConfig, Registry, Runtime, RuntimeLimits, StoreGrant, Verdict,
};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

pub(super) const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Longer than the duration of any test.
pub(super) const FOREVER: Duration = Duration::from_secs(3_600);

/// The runtime shared by all nodes, with slots for all of their calls at once.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let limits = RuntimeLimits { slots: 256, ..RuntimeLimits::default() };
    support::runtime(limits, TestClock)
});

/// Builds a node: `stored` keeps records, `signed` none. Its clock is the one that each thread sets
/// for itself.
pub(super) fn node(store: &Arc<dyn TokenStore>, patience: Duration) -> Registry {
    node_on(&RUNTIME, store, patience)
}

/// Builds a node that may read and change records.
pub(super) fn node_with_records(store: &Arc<dyn TokenStore>) -> Registry {
    with_records(builder_on(&RUNTIME, store, FOREVER), store).build().unwrap()
}

/// Keeps the records of a node's tokens in its store.
pub(super) fn with_records(builder: RegistryBuilder, store: &Arc<dyn TokenStore>) -> RegistryBuilder {
    builder.records(store.clone(), Revocations::open(store.clone(), FOREVER).unwrap())
}

/// Reports a node in its store.
pub(super) fn report(node: &Registry) {
    let store = node.tokens().unwrap().store();
    pollster::block_on(node.revocations().unwrap().report_node(store, "it")).unwrap();
}

fn node_on(runtime: &Runtime, store: &Arc<dyn TokenStore>, patience: Duration) -> Registry {
    builder_on(runtime, store, patience).build().unwrap()
}

/// Builds a node with its own clock, to which more handlers can be added.
pub(super) fn builder_on_clock(
    clock: impl Clock + 'static,
    store: &Arc<dyn TokenStore>,
    patience: Duration,
) -> RegistryBuilder {
    builder_on(&support::runtime(RuntimeLimits::default(), clock), store, patience)
}

fn builder_on(runtime: &Runtime, store: &Arc<dyn TokenStore>, patience: Duration) -> RegistryBuilder {
    let ring = Arc::new(KeyRing::new("main", Secret::new([7; 32]), vec![]).unwrap());
    let mut stored = HandlerConfig::new("stored", keyward_handlers::STORED, Actors::Any);
    stored.prefixes = vec!["kwt_test_".into()];
    stored.settings.insert("prefix".into(), "\"kwt_test_\"".into());
    stored.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
    let mut signed = HandlerConfig::new("signed", SIGNED, Actors::Any);
    signed.first_party = true;
    signed.prefixes = vec!["dstok_".into()];
    signed.keys.insert("token".into(), KeyGrant::new(ring));
    let mut builder = Registry::builder(runtime).revocations(Revocations::open(store.clone(), patience).unwrap());
    for mut handler in [stored, signed] {
        // They are built with the host.
        handler.first_party = true;
        // The machine may be busy.
        (handler.limits.wall, handler.limits.cpu) = (FOREVER, FOREVER);
        builder = builder.handler(handler);
    }
    builder
}

pub(super) fn create(node: &Registry, handler: &str, actor: &str) -> String {
    match node.create_blocking(CreateRequest::new(actor).handler(handler)) {
        Ok(Creation::Created(created)) => created.token,
        other => panic!("{other:?}"),
    }
}

/// Returns `accepted`, the reason for the rejection, or the code of the error.
pub(super) fn outcome(node: &Registry, token: &str) -> String {
    match node.verify_blocking(token) {
        Ok(Verdict::Accepted(_)) => "accepted".to_owned(),
        Ok(Verdict::Rejected(rejection)) => rejection.reason.to_string(),
        Ok(Verdict::NotMine) => "not-mine".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

pub(super) fn accepted(node: &Registry, token: &str) -> Acceptance {
    match node.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => acceptance,
        other => panic!("{other:?}"),
    }
}

/// Returns the revocation of this token only.
pub(super) fn of_token(node: &Registry, token: &str) -> Revocation {
    let Acceptance { handler, token_id, .. } = accepted(node, token);
    Revocation { handler: Some(handler.to_string()), token_id, ..Revocation::default() }
}

pub(super) fn of_actor(actor: &str) -> Revocation {
    Revocation { actor_id: Some(actor.to_owned()), ..Revocation::default() }
}

pub(super) fn of_handler(handler: &str) -> Revocation {
    Revocation { handler: Some(handler.to_owned()), ..Revocation::default() }
}

pub(super) fn revoke(node: &Registry, revocation: Revocation) {
    pollster::block_on(node.revocations().unwrap().revoke(revocation)).unwrap();
}

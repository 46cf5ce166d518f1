//! Actors whose ids are a text and an integer with the same digits: two actors, of which only the
//! first can have records, patterns and children. Revocation covers both.

use super::{FOREVER, NOW, store};
use crate::support::{HARDCODED, RUNTIME, TestClock, unhurried};
use keyward_runtime::keys::Secret;
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::Revocation;
use keyward_runtime::{
    Acceptance, ActorId, Actors, CreateRequest, Creation, HandlerConfig, Reason, Registry, Rejection, Verdict,
};

const TEXT: &str = "token-of-the-text";
const INTEGER: &str = "token-of-the-integer";

fn registry(actors: Actors) -> (tempfile::TempDir, Registry) {
    TestClock.set(Some(NOW));
    let (folder, store) = store();
    let mut config = HandlerConfig::new("bots", HARDCODED, actors);
    unhurried(&mut config.limits);
    config.first_party = true;
    config.secrets = vec![("text".into(), Secret::new(TEXT)), ("integer".into(), Secret::new(INTEGER))];
    config.settings.insert("actors".into(), r#"{"text":{"id":"5"},"integer":{"id":5}}"#.into());
    let revocations = Revocations::open(store.clone(), FOREVER).unwrap();
    let builder = Registry::builder(&RUNTIME).records(store, revocations).handler(config);
    (folder, builder.build().unwrap())
}

fn accepted(registry: &Registry, token: &str) -> Result<Acceptance, Reason> {
    match registry.verify_blocking(token).unwrap() {
        Verdict::Accepted(acceptance) => Ok(acceptance),
        Verdict::Rejected(Rejection { reason, .. }) => Err(reason),
        Verdict::NotMine => panic!("not mine"),
    }
}

#[test]
fn an_integer_is_another_actor_than_its_digits() {
    let (_folder, registry) = registry(Actors::Any);
    let [text, integer] = [TEXT, INTEGER].map(|token| accepted(&registry, token).unwrap());
    assert_eq!(text.actor_ignoring_restrictions().id(), Some(&ActorId::Text("5".to_owned())));
    assert_eq!(integer.actor_ignoring_restrictions().id(), Some(&ActorId::Integer("5".to_owned())));
    assert_ne!(text.actor_ignoring_restrictions().id(), integer.actor_ignoring_restrictions().id());
    assert_eq!(
        text.actor_ignoring_restrictions().id().map(ActorId::as_str),
        integer.actor_ignoring_restrictions().id().map(ActorId::as_str)
    );
    let denied = |parent: &Acceptance| {
        let request = CreateRequest::new("5").parent(parent);
        match registry.create_blocking(request).unwrap() {
            Creation::Denied(denied) => denied.message,
            Creation::Created(_) => panic!("created"),
        }
    };
    assert!(denied(&integer).contains("its own actor only"), "{}", denied(&integer));
    assert!(!denied(&text).contains("its own actor only"), "the handler itself issues no tokens");
}

#[test]
fn patterns_match_only_texts() {
    for patterns in [["5"], ["5*"], ["*"]] {
        let (_folder, registry) = registry(Actors::matching(patterns).unwrap());
        assert!(accepted(&registry, TEXT).is_ok(), "{patterns:?}");
        assert_eq!(accepted(&registry, INTEGER).err(), Some(Reason::NotPermitted), "{patterns:?}");
    }
}

#[test]
fn a_revocation_by_the_digits_covers_both() {
    let (_folder, registry) = registry(Actors::Any);
    let revocation = Revocation { actor_id: Some("5".to_owned()), ..Revocation::default() };
    pollster::block_on(registry.revocations().unwrap().revoke(revocation)).unwrap();
    for token in [TEXT, INTEGER] {
        assert_eq!(accepted(&registry, token).err(), Some(Reason::Revoked), "{token}");
    }
}

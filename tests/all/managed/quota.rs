//! Bounds on what a client can make the nodes keep.

use super::{NOW, builder, ring, store};
use crate::support::TestClock;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenId;
use keyward_runtime::{CreateRequest, Creation, Denial, IssueOptions, Reason, Verdict};
use std::num::NonZeroU32;
use std::time::Duration;

#[test]
fn a_client_has_at_most_its_quota_of_valid_tokens() {
    TestClock.set(Some(NOW));
    let (_folder, store) = store();
    let registry = builder(store, ring(), |_| {}).client_tokens("app", 2).build().unwrap();
    let create = |handler: &str, client: Option<&str>, expires_after: u32| {
        let mut request = CreateRequest::new("ann");
        request.client = client.map(str::to_owned);
        request.expires_after = NonZeroU32::new(expires_after);
        registry.create_blocking(request.handler(handler)).unwrap()
    };
    let id = |creation: Creation| match creation {
        Creation::Created(created) => created.token_id.unwrap(),
        other @ Creation::Denied(_) => panic!("{other:?}"),
    };
    let is_full = |creation: Creation| {
        let Creation::Denied(denied) = creation else { return false };
        denied.denial == Denial::NotPermitted
            && denied.message == "the client has reached its limit of 2 tokens (`max_tokens`)"
    };
    let first = id(create("stored", Some("app"), 0));
    id(create("signed", Some("app"), 60));
    assert!(is_full(create("stored", Some("app"), 0)) && is_full(create("signed", Some("app"), 0)));
    id(create("stored", Some("another"), 0));
    id(create("stored", None, 0));

    // A replaced token is valid during the overlap, and makes room for one.
    let rotate = |id: &str| {
        pollster::block_on(registry.tokens().unwrap().rotate(
            &TokenId::new("stored", id),
            Duration::from_secs(3_600),
            IssueOptions::new(),
        ))
        .unwrap()
        .unwrap()
    };
    let second = id(rotate(&first));
    assert!(is_full(rotate(&second)) && is_full(rotate(&first)));

    // Tokens that have expired make room: first the signed one, then the replaced one.
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + 61, ..NOW }));
    id(rotate(&second));
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + 4_000, ..NOW }));
    id(create("signed", Some("app"), 0));
    assert!(is_full(create("stored", Some("app"), 0)));
}

/// Whatever the operator's limit is, no token is issued that its handler then rejects.
#[test]
fn an_actor_id_that_no_signed_token_may_have_is_denied() {
    TestClock.set(Some(NOW));
    let (_folder, store) = store();
    let registry = builder(store, ring(), |handler| handler.limits.actor_id_bytes = 2_000).build().unwrap();
    let create = |handler: &str, length: usize| {
        let creation = registry.create_blocking(CreateRequest::new("x".repeat(length)).handler(handler)).unwrap();
        match creation {
            Creation::Created(created) => Ok(created.token),
            Creation::Denied(denied) => Err((denied.denial, denied.message)),
        }
    };
    for (handler, length) in [("signed", 1_024), ("stored", 2_000)] {
        let token = create(handler, length).unwrap();
        assert!(matches!(registry.verify_blocking(&token), Ok(Verdict::Accepted(_))), "{handler}");
    }
    let (denial, message) = create("signed", 1_025).unwrap_err();
    assert_eq!((denial, message.as_str()), (Denial::InvalidRequest, "the actor id is too long for a signed token"));
    let (denial, message) = create("stored", 2_001).unwrap_err();
    let wanted = "the actor id has 2001 bytes, more than the 2000 allowed";
    assert_eq!((denial, message.as_str()), (Denial::InvalidRequest, wanted));
}

/// A token of another program with the same keys, whose actor has a longer id than is allowed here.
/// No revocation by that actor is needed, because it is not accepted; by its id it can be revoked.
#[test]
fn a_token_with_a_long_actor_id_is_revoked_by_its_own_id() {
    TestClock.set(Some(NOW));
    let (_folder, store) = store();
    let lax = builder(store.clone(), ring(), |_| {}).build().unwrap();
    let strict = builder(store, ring(), |handler| handler.limits.actor_id_bytes = 500).build().unwrap();
    let actor = "x".repeat(1_000);
    let created = lax.create_blocking(CreateRequest::new(&actor).handler("signed")).unwrap();
    let Creation::Created(created) = created else { panic!("{created:?}") };
    assert_eq!(strict.verify_blocking(&created.token).unwrap_err().code(), "limit-actor-id");

    let revoke =
        |revocation| pollster::block_on(strict.revocations().unwrap().revoke(revocation)).map_err(|error| error.code());
    let by_actor = Revocation { actor_id: Some(actor.clone()), ..Revocation::default() };
    assert_eq!(revoke(by_actor.clone()), Err("bad-revocation"));
    assert_eq!(pollster::block_on(lax.revocations().unwrap().count(by_actor)).unwrap(), 1, "nothing was revoked");
    let by_id = |id| Revocation { handler: Some("signed".to_owned()), token_id: Some(id), ..Revocation::default() };
    assert_eq!(revoke(by_id("x".repeat(257))), Err("bad-revocation"));
    assert_eq!(revoke(by_id("x".repeat(256))), Ok(0));
    assert_eq!(revoke(by_id(created.token_id.unwrap())), Ok(1));
    pollster::block_on(lax.revocations().unwrap().list().catch_up()).unwrap();
    let verdict = lax.verify_blocking(&created.token).unwrap();
    assert!(matches!(verdict, Verdict::Rejected(rejection) if rejection.reason == Reason::Revoked));
}

//! A client has a quota of valid tokens, with all handlers together.

use super::{NOW, builder, ring, store};
use crate::support::TestClock;
use keyward_runtime::{CreateRequest, Creation, Denial, UnixTime};
use std::num::NonZeroU32;

#[test]
fn a_client_has_at_most_its_quota_of_valid_tokens() {
    TestClock.set(Some(NOW));
    let (_folder, store) = store();
    let registry = builder(store, ring(), |_| {}).client_tokens("app", 2).build().unwrap();
    let create = |handler: &str, client: Option<&str>, expires_after: u32| {
        let mut request = CreateRequest::new("ann");
        request.client = client.map(str::to_owned);
        request.expires_after = NonZeroU32::new(expires_after);
        registry.create_blocking(Some(handler), request).unwrap()
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
    let rotate = |id: &str| pollster::block_on(registry.rotate("stored", id, 3_600, None)).unwrap().unwrap();
    let second = id(rotate(&first));
    assert!(is_full(rotate(&second)) && is_full(rotate(&first)));

    // Tokens that have expired make room: first the signed one, then the replaced one.
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + 61, ..NOW }));
    id(rotate(&second));
    TestClock.set(Some(UnixTime { seconds: NOW.seconds + 4_000, ..NOW }));
    id(create("signed", Some("app"), 0));
    assert!(is_full(create("stored", Some("app"), 0)));
}

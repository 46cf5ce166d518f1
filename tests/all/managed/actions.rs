//! Requests that name unknown actions are denied, and tokens with such actions remain usable.

use super::{NOW, builder, create, registry, restrictions, ring, store};
use crate::support::{RUNTIME, SIGNED, TestClock};
use keyward_runtime::keys::KeyGrant;
use keyward_runtime::registry::{TokenUpdate, UpdateOutcome};
use keyward_runtime::token::TokenId;
use keyward_runtime::{
    Acceptance, Actors, CreateRequest, Creation, HandlerConfig, IssueOptions, Parent, Registry, Restrictions, Verdict,
};
use std::time::Duration;

fn all(action: &str) -> Restrictions {
    restrictions(&[(action, None, None)])
}

fn accepted(registry: &Registry, token: &str) -> Acceptance {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => acceptance,
        other => panic!("{other:?}"),
    }
}

fn request(restrictions: Option<Restrictions>, parent: Option<&Acceptance>) -> CreateRequest {
    let mut request = CreateRequest::new("ann");
    (request.restrictions, request.parent) = (restrictions, parent.map(Parent::of));
    request
}

/// A token that was issued when the actions were open, or whose action has been removed from the
/// configuration, is valid, and can be narrowed and replaced.
#[test]
fn a_token_with_an_unknown_action_remains_usable() {
    TestClock.set(Some(NOW));
    for handler in ["stored", "signed"] {
        let (_folder, store) = store();
        let open = registry(store.clone(), ring(), |_| {});
        let closed = builder(store, ring(), |_| {}).build().unwrap();
        let own = all("own").allow_all("view-table");
        let token = create(&open, handler, request(Some(own.clone()), None)).unwrap();
        create(&closed, handler, request(Some(own), None)).unwrap_err();

        let parent = accepted(&closed, &token);
        let child = create(&closed, handler, request(None, Some(&parent))).unwrap();
        assert_eq!(accepted(&closed, &child).restrictions, parent.restrictions, "inherited");
        let child = create(&closed, handler, request(Some(all("own")), Some(&parent))).unwrap();
        assert_eq!(accepted(&closed, &child).restrictions, Some(all("own")), "listed by the parent");
        create(&closed, handler, request(Some(all("view-table")), Some(&parent))).unwrap();
        let message = create(&closed, handler, request(Some(all("owm")), Some(&parent))).unwrap_err();
        assert!(message.starts_with("the action `owm` is not in `[actions]`"), "{message}");
        // A known action that the parent does not list is denied for that reason.
        let message = create(&closed, handler, request(Some(all("execute-sql")), Some(&parent))).unwrap_err();
        assert!(message.contains("exceed"), "{message}");
        if handler == "signed" {
            continue;
        }
        let id = parent.token_id.unwrap();
        let edit = |action| {
            let update = TokenUpdate { restrictions: Some(all(action)), ..TokenUpdate::default() };
            pollster::block_on(closed.tokens().unwrap().edit(&TokenId::new(handler, &id), update)).unwrap()
        };
        assert!(matches!(edit("owm"), UpdateOutcome::Denied(denied) if denied.message.contains("`owm`")));
        assert!(matches!(edit("own"), UpdateOutcome::Done(_)));
        let rotated = pollster::block_on(closed.tokens().unwrap().rotate(
            &TokenId::new(handler, &id),
            Duration::ZERO,
            IssueOptions::new(),
        ))
        .unwrap();
        let Some(Creation::Created(created)) = rotated else { panic!("{rotated:?}") };
        assert_eq!(accepted(&closed, &created.token).restrictions, Some(all("own")));
    }
}

#[test]
fn without_actions_nothing_is_unknown() {
    TestClock.set(Some(NOW));
    let mut signed = HandlerConfig::new("signed", SIGNED, Actors::Any);
    signed.first_party = true;
    signed.keys.insert("token".into(), KeyGrant::new(ring()));
    let registry = Registry::builder(&RUNTIME).handler(signed).build().unwrap();
    create(&registry, "signed", request(Some(all("own")), None)).unwrap();
}

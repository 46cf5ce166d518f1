//! A clock that steps: expired tokens stay expired, a revocation up to now covers all earlier
//! tokens, and no token is older than one issued before it.

use super::node::{
    FOREVER, accepted, builder_on_clock, create, node_with_records, of_actor, outcome, revoke, with_records,
};
use crate::store::Place;
use crate::support::{TestClock, time};
use keyward_runtime::clock::{MonotonicClock, UnixTime};
use keyward_runtime::store::{Revocation, TokenStore};
use keyward_runtime::{CreateRequest, Creation, Registry};
use keyward_tests::daemon::wait_for;
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const START: u64 = 1_767_225_600;
const YEAR: u64 = 31_536_000;

/// A clock that a test sets for all threads.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    /// Starts a node with this clock, which it uses as the program uses the system's clock.
    fn start(&self, place: &Place) -> Registry {
        let time = self.0.clone();
        let clock =
            MonotonicClock::new(move || Some(UnixTime { seconds: time.load(Ordering::SeqCst), nanoseconds: 0 }));
        let store = Arc::new(place.open()) as Arc<dyn TokenStore>;
        with_records(builder_on_clock(clock, &store, FOREVER), &store).build().unwrap()
    }
}

const HANDLERS: [&str; 2] = ["stored", "signed"];

fn for_a_minute(node: &Registry, handler: &str) -> String {
    let mut request = CreateRequest::new("alice");
    request.expires_after = NonZeroU32::new(60);
    match node.create_blocking(request.handler(handler)) {
        Ok(Creation::Created(created)) => created.token,
        other => panic!("{other:?}"),
    }
}

#[test]
fn expired_tokens_stay_expired_and_no_token_predates_an_earlier_one() {
    for place in Place::both() {
        let clock = Clock(Arc::new(AtomicU64::new(START)));
        let node = clock.start(&place);
        let ending = HANDLERS.map(|handler| for_a_minute(&node, handler));
        let mut latest = START;
        let steps =
            [(0, "accepted"), (61, "expired"), (0, "expired"), (1, "expired"), (YEAR, "expired"), (5, "expired")];
        // Steps a second forward and back, repeatedly.
        let jitter = (0..100).map(|number| (YEAR + number % 2, "expired"));
        for (number, (step, wanted)) in (0..).zip(steps.into_iter().chain(jitter).chain([(2 * YEAR, "expired")])) {
            clock.set(START + step);
            for (handler, token) in HANDLERS.iter().zip(&ending) {
                assert_eq!(outcome(&node, token), wanted, "{handler}, at {step}");
                let made = create(&node, handler, &format!("user-{number}"));
                let issued_at = accepted(&node, &made).issued_at.unwrap();
                assert!(issued_at >= time(latest), "{handler}, at {step}: {issued_at:?} is before {latest}");
                latest = issued_at.seconds;
            }
        }
    }
}

#[test]
fn a_revocation_covers_all_tokens_issued_before_the_clock_went_back() {
    for place in Place::both() {
        let clock = Clock(Arc::new(AtomicU64::new(START + 1_000)));
        let node = clock.start(&place);
        let tokens = HANDLERS.map(|handler| create(&node, handler, "alice"));
        clock.set(START);
        revoke(&node, of_actor("alice"));
        let refused = |node: &Registry| tokens.iter().all(|token| outcome(node, token) == "revoked");
        assert!(refused(&node));
        // Nor is a token of that actor issued that is valid already.
        for handler in HANDLERS {
            let error = node.create_blocking(CreateRequest::new("alice").handler(handler)).unwrap_err();
            assert_eq!(error.code(), "just-revoked");
        }
        clock.set(START + 1_001);
        for handler in HANDLERS {
            assert_eq!(outcome(&node, &create(&node, handler, "alice")), "accepted");
        }
        assert!(refused(&node) && refused(&clock.start(&place)), "and after a restart");
    }
}

/// A record has been issued, whatever time its node has written.
#[test]
fn a_revocation_covers_tokens_of_a_node_with_a_fast_clock() {
    for place in Place::both() {
        let at = |ahead| TestClock.set(Some(UnixTime { seconds: START + ahead, nanoseconds: 0 }));
        let nodes = [(); 2].map(|()| node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>)));
        let [fast, right] = &nodes;
        at(30);
        let tokens = HANDLERS.map(|handler| create(fast, handler, "alice"));
        let other = create(fast, "signed", "bob");
        at(0);
        assert_eq!(block_on(right.revocations().unwrap().count(of_actor("alice"))).unwrap(), 2);
        assert_eq!(block_on(right.revocations().unwrap().revoke(of_actor("alice"))).unwrap(), 2);
        assert_eq!(outcome(right, &tokens[1]), "revoked", "at once on the revoking node");
        for node in &nodes {
            assert_eq!(outcome(node, &tokens[0]), "revoked", "at once");
            wait_for("the signed token to be rejected", || outcome(node, &tokens[1]) == "revoked");
            assert_eq!(outcome(node, &other), "accepted");
        }
        at(31);
        for handler in HANDLERS {
            assert_eq!(outcome(right, &create(fast, handler, "alice")), "accepted", "{handler}");
        }
        // Up to a second that has passed, it covers the tokens issued by then.
        let of_bob = Revocation { issued_until: Some(time(START + 29)), ..of_actor("bob") };
        assert_eq!(block_on(right.revocations().unwrap().revoke(of_bob)).unwrap(), 0);
        assert_eq!(outcome(right, &other), "accepted");
    }
}

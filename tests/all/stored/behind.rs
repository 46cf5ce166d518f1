//! A node whose clock is behind the newest time in its store: it gives no verdict on the expiry of
//! a token.

use super::node::{FOREVER, builder_on_clock, create, outcome, report, with_records};
use crate::store::Place;
use crate::support::time;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{CreateRequest, Creation, Registry};
use keyward_tests::daemon::wait_for;
use pollster::block_on;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const START: u64 = 1_767_225_600;
const HOUR: u64 = 3_600;
const YEARS: u64 = 5 * 31_536_000;

struct Node {
    clock: Arc<AtomicU64>,
    registry: Registry,
}

impl Node {
    fn start(place: &Place, now: u64) -> Self {
        let clock = Arc::new(AtomicU64::new(now));
        let told = clock.clone();
        let time = move || Some(UnixTime { seconds: told.load(Ordering::SeqCst), nanoseconds: 0 });
        let store = Arc::new(place.open()) as Arc<dyn TokenStore>;
        let registry = with_records(builder_on_clock(time, &store, FOREVER), &store).build().unwrap();
        Self { clock, registry }
    }

    fn beat_at(&self, now: u64) {
        self.clock.store(now, Ordering::SeqCst);
        report(&self.registry);
    }

    fn lasting(&self, handler: &str, seconds: u32) -> String {
        let request = CreateRequest::new("alice").expires_after(NonZeroU32::new(seconds).unwrap());
        match self.registry.create_blocking(request.handler(handler)) {
            Ok(Creation::Created(created)) => created.token,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_clock_far_behind_the_store_gives_no_verdict_on_an_expiry() {
    for place in Place::both() {
        let right = Node::start(&place, START);
        let ending = ["stored", "signed"].map(|handler| right.lasting(handler, 60));
        let lasting = ["stored", "signed"].map(|handler| create(&right.registry, handler, "bob"));
        right.beat_at(START + 2 * HOUR);
        // A difference within the tolerance is accepted.
        let slow = Node::start(&place, START + 2 * HOUR - 300);
        assert!(slow.registry.is_ready());
        assert_eq!(outcome(&slow.registry, &ending[0]), "expired");
        for behind in [301, HOUR, 2 * HOUR] {
            slow.clock.store(START + 2 * HOUR - behind, Ordering::SeqCst);
            assert!(!slow.registry.is_ready(), "{behind}");
            let live = slow.lasting_or_error();
            assert_eq!(live, "store", "{behind}: its expiry is unknown");
            let sign_in = slow.registry.is_actor_revoked("ann", UnixTime::from_seconds(START));
            assert_eq!(sign_in.map_err(|error| error.code()), Err("store"), "{behind}: and that of a sign-in");
            for token in &lasting {
                assert_eq!(outcome(&slow.registry, token), "accepted", "{behind}");
            }
        }
        for token in &ending {
            let error = slow.registry.verify_blocking(token).unwrap_err().to_string();
            assert!(error.contains("clock") && error.contains("keyward store accept --clock"), "{error}");
        }
        slow.clock.store(START + 2 * HOUR, Ordering::SeqCst);
        assert!(slow.registry.is_ready());
        assert!(!slow.registry.is_actor_revoked("ann", UnixTime::from_seconds(START)).unwrap());
        assert_eq!(outcome(&slow.registry, &ending[1]), "expired");
    }
}

impl Node {
    /// Returns the outcome of a token that lasts a day on this node's clock.
    fn lasting_or_error(&self) -> String {
        let request = CreateRequest::new("carol").expires_after(NonZeroU32::new(86_400).unwrap());
        match self.registry.create_blocking(request.handler("signed")) {
            Ok(Creation::Created(created)) => outcome(&self.registry, &created.token),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_clock_that_jumps_while_the_node_runs_does_not_move_the_mark() {
    for place in Place::both() {
        let leaping = Node::start(&place, START);
        leaping.beat_at(START);
        leaping.beat_at(START + 20);
        for _ in 0..5 {
            leaping.beat_at(START + YEARS);
        }
        let right = Node::start(&place, START + 30);
        let token = right.lasting("signed", 60);
        assert!(right.registry.is_ready());
        assert_eq!(outcome(&right.registry, &token), "accepted");
    }
}

#[test]
fn a_mark_in_the_future_is_capped_by_the_operator() {
    for place in Place::both() {
        // A process that starts with a wrong clock, alone, looks the same as after a long pause.
        let leapt = Node::start(&place, START);
        leapt.beat_at(START);
        let leapt = Node::start(&place, START + YEARS);
        leapt.beat_at(START + YEARS);
        leapt.beat_at(START + YEARS);
        let right = Node::start(&place, START + 30);
        let token = right.lasting("signed", 60);
        assert_eq!(outcome(&right.registry, &token), "store");
        block_on(place.open().cap(time(START + 30))).unwrap();
        wait_for("the cap to be read", || outcome(&right.registry, &token) == "accepted");
    }
}

//! Cutoffs by actor and by handler, with clocks that differ and handlers that report wrong times: a
//! token with a record is judged by its record, one without by an issue time that the host trusts.

use super::node::{FOREVER, builder_on_clock, create, of_actor, of_handler, outcome, revoke, with_records};
use crate::store::Place;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::TokenStore;
use keyward_runtime::{Actors, CreateRequest, HandlerConfig, Registry};
use keyward_tests::daemon::wait_for;
use keyward_tests::hostile;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const START: u64 = 1_767_225_600;
const HOUR: u64 = 3_600;
const YEARS: u64 = 5 * 31_536_000;

/// A node with its own clock on a shared store.
struct Node {
    clock: Arc<AtomicU64>,
    registry: Registry,
}

impl Node {
    fn start(place: &Place, now: u64, has_records: bool) -> Self {
        let clock = Arc::new(AtomicU64::new(now));
        let told = clock.clone();
        let time = move || Some(UnixTime { seconds: told.load(Ordering::SeqCst), nanoseconds: 0 });
        let store = Arc::new(place.open()) as Arc<dyn TokenStore>;
        let mut stranger = HandlerConfig::new("stranger", hostile::case("time-issued-now").bytes, Actors::Any);
        stranger.prefixes = vec!["ho_".into()];
        (stranger.limits.wall, stranger.limits.cpu) = (FOREVER, FOREVER);
        let builder = builder_on_clock(time, &store, FOREVER).handler(stranger);
        let builder = if has_records { with_records(builder, &store) } else { builder };
        Self { clock, registry: builder.build().unwrap() }
    }

    fn set(&self, now: u64) {
        self.clock.store(now, Ordering::SeqCst);
    }

    fn outcome(&self, token: &str) -> String {
        outcome(&self.registry, token)
    }

    fn create(&self, handler: &str, actor: &str) -> String {
        create(&self.registry, handler, actor)
    }

    /// Returns the code of the error that prevents a token from being issued.
    fn refusal(&self, handler: &str, actor: &str) -> String {
        let made = self.registry.create_blocking(CreateRequest::new(actor).handler(handler));
        made.map_or_else(|error| error.code().to_owned(), |made| format!("{made:?}"))
    }
}

#[test]
fn a_handler_that_reports_a_later_issue_time_does_not_escape_a_revocation() {
    for place in Place::both() {
        for revocation in [of_handler("stranger"), of_actor("hostile:alice")] {
            let node = Node::start(&place, START, true);
            assert_eq!(node.outcome("ho_old"), "accepted");
            revoke(&node.registry, revocation.clone());
            for later in [0, 1, 60, 61, HOUR, YEARS] {
                node.set(START + later);
                assert_eq!(node.outcome("ho_old"), "revoked", "{revocation:?}, {later} s later");
            }
            place.run("DELETE FROM revocations");
        }
    }
}

#[test]
fn a_token_without_a_record_is_covered_up_to_the_leeway_after_the_cutoff() {
    for place in Place::both() {
        for ahead in [1, 30, 59, 60] {
            let fast = Node::start(&place, START + ahead, false);
            let right = Node::start(&place, START, true);
            let actor = format!("ahead-{ahead}");
            let token = fast.create("signed", &actor);
            assert_eq!(right.outcome(&token), "accepted");
            revoke(&right.registry, of_actor(&actor));
            for later in [0, ahead, 61, HOUR] {
                right.set(START + later);
                assert_eq!(right.outcome(&token), "revoked", "{ahead} s ahead, {later} s later");
            }
            fast.set(START + 61 + ahead);
            let later = fast.create("signed", &actor);
            assert_eq!(right.outcome(&later), "accepted", "issued after the leeway");
        }
    }
}

#[test]
fn tokens_issued_after_a_revocation_are_valid() {
    for place in Place::both() {
        let node = Node::start(&place, START, true);
        let other = Node::start(&place, START - 59, true);
        let old = ["stored", "signed"].map(|handler| node.create(handler, "alice"));
        revoke(&node.registry, of_actor("alice"));
        wait_for("the other node to read the revocation", || other.outcome(&old[1]) == "revoked");
        for later in [1, 2, 59, 60, 61, HOUR] {
            node.set(START + later);
            other.set(START + later - 59);
            for handler in ["stored", "signed"] {
                let token = node.create(handler, "alice");
                assert_eq!(node.outcome(&token), "accepted", "{handler}, {later} s later");
                assert_eq!(other.outcome(&token), "accepted", "{handler}, {later} s later, on the other node");
            }
            for token in &old {
                assert_eq!(node.outcome(token), "revoked", "{later} s later");
                assert_eq!(other.outcome(token), "revoked", "{later} s later, on the other node");
            }
        }
    }
}

#[test]
fn a_token_without_a_record_is_not_issued_if_it_would_be_revoked() {
    for place in Place::both() {
        let node = Node::start(&place, START, false);
        revoke(&node.registry, of_actor("alice"));
        for later in [0, 1, 60] {
            node.set(START + later);
            assert_eq!(node.refusal("signed", "alice"), "just-revoked", "{later} s later");
        }
        node.set(START + 61);
        assert_eq!(node.outcome(&node.create("signed", "alice")), "accepted");
    }
}

#[test]
fn a_clock_that_jumped_ahead_does_not_block_new_tokens() {
    for place in Place::both() {
        for leap in [59, 62, HOUR, YEARS] {
            let actor = format!("leap-{leap}");
            let right = Node::start(&place, START, true);
            let leapt = Node::start(&place, START + leap, true);
            let old = ["stored", "signed"].map(|handler| right.create(handler, &actor));
            let unrecorded = Node::start(&place, START, false).create("signed", &actor);
            revoke(&leapt.registry, of_actor(&actor));
            wait_for("the right node to read the revocation", || right.outcome(&old[1]) == "revoked");
            right.set(START + 1);
            if leap > 60 {
                for handler in ["stored", "signed"] {
                    let token = right.create(handler, &actor);
                    assert_eq!(right.outcome(&token), "accepted", "{handler}, {leap}");
                    // The token stays valid when the time of the cutoff is reached.
                    right.set(START + leap);
                    assert_eq!(right.outcome(&token), "accepted", "{handler}, {leap}");
                    right.set(START + 1);
                }
            }
            for token in old.iter().chain([&unrecorded]) {
                assert_eq!(right.outcome(token), "revoked", "{leap}");
            }
        }
    }
}

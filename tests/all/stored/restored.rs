//! A database restored from an older copy lacks later revocations: a node that remembers more does
//! not trust it.

use super::node::{NOW, create, node_with_records, of_actor, of_token, outcome, report, revoke};
use crate::store::Place;
use crate::support::TestClock;
use keyward_runtime::Registry;
use keyward_runtime::store::TokenStore;
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::block_on;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn start(place: &Place) -> Registry {
    node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>))
}

/// Returns whether a node has read the whole list, including its own revocations.
fn has_read_all(node: &Registry) -> bool {
    report(node);
    block_on(node.tokens().unwrap().store().nodes()).unwrap().iter().all(|node| node.behind == 0)
}

#[test]
fn a_store_that_lost_revocations_is_not_trusted_until_a_restart() {
    for restored in [
        // As before the second revocation was written, or before any was.
        "DELETE FROM revocations WHERE seq = (SELECT max(seq) FROM revocations)",
        "DELETE FROM revocations",
        // Another revocation has been written since, with the same number.
        "UPDATE revocations SET token_id = 'another' WHERE seq = (SELECT max(seq) FROM revocations)",
    ] {
        for place in Place::both() {
            TestClock.set(Some(NOW));
            let (near, far) = (start(&place), start(&place));
            let [first, second, good] = ["a", "b", "c"].map(|actor| create(&near, "signed", actor));
            for token in [&first, &second] {
                revoke(&near, of_token(&near, token));
                wait_for("the other node to learn of the revocation", || outcome(&far, token) == "revoked");
            }
            // The node also reads its own revocation from the list.
            wait_for("the node to read its own revocation", || has_read_all(&near));
            place.run(restored);
            for node in [&near, &far] {
                wait_for("the loss to be detected", || !node.is_ready());
                for token in [&first, &second, &good] {
                    assert_eq!(outcome(node, token), "store", "{restored}");
                }
                let said = node.verify_blocking(&good).unwrap_err().to_string();
                assert!(said.contains("restored from an older copy") && said.contains("restart"), "{said}");
            }
            // However many revocations follow.
            for actor in ["x", "y", "z"] {
                revoke(&near, of_actor(actor));
            }
            let restarted = start(&place);
            wait_for("everything to be read", || outcome(&restarted, &good) == "accepted");
            for node in [&near, &far] {
                assert_eq!(outcome(node, &good), "store", "{restored}");
            }
        }
    }
}

/// A copy can be restored at any moment, even before the node has read its own revocation from the
/// list.
#[test]
fn a_restore_right_after_an_own_revocation_is_detected() {
    for restored in [
        "DELETE FROM revocations WHERE seq = (SELECT max(seq) FROM revocations)",
        "UPDATE revocations SET token_id = 'another' WHERE seq = (SELECT max(seq) FROM revocations)",
    ] {
        for place in Place::both() {
            for wait in [0, 50, 199] {
                TestClock.set(Some(NOW));
                let node = start(&place);
                let [first, second] = ["a", "b"].map(|actor| create(&node, "signed", &format!("{actor}-{wait}")));
                revoke(&node, of_token(&node, &first));
                wait_for("the node to read its own revocation", || has_read_all(&node));
                revoke(&node, of_token(&node, &second));
                thread::sleep(Duration::from_millis(wait));
                place.run(restored);
                wait_for("the loss to be detected", || !node.is_ready());
                for token in [&first, &second] {
                    assert_eq!(outcome(&node, token), "store", "{restored}, after {wait} ms");
                }
            }
        }
    }
}

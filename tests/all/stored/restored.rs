//! A database that was restored from an old copy has forgotten what was revoked since: a node that remembers more does not
//! believe it.

use super::node::{NOW, create, node_with_records, of_actor, of_token, outcome, revoke};
use crate::store::Place;
use crate::support::TestClock;
use keyward_runtime::{Registry, TokenStore};
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::block_on;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn start(place: &Place) -> Registry {
    node_with_records(&(Arc::new(place.open()) as Arc<dyn TokenStore>))
}

/// Whether a node has read all that there is, its own revocations included.
fn has_read_all(node: &Registry) -> bool {
    block_on(node.note_node("it")).unwrap();
    block_on(node.nodes()).unwrap().iter().all(|node| node.behind == 0)
}

#[test]
fn what_has_forgotten_revocations_is_not_believed_until_a_restart() {
    for restored in [
        // As it was before the second one was written down, or before any was.
        "DELETE FROM revocations WHERE seq = (SELECT max(seq) FROM revocations)",
        "DELETE FROM revocations",
        // Others have been written down since, under the same number.
        "UPDATE revocations SET token_id = 'another' WHERE seq = (SELECT max(seq) FROM revocations)",
    ] {
        for place in Place::both() {
            TestClock.set(Some(NOW));
            let (near, far) = (start(&place), start(&place));
            let [first, second, good] = ["a", "b", "c"].map(|actor| create(&near, "signed", actor));
            for token in [&first, &second] {
                revoke(&near, of_token(&near, token));
                wait_for("the others to hear of it", || outcome(&far, token) == "revoked");
            }
            // It reads on from what it revoked itself, too.
            wait_for("it to have read it back", || has_read_all(&near));
            place.run(restored);
            for node in [&near, &far] {
                wait_for("the loss to be noticed", || !node.is_ready());
                for token in [&first, &second, &good] {
                    assert_eq!(outcome(node, token), "store", "{restored}");
                }
                let said = node.verify_blocking(&good).unwrap_err().to_string();
                assert!(said.contains("restored from an older copy") && said.contains("restart"), "{said}");
            }
            // However many come behind it.
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

/// A copy can be put back at any moment: also before the node has read its own revocation in the list.
#[test]
fn a_restore_right_behind_an_own_revocation_is_noticed() {
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
                wait_for("it to have read it back", || has_read_all(&node));
                revoke(&node, of_token(&node, &second));
                thread::sleep(Duration::from_millis(wait));
                place.run(restored);
                wait_for("the loss to be noticed", || !node.is_ready());
                for token in [&first, &second] {
                    assert_eq!(outcome(&node, token), "store", "{restored}, after {wait} ms");
                }
            }
        }
    }
}

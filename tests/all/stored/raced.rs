//! Tokens are revoked while many threads verify them, on one node and on three: no call that starts
//! after the response is accepted. `cargo xtask soak` verifies ten times as often.

use super::node::{FOREVER, NOW, create, node, of_actor, of_token, outcome, revoke};
use crate::support::TestClock;
use keyward_runtime::Registry;
use keyward_runtime::store::{Revocation, TokenStore};
use keyward_store::Store;
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::cluster;
use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Returns the numbers of revoked tokens and of verifications.
fn size() -> (usize, usize) {
    if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { (1_000, 100_000) } else { (100, 10_000) }
}

/// A token, and the revocation for it.
struct Raced {
    token: String,
    revocation: Revocation,
}

impl Raced {
    /// Creates a token. Half of them have records; half are revoked by their id, half by their
    /// actor.
    fn make(node: &Registry, number: usize) -> Self {
        let actor = format!("user-{number}");
        let token = create(node, if number % 4 < 2 { "stored" } else { "signed" }, &actor);
        let revocation = if number.is_multiple_of(2) { of_token(node, &token) } else { of_actor(&actor) };
        Self { token, revocation }
    }

    fn has_record(&self) -> bool {
        self.token.starts_with("kwt_")
    }
}

/// An accepted verification: its node, its token, and the start of the call.
struct Yes {
    node: usize,
    token: usize,
    asked: Instant,
}

struct Race {
    yes: Vec<Yes>,
    /// The time of the response to each revocation.
    revoked: Vec<Instant>,
    /// Number of calls without a verdict.
    unsure: usize,
    asked: usize,
}

impl Race {
    /// Revokes one token after the other with `revoke`, evenly distributed among the verifications.
    fn run(nodes: &[Registry], tokens: &[Raced], asked: usize, revoke: impl Fn(usize)) -> Self {
        const THREADS: usize = 2;
        let (count, unsure, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let ask_all = |node: usize, first: usize| {
            TestClock.set(Some(NOW));
            let mut yes = Vec::new();
            loop {
                // One more round starts after the last response.
                let last = over.load(Ordering::SeqCst);
                for token in (first..tokens.len()).chain(0..first) {
                    let asked = Instant::now();
                    match outcome(&nodes[node], &tokens[token].token).as_str() {
                        "accepted" => yes.push(Yes { node, token, asked }),
                        "revoked" => {}
                        "store" => drop(unsure.fetch_add(1, Ordering::SeqCst)),
                        other => panic!("{other}"),
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                }
                if last {
                    return yes;
                }
            }
        };
        let (yes, revoked) = thread::scope(|scope| {
            let (ask_all, threads) = (&ask_all, nodes.len() * THREADS);
            let start = |thread| scope.spawn(move || ask_all(thread / THREADS, thread * tokens.len() / threads));
            let threads: Vec<_> = (0..threads).map(start).collect();
            // However this function exits, the threads stop.
            let over = Over(&over);
            let revoke = |token: usize| {
                while count.load(Ordering::SeqCst) < token * asked / tokens.len() {
                    assert!(threads.iter().all(|thread| !thread.is_finished()), "a verifying thread has stopped");
                    thread::yield_now();
                }
                revoke(token);
                Instant::now()
            };
            let revoked = (0..tokens.len()).map(revoke).collect();
            drop(over);
            (threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect(), revoked)
        });
        Self { yes, revoked, unsure: unsure.into_inner(), asked: count.into_inner() }
    }

    /// Returns the delay of each accepted call that started after the response to the revocation of
    /// its token.
    fn behind(&self) -> impl Iterator<Item = (&Yes, Duration)> {
        let behind = |yes: &Yes| yes.asked.checked_duration_since(self.revoked[yes.token]);
        self.yes.iter().filter_map(move |yes| Some((yes, behind(yes)?)))
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn open(location: &str) -> Arc<dyn TokenStore> {
    Arc::new(Store::open(location.parse().unwrap()).unwrap())
}

#[test]
fn on_one_node_no_token_is_accepted_after_the_response() {
    TestClock.set(Some(NOW));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keyward.db");
    let node = [node(&open(file.to_str().unwrap()), FOREVER)];
    let (revoked, asked) = size();
    let tokens: Vec<_> = (0..revoked).map(|number| Raced::make(&node[0], number)).collect();
    let race = Race::run(&node, &tokens, asked, |token| revoke(&node[0], tokens[token].revocation.clone()));
    assert_eq!(race.behind().count(), 0);
    assert_eq!(race.unsure, 0);
    assert!(race.asked >= asked && race.yes.len() > asked / 4, "only {} were accepted", race.yes.len());
}

/// The revoking node knows at once, and any node that reads a record sees its revocation at once.
/// Others learn of it, or give no verdict.
#[test]
fn on_three_nodes_no_token_is_accepted_after_the_response_and_their_patience() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let Some(cluster) = cluster() else { return };
    TestClock.set(Some(NOW));
    let (location, _) = cluster.database();
    let nodes = [(); 3].map(|()| node(&open(&location), PATIENCE));
    let (revoked, asked) = size();
    let tokens: Vec<_> = (0..revoked).map(|number| Raced::make(&nodes[0], number)).collect();
    let by = |token: usize| token / 4 % nodes.len();
    let race = Race::run(&nodes, &tokens, asked, |token| revoke(&nodes[by(token)], tokens[token].revocation.clone()));
    let mut latest = Duration::ZERO;
    for (Yes { node, token, .. }, behind) in race.behind() {
        let at_once = *node == by(*token) || tokens[*token].has_record();
        let bound = if at_once { Duration::ZERO } else { PATIENCE };
        assert!(behind <= bound, "node {node}, token {token}, revoked by {}: {behind:?}", by(*token));
        latest = latest.max(behind);
    }
    println!("latest acceptance {latest:?} after a response; {} of {} without a verdict", race.unsure, race.asked);
    assert!(race.asked >= asked && race.yes.len() > asked / 4, "only {} were accepted", race.yes.len());
    for node in &nodes {
        wait_for("all nodes to catch up", || tokens.iter().all(|raced| outcome(node, &raced.token) == "revoked"));
    }
}

/// The test above would detect a violation: here each revocation is applied only when the next one
/// is requested.
#[test]
fn a_list_that_is_applied_after_the_response_is_detected() {
    TestClock.set(Some(NOW));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keyward.db");
    let node = [node(&open(file.to_str().unwrap()), FOREVER)];
    let tokens: Vec<_> = (0..20).map(|number| Raced::make(&node[0], number)).collect();
    let late = Mutex::new(None);
    let race = Race::run(&node, &tokens, 2_000, |token| {
        if let Some(late) = late.lock().unwrap().replace(tokens[token].revocation.clone()) {
            revoke(&node[0], late);
        }
    });
    assert!(race.behind().count() > 0);
}

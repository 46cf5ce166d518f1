//! Tokens are taken back while many threads ask about them, on one node and on three: whoever asks behind the answer is not let
//! in. `cargo xtask soak` asks ten times as often.

use super::node::{FOREVER, NOW, create, node, of_actor, of_token, outcome, revoke};
use crate::support::TestClock;
use keyward_runtime::{Registry, Revocation, TokenStore};
use keyward_store::Store;
use keyward_tests::daemon::wait_for;
use keyward_tests::postgres::cluster;
use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many tokens are taken back, and how often somebody asks meanwhile.
fn size() -> (usize, usize) {
    if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { (1_000, 100_000) } else { (100, 10_000) }
}

/// A token that is taken back, one way or the other.
struct Raced {
    token: String,
    revocation: Revocation,
}

impl Raced {
    /// Half of them have records; half are taken back by their id, half by their actor.
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

/// A question that was answered with yes: on which node, about which token, and when it was asked.
struct Yes {
    node: usize,
    token: usize,
    asked: Instant,
}

struct Race {
    yes: Vec<Yes>,
    /// When each revocation was answered.
    revoked: Vec<Instant>,
    /// How many questions got no verdict.
    unsure: usize,
    asked: usize,
}

impl Race {
    /// Takes one token after the other back by `revoke`, at equal distances among the questions.
    fn run(nodes: &[Registry], tokens: &[Raced], asked: usize, revoke: impl Fn(usize)) -> Self {
        const THREADS: usize = 2;
        let (count, unsure, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let ask_all = |node: usize, first: usize| {
            TestClock.set(Some(NOW));
            let mut yes = Vec::new();
            loop {
                // One more round begins behind the last answer.
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
            // However this ends, so do they.
            let over = Over(&over);
            let revoke = |token: usize| {
                while count.load(Ordering::SeqCst) < token * asked / tokens.len() {
                    assert!(threads.iter().all(|thread| !thread.is_finished()), "nobody asks any more");
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

    /// By how much each yes was asked for behind the answer to the revocation of its token, where it was.
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
fn on_one_node_nobody_is_let_in_behind_the_answer() {
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

/// The one that revokes knows at once, and whoever asks about a record sees it end at once. The others hear of it, or give no
/// verdict.
#[test]
fn on_three_nodes_nobody_is_let_in_behind_the_answer_and_their_patience() {
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
    println!("the latest yes was asked for {latest:?} behind an answer; {} of {} unsure", race.unsure, race.asked);
    assert!(race.asked >= asked && race.yes.len() > asked / 4, "only {} were accepted", race.yes.len());
    for node in &nodes {
        wait_for("every node to know of all", || tokens.iter().all(|raced| outcome(node, &raced.token) == "revoked"));
    }
}

/// The test above would see it: here each revocation is carried out when the next one is asked for.
#[test]
fn a_list_that_is_applied_behind_the_answer_is_seen() {
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

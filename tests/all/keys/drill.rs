//! The rotation drill, while threads on every node continuously create tokens and present them
//! everywhere.

use super::{create, good_by, node};
use keyward_runtime::Registry;
use keyward_runtime::keys::KeyState;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// Number of rotations.
const ROTATIONS: u8 = 5;

/// A variant of the drill.
#[derive(Clone, Copy)]
struct Plan {
    nodes: usize,
    /// Set if every node knows a key before any node signs with it.
    pending_first: bool,
    /// Set if a key is retired only after its tokens have expired.
    wait_for_ends: bool,
}

/// Violations seen during the drill.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    /// Live tokens that were rejected.
    refused: u64,
    /// Tokens that a node signed or verified with a key that it had retired.
    by_retired: u64,
    /// Tokens that verify with a key other than the one that signed them.
    by_another: u64,
}

/// A set of keys, by number.
#[derive(Default)]
struct Keys(AtomicU64);

impl Keys {
    fn insert(&self, key: u8) {
        self.0.fetch_or(1 << key, Ordering::SeqCst);
    }

    fn contain(&self, key: u8) -> bool {
        self.0.load(Ordering::SeqCst) >> key & 1 == 1
    }
}

/// A node, as held by a daemon: a registry that a reload swaps.
struct Node {
    registry: RwLock<Registry>,
    /// The keys that it has retired, which no later call uses.
    retired: Keys,
    /// Number of tokens created here and presented on every node.
    created: AtomicU64,
    /// Number of tokens presented here by the thread that only presents them.
    presented: AtomicU64,
}

impl Node {
    fn steps(&self) -> [u64; 2] {
        [&self.created, &self.presented].map(|steps| steps.load(Ordering::SeqCst))
    }
}

struct World {
    nodes: Vec<Node>,
    /// The keys whose tokens have all expired, according to their holders.
    ended: Keys,
    /// Tokens and the keys that signed them.
    tokens: Mutex<Vec<(String, u8)>>,
    wrong: Mutex<Wrong>,
    made: AtomicU64,
    stop: AtomicBool,
}

impl World {
    fn new(nodes: usize) -> Self {
        let start = || Node {
            registry: RwLock::new(node([(1, KeyState::Active)])),
            retired: Keys::default(),
            created: AtomicU64::new(0),
            presented: AtomicU64::new(0),
        };
        let nodes = (0..nodes).map(|_| start()).collect();
        Self {
            nodes,
            ended: Keys::default(),
            tokens: Mutex::default(),
            wrong: Mutex::default(),
            made: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    /// Reloads the nodes one after another, and lets every thread take a few steps in between.
    fn reload(&self, keys: &[(u8, KeyState)], retired: Option<u8>) {
        for node in &self.nodes {
            let registry = super::node(keys.iter().copied());
            *node.registry.write().unwrap() = registry;
            if let Some(key) = retired {
                node.retired.insert(key);
            }
            let seen: Vec<_> = self.nodes.iter().map(Node::steps).collect();
            let deadline = Instant::now() + Duration::from_secs(120);
            for (node, seen) in self.nodes.iter().zip(seen) {
                // A step may have begun before the reload. Of the others, one presents an old
                // token and one a recent token.
                while node.steps().iter().zip(seen).any(|(now, seen)| *now < seen + 3) {
                    assert!(Instant::now() < deadline, "the threads make no progress");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// Creates tokens on a node and presents them on all.
    fn make(&self, at: &Node) {
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.made.fetch_add(1, Ordering::SeqCst);
            let retired = Keys(AtomicU64::new(at.retired.0.load(Ordering::SeqCst)));
            let registry = at.registry.read().unwrap().clone();
            let created = create(&registry, &format!("actor {number}"));
            let key = created.key.unwrap().strip_prefix("main/k").unwrap().parse().unwrap();
            self.wrong.lock().unwrap().by_retired += u64::from(retired.contain(key));
            for node in &self.nodes {
                self.present(node, &created.token, key);
            }
            self.tokens.lock().unwrap().push((created.token, key));
            at.created.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Presents tokens on a node, the oldest live token and recent ones in turns.
    fn hold(&self, at: &Node) {
        for step in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let token = {
                let tokens = self.tokens.lock().unwrap();
                let mut live = tokens.iter().filter(|(_, key)| !self.ended.contain(*key));
                let recent = (step * 7) % tokens.len().clamp(1, 50);
                let token = if step % 2 == 0 { live.next() } else { live.rev().nth(recent) };
                token.cloned()
            };
            let Some((token, key)) = token else {
                thread::yield_now();
                continue;
            };
            self.present(at, &token, key);
            at.presented.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn present(&self, at: &Node, token: &str, key: u8) {
        let was_retired = at.retired.contain(key);
        let registry = at.registry.read().unwrap().clone();
        let good_by = good_by(&registry, token);
        let mut wrong = self.wrong.lock().unwrap();
        match good_by {
            // If it has not expired now, it had not expired when it was rejected.
            None => wrong.refused += u64::from(!self.ended.contain(key)),
            Some(name) => {
                wrong.by_retired += u64::from(was_retired);
                wrong.by_another += u64::from(*name != *format!("main/k{key}"));
            }
        }
    }
}

/// Stops the threads when the drill finishes or fails.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn drill(plan: Plan) -> Wrong {
    let Plan { nodes, pending_first, wait_for_ends } = plan;
    let world = World::new(nodes);
    thread::scope(|scope| {
        let _stopping = Stopping(&world.stop);
        for node in &world.nodes {
            scope.spawn(|| world.make(node));
            scope.spawn(|| world.hold(node));
        }
        for old in 1..=ROTATIONS {
            let new = old + 1;
            // The ids of all retired keys stay.
            let ring = |states: &[(u8, KeyState)]| {
                let gone = (1..old).map(|key| (key, KeyState::Retired));
                gone.chain(states.iter().copied()).collect::<Vec<_>>()
            };
            if pending_first {
                world.reload(&ring(&[(old, KeyState::Active), (new, KeyState::Pending)]), None);
            }
            world.reload(&ring(&[(old, KeyState::VerifyOnly), (new, KeyState::Active)]), None);
            if wait_for_ends {
                world.ended.insert(old);
            }
            world.reload(&ring(&[(old, KeyState::Retired), (new, KeyState::Active)]), Some(old));
            world.ended.insert(old);
        }
    });
    assert!(world.made.into_inner() > u64::from(ROTATIONS), "no tokens were created");
    world.wrong.into_inner().unwrap()
}

#[test]
fn no_live_token_is_rejected_and_no_retired_key_signs() {
    for nodes in [1, 3] {
        let wrong = drill(Plan { nodes, pending_first: true, wait_for_ends: true });
        assert_eq!(wrong, Wrong::default(), "{nodes} nodes");
    }
}

/// The drill is the order of its steps: with another order the same threads detect violations.
#[test]
fn each_step_of_the_drill_is_required() {
    let hasty = drill(Plan { nodes: 3, pending_first: false, wait_for_ends: true });
    assert!(hasty.refused > 0, "a node signs with a key unknown to others: {hasty:?}");
    let early = drill(Plan { nodes: 1, pending_first: true, wait_for_ends: false });
    assert!(early.refused > 0, "a key is retired while its tokens are live: {early:?}");
    for wrong in [hasty, early] {
        assert_eq!((wrong.by_retired, wrong.by_another), (0, 0));
    }
}

//! The daemon is killed at any moment, again and again: what was issued is good, and what was revoked is not, whatever it was
//! doing. `cargo xtask soak` kills more often.

use super::{SECRET, folder_with};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::{Connection, Request, Response};
use keyward_tests::postgres::cluster;
use serde_json::json;
use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NO_QUOTA: (&str, &str) = ("{ tokens = 5 }", "true");

/// The machine may be busy: what says no must not be the clock.
const NO_HURRY: (&str, &str) = ("prefixes = [", "limits.wall_ms = 60000\nprefixes = [");

#[test]
fn with_sqlite() {
    kill_again_and_again(&folder_with("killed-sqlite", &[NO_QUOTA, NO_HURRY]));
}

#[test]
fn with_postgresql() {
    let Some(cluster) = cluster() else { return };
    let mut folder = folder_with(
        "killed-postgres",
        &[NO_QUOTA, NO_HURRY, (r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#)],
    );
    folder.set("DATABASE_URL", &cluster.database().0);
    kill_again_and_again(&folder);
}

fn kills() -> u32 {
    if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1_000 } else { 100 }
}

/// What must come of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// It was being revoked or replaced when the daemon was killed.
    Either,
    Dead,
}

/// All that clients know.
#[derive(Default)]
struct Known {
    tokens: BTreeMap<String, State>,
    /// The last developer token of each actor.
    last: BTreeMap<String, String>,
    seed: u64,
    made: u32,
}

impl Known {
    /// A number below `most`: the same ones in each run.
    fn draw(&mut self, most: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % most
    }

    fn set(&mut self, token: &str, state: State) {
        self.tokens.insert(token.to_owned(), state);
    }

    /// One step of a client. `None`: the daemon was killed before it answered.
    fn step(&mut self, connection: &mut Connection) -> Option<()> {
        match self.draw(10) {
            0..3 => self.make(connection, "stored"),
            3..5 => self.make(connection, "signed"),
            5..7 => self.replace(connection),
            _ => self.revoke(connection),
        }
    }

    fn make(&mut self, connection: &mut Connection, handler: &str) -> Option<()> {
        self.made += 1;
        let request = json!({"actor": format!("user-{}", self.made), "handler": handler});
        let token = created(connection.ask(&Request::json("/v1/tokens", &request).bearer(SECRET)).ok()?);
        self.set(&token, State::Good);
        Some(())
    }

    fn replace(&mut self, connection: &mut Connection) -> Option<()> {
        let actor = format!("dev-{}", self.draw(3));
        let before = self.last.get(&actor).cloned();
        if let Some(before) = &before {
            self.set(before, State::Either);
        }
        let request = json!({"actor": actor, "handler": "dev"});
        let token = created(connection.ask(&Request::json("/v1/tokens", &request).bearer(SECRET)).ok()?);
        if let Some(before) = &before {
            self.set(before, State::Dead);
        }
        self.set(&token, State::Good);
        self.last.insert(actor, token);
        Some(())
    }

    fn revoke(&mut self, connection: &mut Connection) -> Option<()> {
        let good: Vec<String> =
            self.tokens.iter().filter(|(_, state)| **state == State::Good).map(|(token, _)| token.clone()).collect();
        if good.is_empty() {
            return Some(());
        }
        let token = good[self.draw(good.len())].clone();
        self.set(&token, State::Either);
        let answer = connection.ask(&Request::form("/v1/revoke", format!("token={token}")).bearer(SECRET)).ok()?;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.set(&token, State::Dead);
        Some(())
    }

    /// What the daemon says of all tokens, against what must come of them. What could be either is one of them for good.
    fn check(&mut self, connection: &mut Connection) {
        let tokens: Vec<String> = self.tokens.keys().cloned().collect();
        for batch in tokens.chunks(100) {
            let request = Request::json("/v1/verify", &json!({"tokens": batch})).bearer(SECRET);
            let answer = connection.ask(&request).unwrap();
            let answer = answer.json();
            let outcomes = answer["outcomes"].as_array().unwrap_or_else(|| panic!("{answer}"));
            assert_eq!(outcomes.len(), batch.len());
            for (token, outcome) in batch.iter().zip(outcomes) {
                let is = match (outcome["outcome"].as_str(), outcome["reason"].as_str()) {
                    (Some("accepted"), _) => State::Good,
                    (Some("rejected"), Some("revoked")) => State::Dead,
                    _ => panic!("{outcome}"),
                };
                let wanted = self.tokens[token];
                assert!(wanted == is || wanted == State::Either, "{wanted:?}: {outcome}");
                self.set(token, is);
            }
        }
    }
}

fn created(answer: Response) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

fn kill_again_and_again(folder: &Folder) {
    let mut known = Known { seed: 7, ..Known::default() };
    let mut killed_amid = 0;
    for kill in 1..=kills() {
        let daemon = Daemon::start(folder, "keyward.toml");
        let address = daemon.service();
        // Those of the last rounds each time, and all of them now and then.
        if kill % 25 == 0 {
            known.check(&mut Connection::open(address).unwrap());
        }
        let (steps, within) = (known.draw(12), Duration::from_micros(known.draw(4_000) as u64));
        let done = AtomicUsize::new(0);
        // Made here: it may be killed before the client has begun.
        let mut connection = Connection::open(address).unwrap();
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                while known.step(&mut connection).is_some() {
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
            while done.load(Ordering::SeqCst) < steps && !client.is_finished() {
                thread::yield_now();
            }
            // Amid the next step.
            let since = Instant::now();
            while since.elapsed() < within {
                std::hint::spin_loop();
            }
            drop(daemon);
        });
        killed_amid += usize::from(known.tokens.values().any(|state| *state == State::Either));
    }
    let daemon = Daemon::start(folder, "keyward.toml");
    known.check(&mut Connection::open(daemon.service()).unwrap());
    known.check(&mut Connection::open(daemon.service()).unwrap());
    let count = |state| known.tokens.values().filter(|is| **is == state).count();
    println!("{} good, {} dead, {killed_amid} times in doubt", count(State::Good), count(State::Dead));
    assert!(count(State::Good) > 100 && count(State::Dead) > 100 && killed_amid > 0);
}

//! The daemon is killed repeatedly, at arbitrary moments: issued tokens are valid, revoked and
//! replaced ones are not, edits are complete, and the audit log contains everything it did.
//! `cargo xtask soak` kills more often.

use super::{SECRET, folder_with, keyward};
use keyward_audit::{Record, lines, verify};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::{Connection, Request, Response};
use keyward_tests::postgres::cluster;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NO_QUOTA: (&str, &str) = ("{ tokens = 5 }", "true");

const MAY_EDIT: (&str, &str) = (r#""revoke"]"#, r#""revoke", "list-all", "edit"]"#);

/// After a thousand rounds, thousands of expired tokens are verified at once, and each must be
/// recorded individually.
const AUDITED: (&str, &str) =
    ("[store]", "[audit]\nfile = \"audit.jsonl\"\ndeadline_ms = 60000\nnotes_per_second = 1000000\n\n[store]");

#[test]
fn with_sqlite() {
    kill_again_and_again(&folder_with("killed-sqlite", &[NO_QUOTA, MAY_EDIT, AUDITED]));
}

#[test]
fn with_postgresql() {
    let Some(cluster) = cluster() else { return };
    let mut folder = folder_with(
        "killed-postgres",
        &[NO_QUOTA, MAY_EDIT, AUDITED, (r#"sqlite = "keyward.db""#, r#"postgres = { env = "DATABASE_URL" }"#)],
    );
    folder.set("DATABASE_URL", &cluster.database().0);
    kill_again_and_again(&folder);
}

fn kills() -> u32 {
    if env::var_os("KEYWARD_SOAK_SECONDS").is_some() { 1_000 } else { 100 }
}

/// The required verdict on a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// The daemon was killed while revoking or replacing the token.
    Either,
    Dead,
}

/// The knowledge of the clients.
#[derive(Default)]
struct Known {
    tokens: BTreeMap<String, State>,
    /// The last developer token of each actor.
    last: BTreeMap<String, String>,
    /// For each editable token, the edits that may have been the last one. 0: none.
    edits: BTreeMap<String, Vec<u32>>,
    /// The edits that were certainly made.
    done: BTreeMap<String, BTreeSet<u32>>,
    edited: u32,
    seed: u64,
    made: u32,
}

impl Known {
    /// Returns a pseudorandom number below `max`, the same sequence in each run.
    fn draw(&mut self, max: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % max
    }

    fn set(&mut self, token: &str, state: State) {
        self.tokens.insert(token.to_owned(), state);
    }

    /// Performs one step of a client. Returns `None` if the daemon was killed before it responded.
    fn step(&mut self, connection: &mut Connection) -> Option<()> {
        match self.draw(16) {
            0..4 => self.make(connection, "stored"),
            4..7 => self.make(connection, "signed"),
            7..9 => self.replace(connection),
            9..12 => self.revoke(connection),
            12..15 => self.edit(connection),
            _ => self.rotate(connection),
        }
    }

    fn make(&mut self, connection: &mut Connection, handler: &str) -> Option<()> {
        self.made += 1;
        let request = json!({"actor": format!("user-{}", self.made), "handler": handler});
        let token = created(connection.ask(&Request::json("/v1/tokens", &request).bearer(SECRET)).ok()?);
        self.set(&token, State::Good);
        if handler == "stored" {
            self.edits.insert(token, vec![0]);
        }
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

    fn draw_good(&mut self, which: impl Fn(&Self, &str) -> bool) -> Option<String> {
        let good = self.tokens.iter().filter(|(token, state)| **state == State::Good && which(self, token));
        let good: Vec<String> = good.map(|(token, _)| token.clone()).collect();
        if good.is_empty() { None } else { Some(good[self.draw(good.len())].clone()) }
    }

    /// Edits every editable field, so that each edit differs from every other and from a partial
    /// one.
    fn edit(&mut self, connection: &mut Connection) -> Option<()> {
        let Some(token) = self.draw_good(|known, token| known.edits.contains_key(token)) else { return Some(()) };
        self.edited += 1;
        let edit = self.edited;
        self.edits.get_mut(&token).unwrap().push(edit);
        let request = Request::new("PATCH", &path(&token)).header("Content-Type", "application/json");
        let answer = connection.ask(&request.bearer(SECRET).body(terms(edit).to_string())).ok()?;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.done.entry(token.clone()).or_default().insert(edit);
        self.edits.insert(token, vec![edit]);
        Some(())
    }

    fn rotate(&mut self, connection: &mut Connection) -> Option<()> {
        let Some(token) = self.draw_good(|known, token| known.edits.contains_key(token)) else { return Some(()) };
        self.set(&token, State::Either);
        let request = Request::json(&format!("{}/rotate", path(&token)), &json!({})).bearer(SECRET);
        let new = created(connection.ask(&request).ok()?);
        self.set(&token, State::Dead);
        self.set(&new, State::Good);
        Some(())
    }

    fn revoke(&mut self, connection: &mut Connection) -> Option<()> {
        let Some(token) = self.draw_good(|_, _| true) else { return Some(()) };
        self.set(&token, State::Either);
        let answer = connection.ask(&Request::form("/v1/revoke", format!("token={token}")).bearer(SECRET)).ok()?;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.set(&token, State::Dead);
        Some(())
    }

    /// Compares the daemon's verdicts with the required ones. An uncertain token gets its final
    /// state here.
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
        for (token, edits) in &mut self.edits {
            let answer = connection.ask(&Request::get(&path(token)).bearer(SECRET)).unwrap().json();
            let edit = answer["description"].as_str().map_or(0, |edit| edit.parse().unwrap());
            assert!(edits.contains(&edit), "{edits:?}: {answer}");
            for (name, is) in terms(edit).as_object().unwrap() {
                assert_eq!(answer[name], *is, "{answer}");
            }
            *edits = vec![edit];
            if edit > 0 {
                self.done.entry(token.clone()).or_default().insert(edit);
            }
        }
    }

    /// Checks that each token was recorded before it was created, edited or terminated.
    fn check_audit(&self, folder: &Folder) {
        let ran = keyward(folder, "tokens list --json --limit 1000000", "");
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
        let tokens: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let audit: Vec<Record> =
            lines(&folder.path().join("audit.jsonl")).unwrap().map(|line| line.unwrap().1).collect();
        let makes = audit.iter().filter(|record| matches!(record.event.as_str(), "create" | "rotate"));
        let mut made: BTreeMap<_, _> =
            makes.map(|record| ((record.handler.as_deref(), record.token_id.as_deref()), record)).collect();
        for token in &tokens {
            let text = |name: &str| token[name].as_str();
            let maker = made.remove(&(text("handler"), text("token_id")));
            let maker = maker.unwrap_or_else(|| panic!("its creation was not recorded: {token}"));
            assert_eq!(maker.actor.as_deref(), text("actor"), "{token}");
            let mut later = audit.iter().filter(|record| record.seq > maker.seq);
            let is_known = match text("status").unwrap() {
                "active" => true,
                "revoked" => later.any(|record| revokes(record, token)),
                _ => later.any(|record| replaces(record, token)),
            };
            assert!(is_known, "its termination was not recorded: {token}");
        }
        for (token, edits) in &self.done {
            let is_one = |record: &&Record| record.event == "edit" && record.token_id.as_deref() == Some(id(token));
            let written = audit.iter().filter(is_one).count();
            assert!(written >= edits.len(), "{written} of {edits:?} are recorded: {token}");
        }
        // Recorded before the daemon was killed.
        println!("{} tokens, {} records, {} recorded but not created", tokens.len(), audit.len(), made.len());
        assert!(tokens.len() > 200 && made.len() <= kills() as usize, "{made:?}");
    }
}

fn revokes(record: &Record, token: &Value) -> bool {
    let said = [(&record.handler, "handler"), (&record.token_id, "token_id"), (&record.actor, "actor")];
    record.event == "revoke" && said.iter().all(|(said, name)| said.as_deref().is_none_or(|said| token[*name] == said))
}

/// Returns whether a creation replaces a token: by a rotation, or because the handler limits an
/// actor to one token.
fn replaces(record: &Record, token: &Value) -> bool {
    let same = |said: &Option<String>, name: &str| said.as_deref() == token[name].as_str();
    same(&record.handler, "handler")
        && same(&record.actor, "actor")
        && match record.event.as_str() {
            "rotate" => same(&record.replaces, "token_id"),
            "create" => token["handler"] == "dev",
            _ => false,
        }
}

/// Returns terms that differ for each edit, each expiring later than the previous.
fn terms(edit: u32) -> Value {
    match edit {
        0 => json!({"description": null, "expires_at": null, "restrictions": null}),
        _ => json!({
            "description": edit.to_string(),
            "expires_at": 4_000_000_000 - edit,
            "restrictions": {"all": ["view-instance"]},
        }),
    }
}

fn id(token: &str) -> &str {
    &token["kwt_test_".len()..][..22]
}

fn path(token: &str) -> String {
    format!("/v1/tokens/stored/{}", id(token))
}

fn is_whole(folder: &Folder) {
    let verified = verify(&folder.path().join("audit.jsonl"), None).unwrap();
    assert_eq!((verified.problem, verified.lost), (None, 0));
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
        // Only recent tokens in most rounds, and all of them occasionally.
        if kill % 25 == 0 {
            known.check(&mut Connection::open(address).unwrap());
        }
        let (steps, within) = (known.draw(12), Duration::from_micros(known.draw(4_000) as u64));
        let done = AtomicUsize::new(0);
        // Opened here, because the daemon may be killed before the client starts.
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
        // Checking everything in each round would dominate the run time.
        if kill <= 25 || kill % 25 == 0 {
            is_whole(folder);
        }
        killed_amid += usize::from(known.tokens.values().any(|state| *state == State::Either));
    }
    let daemon = Daemon::start(folder, "keyward.toml");
    known.check(&mut Connection::open(daemon.service()).unwrap());
    known.check(&mut Connection::open(daemon.service()).unwrap());
    is_whole(folder);
    known.check_audit(folder);
    let count = |state| known.tokens.values().filter(|is| **is == state).count();
    let edited = known.edits.values().filter(|edits| **edits != [0]).count();
    println!("{} valid, {} dead, {edited} edited, {killed_amid} in doubt", count(State::Good), count(State::Dead));
    assert!(count(State::Good) > 100 && count(State::Dead) > 100 && edited > 20 && killed_amid > 0);
}

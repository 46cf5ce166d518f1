//! Revocation while the server runs: no token is accepted after the response, and a started
//! revocation completes.

use super::super::server::Server;
use super::super::world::store::{Double, records};
use super::super::world::{self, KEY, NOW, secret, token};
use crate::support::{self, TestClock, dstok};
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenDigest;
use keyward_runtime::{Registry, RuntimeLimits, Verdict};
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Connection, Request};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn start() -> (Arc<Double>, Registry, Server) {
    let store = Arc::new(Double::with(&records(NOW)));
    let registry = world::registry_with(&store, Duration::from_secs(3_600));
    let server = Server::start(world::config(), registry.clone(), Some(NOW));
    (store, registry, server)
}

fn introspect(token: &str) -> Request {
    Request::form("/v1/introspect", format!("token={token}")).basic("app", &secret("app"))
}

fn revoke(token: &str) -> Request {
    Request::form("/v1/revoke", format!("token={token}")).basic("revoker", &secret("revoker"))
}

/// The token is rejected on this node at once, but without a confirmation; the store gets the
/// revocation as soon as it is available.
#[test]
fn an_unconfirmed_revocation_applies_until_it_is_confirmed() {
    let (store, _, server) = start();
    let is_active = |name: &str| server.ask(&introspect(&token(name))).json()["active"] == true;
    store.fail(true);
    for turn in ["first", "again"] {
        let answer = server.ask(&revoke(&token("good")));
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{turn}");
        assert!(!is_active("good") && is_active("ends") && store.revocations().is_empty(), "{turn}");
    }
    let bots = Request::json("/v1/revocations", &json!({"handler": "bots"})).basic("revoker", &secret("revoker"));
    assert_eq!(server.ask(&bots).status, 503);
    assert!(!is_active("bot"));
    store.fail(false);
    wait_for("both revocations to be stored", || store.revocations().len() == 2);
    let id = world::named("id good");
    let written = Revocation {
        handler: Some("signed".into()),
        token_id: Some(id),
        token_digest: Some(TokenDigest::of(&token("good"))),
        ..Revocation::default()
    };
    assert!(store.revocations().contains(&written), "{:?}", store.revocations());
    wait_for("the confirmation", || server.ask(&revoke(&token("good"))).status == 200);
    assert!(!is_active("good") && !is_active("bot") && is_active("ends"));
    assert_eq!(store.revocations().len(), 2, "once each");
}

/// Revocation is impossible, and the response is the same for every token, so that it does not
/// reveal which are valid.
#[test]
fn without_a_store_the_response_is_the_same_for_every_token() {
    let server = Server::start(world::config(), world::registry(), Some(NOW));
    let answers = ["good", "expired", "forged", "nobody", "partner", "down", "long"].map(|name| {
        let answer = server.ask(&revoke(&token(name)));
        (answer.status, answer.text().to_owned())
    });
    assert_eq!(answers[0].0, 404);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn future_tokens_cannot_be_revoked() {
    let (store, _, server) = start();
    for (ahead, status) in [(0, 200), (60, 200), (61, 400), (100_000, 400)] {
        for dry_run in [true, false] {
            let until = NOW.seconds + ahead;
            let body = json!({"handler": "partner", "issued_until": until, "dry_run": dry_run});
            let answer = server.ask(&Request::json("/v1/revocations", &body).basic("revoker", &secret("revoker")));
            assert_eq!(answer.status, status, "{ahead}: {answer:?}");
        }
    }
    assert_eq!(store.revocations().len(), 2);
}

/// A revocation outlasts a reload if both configurations share the revocation list.
#[test]
fn a_reload_keeps_revocations() {
    let (store, registry, server) = start();
    assert_eq!(server.ask(&revoke(&token("good"))).status, 200);
    server.replace(world::config(), registry);
    assert_eq!(server.ask(&introspect(&token("good"))).text(), r#"{"active":false}"#);
    // From the list alone, as after a restart.
    server.replace(world::config(), world::registry_with(&store, Duration::from_secs(3_600)));
    assert_eq!(server.ask(&introspect(&token("good"))).text(), r#"{"active":false}"#);
    assert_eq!(server.ask(&introspect(&token("ends"))).json()["active"], true);
}

/// Half of the threads use HTTP, the other half the registry, which the server's thread does not
/// block. A counter orders events: each request takes a number before it starts, each revocation
/// after its response.
#[test]
fn no_acceptance_starts_after_the_response() {
    let store = Arc::new(Double::with(&records(NOW)));
    let runtime = support::runtime(RuntimeLimits::default(), TestClock);
    let registry = world::registry_with_on(&runtime, &store, Duration::from_secs(3_600));
    let server = Server::start(world::config(), registry.clone(), Some(NOW));
    let of = |number: u32| dstok(&json!({"a": format!("user-{number}"), "t": NOW.seconds}), KEY);
    let tokens: Vec<String> = (0..100).map(of).collect();
    let revoked: Vec<AtomicU64> = tokens.iter().map(|_| AtomicU64::new(u64::MAX)).collect();
    let (counter, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let moment = || counter.fetch_add(1, Ordering::SeqCst);
    let mut statuses = BTreeSet::new();
    let (address, registry) = (server.address(), &registry);
    let ask_all = |accepted: &mut dyn FnMut(&str) -> bool, first: usize| {
        let mut seen = Vec::new();
        loop {
            // One more round starts after the last response.
            let last = over.load(Ordering::SeqCst);
            for place in (first..tokens.len()).chain(0..first) {
                let begun = moment();
                if accepted(&tokens[place]) {
                    seen.push((place, begun));
                }
            }
            if last {
                return seen;
            }
        }
    };
    let seen: Vec<(usize, u64)> = thread::scope(|scope| {
        let ask_all = &ask_all;
        let threads: Vec<_> = (0..10)
            .map(|thread| {
                scope.spawn(move || {
                    if thread % 2 == 0 {
                        let mut connection = Connection::open(address).unwrap();
                        let mut ask =
                            |token: &str| connection.ask(&introspect(token)).unwrap().text() != r#"{"active":false}"#;
                        ask_all(&mut ask, thread * 10)
                    } else {
                        TestClock.set(Some(NOW));
                        let mut ask = |token: &str| matches!(registry.verify_blocking(token), Ok(Verdict::Accepted(_)));
                        ask_all(&mut ask, thread * 10)
                    }
                })
            })
            .collect();
        let mut connection = server.connect();
        for (token, revoked) in tokens.iter().zip(&revoked) {
            let response = connection.ask(&revoke(token)).unwrap();
            statuses.insert((response.status, response.text().to_owned()));
            revoked.store(moment(), Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // Checked outside of the scope, whose threads only stop when told to.
    assert_eq!(statuses, BTreeSet::from([(200, String::new())]));
    let behind = seen.iter().filter(|(place, begun)| *begun > revoked[*place].load(Ordering::SeqCst));
    assert_eq!(behind.count(), 0);
    assert!(seen.len() >= 100, "only {} were accepted, which is inconclusive", seen.len());
}

/// A revocation completes even if its client does not wait for the response.
#[test]
fn a_started_revocation_completes_and_is_logged() {
    let (store, _, server) = start();
    for request in [
        revoke(&token("good")),
        Request::json("/v1/revocations", &json!({"handler": "bots"})).basic("revoker", &secret("revoker")),
    ] {
        let written = store.revocations().len();
        store.hold(true);
        let mut connection = server.connect();
        connection.send(request.to_bytes()).unwrap();
        wait_for("the store to be called", || store.held() == 1);
        drop(connection);
        // These responses prove that the server has noticed the closed connection.
        for _ in 0..2 {
            assert_eq!(server.ask(&Request::get("/v1/actor")).status, 200);
        }
        store.hold(false);
        let lines = || server.log().lines().filter(|line| line.contains("outcome=\"revoked\"")).count();
        wait_for("the line of the decision", || lines() == written + 1);
        assert_eq!(store.revocations().len(), written + 1);
    }
    for name in ["good", "bot"] {
        assert_eq!(server.ask(&introspect(&token(name))).text(), r#"{"active":false}"#, "{name}");
    }
}

#[test]
fn the_log_shows_revocations_but_no_token() {
    let (store, _, server) = start();
    let id = world::named("id good");
    let revocation = |body| Request::json("/v1/revocations", &body).basic("app", &secret("app"));
    let only_bots =
        |token: &str| Request::form("/v1/revoke", format!("token={token}")).basic("only-bots", &secret("only-bots"));
    for (request, wanted) in [
        (
            only_bots(&token("good")),
            vec!["revoke", "only-bots", "refused", "unauthorized-client", "signed", "root", &id],
        ),
        (revoke(&token("good")), vec!["revoke", "revoker", "revoked", "signed", "root", &id]),
        (revoke(&token("good")), vec!["revoke", "revoker", "rejected", "revoked", "signed"]),
        (revoke(&token("nobody")), vec!["revoke", "revoker", "not-mine"]),
        (revoke(&token("forged")), vec!["revoke", "revoker", "rejected", "bad-signature", "signed"]),
        (revoke(&token("partner")), vec!["revoke", "revoked", "partner", "hostile:alice", "records: 0"]),
        (revoke(&token("down")), vec!["revoke", "failed", "unavailable", "down"]),
        (
            revocation(json!({"handler": "partner", "issued_until": 7, "dry_run": true})),
            vec!["revocations", "app", "counted", "partner", "issued until 7; records: 0"],
        ),
        (
            revocation(json!({"handler": "partner", "actor": "hostile:alice"})),
            vec!["revocations", "app", "revoked", "partner", "hostile:alice", "records: 2"],
        ),
        (revocation(json!({"handler": "signed", "token_id": "x"})), vec!["revocations", "revoked", "signed", "x"]),
    ] {
        let before = server.log().len();
        let answer = server.ask(&request);
        let log = server.log().split_off(before);
        let [line] =
            log.lines().filter(|line| line.contains("keyward::decision")).collect::<Vec<_>>().try_into().unwrap();
        for wanted in wanted {
            assert!(line.contains(&format!("=\"{wanted}\"")), "no {wanted:?}: {answer:?}\n{line}");
        }
    }
    store.fail(true);
    let before = server.log().len();
    assert_eq!(server.ask(&revoke(&token("ends"))).status, 503);
    let log = server.log().split_off(before);
    for wanted in ["revoke", "failed", "store", "signed", "root", &world::named("id ends")] {
        assert!(log.contains(&format!("=\"{wanted}\"")), "no {wanted:?}: {log}");
    }
    // A token in place of its id, valid or not, is revoked as well, as soon as the store is
    // available.
    for name in ["ends", "narrow", "good", "expired", "future", "forged", "tampered"] {
        let answer = server.ask(&revocation(json!({"handler": "signed", "token_id": token(name)})));
        assert_eq!(answer.status, 503, "{name}");
    }
    let log = server.log();
    for name in ["good", "ends", "narrow", "expired", "future", "forged", "tampered", "partner", "nobody"] {
        let token = token(name);
        assert!(!log.contains(&token), "{name}");
        for part in token.trim_start_matches("dstok_").split('.').filter(|part| part.len() > 8) {
            assert!(!log.contains(part), "{name}: {part}");
        }
    }
    let metrics = Request::get("/metrics").send(server.admin());
    for line in [
        "keyward_http_requests_total{endpoint=\"revoke\",status=\"200\"} ",
        "keyward_http_requests_total{endpoint=\"revocations\",status=\"200\"} 3\n",
        "keyward_calls_total{handler=\"signed\",operation=\"revoke\",outcome=\"revoked\"} 2\n",
        "keyward_calls_total{handler=\"signed\",operation=\"revoke\",outcome=\"failed\"} ",
    ] {
        assert!(metrics.text().contains(line), "{line}: {}", metrics.text());
    }
}

/// A signed token created in the same second may be identical to a revoked one: it is not issued.
#[test]
fn a_token_is_not_issued_in_the_second_of_its_revocation() {
    let (_, _, server) = start();
    let make = |actor: &str| {
        let request = Request::json("/v1/tokens", &json!({"actor": actor})).basic("maker", &secret("maker"));
        server.ask(&request)
    };
    let first = make("alice");
    assert_eq!(first.status, 201);
    assert_eq!(server.ask(&revoke(first.json()["token"].as_str().unwrap())).status, 200);
    let answer = make("alice");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(make("bob").status, 201);
}

/// With a stale revocation list there is no verdict on acceptable tokens, and the daemon is not
/// ready.
#[test]
fn without_updates_from_the_store_there_is_no_verdict() {
    let store = Arc::new(Double::with(&records(NOW)));
    let registry = world::registry_with(&store, Duration::from_millis(300));
    let server = Server::start(world::config(), registry, Some(NOW));
    let ask = || server.ask(&Request::get("/v1/actor").bearer(token("good"))).status;
    let ready = || Request::get("/readyz").send(server.admin()).status;
    wait_for("the server to be ready", || ready() == 200 && ask() == 200);
    store.silence(true);
    wait_for("the revocation list to become stale", || ready() == 503);
    assert_eq!(ask(), 503);
    let answer = server.ask(&introspect(&token("good")));
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(server.ask(&introspect("dstok_bad")).text(), r#"{"active":false}"#, "the token is invalid anyway");
    store.silence(false);
    wait_for("the revocation list to be fresh again", || ready() == 200 && ask() == 200);
}

/// The pending revocations have one limit. Beyond it nothing is remembered, and the response says
/// so; the client may retry once they are written.
#[test]
fn pending_revocations_are_bounded_and_drain() {
    let (store, registry, server) = start();
    let is_active = |name: &str| server.ask(&introspect(&token(name))).json()["active"] == true;
    // With a time, so that each repetition is the same revocation.
    let revoke_actor = |client: &str, actor: &str| {
        let body = json!({"actor": actor, "issued_until": NOW.seconds});
        server.ask(&Request::json("/v1/revocations", &body).basic(client, &secret(client)))
    };
    let held = || registry.revocations().unwrap().list().pending().count;
    store.fail(true);
    assert_eq!(server.ask(&revoke(&token("good"))).status, 503);
    let is_full = |client: &str, actor: &str| {
        let answer = revoke_actor(client, actor);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        answer.text().contains("will not be retried")
    };
    let name = |number: usize| format!("{number:01000}");
    let clients = ["revoker", "app"];
    let count = (0..3_000).find(|number| is_full(clients[number % 2], &name(*number))).expect("a limit");
    assert!(count > 500 && held() == count + 1, "{count}, {}", held());
    // Two clients together cannot displace what is held, nor add to it; repetitions take no room.
    for number in 0..20 {
        assert!(is_full(clients[number % 2], &name(count + 1 + number)));
        assert!(!is_full(clients[number % 2], &name(number)));
    }
    assert_eq!((held(), is_active("good"), is_active("ends")), (count + 1, false, true));
    let metrics = Request::get("/metrics").send(server.admin());
    assert!(metrics.text().contains(&format!("keyward_revocations_pending {}\n", count + 1)), "{}", metrics.text());
    assert!(metrics.text().contains("keyward_revocations_may_be_lost 1\n"), "nothing keeps them here");
    let ready = Request::get("/readyz").send(server.admin());
    assert!(ready.status == 200 && ready.text().contains("a restart would lose them"), "{ready:?}");
    store.fail(false);
    wait_for("the revocations to be written", || held() == 0);
    let written: BTreeSet<_> = store.revocations().into_iter().filter_map(|written| written.actor_id).collect();
    assert_eq!(written, (0..count).map(name).collect(), "those that were held, and no refused one");
    assert_eq!(revoke_actor("app", &name(count)).status, 200);
    assert_eq!(Request::get("/readyz").send(server.admin()).text(), "ok\n");
}

//! Rates: requests beyond them get 429, and are repeated successfully after the time in
//! `Retry-After`. The numbers themselves are tested with an injected clock, in the server's
//! `rate_limits`.

use super::server::Server;
use super::world::store::{Double, records};
use super::world::{self, NOW, secret, token};
use keyward_server::Config;
use keyward_tests::daemon::wait_for;
use keyward_tests::http::{Request, Response};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::Arc;

/// Starts a server without trusted proxies, so that the failures of this process count.
fn start(change: impl FnOnce(&mut Config)) -> Server {
    Server::start(config(change), world::registry(), Some(NOW))
}

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = world::config();
    config.forward_auth.trusted_proxies.clear();
    change(&mut config);
    config
}

/// Repeats a request until it gets 429, and returns the number of other responses, which have the
/// status `usual`. Requests arrive faster than one in a second, so this happens soon.
fn until_refused(server: &Server, request: &Request, usual: u16) -> usize {
    for count in 0..1_000 {
        let answer = server.ask(request);
        if answer.status == 429 {
            is_complete(&answer);
            return count;
        }
        assert_eq!(answer.status, usual, "{answer:?}");
    }
    panic!("1,000 requests were answered");
}

/// Asserts that a 429 has the usual error format.
fn is_complete(answer: &Response) {
    assert_eq!(answer.json()["error"], "too_many_requests", "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-request-id").is_some() && answer.header("www-authenticate").is_none(), "{answer:?}");
}

fn is_counted(server: &Server, limit: &str) {
    let metrics = Request::get("/metrics").send(server.admin());
    let name = format!("keyward_rate_limited_total{{limit=\"{limit}\"}} ");
    assert!(metrics.text().contains(&name), "{}", metrics.text());
}

fn verify() -> Request {
    Request::json("/v1/verify", &json!({"token": token("good")}))
}

fn rate(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap()
}

#[test]
fn failed_authentications_are_limited_and_lock_nobody_out() {
    let server = start(|config| {
        config.limits.failed_authentications = rate(1);
        config.limits.failed_authentications_burst = rate(5);
    });
    let wrong = verify().basic("app", &"x".repeat(40));
    let refused = until_refused(&server, &wrong, 401);
    assert!(refused >= 5, "the burst: {refused}");
    let unknown = verify().basic("nobody", &"x".repeat(40));
    let posted = Request::form("/v1/introspect", format!("client_id=app&client_secret=wrong&token={}", token("good")));
    let missing = verify();
    for request in [wrong.clone(), unknown, posted, missing] {
        until_refused(&server, &request, 401);
    }
    assert_eq!(server.ask(&verify().basic("app", &secret("app"))).status, 200, "a valid secret is accepted");
    is_counted(&server, "failed-authentications");
    wait_for("another failure to be answered", || server.ask(&wrong).status == 401);
    let failed = server.log().matches("unknown-client").count();
    assert!(failed < 100, "refused requests are not logged: {failed}");
}

#[test]
fn failed_authentications_of_trusted_proxies_are_not_limited() {
    let mut config = world::config();
    config.limits.failed_authentications = rate(1);
    config.limits.failed_authentications_burst = rate(1);
    let server = Server::start(config, world::registry(), Some(NOW));
    let wrong = verify().basic("app", &"x".repeat(40));
    assert!((0..20).all(|_| server.ask(&wrong).status == 401));
}

#[test]
fn a_client_has_its_own_rate() {
    let server = start(|config| config.clients.get_mut("asker").unwrap().rate = Some(rate(2)));
    let asker = verify().basic("asker", &secret("asker"));
    let answered = until_refused(&server, &asker, 200);
    assert!(answered >= 2, "{answered}");
    until_refused(&server, &Request::get("/v1/tokens").basic("asker", &secret("asker")), 403);
    assert_eq!(server.ask(&verify().basic("app", &secret("app"))).status, 200, "another client");
    is_counted(&server, "client");
    wait_for("another request to be answered", || server.ask(&asker).status == 200);
    // A reload replaces the rates.
    until_refused(&server, &asker, 200);
    server.replace(config(|_| {}), world::registry());
    assert!((0..100).all(|_| server.ask(&asker).status == 200));
}

#[test]
fn a_policy_has_its_own_rate_of_token_checks() {
    let server = start(|config| config.policies.get_mut("members").unwrap().rate = Some(rate(2)));
    for protocol in ["nginx", "forward", "envoy"] {
        let members = Request::get(&format!("/v1/auth/{protocol}/members"));
        let answered = until_refused(&server, &members.clone().bearer(token("good")), 200);
        assert!(protocol != "nginx" || answered >= 2, "{answered}");
        until_refused(&server, &members.clone().bearer(token("forged")), 401);
        assert_eq!(server.ask(&members).status, 401, "without a token nothing is checked");
    }
    let other = Request::get("/v1/auth/nginx/readers").bearer(token("good"));
    assert_eq!(server.ask(&other).status, 200, "another policy");
    is_counted(&server, "policy");
    let members = Request::get("/v1/auth/nginx/members").bearer(token("good"));
    wait_for("another check", || server.ask(&members).status == 200);
}

/// The maximum number of lists of one client in progress.
const LISTS: usize = 8;

#[test]
fn a_client_has_a_share_of_the_lists() {
    let store = Arc::new(Double::with(&records(NOW)));
    let server = Server::start(world::config(), world::registry_of_records(&store), Some(NOW));
    let list = |client: &str| Request::get("/v1/tokens?status=replaced").basic(client, &secret(client));
    let count = Request::json("/v1/revocations", &json!({"actor": "alice", "dry_run": true}));
    let count = |client: &str| count.clone().basic(client, &secret(client));
    let begin = |request: Request, all: usize| {
        let mut connection = server.connect();
        connection.send(request.to_bytes()).unwrap();
        wait_for("the store to be read", || store.held() == all);
        connection
    };
    store.hold(true);
    let mut open: Vec<_> = (0..LISTS).map(|number| begin(list("lister"), number + 1)).collect();
    is_complete(&server.ask(&list("lister")));
    is_counted(&server, "lists");
    // Other clients have their own shares, and tokens are verified.
    open.extend((0..LISTS).map(|number| begin(count("revoker"), LISTS + number + 1)));
    is_complete(&server.ask(&count("revoker")));
    assert_eq!(server.ask(&verify().basic("app", &secret("app"))).status, 200);
    // The share of a client that went away is free again once the store has answered.
    drop(open.drain(..LISTS));
    is_complete(&server.ask(&list("lister")));
    store.hold(false);
    for mut connection in open {
        assert_eq!(connection.answer(false).unwrap().status, 200);
    }
    wait_for("the abandoned lists to end", || server.ask(&list("lister")).status == 200);
}

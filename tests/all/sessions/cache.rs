//! Cached verdicts of a session handler: their lifetimes, and the revocations that end them.

use crate::support::{self, RUNTIME, TestClock, time};
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpError, HttpFuture, HttpResponse};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::session::{SessionGrant, SessionRequest};
use keyward_runtime::store::Revocation;
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Runtime, Verdict};
use pollster::block_on;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const START: u64 = 2_000_000_000;

/// A site whose users have their names as cookies. Each response has the number of its request.
struct Site {
    requests: AtomicUsize,
    state: Mutex<State>,
    /// Lets the first response to `slow` pass.
    slow: Notify,
}

#[derive(Clone, Copy)]
enum State {
    SignedIn,
    SignedOut,
    Down,
    /// Responds with an actor that violates the contract.
    Wrong,
}

impl Site {
    fn is(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl HttpEndpoint for Site {
    fn timeout(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn parameters(&self) -> &[String] {
        &[]
    }

    fn forwards(&self) -> &Forwards {
        static SID: LazyLock<Forwards> =
            LazyLock::new(|| Forwards { cookies: vec!["sid".to_owned()], ..Forwards::default() });
        &SID
    }

    fn send(&self, HttpAdditions { cookies, .. }: HttpAdditions) -> HttpFuture<'_> {
        Box::pin(async move {
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            let id = cookies[0].1.as_str();
            let (status, body) = match *self.state.lock().unwrap() {
                State::SignedIn if id.starts_with("invented") => (401, Value::Null),
                State::SignedIn => (200, json!({ "id": id, "request": number })),
                State::SignedOut => (401, Value::Null),
                State::Wrong => (200, json!({ "id": id, "_r": {} })),
                State::Down => return Err(HttpError::Unavailable),
            };
            if id == "slow" && number == 0 {
                self.slow.notified().await;
            }
            Ok(HttpResponse { status, content_type: None, body: body.to_string().into_bytes() })
        })
    }
}

/// A node: a registry with a session handler and a handler of tokens.
struct Node {
    site: Arc<Site>,
    registry: Registry,
}

fn lifetimes(ttl: u64, stale: u64) -> SessionGrant {
    let (ttl, stale) = (Duration::from_secs(ttl), Duration::from_secs(stale));
    SessionGrant { cookies: ["sid".to_owned()].into(), ttl, stale, ..SessionGrant::default() }
}

impl Node {
    fn new(grant: SessionGrant) -> Self {
        TestClock.set(Some(time(START)));
        Self::on(&RUNTIME, &Site::new(), &Arc::new(MemoryStore::default()), grant)
    }

    fn on(runtime: &Runtime, site: &Arc<Site>, store: &Arc<MemoryStore>, grant: SessionGrant) -> Self {
        let mut config = HandlerConfig::new("site", keyward_handlers::SESSION, Actors::Any)
            .http("site", site.clone())
            .session(grant);
        support::unhurried(&mut config.limits);
        config.limits.verdict_cache_bytes = 64 << 10;
        let secret = Secret::new("a secret of at least thirty-two bytes");
        let ring = KeyRing::new("main", secret, Vec::new()).unwrap();
        let mut tokens = HandlerConfig::new("tokens", support::SIGNED, Actors::Any)
            .prefix("dstok_")
            .key("token", KeyGrant::new(ring.into()));
        support::unhurried(&mut tokens.limits);
        let revocations = Revocations::open(store.clone(), Duration::from_secs(600)).unwrap();
        let registry = Registry::builder(runtime).records(store.clone(), revocations).handler(config).handler(tokens);
        Self { site: site.clone(), registry: registry.build().unwrap() }
    }

    fn verdict(&self, request: &SessionRequest) -> Result<Verdict, String> {
        self.registry.identify_blocking("site", request).map_err(|error| error.code().to_owned())
    }

    /// Returns the number of the request to the site that the verdict is from. The error is the
    /// outcome.
    fn asked(&self, request: &SessionRequest) -> Result<u64, String> {
        match self.verdict(request)? {
            Verdict::Accepted(session) => {
                let actor: Value = serde_json::from_str(session.actor_ignoring_restrictions().json()).unwrap();
                Ok(actor["request"].as_u64().unwrap())
            }
            Verdict::NotMine => Err("not-mine".to_owned()),
            Verdict::Rejected(rejection) => Err(rejection.reason.to_string()),
        }
    }

    fn revoke(&self, revocation: Revocation) {
        block_on(self.registry.revocations().unwrap().revoke(revocation)).unwrap();
    }
}

impl Site {
    fn new() -> Arc<Self> {
        Arc::new(Self { requests: AtomicUsize::new(0), state: Mutex::new(State::SignedIn), slow: Notify::new() })
    }
}

fn of(sid: &str) -> SessionRequest {
    SessionRequest::new("GET", "/").cookie("sid", sid)
}

fn at(seconds: u64) {
    TestClock.set(Some(time(START + seconds)));
}

#[test]
fn a_verdict_is_used_for_its_lifetime() {
    let node = Node::new(lifetimes(10, 0));
    for (seconds, request) in [(0, 0), (0, 0), (5, 0), (9, 0), (10, 1), (19, 1), (21, 2), (20, 3), (29, 3)] {
        at(seconds);
        assert_eq!(node.asked(&of("ann")), Ok(request), "at {seconds} s");
    }
    let Ok(Verdict::Accepted(session)) = node.verdict(&of("ann")) else { panic!("not accepted") };
    assert_eq!(session.issued_at, Some(time(START + 20)), "the time at which the site was asked");
    assert_eq!(node.asked(&of("bob")), Ok(4));
    // Parts that the handler does not see do not matter, nor does the order of the others.
    let other = SessionRequest::new("POST", "/x").header("x-a", "1").cookie("other", "1").cookie("sid", "ann");
    assert_eq!(node.asked(&other), Ok(3));

    let grant = SessionGrant { path: true, method: true, ..lifetimes(10, 0) };
    let node = Node::new(grant);
    for (method, path, request) in [("GET", "/", 0), ("POST", "/", 1), ("GET", "/x", 2), ("GET", "/", 0)] {
        let asked = SessionRequest::new(method, path).cookie("sid", "ann");
        assert_eq!(node.asked(&asked), Ok(request), "{method} {path}");
    }
}

#[test]
fn nothing_is_cached_without_a_lifetime() {
    let node = Node::new(lifetimes(0, 0));
    assert_eq!([node.asked(&of("ann")), node.asked(&of("ann"))], [Ok(0), Ok(1)]);
    node.site.is(State::Down);
    assert_eq!(node.asked(&of("ann")), Err("unavailable".to_owned()));
}

#[test]
fn a_verdict_without_a_user_is_cached_for_a_few_seconds() {
    for (ttl, at_most) in [(3, 3), (3_600, 5)] {
        let node = Node::new(lifetimes(ttl, 0));
        node.site.is(State::SignedOut);
        assert_eq!(node.asked(&of("ann")), Err("not-mine".to_owned()));
        node.site.is(State::SignedIn);
        at(at_most - 1);
        assert_eq!(node.asked(&of("ann")), Err("not-mine".to_owned()));
        assert_eq!(node.site.requests(), 1);
        at(at_most);
        assert_eq!(node.asked(&of("ann")), Ok(1), "signed in with the same cookie");
    }
}

#[test]
fn failures_are_not_cached() {
    let node = Node::new(lifetimes(10, 0));
    node.site.is(State::Down);
    for _ in 0..2 {
        assert_eq!(node.asked(&of("ann")), Err("unavailable".to_owned()));
    }
    node.site.is(State::SignedIn);
    assert_eq!(node.asked(&of("ann")), Ok(2));
}

/// The site is away for an hour.
#[test]
fn a_site_that_is_away_is_replaced_by_its_last_verdict() {
    let node = Node::new(lifetimes(10, 60));
    assert_eq!(node.asked(&of("ann")), Ok(0));
    node.site.is(State::Down);
    for second in 0..3_600 {
        at(second);
        let wanted = if second < 70 { Ok(0) } else { Err("unavailable".to_owned()) };
        assert_eq!([node.asked(&of("ann")), node.asked(&of("ann"))], [wanted.clone(), wanted], "at {second} s");
        if second < 70 {
            // Within its lifetime nothing is sent, and then one request a second.
            assert_eq!(node.site.requests(), usize::try_from(second.saturating_sub(8).max(1)).unwrap());
        }
        assert_eq!(node.asked(&of("bob")), Err("unavailable".to_owned()), "who was not known before");
        node.site.requests.fetch_sub(1, Ordering::SeqCst);
    }
    node.site.is(State::SignedIn);
    assert!(node.asked(&of("ann")).is_ok_and(|request| request > 0));
}

#[test]
fn a_user_who_has_signed_out_does_not_come_back_in_an_outage() {
    let node = Node::new(lifetimes(10, 3_600));
    assert_eq!(node.asked(&of("ann")), Ok(0));
    at(10);
    node.site.is(State::SignedOut);
    assert_eq!(node.asked(&of("ann")), Err("not-mine".to_owned()));
    node.site.is(State::Down);
    at(20);
    assert_eq!(node.asked(&of("ann")), Err("unavailable".to_owned()));
}

/// A call that began before another one, and ends after it, because a revocation of another user
/// separated them.
#[test]
fn an_earlier_answer_does_not_replace_a_later_one() {
    let node = Node::new(lifetimes(10, 3_600));
    thread::scope(|scope| {
        let earlier = scope.spawn(|| {
            at(0);
            node.asked(&of("slow"))
        });
        let since = Instant::now();
        while node.site.requests() == 0 {
            assert!(since.elapsed() < Duration::from_secs(30), "the site was not asked");
            thread::sleep(Duration::from_millis(1));
        }
        node.revoke(Revocation { actor_id: Some("bob".to_owned()), ..Revocation::default() });
        node.site.is(State::SignedOut);
        assert_eq!(node.asked(&of("slow")), Err("not-mine".to_owned()));
        node.site.slow.notify_one();
        assert_eq!(earlier.join().unwrap(), Ok(0));
        assert_eq!(node.asked(&of("slow")), Err("not-mine".to_owned()));
    });
}

#[test]
fn a_wrong_answer_is_not_replaced() {
    let node = Node::new(lifetimes(10, 3_600));
    assert_eq!(node.asked(&of("ann")), Ok(0));
    node.site.is(State::Wrong);
    at(10);
    assert_eq!(node.asked(&of("ann")), Err("bad-result".to_owned()));
}

#[test]
fn a_revocation_ends_what_was_cached_before_it() {
    let some = |text: &str| Some(text.to_owned());
    for revocation in [
        Revocation { actor_id: some("ann"), ..Revocation::default() },
        Revocation { actor_id: some("ann"), handler: some("site"), ..Revocation::default() },
        Revocation { handler: some("site"), ..Revocation::default() },
        Revocation::of_sessions("site"),
        Revocation { issued_until: Some(time(START)), ..Revocation::default() },
    ] {
        let node = Node::new(lifetimes(10, 3_600));
        assert_eq!([node.asked(&of("ann")), node.asked(&of("ann"))], [Ok(0), Ok(0)]);
        node.revoke(revocation.clone());
        // The user is still signed in at the site: a new answer postdates the revocation, in the
        // same second.
        assert_eq!([node.asked(&of("ann")), node.asked(&of("ann"))], [Ok(1), Ok(1)], "{revocation:?}");
        node.revoke(Revocation { actor_id: some("ann"), ..Revocation::default() });
        node.site.is(State::Down);
        assert_eq!(node.asked(&of("ann")), Err("unavailable".to_owned()), "{revocation:?}");
    }
    for revocation in [
        Revocation { actor_id: some("bob"), ..Revocation::default() },
        Revocation { handler: some("tokens"), ..Revocation::default() },
        Revocation::of_sessions("tokens"),
        Revocation { actor_id: some("ann"), issued_until: Some(time(START - 100)), ..Revocation::default() },
    ] {
        let node = Node::new(lifetimes(10, 0));
        assert_eq!(node.asked(&of("ann")), Ok(0));
        node.revoke(revocation.clone());
        assert_eq!(node.asked(&of("ann")), Ok(0), "{revocation:?}");
    }
}

#[test]
fn purging_sessions_revokes_no_token() {
    let node = Node::new(lifetimes(10, 0));
    let Ok(Creation::Created(created)) = node.registry.create_blocking(CreateRequest::new("ann").handler("tokens"))
    else {
        panic!("not created")
    };
    for handler in ["tokens", "site"] {
        node.revoke(Revocation::of_sessions(handler));
    }
    assert!(matches!(node.registry.verify_blocking(&created.token), Ok(Verdict::Accepted(_))));
}

/// Another node's clock is ahead: its verdict from before a revocation seems to be later.
#[test]
fn a_clock_that_is_ahead_saves_no_session() {
    let node = Node::new(lifetimes(100, 0));
    at(30);
    assert_eq!(node.asked(&of("ann")), Ok(0));
    at(0);
    node.revoke(Revocation { actor_id: Some("ann".to_owned()), ..Revocation::default() });
    at(31);
    assert_eq!(node.asked(&of("ann")), Ok(1));
}

#[test]
fn invented_cookies_displace_no_user() {
    let node = Node::new(lifetimes(3_600, 0));
    assert_eq!(node.asked(&of("ann")), Ok(0));
    for number in 0..1_000 {
        assert_eq!(node.asked(&of(&format!("invented-{number}"))), Err("not-mine".to_owned()));
    }
    assert_eq!(node.asked(&of("ann")), Ok(0));
    // Nor do users without number: the cache is bounded.
    for number in 0..1_000 {
        assert!(node.asked(&of(&format!("user-{number}"))).is_ok());
    }
    let before = node.site.requests();
    for number in 0..1_000 {
        assert!(node.asked(&of(&format!("user-{number}"))).is_ok());
    }
    let asked = node.site.requests() - before;
    assert!((850..1_000).contains(&asked), "64 KiB hold about a hundred users; asked about {asked} again");
}

/// Revocations race with requests whose verdicts are cached, on nodes with one store.
fn race(nodes: usize) {
    const USERS: usize = 20;
    const REQUESTS: usize = 10_000;
    const THREADS: usize = 4;
    let (site, store) = (Site::new(), Arc::new(MemoryStore::default()));
    let runtime = support::runtime_now();
    let nodes: Vec<_> = (0..nodes).map(|_| Node::on(&runtime, &site, &store, lifetimes(3_600, 3_600))).collect();
    // Answers to earlier requests do not count, by user.
    let fences: Vec<_> = (0..USERS).map(|_| AtomicUsize::new(0)).collect();
    thread::scope(|scope| {
        let ask = |thread: usize| {
            for turn in (thread..).take(REQUESTS / THREADS) {
                let user = turn % USERS;
                let fence = fences[user].load(Ordering::SeqCst);
                match nodes[turn / USERS % nodes.len()].asked(&of(&format!("user-{user}"))) {
                    Ok(request) => {
                        assert!(request >= u64::try_from(fence).unwrap(), "accepted by an answer from before");
                    }
                    // Revoked while the site was asked.
                    Err(outcome) => assert_eq!(outcome, "revoked"),
                }
            }
        };
        let asking: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || ask(thread))).collect();
        let mut revoked = 0;
        while !asking.iter().all(|thread| thread.is_finished()) {
            revoked += 1;
            let user = revoked % USERS;
            let before = site.requests();
            let actor_id = Some(format!("user-{user}"));
            nodes[revoked % nodes.len()].revoke(Revocation { actor_id, ..Revocation::default() });
            // The other nodes read the list within a second.
            for node in &nodes {
                block_on(node.registry.revocations().unwrap().list().catch_up()).unwrap();
            }
            fences[user].store(before, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
        assert!(revoked > 20, "{revoked} revocations");
    });
    let hits: u64 =
        nodes.iter().flat_map(|node| node.registry.handlers()).map(|handler| handler.counts.cache_hits).sum();
    assert!(hits > 1_000, "{hits} verdicts came from the cache");
}

#[test]
fn no_cached_session_outlives_its_revocation() {
    race(1);
}

#[test]
fn no_cached_session_outlives_its_revocation_on_another_node() {
    race(3);
}

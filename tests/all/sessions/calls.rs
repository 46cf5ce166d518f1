//! Calls of a session handler that are shared by equal requests.

use crate::support;
use keyward_runtime::http::{Forwards, HttpAdditions, HttpEndpoint, HttpError, HttpFuture, HttpResponse};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::session::{SessionGrant, SessionRequest};
use keyward_runtime::store::Revocation;
use keyward_runtime::store::testing::MemoryStore;
use keyward_runtime::{Actors, HandlerConfig, Reason, Registry, Verdict};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A site whose responses wait until they are released, and which counts the requests.
struct Gate {
    requests: AtomicUsize,
    open: tokio::sync::Semaphore,
}

impl HttpEndpoint for Gate {
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
            self.requests.fetch_add(1, Ordering::SeqCst);
            self.open.acquire().await.map_err(|_| HttpError::Unavailable)?.forget();
            let body = json!({ "id": cookies[0].1 }).to_string().into_bytes();
            Ok(HttpResponse { status: 200, content_type: None, body })
        })
    }
}

/// Returns a registry with a session handler that asks the gate, and its revocations.
fn gated() -> (Arc<Gate>, Registry) {
    let gate = Arc::new(Gate { requests: AtomicUsize::new(0), open: tokio::sync::Semaphore::new(0) });
    let sees = SessionGrant { cookies: ["sid".to_owned()].into(), ..SessionGrant::default() };
    let mut config =
        HandlerConfig::new("site", keyward_handlers::SESSION, Actors::Any).http("site", gate.clone()).session(sees);
    support::unhurried(&mut config.limits);
    let store = Arc::new(MemoryStore::default());
    let revocations = Revocations::open(store.clone(), Duration::from_secs(600)).unwrap();
    let registry = Registry::builder(&support::runtime_now()).records(store, revocations).handler(config);
    (gate, registry.build().unwrap())
}

fn of(sid: &str, other: &str) -> SessionRequest {
    // Parts that neither the handler nor its endpoint sees do not tell requests apart.
    SessionRequest::new("GET", format!("/{other}")).cookie("sid", sid).cookie("other", other)
}

/// Waits, without blocking the other tasks, until the site has got this number of requests.
async fn requests(gate: &Gate, number: usize) {
    let sent = async {
        while gate.requests.load(Ordering::SeqCst) < number {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.unwrap_or_else(|_| panic!("no request {number}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_share_one_call() {
    let (gate, registry) = gated();
    let ask = |sid: &'static str, other: usize| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.identify("site", &of(sid, &other.to_string())).await })
    };
    let all: Vec<_> = (0..1_000).map(|number| ask("ann", number)).collect();
    requests(&gate, 1).await;
    let other = ask("bob", 0);
    requests(&gate, 2).await;
    // Every caller has joined by now, or does so while the call is in progress.
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.open.add_permits(2);
    for asked in all {
        let Ok(Verdict::Accepted(session)) = asked.await.unwrap() else { panic!("not accepted") };
        assert_eq!(session.actor_ignoring_restrictions().id().unwrap().as_str(), "ann");
    }
    assert!(matches!(other.await.unwrap(), Ok(Verdict::Accepted(_))));
    assert_eq!(gate.requests.load(Ordering::SeqCst), 2);
    // A later request is a new call.
    gate.open.add_permits(1);
    assert!(matches!(ask("ann", 0).await.unwrap(), Ok(Verdict::Accepted(_))));
    assert_eq!(gate.requests.load(Ordering::SeqCst), 3);
}

/// The caller that makes the call goes away: another one makes it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_leaves_takes_no_verdict_away() {
    let (gate, registry) = gated();
    let ask = || {
        let registry = registry.clone();
        tokio::spawn(async move { registry.identify("site", &of("ann", "")).await })
    };
    let first = ask();
    requests(&gate, 1).await;
    let second = ask();
    tokio::time::sleep(Duration::from_millis(20)).await;
    first.abort();
    requests(&gate, 2).await;
    gate.open.add_permits(2);
    assert!(matches!(second.await.unwrap(), Ok(Verdict::Accepted(_))));
}

/// A call from before a revocation ends with it, and is not joined after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_from_before_a_revocation_is_not_joined() {
    let (gate, registry) = gated();
    let ask = || {
        let registry = registry.clone();
        tokio::spawn(async move { registry.identify("site", &of("ann", "")).await })
    };
    let before = [ask(), ask()];
    requests(&gate, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let revocation = Revocation { actor_id: Some("ann".to_owned()), ..Revocation::default() };
    registry.revocations().unwrap().revoke(revocation).await.unwrap();
    let after = [ask(), ask()];
    requests(&gate, 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.open.add_permits(2);
    for asked in before {
        let verdict = asked.await.unwrap();
        assert!(
            matches!(&verdict, Ok(Verdict::Rejected(rejection)) if rejection.reason == Reason::Revoked),
            "{verdict:?}"
        );
    }
    for asked in after {
        assert!(matches!(asked.await.unwrap(), Ok(Verdict::Accepted(_))));
    }
    assert_eq!(gate.requests.load(Ordering::SeqCst), 2);
}

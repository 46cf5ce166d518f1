//! Guarantees to programs that embed the runtime.

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::Blame;
use keyward_runtime::hook::{HookDecision, HookFuture, VerifyHook};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{
    Acceptance, ActorId, Actors, CreateRequest, Creation, Error, HandlerConfig, Permission, Reason, Registry,
    Rejection, Restrictions, RuntimeLimits, Verdict,
};
use keyward_tests::hostile;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Builder;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Builds a registry of a looping handler and a benign one.
fn registry() -> Registry {
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    let handler = |name: &str, prefix: &str, case: &str| {
        let mut config = HandlerConfig::new(name, hostile::case(case).bytes, Actors::Any);
        config.prefixes = vec![prefix.into()];
        config
    };
    let builder = Registry::builder(&runtime).handler(handler("looping", "lo_", "loop-verify"));
    builder.handler(handler("good", "go_", "benign")).build().unwrap()
}

fn is_good(verdict: Result<Verdict, Error>) -> bool {
    matches!(verdict, Ok(Verdict::Accepted(_)))
}

#[test]
fn everything_crosses_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    fn sent<T: Send>(_: &T) {}
    let registry = registry();
    shared(&registry);
    shared(&support::runtime_now());
    sent(&registry.verify("x"));
    sent(&registry.create(CreateRequest::new("x")));
    sent(&registry.verify_blocking("go_x").unwrap());
}

/// Any executor works, or none, with or without a timer: both quick and slow calls complete.
#[test]
fn any_executor_works() {
    let registry = registry();
    let ends = |good: Result<Verdict, Error>, looping: Result<Verdict, Error>| {
        assert!(is_good(good));
        let code = looping.unwrap_err().code();
        assert!(["limit-cpu", "limit-wall"].contains(&code), "{code}");
    };
    let both = async || (registry.verify("go_x").await, registry.verify("lo_x").await);
    for executor in [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).build().unwrap(),
    ] {
        let (good, looping) = executor.block_on(both());
        ends(good, looping);
    }
    let (good, looping) = pollster::block_on(both());
    ends(good, looping);
    // Blocking inside an async program neither fails nor panics.
    let executor = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let blocking = registry.clone();
    let good =
        executor.block_on(async { tokio::spawn(async move { blocking.verify_blocking("go_x") }).await.unwrap() });
    ends(good, registry.verify_blocking("lo_x"));
}

/// A hundred simultaneous calls that never return are each stopped or find no slot, and none is
/// accepted, while valid calls succeed during and after them.
#[test]
fn a_hundred_simultaneous_loops_do_not_block_others() {
    let registry = registry();
    let executor = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let loops: Vec<_> = (0..100)
        .map(|_| {
            let registry = registry.clone();
            executor.spawn(async move { registry.verify("lo_x").await })
        })
        .collect();
    for _ in 0..100 {
        assert!(is_good(registry.verify_blocking("go_x")), "a valid call at the same time");
    }
    let codes: Vec<_> = loops.into_iter().map(|call| executor.block_on(call).unwrap().unwrap_err().code()).collect();
    assert!(codes.iter().all(|code| ["limit-cpu", "limit-wall", "busy"].contains(code)), "{codes:?}");
    assert!(codes.contains(&"busy"), "a handler has half of the slots, not all: {codes:?}");
    assert!(is_good(registry.verify_blocking("go_x")));
}

/// Dropping a call cancels it at any stage.
#[test]
fn a_dropped_call_leaves_nothing_behind() {
    let registry = registry();
    for _ in 0..100 {
        let mut call = pin!(registry.verify("lo_x"));
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            // Previous calls may not have been cleaned up yet.
            Poll::Ready(end) => assert_eq!(end.unwrap_err().code(), "busy"),
        }
    }
    assert!(is_good(registry.verify_blocking("go_x")));
}

/// A hook that decides by the actor's id, and records which tokens it was called for.
#[derive(Default)]
struct Accounts(Mutex<Vec<String>>);

impl VerifyHook for Accounts {
    fn check<'a>(&'a self, acceptance: &'a Acceptance) -> HookFuture<'a, HookDecision> {
        let id = acceptance.actor_ignoring_restrictions().id().map_or("", ActorId::as_str).to_owned();
        self.0.lock().unwrap().push(id.clone());
        Box::pin(async move {
            match id.as_str() {
                "suspended" => Ok(HookDecision::Reject("the account is\nsuspended".to_owned())),
                "unknown" => Err("the directory\ndoes not respond".to_owned()),
                _ => Ok(HookDecision::Accept),
            }
        })
    }
}

/// The hook is called for each valid token, also for one whose verdict is cached, and for no other.
#[test]
fn a_hook_can_reject_a_valid_token() {
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    let ring = KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap();
    let mut signed = HandlerConfig::new("signed", support::SIGNED, Actors::Any)
        .trust_as_first_party()
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));
    support::unhurried(&mut signed.limits);
    let accounts = Arc::new(Accounts::default());
    let builder = Registry::builder(&runtime).verify_hook(accounts.clone());
    let registry = builder.handler(signed).build().unwrap();
    let token = |actor: &str| match registry.create_blocking(CreateRequest::new(actor)) {
        Ok(Creation::Created(created)) => created.token,
        other => panic!("{other:?}"),
    };
    let (ann, suspended, unknown) = (token("ann"), token("suspended"), token("unknown"));
    for _ in 0..2 {
        assert!(is_good(registry.verify_blocking(&ann)));
        match registry.verify_blocking(&suspended) {
            Ok(Verdict::Rejected(Rejection { handler: None, reason: Reason::NotPermitted, message, .. })) => {
                assert!(message.starts_with("the account is") && !message.contains('\n'), "{message}");
            }
            other => panic!("{other:?}"),
        }
        let error = registry.verify_blocking(&unknown).unwrap_err();
        assert_eq!((error.handler(), error.code(), error.blame()), (Some("signed"), "hook-failed", Blame::Operator));
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(!error.public_message().contains("directory"), "{error:?}");
    }
    let calls = ["ann", "suspended", "unknown"].repeat(2);
    assert_eq!(*accounts.0.lock().unwrap(), calls);
    for invalid in ["dstok_x", "other", &ann[..ann.len() - 1]] {
        assert!(!is_good(registry.verify_blocking(invalid)), "{invalid}");
    }
    assert_eq!(*accounts.0.lock().unwrap(), calls);
}

/// The actor of a restricted token is only available for a permission.
#[test]
fn restrictions_decide_before_the_actor_is_known() {
    let runtime = support::runtime(RuntimeLimits::default(), NOW);
    let ring = KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap();
    let mut signed = HandlerConfig::new("signed", support::SIGNED, Actors::Any)
        .prefix("dstok_")
        .key("token", KeyGrant::new(ring.into()));
    support::unhurried(&mut signed.limits);
    let registry = Registry::builder(&runtime).action("view-table", "vt").handler(signed).build().unwrap();
    let accepted = |request| {
        let Ok(Creation::Created(created)) = registry.create_blocking(request) else { panic!() };
        match registry.verify_blocking(&created.token) {
            Ok(Verdict::Accepted(acceptance)) => acceptance,
            other => panic!("{other:?}"),
        }
    };
    let (view, edit) = (Permission::new("view-table"), Permission::new("edit-table"));
    let free = accepted(CreateRequest::new("ann"));
    assert!([&view, &edit].into_iter().all(|permission| registry.authorize(&free, permission).is_some()));
    assert_eq!(free.unrestricted_actor(), Some(free.actor_ignoring_restrictions()));
    let narrow = accepted(CreateRequest::new("ann").restrictions(Restrictions::new().allow_all("view-table")));
    assert_eq!(registry.authorize(&narrow, &view), Some(narrow.actor_ignoring_restrictions()));
    assert_eq!(registry.authorize(&narrow, &edit), None);
    assert_eq!(narrow.unrestricted_actor(), None);
}

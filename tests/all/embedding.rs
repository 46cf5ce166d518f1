//! Guarantees to programs that embed the runtime.

use keyward_runtime::clock::UnixTime;
use keyward_runtime::{Actors, Error, HandlerConfig, Registry, Runtime, RuntimeLimits, Verdict};
use keyward_tests::hostile;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Builder;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Builds a registry of a looping handler and a benign one.
fn registry() -> Registry {
    let runtime = Runtime::with(RuntimeLimits::default(), NOW).unwrap();
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
    shared(&Runtime::new().unwrap());
    sent(&registry.verify("x"));
    sent(&registry.create(None, keyward_runtime::CreateRequest::new("x")));
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

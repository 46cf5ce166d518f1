//! Calls that outlast their first slice: they run directly on their caller's stack, and then again
//! on another thread.

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Verdict};
use keyward_tests::hostile;
use std::thread;
use std::time::Duration;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

fn registry(case: &str) -> Registry {
    let mut config = HandlerConfig::new("hostile", hostile::case(case).bytes, Actors::Any).prefix("ho_");
    config.first_party = true;
    config.limits.verdict_cache_bytes = 0;
    config.limits.wall = Duration::from_secs(60);
    Registry::builder(&support::runtime(Default::default(), NOW)).handler(config).build().unwrap()
}

/// The log of this thread has no line of the first run, which is discarded.
#[test]
fn a_call_that_runs_again_logs_once_and_counts_once() {
    let registry = registry("log-then-burns");
    let mut results = None;
    let log = support::captured_log(|| results = Some(registry.verify_blocking("ho_x")));
    assert!(matches!(results, Some(Ok(Verdict::Accepted(_)))), "{results:?}");
    assert!(!log.contains("keyward::handler"), "{log}");
    assert_eq!(registry.handlers().next().unwrap().counts.calls, 1);

    let registry = self::registry("log-then-burns");
    let mut created = None;
    let log = support::captured_log(|| created = Some(registry.create_blocking(CreateRequest::new("hostile:alice"))));
    assert!(matches!(created, Some(Ok(Creation::Created(_)))), "{created:?}");
    assert!(!log.contains("keyward::handler"), "{log}");
}

/// A call that may make its host calls once must not fail because it runs again.
#[test]
fn host_calls_are_counted_for_each_run() {
    let registry = registry("flood-then-burns");
    for _ in 0..2 {
        let verdict = registry.verify_blocking("ho_x");
        assert!(matches!(verdict, Ok(Verdict::Accepted(_))), "{verdict:?}");
    }
}

/// A guest that recurses without end has a limit of 256 KiB, which a small thread does not have.
#[test]
fn a_thread_with_a_small_stack_is_not_overflowed() {
    let registry = registry("stack-mutual");
    let small = thread::Builder::new().stack_size(200 << 10);
    let call = small.spawn(move || registry.verify_blocking("ho_x").map_err(|error| error.code())).unwrap();
    assert_eq!(call.join().unwrap().unwrap_err(), "limit-stack");
}

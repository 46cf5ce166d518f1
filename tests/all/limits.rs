//! Every limit can be exceeded, and follows its setting.

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::{ErrorKind, LimitExceeded};
use keyward_runtime::keys::{KeyGrant, KeyRing, Secret};
use keyward_runtime::{
    Actors, CreateRequest, Creation, Error, HandlerConfig, Limits, Registry, Runtime, RuntimeLimits, Verdict,
};
use keyward_tests::hostile;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };
const LONG: Duration = Duration::from_secs(60);

/// Returns limits at values that some handler exceeds.
fn tight() -> Limits {
    Limits {
        memory_bytes: 64 << 10,
        table_elements: 1,
        cpu: Duration::from_millis(40),
        wall: Duration::from_millis(5),
        host_calls: 10,
        host_call_bytes: 20,
        host_work_bytes: 9,
        token_bytes: 7,
        actor_bytes: 21,
        actor_depth: 1,
        actor_id_bytes: 12,
        message_bytes: 9,
        log_lines: 3,
        component_bytes: 100,
        concurrent_calls: Some(1),
        verdict_cache_bytes: 0,
    }
}

/// Destructured without `..`: a new field does not compile until it is named, and its value must be
/// used.
#[test]
fn every_limit_can_be_exceeded() {
    let Limits {
        memory_bytes,
        table_elements,
        cpu,
        wall,
        host_calls,
        host_call_bytes,
        host_work_bytes,
        token_bytes,
        actor_bytes,
        actor_depth,
        actor_id_bytes,
        message_bytes,
        log_lines,
        component_bytes,
        concurrent_calls,
        verdict_cache_bytes,
    } = tight();
    let limits = || Limits { wall: LONG, ..Limits::default() };

    does_not_load("benign", Limits { memory_bytes, ..limits() }, "limit-memory");
    does_not_load("loop-table-fill", Limits { table_elements, ..limits() }, "limit-table");
    does_not_load("benign", Limits { component_bytes, ..limits() }, "too-large");

    let hit = verify_hits("loop-verify", Limits { cpu, ..limits() }, "limit-cpu");
    // The ticking thread may have to wait for a core, so up to twice the limit is used on a busy
    // machine.
    assert!(hit.of == 40_000 && (40_000..80_000).contains(&hit.used), "{hit:?}");
    let hit = verify_hits("loop-verify", Limits { cpu: LONG, wall, ..Limits::default() }, "limit-wall");
    assert_eq!(hit.of, 5_000);
    let hit = verify_hits("flood-clock", Limits { host_calls, cpu: LONG, ..limits() }, "limit-host-calls");
    assert_eq!((hit.used, hit.of), (11, 10));
    verify_hits("benign", Limits { host_call_bytes, ..limits() }, "limit-host-bytes");
    let hit = verify_hits("log-5-lines", Limits { host_work_bytes, ..limits() }, "limit-host-work");
    assert_eq!((hit.used, hit.of), (10, 9));
    rejects("benign", Limits { actor_bytes, ..limits() }, "have 22 bytes, more than the 21 allowed");
    rejects("json-depth-32", Limits { actor_depth, ..limits() }, "levels deep, more than the 1 allowed");
    let hit = verify_hits("benign", Limits { actor_id_bytes, ..limits() }, "limit-actor-id");
    assert_eq!((hit.used, hit.of), (13, 12));

    tokens_are_as_long_as_allowed(Limits { token_bytes, ..limits() });
    messages_are_cut(Limits { message_bytes, ..limits() });
    log_lines_are_counted(Limits { log_lines, ..limits() });
    calls_at_once_are_counted(Limits { concurrent_calls, cpu: LONG, ..limits() });
    answers_are_kept(Limits { verdict_cache_bytes, ..limits() });
}

fn rejects(case: &str, limits: Limits, message: &str) {
    match registry(handler(case, limits)).verify_blocking("ho_stile") {
        Ok(Verdict::Rejected(rejection)) => assert!(rejection.message.contains(message), "{}", rejection.message),
        other => panic!("{case}: {other:?}"),
    }
}

/// Host calls in straight-line code reach no epoch check: the host itself checks the clock.
#[test]
fn cpu_and_wall_limits_apply_to_host_calls_in_straight_line_code() {
    let unlimited = || Limits { host_work_bytes: usize::MAX, ..Limits::default() };
    for case in ["straight-verify", "straight-digest", "straight-random", "straight-secrets"] {
        // On a busy machine, even the trial at the start may take some milliseconds.
        for (limits, code, of) in [
            (Limits { cpu: Duration::from_millis(5), wall: LONG, ..unlimited() }, "limit-cpu", 5_000),
            (Limits { cpu: LONG, wall: Duration::from_millis(20), ..unlimited() }, "limit-wall", 20_000),
        ] {
            let hit = limit(&registry(granted(case, limits)).verify_blocking("ho_stile").unwrap_err());
            assert_eq!((hit.limit.code(), hit.of), (code, of), "{case}: {hit:?}");
            assert!(hit.used < of + 100_000, "{case} exceeded its limit by too much: {hit:?}");
        }
    }
}

/// Returns the handler of a case with the grants for straight-line code.
fn granted(case: &str, limits: Limits) -> HandlerConfig {
    let hostile::Case { grants, .. } = hostile::case(case);
    let mut config = handler(case, limits);
    if grants.keys {
        let ring = Arc::new(KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap());
        config.keys.insert("mine".into(), KeyGrant::new(ring));
    }
    if grants.public_keys {
        config.public_keys.insert("mine".into(), hostile::public_keys());
    }
    if grants.secrets {
        config.secrets.push(("bot".into(), Secret::new(*b"ho_secret-of-the-operator")));
    }
    config
}

fn runtime(limits: RuntimeLimits) -> Runtime {
    support::runtime(limits, NOW)
}

fn handler(case: &str, limits: Limits) -> HandlerConfig {
    let mut config = HandlerConfig::new("hostile", hostile::case(case).bytes, Actors::Any);
    config.prefixes = vec!["ho_".into()];
    config.limits = limits;
    config
}

fn registry(config: HandlerConfig) -> Registry {
    Registry::builder(&runtime(RuntimeLimits::default())).handler(config).build().unwrap()
}

fn does_not_load(case: &str, limits: Limits, code: &str) {
    let runtime = runtime(RuntimeLimits::default());
    let build = |limits| Registry::builder(&runtime).handler(handler(case, limits)).build();
    assert_eq!(build(limits).unwrap_err().code(), code);
    assert!(build(Limits::default()).is_ok(), "only the limit keeps it from loading");
}

fn verify_hits(case: &str, limits: Limits, code: &str) -> LimitExceeded {
    let error = registry(handler(case, limits)).verify_blocking("ho_stile").unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().starts_with("handler `hostile` exceeded the "), "{error}");
    limit(&error)
}

fn limit(error: &Error) -> LimitExceeded {
    match error.kind() {
        ErrorKind::Limit(hit) => *hit,
        other => panic!("{other}"),
    }
}

fn tokens_are_as_long_as_allowed(limits: Limits) {
    let one_more = Limits { token_bytes: limits.token_bytes + 1, ..limits.clone() };
    let tight = registry(handler("benign", limits));
    let enough = registry(handler("benign", one_more));
    // The created token, `ho_stile`, has eight bytes.
    let Ok(Verdict::Rejected(rejection)) = tight.verify_blocking("ho_stile") else { panic!("too long") };
    assert_eq!((rejection.handler, rejection.reason.as_str()), (None, "malformed"));
    assert!(matches!(enough.verify_blocking("ho_stile"), Ok(Verdict::Accepted(_))));
    assert_eq!(tight.create_blocking(CreateRequest::new("hostile:alice")).unwrap_err().code(), "bad-token");
    assert!(matches!(enough.create_blocking(CreateRequest::new("hostile:alice")), Ok(Creation::Created(_))));
}

fn messages_are_cut(limits: Limits) {
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    config.prefixes = vec!["dstok_".into()];
    let ring = Arc::new(KeyRing::new("main", Secret::new([1; 32]), vec![]).unwrap());
    config.keys.insert("token".into(), KeyGrant::new(ring));
    config.limits = limits;
    let Ok(Verdict::Rejected(rejection)) = registry(config).verify_blocking("dstok_x") else { panic!("no signature") };
    assert_eq!(rejection.message, "Invali…", "nine bytes of `Invalid token signature`");
}

/// The call must be short: a longer one would move to a thread whose log is not captured.
fn log_lines_are_counted(limits: Limits) {
    let registry = registry(handler("log-5-lines", limits));
    let log = support::captured_log(|| {
        let _ = registry.verify_blocking("ho_stile");
    });
    assert_eq!(log.lines().count(), 3 + 1, "the lines, and one with the number of dropped lines: {log}");
}

/// With space for a verdict the second call is not made; `answers.rs` covers the rest.
fn answers_are_kept(limits: Limits) {
    let room = Limits { wall: LONG, ..Limits::default() };
    for (limits, wanted) in [(room, (1, 1)), (limits, (2, 0))] {
        let registry = registry(handler("benign", limits));
        for _ in 0..2 {
            assert!(matches!(registry.verify_blocking("ho_stile"), Ok(Verdict::Accepted(_))));
        }
        let counts = registry.handlers().next().unwrap().counts;
        assert_eq!((counts.calls, counts.cache_hits), wanted);
    }
}

/// A call that keeps computing is in the pool after its first poll, and keeps its slot until it is
/// dropped.
fn calls_at_once_are_counted(limits: Limits) {
    let registry = registry(handler("loop-verify", limits));
    let busy = in_flight(&registry, || registry.verify_blocking("ho_other").unwrap_err());
    assert_eq!((busy.code(), busy.handler()), ("busy", Some("hostile")));
    assert!(busy.to_string().contains("limits.concurrent_calls"), "{busy}");
}

/// Runs `then` while a looping call is in flight, and drops the call afterwards.
fn in_flight<T>(registry: &Registry, then: impl FnOnce() -> T) -> T {
    let mut call = pin!(registry.verify("ho_looping"));
    let poll = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending), "it loops");
    then()
}

#[test]
fn every_runtime_limit_can_be_exceeded() {
    let RuntimeLimits { slots, memory_bytes, table_elements, wasm_stack_bytes, slow_threads } = RuntimeLimits {
        slots: 2,
        memory_bytes: 1 << 20,
        table_elements: 10,
        wasm_stack_bytes: 64 << 10,
        slow_threads: 1,
    };

    // Two looping calls occupy both slots.
    let limits = RuntimeLimits { slots, slow_threads, ..RuntimeLimits::default() };
    let slow = Limits { cpu: LONG, wall: LONG, concurrent_calls: Some(2), ..Limits::default() };
    let two = Registry::builder(&runtime(limits)).handler(handler("loop-verify", slow));
    let mut good = handler("benign", Limits::default());
    (good.name, good.prefixes) = ("good".into(), vec!["go_".into()]);
    let two = two.handler(good).build().unwrap();
    in_flight(&two, || {
        assert!(matches!(two.verify_blocking("go_x"), Ok(Verdict::Accepted(_))), "another slot is free");
        in_flight(&two, || {
            let error = two.verify_blocking("go_other").unwrap_err();
            assert!(error.code() == "busy" && error.to_string().contains("RuntimeLimits::slots"), "{error}");
        });
    });

    for (limits, setting) in [
        (RuntimeLimits { memory_bytes, ..RuntimeLimits::default() }, "limits.memory_mib"),
        (RuntimeLimits { table_elements, ..RuntimeLimits::default() }, "limits.table_elements"),
    ] {
        let builder = Registry::builder(&runtime(limits)).handler(handler("benign", Limits::default()));
        let error = builder.build().unwrap_err();
        assert!(error.code() == "bad-limit" && error.to_string().contains(setting), "{error}");
    }

    let small = runtime(RuntimeLimits { wasm_stack_bytes, ..RuntimeLimits::default() });
    let small = Registry::builder(&small).handler(handler("stack-small-frames", Limits::default())).build().unwrap();
    assert_eq!(limit(&small.verify_blocking("ho_x").unwrap_err()).of, 64 << 10);
}

//! The breaker of a handler: it opens when calls on valid tokens fail, whatever strangers present.

use crate::support::{self, RUNTIME, TestClock};
use keyward_runtime::limits::LimitKind;
use keyward_runtime::registry::BreakerState;
use keyward_runtime::{Actors, HandlerConfig, Registry, Verdict};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::hostile;
use keyward_tests::http::Request;
use std::path::Path;

/// The time from which the handler traps.
const TRAPS: u64 = 1_767_225_600;

/// Two instances of the same handler, without the verdict cache.
fn registry() -> Registry {
    let handler = |name: &str, prefix: &str| {
        let mut config = HandlerConfig::new(name, hostile::case("trap-later").bytes, Actors::Any);
        support::unhurried(&mut config.limits);
        config.prefixes = vec![prefix.into()];
        config.limits.verdict_cache_bytes = 0;
        config
    };
    Registry::builder(&RUNTIME).handler(handler("one", "ho_")).handler(handler("two", "vi_")).build().unwrap()
}

fn at(seconds: u64) {
    TestClock.set(Some(support::time(seconds)));
}

fn outcome(registry: &Registry, token: &str) -> &'static str {
    match registry.verify_blocking(token) {
        Ok(Verdict::Accepted(_)) => "accepted",
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.code(),
    }
}

fn breakers(registry: &Registry) -> Vec<(BreakerState, u64)> {
    registry.handlers().map(|handler| (handler.breaker, handler.breaker_openings)).collect()
}

#[test]
fn failures_on_valid_tokens_open_the_breaker_of_their_handler() {
    let registry = registry();
    at(TRAPS - 1);
    for token in ["ho_a", "ho_b"] {
        assert_eq!(outcome(&registry, token), "accepted");
    }
    at(TRAPS);
    for token in ["ho_a", "ho_b", "ho_a", "ho_b", "ho_a"] {
        assert_eq!(outcome(&registry, token), "trap");
    }
    assert_eq!(breakers(&registry), [(BreakerState::Open, 1), (BreakerState::Closed, 0)]);
    // One call at a time still runs, and a handler that has recovered accepts its tokens.
    at(TRAPS - 1);
    assert_eq!(outcome(&registry, "ho_a"), "accepted");
    assert_eq!(outcome(&registry, "vi_a"), "accepted");
}

#[test]
fn tokens_of_strangers_open_nothing() {
    let registry = registry();
    at(TRAPS - 1);
    for token in ["ho_a", "ho_b"] {
        assert_eq!(outcome(&registry, token), "accepted");
    }
    for number in 0..300 {
        assert_eq!(outcome(&registry, &format!("ho_x{number}")), "trap");
    }
    assert_eq!(breakers(&registry), [(BreakerState::Closed, 0); 2]);
    assert_eq!(outcome(&registry, "ho_a"), "accepted");
}

/// The handler's own clock is the daemon's, so here it traps at once: only the display is tested.
#[test]
fn breakers_are_shown() {
    let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("breaker"));
    let config = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[handlers]]\nname = \"h\"\n\
                  component = \"h.wasm\"\nactors = \"any\"\nprefixes = [\"ho_\"]\n[clients.app]\nmay = [\"verify\"]\n\
                  secret_sha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n";
    folder.write("keyward.toml", config, 0o600);
    folder.write("h.wasm", hostile::case("trap-later").bytes, 0o600);
    let daemon = Daemon::start(&folder, "keyward.toml");
    for token in ["ho_a", "ho_b"] {
        let response = Request::get("/v1/auth/forward/any").bearer(token).send(daemon.service());
        assert!(response.status >= 400, "{response:?}");
    }
    let ready = Request::get("/readyz").send(daemon.admin());
    assert_eq!((ready.status, ready.text()), (200, "ok\n"));
    let metrics = Request::get("/metrics").send(daemon.admin());
    for line in [
        "keyward_breaker_open{handler=\"h\"} 0",
        "keyward_breaker_openings_total{handler=\"h\"} 0",
        "keyward_limit_used_ratio{handler=\"h\",limit=\"limit-memory\"} 0.",
    ] {
        assert!(metrics.text().contains(line), "{line} in {}", metrics.text());
    }
}

#[test]
fn status_shows_the_report_of_the_daemon() {
    let folder = Folder::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("breaker-status"));
    let config = |admin: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n[[handlers]]\nname = \"h\"\n\
             component = \"builtin:signed\"\nkeys.token.ring = \"main\"\n[keys.main]\nsecret = {{ file = \"secret.key\" }}\n"
        )
    };
    folder.write("secret.key", [b'x'; 40], 0o600);
    folder.write("keyward.toml", config("127.0.0.1:0"), 0o600);
    let daemon = Daemon::start(&folder, "keyward.toml");
    folder.write("status.toml", config(&daemon.admin().to_string()), 0o600);
    let status = || folder.run(&["status", "--config", "status.toml"], "").stdout;
    assert!(status().ends_with("DAEMON  ok\n"), "{}", status());
    daemon.stop();
    assert!(!status().contains("DAEMON"), "{}", status());
}

#[test]
fn the_highest_use_of_limits_is_shown() {
    at(TRAPS - 1);
    let mut config = HandlerConfig::new("h", hostile::case("memory-grow-once").bytes, Actors::Any).prefix("ho_");
    support::unhurried(&mut config.limits);
    let registry = Registry::builder(&RUNTIME).handler(config).build().unwrap();
    let _ = registry.verify_blocking("ho_x");
    let peaks = registry.handlers().next().unwrap().peaks;
    let of = |limit| peaks.iter().find(|peak| peak.limit == limit).unwrap();
    let memory = of(LimitKind::Memory);
    // One page at least, and not all.
    assert!((1 << 16..memory.of).contains(&memory.used), "{memory:?}");
    assert!(of(LimitKind::Cpu).used > 0, "{peaks:?}");
    at(TRAPS + 1_200);
    assert!(registry.handlers().next().unwrap().peaks.iter().all(|peak| peak.used == 0));
}

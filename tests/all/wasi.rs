//! WASI as an operator and an author see it: output in the log, and what `keyward check` says.

use crate::support;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::error::{ErrorKind, LimitExceeded};
use keyward_runtime::limits::LimitKind;
use keyward_runtime::{Actors, HandlerConfig, Registry, RuntimeLimits, Verdict};
use keyward_tests::cli::{Folder, Ran};
use keyward_tests::hostile;
use std::path::PathBuf;

const NOW: UnixTime = UnixTime { seconds: 1_767_225_600, nanoseconds: 0 };

/// Returns a registry with a hostile handler.
fn registry(case: &str) -> Registry {
    let config = HandlerConfig::new("hostile", hostile::case(case).bytes, Actors::Any).prefix("ho_").wasi();
    Registry::builder(&support::runtime(RuntimeLimits::default(), NOW)).handler(config).build().unwrap()
}

/// Verifies a token with a hostile handler, in a process of its own: a slow call moves to another
/// thread, and its log with it.
fn verified(case: &str) -> Ran {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(case));
    folder.write("hostile.wasm", hostile::case(case).bytes, 0o644);
    let config =
        "[[handlers]]\nname = \"h\"\ncomponent = \"hostile.wasm\"\nprefixes = [\"ho_\"]\nactors = []\nwasi = true\n";
    folder.write("keyward.toml", config, 0o644);
    folder.run(&["verify", "--config", "keyward.toml"], "ho_0123456789abcdef\n")
}

#[test]
fn output_is_logged_by_line_and_without_the_token() {
    let ran = verified("wasi-stderr-token");
    assert!(ran.stdout.contains("trap") && ran.stderr.contains("the token is [token]"), "{ran:?}");
    assert!(ran.stderr.contains("the end") && !ran.stderr.contains("0123456789abcdef"), "{ran:?}");
}

/// The beginning of a long output is dropped, and with it the beginning of a token may be.
#[test]
fn no_part_of_a_token_is_left_of_a_long_output() {
    let ran = verified("wasi-stderr-cut-token");
    assert!(ran.stdout.contains("trap") && ran.stderr.contains("log lines dropped"), "{ran:?}");
    assert!(!ran.stderr.contains("123456789abcdef"), "{ran:?}");
}

/// The log has the output of a call that was stopped, up to the last end of a line.
#[test]
fn output_of_a_stopped_call_is_logged() {
    let ran = verified("wasi-stderr-loop");
    assert!(ran.stdout.contains("limit-cpu") && ran.stderr.contains("before the loop"), "{ran:?}");
    assert!(!ran.stderr.contains("ho_012345"), "a part of the token: {ran:?}");
}

#[test]
fn output_is_truncated_and_counted() {
    let registry = registry("wasi-stderr-megabyte");
    let log = support::captured_log(|| {
        assert!(matches!(registry.verify_blocking("ho_x"), Ok(Verdict::Accepted(_))));
    });
    assert!(log.len() < 64 << 10, "{} bytes", log.len());
}

/// Each call has a world of its own: the second one reads the clock from the start.
#[test]
fn nothing_of_a_call_is_left_for_the_next() {
    let registry = registry("wasi-measures-time");
    for _ in 0..3 {
        assert!(matches!(registry.verify_blocking("ho_x"), Ok(Verdict::Accepted(_))));
    }
}

/// Host calls in straight-line code meet no tick: the CPU time is checked after each of them.
#[test]
fn straight_line_host_calls_are_stopped_at_their_limit() {
    let error = registry("wasi-resolve-straight").verify_blocking("ho_x").unwrap_err();
    let ErrorKind::Limit(LimitExceeded { limit, used, of, .. }) = error.kind() else { panic!("{error}") };
    assert_eq!(*limit, LimitKind::Cpu);
    // Without the check, it uses ten times as much.
    assert!(*used < 2 * of, "{error}");
}

/// The stack of a component with WASI is four times that of others.
#[test]
fn an_overflow_is_reported_with_the_size_of_its_stack() {
    let stack = RuntimeLimits::default().wasm_stack_bytes;
    let mut with_wasi = hostile::cases_in_wasi();
    let with_wasi = with_wasi.swap_remove(with_wasi.iter().position(|case| case.name == "stack-mutual").unwrap());
    for (case, size) in [(hostile::case("stack-mutual"), stack), (with_wasi, 4 * stack)] {
        let config = HandlerConfig::new("hostile", case.bytes, Actors::Any).prefix("ho_").wasi();
        let registry = Registry::builder(&support::runtime(RuntimeLimits::default(), NOW)).handler(config).build();
        let error = registry.unwrap().verify_blocking("ho_x").unwrap_err();
        assert_eq!(error.code(), "limit-stack");
        assert!(error.to_string().contains(&format!("used {size} of {size} bytes")), "{error}");
    }
}

#[test]
fn check_lists_the_interfaces_and_warns_of_fixed_randomness() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wasi-check"));
    folder.write("sleeps.wasm", hostile::case("wasi-sleep").bytes, 0o644);
    let listed = folder.run(&["check", "sleeps.wasm"], "");
    assert_eq!(listed.status, 0, "{listed:?}");
    assert!(listed.stdout.contains("WASI: wasi:clocks/monotonic-clock, wasi:io/poll\n"), "{listed:?}");

    // As the tools mark their snapshots: a custom section, which begins with its kind and its size.
    let marked = |mut bytes: Vec<u8>, tool: &str| {
        let name = "producers";
        let length = 1 + name.len() + tool.len();
        bytes.extend([0, u8::try_from(length).unwrap(), u8::try_from(name.len()).unwrap()]);
        bytes.extend(name.bytes().chain(tool.bytes()));
        bytes
    };
    for (tool, draws) in [("ComponentizeJS", "crypto.getRandomValues"), ("componentize_py", "--stub-wasi")] {
        folder.write("fixed.wasm", marked(hostile::case("benign").bytes, tool), 0o644);
        let warned = folder.run(&["check", "fixed.wasm"], "");
        assert_eq!(warned.status, 0, "{warned:?}");
        assert!(warned.stdout.contains("WARNING: ") && warned.stdout.contains(draws), "{warned:?}");
        folder.write("fresh.wasm", marked(hostile::case("wasi-random-differs").bytes, tool), 0o644);
        let fine = folder.run(&["check", "fresh.wasm"], "");
        assert!(fine.status == 0 && !fine.stdout.contains("WARNING"), "{fine:?}");
    }
}

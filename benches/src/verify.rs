//! A verification in the sandbox and natively.

use crate::bare::Bare;
use crate::setup::{accepted, created, native, plain_request, runtime, signed, token, verify_natively, zipped_request};
use crate::stats::{at_most, median, nanos, per_call, spread};
use keyward_runtime::keys::Scheme;
use keyward_runtime::{CreateRequest, Limits, Registry};
use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

const ROUNDS: usize = 101;
const CALLS: u32 = 200;

/// A row of the table: one handler, one token.
struct Row {
    what: &'static str,
    scheme: Scheme,
    request: fn() -> CreateRequest,
}

const ROWS: [Row; 4] = [
    Row { what: "hmac-sha256, plain", scheme: Scheme::HmacSha256, request: plain_request },
    Row { what: "hmac-sha256, compressed", scheme: Scheme::HmacSha256, request: zipped_request },
    Row { what: "itsdangerous, plain", scheme: Scheme::Itsdangerous, request: plain_request },
    Row { what: "itsdangerous, compressed", scheme: Scheme::Itsdangerous, request: zipped_request },
];

/// Compares `Registry::verify` with all features on against the same handler compiled natively.
pub(crate) fn run() {
    println!(
        "| token | bytes | native µs | Registry::verify µs | ratio (median of {ROUNDS} rounds) | two threads: ratio to one |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for Row { what, scheme, request } in ROWS {
        let registry = Registry::builder(&runtime()).handler(signed(scheme)).build().unwrap();
        let host = native(scheme);
        let token = token(&registry, request());
        assert_eq!(token.starts_with("dstok_."), what.ends_with("compressed"), "{what}");
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let native = host.run(|| nanos(CALLS, || verify_natively(black_box(&token))));
            let sandboxed = executor.block_on(async {
                let start = Instant::now();
                for _ in 0..CALLS {
                    accepted(registry.verify(black_box(&token)).await);
                }
                per_call(start.elapsed(), CALLS)
            });
            rounds.push((native, sandboxed));
        }
        let both = two_threads(|| nanos(CALLS, || accepted(registry.verify_blocking(black_box(&token)))));
        let both_native = two_threads(|| native(scheme).run(|| nanos(CALLS, || verify_natively(black_box(&token)))));
        println!(
            "| {what} | {} | {:.2} | {:.2} | **{:.2}** | {both:.2} (native {both_native:.2}) |",
            token.len(),
            median(rounds.iter().map(|round| round.0)) / 1e3,
            median(rounds.iter().map(|round| round.1)) / 1e3,
            median(rounds.iter().map(|round| round.1 / round.0)),
        );
        if scheme == Scheme::Itsdangerous {
            python(&token);
        }
    }
    kept();
    println!();
    parts();
    baseline();
}

/// Compares a verification with plain wasmtime, and creation with verification.
fn parts() {
    let mut checked = signed(Scheme::HmacSha256);
    checked.component = keyward_handlers::SIGNED.component().to_vec().into();
    let [built_in, checked] = [signed(Scheme::HmacSha256), checked]
        .map(|config| Registry::builder(&runtime()).handler(config).build().unwrap());
    let (bare, host) = (Bare::new(keyward_handlers::SIGNED.component()), native(Scheme::HmacSha256));
    // Without restrictions, the host does not verify a new token of a built-in handler.
    let (restricted, mut request) = (plain_request(), plain_request());
    request.restrictions = None;
    let token = token(&built_in, request.clone());
    let mut rounds = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let native = host.run(|| nanos(CALLS, || verify_natively(black_box(&token))));
        let verify = nanos(CALLS, || accepted(built_in.verify_blocking(black_box(&token))));
        let bare = nanos(CALLS, || bare.verify(black_box(&token)));
        let create = nanos(CALLS, || drop(created(&built_in, request.clone())));
        let create_checked = nanos(CALLS, || drop(created(&checked, restricted.clone())));
        for (ratios, ratio) in
            rounds.iter_mut().zip([bare / native, verify / bare, create / verify, create_checked / verify])
        {
            ratios.push(ratio);
        }
    }
    let [bare, verify, create, create_checked] = &rounds;
    println!("* plain wasmtime, relative to native code: **{}**", spread(bare));
    println!("* `Registry::verify`, relative to plain wasmtime: **{}**", spread(verify));
    at_most("`Registry::create`, relative to `Registry::verify`", create, 1.3);
    at_most("the same with a check of the new token", create_checked, 2.5);
}

/// Measures the verdict cache.
fn kept() {
    let mut keeping = signed(Scheme::HmacSha256);
    keeping.limits.verdict_cache_bytes = Limits::default().verdict_cache_bytes;
    let registry = Registry::builder(&runtime()).handler(keeping).build().unwrap();
    let token = token(&registry, plain_request());
    let kept = (0..ROUNDS).map(|_| nanos(CALLS, || accepted(registry.verify_blocking(black_box(&token)))));
    println!("| hmac-sha256, plain, again in the same second | {} |  | {:.2} |  |  |", token.len(), median(kept) / 1e3);
}

/// Compares the machine code that the built-in handlers bring along, which is for the baseline of
/// the architecture, with code that is compiled for this processor.
fn baseline() {
    let mut compiled = signed(Scheme::HmacSha256);
    compiled.component = keyward_handlers::SIGNED.component().to_vec().into();
    let [embedded, compiled] = [signed(Scheme::HmacSha256), compiled]
        .map(|config| Registry::builder(&runtime()).handler(config).build().unwrap());
    let token = token(&embedded, plain_request());
    let time = |registry: &Registry| nanos(CALLS, || accepted(registry.verify_blocking(black_box(&token))));
    let ratios: Vec<f64> = (0..ROUNDS).map(|_| time(&embedded) / time(&compiled)).collect();
    println!("* code for the baseline, relative to code for this processor: **{}**", spread(&ratios));
}

/// Returns how many times as long a call takes on each of two threads as on one.
///
/// The threads live through all rounds, as those of a server do: the engine assigns a part of its
/// slots to each new thread in turn, and slots that change between processors arrive uncached.
fn two_threads(work: impl Fn() -> f64 + Sync) -> f64 {
    let (work, turn) = (&work, &Barrier::new(2));
    let both = || {
        turn.wait();
        let time = work();
        turn.wait();
        time
    };
    let ratios = thread::scope(|scope| {
        let first = scope.spawn(move || (0..ROUNDS).map(|_| (work(), both())).collect::<Vec<_>>());
        let second = scope.spawn(move || (0..ROUNDS).map(|_| both()).collect::<Vec<_>>());
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        first.into_iter().zip(second).map(|((alone, both), other)| (both + other) / 2.0 / alone).collect::<Vec<_>>()
    });
    median(ratios)
}

/// Measures Python's itsdangerous on the same token, if it is installed.
fn python(token: &str) {
    const PROGRAM: &str = "
import sys, time
from itsdangerous import URLSafeSerializer
text = sys.stdin.read()[len('dstok_'):]
secret = bytes([7] * 32)
serializer = URLSafeSerializer(secret, 'token')
for name, verify in (('reused', lambda: serializer.loads(text)), ('new each time', lambda: URLSafeSerializer(secret, 'token').loads(text))):
    best = []
    for _ in range(21):
        start = time.perf_counter()
        for _ in range(200): verify()
        best.append((time.perf_counter() - start) / 200 * 1e6)
    print('| Python itsdangerous, serializer %s |  |  | %.2f |  |  |' % (name, sorted(best)[10]))
";
    let mut child = match Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
    {
        Ok(child) => child,
        Err(_) => return,
    };
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), token.as_bytes());
    if !child.wait().unwrap().success() {
        println!("(Python's itsdangerous is not installed: `pip install itsdangerous`)");
    }
}

//! A verification in the sandbox and natively.

use crate::setup::{accepted, native, plain_request, runtime, signed, token, zipped_request};
use crate::stats::{median, nanos, per_call, spread};
use keyward_guest_signed::Signed;
use keyward_runtime::keys::Scheme;
use keyward_runtime::{CreateRequest, Limits, Registry};
use keyward_sdk::{TokenHandler, Verdict};
use std::hint::black_box;
use std::process::Command;
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
            let both = two_threads(&registry, &token);
            rounds.push((native, sandboxed, both));
        }
        println!(
            "| {what} | {} | {:.2} | {:.2} | **{:.2}** | {:.2} |",
            token.len(),
            median(rounds.iter().map(|round| round.0)) / 1e3,
            median(rounds.iter().map(|round| round.1)) / 1e3,
            median(rounds.iter().map(|round| round.1 / round.0)),
            median(rounds.iter().map(|round| round.2 / round.1)),
        );
        if scheme == Scheme::Itsdangerous {
            python(&token);
        }
    }
    kept();
    baseline();
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
    println!("\nCode for the baseline, relative to code for this processor: **{}**", spread(&ratios));
}

fn verify_natively(token: &str) {
    let Ok(Verdict::Accepted(acceptance)) = Signed::verify(token) else { panic!("a valid token") };
    black_box(acceptance);
}

/// Returns the nanoseconds of a call while another thread makes the same calls.
fn two_threads(registry: &Registry, token: &str) -> f64 {
    let work = || nanos(CALLS, || accepted(registry.verify_blocking(black_box(token))));
    thread::scope(|scope| {
        let other = scope.spawn(work);
        (work() + other.join().unwrap()) / 2.0
    })
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

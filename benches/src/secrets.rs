//! A dudect-style timing test for unknown ids against wrong secrets: two classes of tokens in
//! random order, and Welch's t-test over the durations of the calls.

use crate::kept::{ID, Kept, PREFIX, changed, few};
use crate::stats::{at_most, median, quantile};
use keyward_runtime::{Reason, Verdict};
use std::hint::black_box;
use std::time::Instant;
use tempfile::TempDir;

const CALLS: usize = 200_000;
/// Share of the fastest calls that are kept; slower ones were interrupted.
const KEPT: f64 = 0.8;
/// The threshold from which dudect considers the classes distinguishable. From 4.5 on they may be.
const CERTAIN: f64 = 10.0;

pub(crate) fn run() {
    let folder = TempDir::new().unwrap();
    let kept = few(&folder);
    // Changes the first character of the id, or of the secret.
    let classes = [PREFIX.len(), PREFIX.len() + ID]
        .map(|at| kept.tokens.iter().map(|token| changed(token, at)).collect::<Vec<_>>());
    let mut times = [Vec::new(), Vec::new()];
    let mut order = 0x9e37_79b9_7f4a_7c15_u64;
    for call in 0..CALLS {
        // xorshift64: the order only has to be independent of the machine's own rhythms.
        order ^= order << 13;
        order ^= order >> 7;
        order ^= order << 17;
        let class = usize::from(order >> 63 == 1);
        let (Some(tokens), Some(times)) = (classes.get(class), times.get_mut(class)) else { continue };
        let time = refused(&kept, tokens.get(call % tokens.len()).unwrap());
        // The first calls are a warm-up.
        if call > CALLS / 20 {
            times.push(time);
        }
    }
    let [unknown, wrong] = &times;
    println!("| | calls | median µs |");
    println!("| --- | --- | --- |");
    for (what, times) in [("an unknown id", unknown), ("a wrong secret", wrong)] {
        println!("| {what} | {} | {:.2} |", times.len(), median(times.iter().copied()) / 1e3);
    }
    let longest = quantile(&mut times.concat(), KEPT);
    let [unknown, wrong] = times.map(|times| Moments::of(times.into_iter().filter(|time| *time <= longest)));
    let t = (unknown.mean - wrong.mean) / (unknown.squared_error() + wrong.squared_error()).sqrt();
    println!("* on average {:.0} ns apart", (unknown.mean - wrong.mean).abs());
    at_most("absolute value of Welch's t", &[t.abs()], CERTAIN);
}

fn refused(kept: &Kept, token: &str) -> f64 {
    let start = Instant::now();
    let verdict = kept.registry.verify_blocking(black_box(token));
    let time = start.elapsed();
    match verdict {
        Ok(Verdict::Rejected(rejection)) if rejection.reason == Reason::Unknown => time.as_secs_f64() * 1e9,
        other => panic!("{other:?}"),
    }
}

struct Moments {
    mean: f64,
    variance: f64,
    count: f64,
}

impl Moments {
    /// Computes the moments by Welford's method.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values {
            count += 1.0;
            let off = value - mean;
            mean += off / count;
            squares += off * (value - mean);
        }
        Self { mean, variance: squares / (count - 1.0), count }
    }

    fn squared_error(&self) -> f64 {
        self.variance / self.count
    }
}

//! Stored tokens: the cost of the lookup among few and among many records, and the overhead of the
//! sandbox.

use crate::kept::{FEW, HANDLER, ID, Kept, MANY, PREFIX, TOKENS, each_kind};
use crate::setup::{NOW, accepted};
use crate::stats::{at_most, median, nanos, spread};
use keyward_runtime::store::RecordStore;
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::thread;
use subtle::ConstantTimeEq;

const ROUNDS: usize = 41;
/// Length of a secret in characters.
const SECRET: usize = 43;

pub(crate) fn run() {
    println!("| store | native lookup µs | verify µs | ratio | two threads, one hot token: ratio to one |");
    println!("| --- | --- | --- | --- | --- |");
    for (what, ratios) in each_kind([FEW, MANY], sizes) {
        at_most(&format!("{what}: verify at {MANY} tokens, relative to {FEW}"), &ratios, 1.3);
    }
}

/// Measures a store with few and one with many records in turns, and returns how many times slower
/// the latter is.
fn sizes(what: &str, kept: [Kept; 2]) -> Vec<f64> {
    let mut rounds = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (kept, rounds) in kept.iter().zip(&mut rounds) {
            let native = each(kept, |token| kept.look_up(token));
            let verify = each(kept, |token| accepted(kept.registry.verify_blocking(black_box(token))));
            let hot = kept.hot();
            // The first round is a warm-up.
            if round > 0 {
                rounds.push((native, verify, hot));
            }
        }
    }
    for (records, rounds) in [FEW, MANY].iter().zip(&rounds) {
        println!(
            "| {what}, {records} tokens | {:.1} | {:.1} | **{}** | {} |",
            median(rounds.iter().map(|round| round.0)) / 1e3,
            median(rounds.iter().map(|round| round.1)) / 1e3,
            spread(&rounds.iter().map(|round| round.1 / round.0).collect::<Vec<_>>()),
            spread(&rounds.iter().map(|round| round.2).collect::<Vec<_>>()),
        );
    }
    let [few, many] = rounds;
    few.iter().zip(&many).map(|(few, many)| many.1 / few.1).collect()
}

/// Returns the nanoseconds per token.
fn each(kept: &Kept, mut ask: impl FnMut(&str)) -> f64 {
    let mut tokens = kept.tokens.iter().cycle();
    nanos(TOKENS, || ask(tokens.next().unwrap()))
}

impl Kept {
    /// Does the work of host and handler: splits id and secret, finds the record, compares the
    /// digest.
    fn look_up(&self, token: &str) {
        let rest = token.strip_prefix(PREFIX).unwrap();
        let (id, rest) = rest.split_at(ID);
        let presented = Sha256::digest(rest.get(..SECRET).unwrap());
        let stored = pollster::block_on(self.store.find(HANDLER, black_box(id))).unwrap().unwrap();
        assert!(bool::from(presented.as_slice().ct_eq(stored.digest.unwrap().bytes())));
        assert!(stored.record.ended.is_none() && stored.record.expires_at.is_none_or(|end| end >= NOW.whole()));
        black_box(stored.record.actor_id);
    }

    /// Returns how much slower a call is while another thread verifies the same token.
    fn hot(&self) -> f64 {
        let token = self.tokens.first().unwrap();
        let work = || nanos(TOKENS, || accepted(self.registry.verify_blocking(black_box(token))));
        let alone = work();
        let both = thread::scope(|scope| {
            let other = scope.spawn(work);
            (work() + other.join().unwrap()) / 2.0
        });
        both / alone
    }
}

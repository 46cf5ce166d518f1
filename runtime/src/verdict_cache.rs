//! A cache of accepting verdicts, each valid for the second in which the handler gave it.
//!
//! Every call gets a fresh instance. Unless it used randomness or records, or wrote to the log, its
//! only inputs were the token, its configuration and the time, so a second call in the same second
//! would return the same verdict. The host checks the expiry and the revocation list on every
//! lookup.
//!
//! Only a client that presents a valid token adds an entry, and only the [`TokenDigest`] is stored.

use crate::sync::{Arc, Mutex, PoisonError};
use crate::token::TokenDigest;
use std::collections::HashMap;

/// Number of shards, enough that threads rarely contend for a lock.
const SHARDS: usize = 16;

/// The cached verdicts of one handler in its current configuration.
pub(crate) struct VerdictCache<A> {
    /// Maximum size of a shard in bytes.
    max: usize,
    shards: [Mutex<Shard<A>>; SHARDS],
}

/// A part of the verdicts of one second.
struct Shard<A> {
    second: u64,
    bytes: usize,
    answers: HashMap<TokenDigest, Arc<A>>,
}

impl<A> VerdictCache<A> {
    /// Creates a cache of at most `bytes` bytes, divided evenly among [`SHARDS`].
    pub(crate) fn new(bytes: usize) -> Self {
        let empty = || Mutex::new(Shard { second: 0, bytes: 0, answers: HashMap::new() });
        Self { max: bytes / SHARDS, shards: std::array::from_fn(|_| empty()) }
    }

    /// Returns the verdict on `token` that was given in `second`, if it is cached.
    pub(crate) fn get(&self, token: &TokenDigest, second: u64) -> Option<Arc<A>> {
        let shard = self.shard(token)?.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.second == second { shard.answers.get(token).cloned() } else { None }
    }

    /// Caches the verdict of a call that started in `second` if `bytes` more fit. Drops the entries
    /// of every other second from the shard.
    pub(crate) fn keep(&self, token: TokenDigest, second: u64, bytes: usize, answer: impl FnOnce() -> Arc<A>) {
        if bytes > self.max {
            return;
        }
        let answer = answer();
        let Some(shard) = self.shard(&token) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = HashMap::new();
        if shard.second != second {
            gone = std::mem::take(&mut shard.answers);
            (shard.second, shard.bytes) = (second, 0);
        }
        let bytes = shard.bytes.saturating_add(bytes);
        if bytes <= self.max {
            shard.bytes = bytes;
            shard.answers.insert(token, answer);
        }
        // Free the dropped entries only after the lock is released.
        drop(shard);
        drop(gone);
    }

    fn shard(&self, token: &TokenDigest) -> Option<&Mutex<Shard<A>>> {
        let [first, ..] = token.bytes();
        self.shards.get(usize::from(*first) % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u8) -> TokenDigest {
        TokenDigest::new([number; 32])
    }

    /// Runs `work` under shuttle, because the locks in this build only work inside of it.
    fn run(work: fn()) {
        shuttle::check_dfs(work, None);
    }

    #[test]
    fn a_cached_verdict_is_bound_to_its_second_and_token() {
        run(by_second_and_token);
    }

    fn by_second_and_token() {
        let answers = VerdictCache::new(1 << 20);
        answers.keep(token(1), 100, 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), 100).as_deref(), Some(&"yes"));
        assert_eq!(answers.get(&token(1), 101), None);
        assert_eq!(answers.get(&token(1), 99), None);
        assert_eq!(answers.get(&token(17), 100), None, "same shard, other token");
        // The clock advances, then jumps back.
        answers.keep(token(17), 101, 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), 100), None);
        assert_eq!(answers.get(&token(1), 101), None);
        answers.keep(token(17), 50, 10, || Arc::new("again"));
        assert_eq!(answers.get(&token(17), 50).as_deref(), Some(&"again"));
        assert_eq!(answers.get(&token(17), 101), None);
    }

    #[test]
    fn the_size_is_bounded_and_freed_in_the_next_second() {
        run(bounded);
    }

    fn bounded() {
        let answers = VerdictCache::new(SHARDS * 100);
        for second in [1, 2] {
            answers.keep(token(0), second, 60, || Arc::new(()));
            answers.keep(token(16), second, 41, || Arc::new(()));
            answers.keep(token(32), second, 40, || Arc::new(()));
            let kept = [0, 16, 32].map(|number| answers.get(&token(number), second).is_some());
            assert_eq!(kept, [true, false, true]);
        }
        let none = VerdictCache::new(0);
        none.keep(token(0), 1, 1, || Arc::new(()));
        assert!(none.get(&token(0), 1).is_none());
    }
}

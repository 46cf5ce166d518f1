//! A cache of accepting verdicts, each valid for the [`Moment`] in which the handler gave it.
//!
//! Every call gets a fresh instance. Unless it used randomness or records, or wrote to the log, its
//! only inputs were the token, its configuration, the public keys and the time, so a second call in
//! the same moment would return the same verdict. The host checks the expiry and the revocation
//! list on every lookup.
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

/// A second, and the generation of the public keys that a handler can use. A verdict is only valid
/// as long as neither changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Moment {
    pub(crate) second: u64,
    pub(crate) generation: u64,
}

/// A part of the verdicts of one moment.
struct Shard<A> {
    moment: Moment,
    bytes: usize,
    answers: HashMap<TokenDigest, Arc<A>>,
}

impl<A> VerdictCache<A> {
    /// Creates a cache of at most `bytes` bytes, divided evenly among [`SHARDS`].
    pub(crate) fn new(bytes: usize) -> Self {
        let empty = || Mutex::new(Shard { moment: Moment::default(), bytes: 0, answers: HashMap::new() });
        Self { max: bytes / SHARDS, shards: std::array::from_fn(|_| empty()) }
    }

    /// Returns the verdict on `token` that was given in `moment`, if it is cached.
    pub(crate) fn get(&self, token: &TokenDigest, moment: Moment) -> Option<Arc<A>> {
        let shard = self.shard(token)?.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.moment == moment { shard.answers.get(token).cloned() } else { None }
    }

    /// Caches the verdict of a call that started in `moment` if `bytes` more fit. Drops the entries
    /// of every other moment from the shard.
    pub(crate) fn keep(&self, token: TokenDigest, moment: Moment, bytes: usize, answer: impl FnOnce() -> Arc<A>) {
        if bytes > self.max {
            return;
        }
        let answer = answer();
        let Some(shard) = self.shard(&token) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = HashMap::new();
        if shard.moment != moment {
            gone = std::mem::take(&mut shard.answers);
            (shard.moment, shard.bytes) = (moment, 0);
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

    fn at(second: u64) -> Moment {
        Moment { second, generation: 0 }
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
        answers.keep(token(1), at(100), 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), at(100)).as_deref(), Some(&"yes"));
        assert_eq!(answers.get(&token(1), at(101)), None);
        assert_eq!(answers.get(&token(1), at(99)), None);
        assert_eq!(answers.get(&token(17), at(100)), None, "same shard, other token");
        // The clock advances, then jumps back.
        answers.keep(token(17), at(101), 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), at(100)), None);
        assert_eq!(answers.get(&token(1), at(101)), None);
        answers.keep(token(17), at(50), 10, || Arc::new("again"));
        assert_eq!(answers.get(&token(17), at(50)).as_deref(), Some(&"again"));
        assert_eq!(answers.get(&token(17), at(101)), None);
    }

    #[test]
    fn a_cached_verdict_ends_with_the_keys() {
        run(by_generation);
    }

    fn by_generation() {
        let answers = VerdictCache::new(1 << 20);
        let at = |generation| Moment { second: 100, generation };
        answers.keep(token(1), at(1), 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), at(2)), None);
        answers.keep(token(2), at(2), 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(2), at(2)).as_deref(), Some(&"yes"));
        // A call that began before the keys changed.
        answers.keep(token(1), at(1), 10, || Arc::new("yes"));
        assert_eq!(answers.get(&token(1), at(2)), None);
    }

    #[test]
    fn the_size_is_bounded_and_freed_in_the_next_second() {
        run(bounded);
    }

    fn bounded() {
        let answers = VerdictCache::new(SHARDS * 100);
        for second in [1, 2] {
            answers.keep(token(0), at(second), 60, || Arc::new(()));
            answers.keep(token(16), at(second), 41, || Arc::new(()));
            answers.keep(token(32), at(second), 40, || Arc::new(()));
            let kept = [0, 16, 32].map(|number| answers.get(&token(number), at(second)).is_some());
            assert_eq!(kept, [true, false, true]);
        }
        let none = VerdictCache::new(0);
        none.keep(token(0), at(1), 1, || Arc::new(()));
        assert!(none.get(&token(0), at(1)).is_none());
    }
}

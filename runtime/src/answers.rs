//! Good answers, each kept for the rest of the second in which a handler gave it.
//!
//! Every call gets a fresh instance. Unless it asked for randomness or for records, or wrote to the log, all that it knew was
//! the token, its configuration and the time: asked again in the same second, it says the same. So it need not be asked. What
//! the host knows better than the handler (the end that the answer names, what has been revoked) is judged every time.
//!
//! Only who presents a good token puts an answer here, and of the token a digest is kept.

use crate::sync::{Arc, Mutex, PoisonError};
use crate::token::TokenDigest;
use std::collections::HashMap;

/// So that threads seldom wait for each other.
const SHARDS: usize = 16;

/// The answers of one handler in its present configuration.
pub(crate) struct Answers<A> {
    /// The most that a shard may keep, in bytes.
    most: usize,
    shards: [Mutex<Shard<A>>; SHARDS],
}

/// Some of the answers of one second.
struct Shard<A> {
    second: u64,
    bytes: usize,
    answers: HashMap<TokenDigest, Arc<A>>,
}

impl<A> Answers<A> {
    /// Room for that many bytes of answers.
    pub(crate) fn new(bytes: usize) -> Self {
        let empty = || Mutex::new(Shard { second: 0, bytes: 0, answers: HashMap::new() });
        Self { most: bytes / SHARDS, shards: std::array::from_fn(|_| empty()) }
    }

    /// The answer that was given in this second.
    pub(crate) fn get(&self, token: &TokenDigest, second: u64) -> Option<Arc<A>> {
        let shard = self.shard(token)?.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.second == second { shard.answers.get(token).cloned() } else { None }
    }

    /// Keeps an answer of some size that was given to a call that began in this second, if there is room. Those of any other
    /// second go.
    pub(crate) fn keep(&self, token: TokenDigest, second: u64, bytes: usize, answer: Arc<A>) {
        let Some(shard) = self.shard(&token) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = HashMap::new();
        if shard.second != second {
            gone = std::mem::take(&mut shard.answers);
            (shard.second, shard.bytes) = (second, 0);
        }
        let bytes = shard.bytes.saturating_add(bytes);
        if bytes <= self.most {
            shard.bytes = bytes;
            shard.answers.insert(token, answer);
        }
        // What is gone is freed when nobody waits for it.
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

    /// The locks are shuttle's here, which want to be asked from within.
    fn run(work: fn()) {
        shuttle::check_dfs(work, None);
    }

    #[test]
    fn an_answer_is_that_of_its_second_and_its_token() {
        run(by_second_and_token);
    }

    fn by_second_and_token() {
        let answers = Answers::new(1 << 20);
        answers.keep(token(1), 100, 10, Arc::new("yes"));
        assert_eq!(answers.get(&token(1), 100).as_deref(), Some(&"yes"));
        assert_eq!(answers.get(&token(1), 101), None);
        assert_eq!(answers.get(&token(1), 99), None);
        assert_eq!(answers.get(&token(17), 100), None, "of the same shard");
        // The clock goes on, and back.
        answers.keep(token(17), 101, 10, Arc::new("yes"));
        assert_eq!(answers.get(&token(1), 100), None);
        assert_eq!(answers.get(&token(1), 101), None);
        answers.keep(token(17), 50, 10, Arc::new("again"));
        assert_eq!(answers.get(&token(17), 50).as_deref(), Some(&"again"));
        assert_eq!(answers.get(&token(17), 101), None);
    }

    #[test]
    fn room_is_bounded_and_free_again_in_the_next_second() {
        run(bounded);
    }

    fn bounded() {
        let answers = Answers::new(SHARDS * 100);
        for second in [1, 2] {
            answers.keep(token(0), second, 60, Arc::new(()));
            answers.keep(token(16), second, 41, Arc::new(()));
            answers.keep(token(32), second, 40, Arc::new(()));
            let kept = [0, 16, 32].map(|number| answers.get(&token(number), second).is_some());
            assert_eq!(kept, [true, false, true]);
        }
        let none = Answers::new(0);
        none.keep(token(0), 1, 1, Arc::new(()));
        assert!(none.get(&token(0), 1).is_none());
    }
}

//! When tokens were last used: noted in memory, and written now and then, all of it at once. A verification never waits for
//! it, and a token that is used a thousand times a second is written once a minute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often what was noted is written.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(1);

/// For how long the time of a token that was written is not written again, in seconds.
const AT_MOST_EVERY: u64 = 60;

/// How many tokens are noted. Beyond that they are forgotten: what is noted is worth less than memory.
const MOST: usize = 100_000;

/// What was noted, by handler and id.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<(String, String), Noted>>);

struct Noted {
    at: u64,
    written: bool,
}

impl Uses {
    /// Notes that a token was used, unless that has been noted less than a minute ago.
    pub(crate) fn note(&self, handler: &str, id: &str, at: u64) {
        let mut noted = self.lock();
        let key = (handler.to_owned(), id.to_owned());
        match noted.get(&key) {
            Some(known) if at < known.at.saturating_add(AT_MOST_EVERY) => return,
            None if noted.len() >= MOST => return,
            _ => {}
        }
        noted.insert(key, Noted { at, written: false });
    }

    /// What has not been written yet; it counts as written from now on, unless [`again`](Self::again) is told otherwise. Forgets
    /// what was written more than a minute before the latest use, or all that was if there is little room left: the records say
    /// it too.
    pub(crate) fn take(&self) -> Vec<(String, String, u64)> {
        let mut noted = self.lock();
        let latest = noted.values().map(|noted| noted.at).max().unwrap_or(0);
        let is_crowded = noted.len() > MOST / 2;
        noted.retain(|_, noted| !noted.written || !is_crowded && latest < noted.at.saturating_add(AT_MOST_EVERY));
        let mut fresh = Vec::new();
        for ((handler, id), noted) in noted.iter_mut().filter(|(_, noted)| !noted.written) {
            noted.written = true;
            fresh.push((handler.clone(), id.clone(), noted.at));
        }
        fresh
    }

    /// What was taken could not be written: it is taken again, with whatever has been noted since.
    pub(crate) fn again(&self, taken: Vec<(String, String, u64)>) {
        let mut noted = self.lock();
        for (handler, id, at) in taken {
            if let Some(known) = noted.get_mut(&(handler, id))
                && known.at == at
            {
                known.written = false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uses: &Uses) -> Vec<(String, u64)> {
        let mut taken: Vec<_> = uses.take().into_iter().map(|(handler, id, at)| (handler + "/" + &id, at)).collect();
        taken.sort();
        taken
    }

    #[test]
    fn a_token_is_written_once_a_minute() {
        let uses = Uses::default();
        for at in 100..160 {
            uses.note("h", "a", at);
        }
        uses.note("h", "b", 159);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 100), ("h/b".to_owned(), 159)]);
        uses.note("h", "a", 159);
        assert_eq!(taken(&uses), []);
        uses.note("h", "a", 160);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 160)]);
        // Long ago, and of another handler.
        uses.note("i", "a", 10);
        assert_eq!(taken(&uses), [("i/a".to_owned(), 10)]);
    }

    #[test]
    fn what_could_not_be_written_is_taken_again() {
        let uses = Uses::default();
        uses.note("h", "a", 100);
        uses.note("h", "b", 100);
        let taken_first = uses.take();
        uses.note("h", "b", 160);
        uses.again(taken_first);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 100), ("h/b".to_owned(), 160)]);
        assert_eq!(taken(&uses), []);
    }

    #[test]
    fn what_is_noted_has_an_end() {
        let uses = Uses::default();
        for number in 0..=MOST {
            uses.note("h", &number.to_string(), 1_000);
        }
        assert_eq!(uses.take().len(), MOST);
        uses.note("h", "one more", 1_000);
        assert_eq!(taken(&uses), []);
        // Those that are written have made room.
        uses.note("h", "one more", 1_000);
        assert_eq!(taken(&uses), [("h/one more".to_owned(), 1_000)]);
        // And so has what nobody has used for a minute.
        uses.note("h", "1", 1_060);
        assert_eq!(taken(&uses), [("h/1".to_owned(), 1_060)]);
        assert_eq!(uses.lock().len(), 1);
    }
}

//! Times of last use: recorded in memory and written periodically in one transaction. A
//! verification never waits for it, and a token used a thousand times a second is written once a
//! minute.

use keyward_runtime::clock::UnixTime;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The interval at which recorded uses are written.
pub(crate) const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Minimum number of seconds between two writes for the same token.
const AT_MOST_EVERY: u64 = 60;

/// Maximum number of tokens in memory. Further uses are dropped: bounding memory matters more than
/// recording them.
const MOST: usize = 100_000;

/// The recorded uses, by handler and id.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<(String, String), Noted>>);

struct Noted {
    at: UnixTime,
    written: bool,
}

impl Uses {
    /// Records the use of a token, unless one was recorded less than a minute ago.
    pub(crate) fn note(&self, handler: &str, id: &str, at: UnixTime) {
        let mut noted = self.lock();
        let key = (handler.to_owned(), id.to_owned());
        match noted.get(&key) {
            Some(known) if at.seconds_since(known.at) < AT_MOST_EVERY => return,
            None if noted.len() >= MOST => return,
            _ => {}
        }
        noted.insert(key, Noted { at, written: false });
    }

    /// Returns the uses that have not been written, and marks them as written until
    /// [`again`](Self::again) is called with them. Removes written uses that are a minute older
    /// than the latest one, or all written ones if memory is scarce: the records contain them.
    pub(crate) fn take(&self) -> Vec<(String, String, UnixTime)> {
        let mut noted = self.lock();
        let latest = noted.values().map(|noted| noted.at).max().unwrap_or_default();
        let is_crowded = noted.len() > MOST / 2;
        noted.retain(|_, noted| !noted.written || !is_crowded && latest.seconds_since(noted.at) < AT_MOST_EVERY);
        let mut fresh = Vec::new();
        for ((handler, id), noted) in noted.iter_mut().filter(|(_, noted)| !noted.written) {
            noted.written = true;
            fresh.push((handler.clone(), id.clone(), noted.at));
        }
        fresh
    }

    /// Marks uses that could not be written as unwritten again, unless newer ones were recorded
    /// since.
    pub(crate) fn again(&self, taken: Vec<(String, String, UnixTime)>) {
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

    fn note(uses: &Uses, handler: &str, id: &str, at: u64) {
        uses.note(handler, id, UnixTime::from_seconds(at));
    }

    fn taken(uses: &Uses) -> Vec<(String, u64)> {
        let shown = |(handler, id, at): (String, String, UnixTime)| (handler + "/" + &id, at.seconds);
        let mut taken: Vec<_> = uses.take().into_iter().map(shown).collect();
        taken.sort();
        taken
    }

    #[test]
    fn a_token_is_written_once_a_minute() {
        let uses = Uses::default();
        for at in 100..160 {
            note(&uses, "h", "a", at);
        }
        note(&uses, "h", "b", 159);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 100), ("h/b".to_owned(), 159)]);
        note(&uses, "h", "a", 159);
        assert_eq!(taken(&uses), []);
        note(&uses, "h", "a", 160);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 160)]);
        // An older time, of another handler.
        note(&uses, "i", "a", 10);
        assert_eq!(taken(&uses), [("i/a".to_owned(), 10)]);
    }

    #[test]
    fn uses_that_could_not_be_written_are_retried() {
        let uses = Uses::default();
        note(&uses, "h", "a", 100);
        note(&uses, "h", "b", 100);
        let taken_first = uses.take();
        note(&uses, "h", "b", 160);
        uses.again(taken_first);
        assert_eq!(taken(&uses), [("h/a".to_owned(), 100), ("h/b".to_owned(), 160)]);
        assert_eq!(taken(&uses), []);
    }

    #[test]
    fn recorded_uses_are_bounded() {
        let uses = Uses::default();
        for number in 0..=MOST {
            note(&uses, "h", &number.to_string(), 1_000);
        }
        assert_eq!(uses.take().len(), MOST);
        note(&uses, "h", "one more", 1_000);
        assert_eq!(taken(&uses), []);
        // Written uses have made room.
        note(&uses, "h", "one more", 1_000);
        assert_eq!(taken(&uses), [("h/one more".to_owned(), 1_000)]);
        // So have uses older than a minute.
        note(&uses, "h", "1", 1_060);
        assert_eq!(taken(&uses), [("h/1".to_owned(), 1_060)]);
        assert_eq!(uses.lock().len(), 1);
    }
}

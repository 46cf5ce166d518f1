//! What several tests use.

use keyward_runtime::{Clock, UnixTime};
use std::cell::Cell;

/// The handlers that ship, as the program embeds them.
pub(crate) const SIGNED: &[u8] = keyward_cli::builtin::SIGNED;
pub(crate) const HARDCODED: &[u8] = keyward_cli::builtin::HARDCODED;

/// A clock that each test sets for its own thread. Calls read it on the thread that asks.
#[derive(Clone, Default)]
pub(crate) struct TestClock;

thread_local! {
    static NOW: Cell<Option<UnixTime>> = const { Cell::new(None) };
}

impl TestClock {
    pub(crate) fn set(&self, now: Option<UnixTime>) {
        NOW.set(now);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Option<UnixTime> {
        NOW.get()
    }
}

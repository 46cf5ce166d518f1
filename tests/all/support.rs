//! What several tests use.

use keyward_runtime::{Clock, UnixTime};
use std::cell::Cell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

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

/// What is logged on this thread while `work` runs.
pub(crate) fn captured_log(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

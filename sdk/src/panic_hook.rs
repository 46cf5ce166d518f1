//! Panic messages in the operator's log.

use std::fmt::Write as _;
use std::panic::{self, PanicHookInfo};

use crate::log::{self, Level};

/// Installs a hook that writes the text of a panic to the log before the call ends in a trap.
/// [`handler!`](crate::handler) calls it at the start of every call; it allocates nothing.
pub fn log() {
    panic::set_hook(Box::new(write));
}

fn write(panic: &PanicHookInfo<'_>) {
    let mut line = String::from("panicked");
    if let Some(place) = panic.location() {
        // Writing to a string cannot fail.
        let _ = write!(line, " at {}:{}", place.file(), place.line());
    }
    if let Some(message) = panic.payload_as_str() {
        line.push_str(": ");
        line.push_str(message);
    }
    log::write(Level::Error, &line);
}

#[cfg(test)]
mod tests {
    use crate::log::Level;
    use crate::testing::Host;

    #[test]
    fn a_panic_is_one_line_with_its_place_and_message() {
        let host = Host::new();
        let former = std::panic::take_hook();
        // Only this thread has a host: a concurrent panic of another test would find none, so it
        // keeps the former hook.
        let mine = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == mine { super::write(panic) } else { former(panic) }
        }));
        let line = line!() + 1;
        host.run(|| std::panic::catch_unwind(|| panic!("no {}", "luck")).unwrap_err());
        drop(std::panic::take_hook());
        let place = format!("panicked at {}:{line}: no luck", file!());
        assert_eq!(host.logged(), [(Level::Error, place)]);
    }
}

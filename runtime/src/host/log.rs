//! `keyward:handler/log`: messages of a handler in the operator's log, each bounded and on one
//! line.

use super::{Calls, State};
use crate::bindings::{Redactor, log};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The log lines of a call. Those of `create` are held back until the token is known that they must
/// not contain.
pub(crate) struct Lines {
    handler: Arc<str>,
    written: u32,
    of: u32,
    bytes: usize,
    held: Option<Vec<(log::Level, String)>>,
}

/// Maximum number of bytes of a held line. Held lines are longer than the emitted part, so that a
/// token in that part is complete and can be removed.
const HELD: usize = 16 << 10;

impl Lines {
    pub(crate) fn new(handler: Arc<str>, of: u32, bytes: usize) -> Self {
        Self { handler, written: 0, of, bytes, held: None }
    }

    /// Continues the count of an earlier instance in the same call.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        self.written = before.written.min(before.of);
    }

    /// Returns the number of dropped lines.
    pub(crate) fn dropped(&self) -> u32 {
        self.written.saturating_sub(self.of)
    }

    /// Holds lines back from now on.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Emits the held lines, without the issued token.
    pub(crate) fn release(&mut self, token: &str) {
        for (level, message) in self.held.take().unwrap_or_default() {
            self.emit(level, &message, token);
        }
    }

    fn write(&mut self, level: log::Level, message: String, token: &str) {
        self.written = self.written.saturating_add(1);
        if self.written > self.of {
            return;
        }
        match &mut self.held {
            Some(held) => {
                held.push((level, message.get(..message.floor_char_boundary(HELD)).unwrap_or_default().to_owned()))
            }
            None => self.emit(level, &message, token),
        }
    }

    fn emit(&self, level: log::Level, message: &str, token: &str) {
        let line = Redactor { max: self.bytes, token }.show(message);
        let handler = &*self.handler;
        match level {
            log::Level::Debug => tracing::debug!(target: "keyward::handler", handler, "{line}"),
            log::Level::Info => tracing::info!(target: "keyward::handler", handler, "{line}"),
            log::Level::Warn => tracing::warn!(target: "keyward::handler", handler, "{line}"),
            log::Level::Error => tracing::error!(target: "keyward::handler", handler, "{line}"),
        }
    }
}

/// Emits the held lines of a stopped call. No token was given away, so there is none to remove.
impl Drop for Lines {
    fn drop(&mut self) {
        self.release("");
    }
}

pub(crate) struct Log<'a> {
    calls: &'a mut Calls,
    lines: &'a mut Lines,
    token: &'a str,
}

struct HasLog;

impl HasData for HasLog {
    type Data<'a> = Log<'a>;
}

impl log::Host for Log<'_> {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        self.calls.enter(message.len())?;
        self.lines.write(level, message, self.token);
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    log::add_to_linker::<State, HasLog>(linker, |state| Log {
        calls: &mut state.calls,
        lines: &mut state.lines,
        token: &state.token,
    })
}

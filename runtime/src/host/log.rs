//! `keyward:handler/log`: a handler's words in the operator's log, bounded and on one line each.

use super::{Calls, State};
use crate::bindings::{Words, log};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The log lines of one call. Those of `create` are held back until it is known which token they must not show.
pub(crate) struct Lines {
    handler: Arc<str>,
    written: u32,
    of: u32,
    bytes: usize,
    held: Option<Vec<(log::Level, String)>>,
}

/// How much of a line is held back: more than is ever shown, so that a token in what is shown is still whole.
const HELD: usize = 16 << 10;

impl Lines {
    pub(crate) fn new(handler: Arc<str>, of: u32, bytes: usize) -> Self {
        Self { handler, written: 0, of, bytes, held: None }
    }

    /// Continues the account of another instance, which worked for the same caller.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        self.written = before.written.min(before.of);
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u32 {
        self.written.saturating_sub(self.of)
    }

    /// Holds lines back from now on.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Emits what was held back, without the token that was made.
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
        let line = Words { max: self.bytes, token }.show(message);
        let handler = &*self.handler;
        match level {
            log::Level::Debug => tracing::debug!(target: "keyward::handler", handler, "{line}"),
            log::Level::Info => tracing::info!(target: "keyward::handler", handler, "{line}"),
            log::Level::Warn => tracing::warn!(target: "keyward::handler", handler, "{line}"),
            log::Level::Error => tracing::error!(target: "keyward::handler", handler, "{line}"),
        }
    }
}

/// A call that was stopped made no token that anybody got.
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

struct Has;

impl HasData for Has {
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
    log::add_to_linker::<State, Has>(linker, |state| Log {
        calls: &mut state.calls,
        lines: &mut state.lines,
        token: &state.token,
    })
}

//! `keyward:handler/log`: a handler's words in the operator's log, bounded and on one line each.

use super::{Calls, State};
use crate::bindings::{Words, log};
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The log lines of one call.
pub(crate) struct Lines {
    written: u32,
    of: u32,
    bytes: usize,
}

impl Lines {
    pub(crate) fn new(of: u32, bytes: usize) -> Self {
        Self { written: 0, of, bytes }
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> u32 {
        self.written.saturating_sub(self.of)
    }
}

pub(crate) struct Log<'a> {
    calls: &'a mut Calls,
    lines: &'a mut Lines,
    handler: &'a str,
    token: &'a str,
}

struct Has;

impl HasData for Has {
    type Data<'a> = Log<'a>;
}

impl log::Host for Log<'_> {
    fn write(&mut self, level: log::Level, message: String) -> Result<()> {
        self.calls.enter()?;
        self.lines.written = self.lines.written.saturating_add(1);
        if self.lines.written > self.lines.of {
            return Ok(());
        }
        let line = Words { max: self.lines.bytes, token: self.token }.show(&message);
        let handler = self.handler;
        match level {
            log::Level::Debug => tracing::debug!(target: "keyward::handler", handler, "{line}"),
            log::Level::Info => tracing::info!(target: "keyward::handler", handler, "{line}"),
            log::Level::Warn => tracing::warn!(target: "keyward::handler", handler, "{line}"),
            log::Level::Error => tracing::error!(target: "keyward::handler", handler, "{line}"),
        }
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    log::add_to_linker::<State, Has>(linker, |state| Log {
        calls: &mut state.calls,
        lines: &mut state.lines,
        handler: &state.bound.name,
        token: &state.token,
    })
}

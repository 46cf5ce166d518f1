//! `keyward:handler/log`: messages of a handler in the operator's log, each bounded and on one
//! line.

use super::output::{Output, Outputs};
use super::{Linking, State};
use crate::bindings::Redactor;
use crate::bindings::log::Level;
use crate::grants::BoundGrants;
use std::sync::Arc;
use wasmtime::component::WasmStr;
use wasmtime::{Result, StoreContextMut};

/// The log lines of a call. Those of `create` are held back until the token is known that they must
/// not contain, those of a direct call until it is known that it need not run again.
pub(crate) struct Lines {
    bound: Arc<BoundGrants>,
    written: u32,
    of: u32,
    /// Lines that were dropped before they were written.
    dropped: u32,
    bytes: usize,
    held: Option<Vec<(Level, String)>>,
    /// The token that lines must not contain; empty in `create` until it is known.
    token: Arc<str>,
    /// The values of a session, which lines must not contain either.
    values: Vec<Arc<str>>,
    /// Number of dropped lines that were reported.
    reported: u32,
    /// The output of the guest by WASI; `None` if it has not used WASI.
    outputs: Option<Outputs>,
}

/// Maximum number of bytes of a held line. Held lines are longer than the emitted part, so that a
/// token in that part is complete and can be removed.
const HELD: usize = 16 << 10;

impl Lines {
    pub(crate) fn new(bound: Arc<BoundGrants>, of: u32, bytes: usize, token: Arc<str>) -> Self {
        Self {
            bound,
            written: 0,
            of,
            dropped: 0,
            bytes,
            held: None,
            token,
            values: Vec::new(),
            reported: 0,
            outputs: None,
        }
    }

    /// Returns the number of lines that were dropped since this was called last.
    pub(crate) fn newly_dropped(&mut self) -> u32 {
        let dropped = self.written.saturating_sub(self.of).saturating_add(self.dropped);
        let reported = std::mem::replace(&mut self.reported, dropped);
        dropped.saturating_sub(reported)
    }

    /// Returns the outputs of the guest, which are flushed into these lines.
    pub(super) fn outputs(&mut self) -> Outputs {
        self.outputs.get_or_insert_default().clone()
    }

    /// Adds the lines of the guest's output, of a stopped call only those that it ended. Returns
    /// `false` if there is none.
    pub(crate) fn flush(&mut self, is_stopped: bool) -> bool {
        let Some(Outputs { stdout, stderr }) = self.outputs.clone() else { return false };
        // The errors first, so that the output leaves them some of the lines.
        let failed = self.flush_as(Level::Warn, &stderr, is_stopped);
        self.flush_as(Level::Info, &stdout, is_stopped) || failed
    }

    fn flush_as(&mut self, level: Level, output: &Output, is_stopped: bool) -> bool {
        let kept = output.take();
        if kept.is_empty() {
            return false;
        }
        self.drop_lines(usize::from(kept.is_cut));
        let text = kept.into_text(is_stopped);
        let written: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        // The last lines are those of a panic.
        let (dropped, shown) = written.split_at(written.len().saturating_sub(self.left()));
        shown.iter().for_each(|line| self.write(level, (*line).to_owned()));
        self.drop_lines(dropped.len());
        true
    }

    /// Returns the number of lines that may still be written.
    fn left(&self) -> usize {
        self.of.saturating_sub(self.written) as usize
    }

    /// Counts lines that are not written.
    fn drop_lines(&mut self, count: usize) {
        self.dropped = self.dropped.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Holds lines back from now on.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Sets the token that lines must not contain.
    pub(crate) fn redact(&mut self, token: Arc<str>) {
        self.token = token;
    }

    /// Sets the values of a session that lines must not contain.
    pub(crate) fn redact_values(&mut self, values: Vec<Arc<str>>) {
        self.values = values;
    }

    /// Discards the held lines, and those that were dropped: the call runs again.
    pub(crate) fn discard(&mut self) {
        (self.held, self.written, self.dropped, self.reported) = (None, 0, 0, 0);
    }

    /// Emits the held lines, without the token.
    pub(crate) fn release(&mut self) {
        for (level, message) in self.held.take().unwrap_or_default() {
            self.emit(level, &message);
        }
    }

    pub(super) fn write(&mut self, level: Level, message: String) {
        self.written = self.written.saturating_add(1);
        if self.written > self.of {
            return;
        }
        match &mut self.held {
            Some(held) => {
                held.push((level, message.get(..message.floor_char_boundary(HELD)).unwrap_or_default().to_owned()))
            }
            None => self.emit(level, &message),
        }
    }

    fn emit(&self, level: Level, message: &str) {
        let redactions = &self.bound.counters.redactions;
        let line = Redactor { max: self.bytes, token: &self.token, values: &self.values, redactions }.show(message);
        let handler = &*self.bound.name;
        match level {
            Level::Debug => tracing::debug!(target: "keyward::handler", handler, "{line}"),
            Level::Info => tracing::info!(target: "keyward::handler", handler, "{line}"),
            Level::Warn => tracing::warn!(target: "keyward::handler", handler, "{line}"),
            Level::Error => tracing::error!(target: "keyward::handler", handler, "{line}"),
        }
    }
}

/// Emits the output and the held lines of a stopped call. A new token was not issued, so it need
/// not be removed.
impl Drop for Lines {
    fn drop(&mut self) {
        self.flush(true);
        self.release();
    }
}

fn write(mut store: StoreContextMut<'_, State>, (level, message): (Level, WasmStr)) -> Result<()> {
    let message = message.to_str(&store)?.into_owned();
    let State { calls, lines, .. } = store.data_mut();
    calls.enter(message.len())?;
    lines.write(level, message);
    Ok(())
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("log")?.changing("write", write)
}

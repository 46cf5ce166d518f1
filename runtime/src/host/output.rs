//! The output of a guest by WASI, of which the end is kept for the handler's log.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The output and the errors of a guest. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Outputs {
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// The output or the errors of a guest.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Kept>>);

/// The end of an output, of at most [`Kept::MAX`] bytes.
#[derive(Default)]
pub(super) struct Kept {
    bytes: VecDeque<u8>,
    /// Set if the beginning was dropped.
    pub(super) is_cut: bool,
}

impl Kept {
    const MAX: usize = 16 << 10;

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn add(&mut self, bytes: &[u8]) {
        let start = bytes.len().saturating_sub(Self::MAX);
        self.bytes.extend(bytes.get(start..).unwrap_or_default());
        let excess = self.bytes.len().saturating_sub(Self::MAX);
        self.bytes.drain(..excess);
        self.is_cut |= start > 0 || excess > 0;
    }

    /// Returns the lines. The first of a cut output and the last of a stopped call are left out:
    /// they may be parts of a token, which nothing recognizes.
    pub(super) fn into_text(self, is_stopped: bool) -> String {
        let bytes = Vec::from(self.bytes);
        let cut = self.is_cut.then(|| bytes.iter().position(|byte| *byte == b'\n'));
        let start = match cut {
            None => 0,
            Some(end_of_line) => end_of_line.unwrap_or(bytes.len()),
        };
        let lines = bytes.get(start..).unwrap_or_default();
        let end = if is_stopped { lines.iter().rposition(|byte| *byte == b'\n').unwrap_or(0) } else { lines.len() };
        String::from_utf8_lossy(lines.get(..end).unwrap_or_default()).into_owned()
    }
}

impl Output {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was written up to now.
    pub(super) fn take(&self) -> Kept {
        std::mem::take(&mut *self.kept())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Used by WASI 0.3 only.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    /// Keeps the last bytes. It never fails, because runtimes end with a panic if it does.
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.kept().add(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(Kept::MAX)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

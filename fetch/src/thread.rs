//! The thread of all requests.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Maximum number of names that are looked up at once. Each blocks a thread.
const LOOKUPS: usize = 64;

/// The runtime, present until it is dropped.
pub(crate) struct Thread(Option<Runtime>);

impl Thread {
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(LOOKUPS).thread_name("keyward-fetch").enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    /// Returns a handle to spawn with, or `None` while the thread ends.
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Does not wait for a look-up that hangs.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

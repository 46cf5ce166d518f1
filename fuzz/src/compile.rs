//! Loading of components: random bytes through the shape check and the compile
//! worker.

use keyward_runtime::compile::WorkerLimits;
use keyward_runtime::{LoadError, Runtime};
use keyward_tests::{bombs, cli};
use std::sync::LazyLock;
use std::time::Duration;

static WITHOUT_WORKER: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// With low limits, so that an input takes a second at most.
static WITH_WORKER: LazyLock<Runtime> = LazyLock::new(|| {
    let limits = WorkerLimits { memory_bytes: 256 << 20, cpu: Duration::from_secs(1), ..WorkerLimits::default() };
    Runtime::builder().worker_within(cli::keyward(), limits).build().unwrap()
});

/// Checks the shape of the bytes: they are refused with a one-line error, or are ready to be
/// compiled, for which this runtime has no compiler.
pub fn shape(data: &[u8]) {
    let error = WITHOUT_WORKER.inspect(data).unwrap_err();
    is_one_line(&error);
    assert!(!["runtime", "compile-worker", "compile-limit"].contains(&error.code()), "{error}");
}

/// Compiles the bytes in a worker: they are valid, are refused in one line, or exceed a limit.
/// The worker never fails otherwise.
pub fn worker(data: &[u8]) {
    if let Err(error) = WITH_WORKER.inspect(data) {
        is_one_line(&error);
        assert!(!["runtime", "compile-worker", "no-compiler"].contains(&error.code()), "{error}");
    }
}

pub(crate) fn is_one_line(error: &LoadError) {
    let text = error.to_string();
    assert!(!text.contains(char::is_control) && text.len() < 2_000, "{text}");
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let bombs = bombs::all().into_iter().map(|bomb| bomb.bytes).filter(|bytes| bytes.len() < 40_000);
    crate::components::seeds().into_iter().chain(bombs).collect()
}

//! The output of the compiler: machine code, or the error of a component that it refused.

use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::escape_untrusted;

/// Machine code from the compiler. Created only by the modules of [`compile`](crate::compile).
pub(crate) struct Compiled(Vec<u8>);

impl Compiled {
    pub(super) fn new(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn panicked() -> LoadError {
    LoadError::new(LoadErrorKind::Invalid, "the component makes the compiler panic, so it is refused")
}

/// Returns the error of a component that the compiler has refused with this text.
pub(super) fn refused(text: &str) -> LoadError {
    let shown = escape_untrusted(text, 500);
    if text.contains("pooling allocator") {
        let text = format!("the component does not fit into a slot: {shown}: merge its modules, or make it smaller");
        LoadError::new(LoadErrorKind::TooComplex, text)
    } else {
        let text = format!(
            "the component does not compile: {shown}: build it with current tools, for WebAssembly 2.0 without proposals"
        );
        LoadError::new(LoadErrorKind::Invalid, text)
    }
}

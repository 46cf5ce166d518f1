//! Bounds on the parts of a component, and the errors of one that exceeds them.

use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::escape_untrusted;
use std::fmt;

/// The sum of a kind of part over a component and all of its modules, and its maximum.
#[derive(Debug)]
pub(super) struct Total {
    count: u64,
    max: u64,
    unit: &'static str,
    remedy: &'static str,
}

impl Total {
    pub(super) const fn new(max: u64, unit: &'static str, remedy: &'static str) -> Self {
        Self { count: 0, max, unit, remedy }
    }

    /// Adds to the sum.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the sum exceeds the maximum.
    pub(super) fn add(&mut self, count: u64) -> Result<(), LoadError> {
        self.count = self.count.saturating_add(count);
        bounded(self.count, self.max, self.unit, self.remedy)
    }
}

/// Returns a [`LoadError`] if `has` exceeds `of`.
pub(super) fn bounded<T: PartialOrd + fmt::Display>(has: T, of: T, unit: &str, remedy: &str) -> Result<(), LoadError> {
    if has > of { Err(too_complex(&format!("has {has} {unit}, more than the {of} allowed: {remedy}"))) } else { Ok(()) }
}

pub(super) fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::new(
        LoadErrorKind::Invalid,
        format!("the component is damaged: {}", escape_untrusted(&error.to_string(), 300)),
    )
}

pub(super) fn too_complex(what: &str) -> LoadError {
    LoadError::new(LoadErrorKind::TooComplex, format!("the component {what}"))
}

//! The failure of a store.

use crate::sanitize::escape_untrusted;
use std::fmt;
use std::sync::Arc;

/// A failure of a store or a [`Query`](crate::query::Query). The requested change may or may not
/// have been applied.
#[derive(Debug, Clone)]
pub struct StoreError {
    text: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// Creates an error from a short description for the operator, without a secret, a digest or
    /// the text of a token. A database's message is escaped and truncated here.
    pub fn new(what: impl AsRef<str>) -> Self {
        Self { text: escape_untrusted(what.as_ref(), 1_000), source: None }
    }

    /// Names the query that failed.
    pub(crate) fn in_query(self, label: &str) -> Self {
        Self { text: format!("the query `{label}`: {}", self.text), ..self }
    }

    /// Adds the cause, which [`source`](std::error::Error::source) returns. Unlike the description,
    /// it is neither escaped nor written to a log here.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

/// Compares the descriptions.
impl PartialEq for StoreError {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoreError {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

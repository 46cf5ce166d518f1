//! The error of invalid settings.

/// The error of a value that is not valid in a [`Config`](crate::Config). Its text continues a
/// sentence that begins with the setting's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

impl InvalidValue {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

//! The bytes of a component, and whether they are foreign.

use keyward_handlers::BuiltIn;
use std::fmt;
use std::sync::Arc;

/// The component of a handler: foreign bytes, or a [`BuiltIn`] of `keyward-handlers`. Clones share
/// the bytes.
///
/// Foreign bytes are compiled by the compile worker only, see
/// [`RuntimeBuilder::worker`](crate::runtime::RuntimeBuilder::worker).
#[derive(Clone)]
pub struct Component(Source);

#[derive(Clone)]
enum Source {
    Foreign(Arc<Vec<u8>>),
    BuiltIn(BuiltIn),
}

impl Component {
    /// Returns the bytes of the component.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Source::Foreign(bytes) => bytes,
            Source::BuiltIn(handler) => handler.component(),
        }
    }

    /// Returns the built-in handler, or `None` if the bytes are foreign.
    pub fn built_in(&self) -> Option<&BuiltIn> {
        match &self.0 {
            Source::Foreign(_) => None,
            Source::BuiltIn(handler) => Some(handler),
        }
    }
}

impl From<Vec<u8>> for Component {
    fn from(bytes: Vec<u8>) -> Self {
        // Not `Arc<[u8]>`, which would copy the bytes.
        Self(Source::Foreign(Arc::new(bytes)))
    }
}

impl From<&[u8]> for Component {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<BuiltIn> for Component {
    fn from(handler: BuiltIn) -> Self {
        Self(Source::BuiltIn(handler))
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Foreign(bytes) => write!(f, "Component({} bytes)", bytes.len()),
            Source::BuiltIn(handler) => write!(f, "Component({handler:?})"),
        }
    }
}

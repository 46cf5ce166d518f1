//! The built-in token handlers of Keyward, as WebAssembly components for `keyward-runtime`.
//!
//! ```
//! let signed = keyward_handlers::SIGNED;
//! assert!(signed.component.starts_with(b"\0asm"));
//! assert_eq!(keyward_handlers::named("signed"), Some(&signed));
//! ```
//!
//! | name | tokens |
//! | --- | --- |
//! | `signed` | Datasette's signed tokens, or the same with HMAC-SHA-256 |
//! | `hardcoded` | Secrets from the configuration |
//! | `stored` | Opaque tokens with a record in a store |
//! | `hypothesis` | The developer tokens of hypothesis/h |
//! | `auth-tokens` | The managed tokens of datasette-auth-tokens |
//! | `query` | Tokens in a table of the operator's database |
//!
//! The components are built from the sources of this version with a fixed toolchain, and paths of
//! the building machine are not part of them.

#![no_std]

use core::fmt;

include!("../components/table.rs");

/// A built-in handler.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuiltIn {
    /// The name, such as `signed`.
    pub name: &'static str,
    /// The bytes of the component.
    pub component: &'static [u8],
    /// The SHA-256 of the component.
    pub sha256: [u8; 32],
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltIn").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns the handler with this name, or `None` if there is none.
pub fn named(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|handler| handler.name == name)
}

/// Returns the handler with this component, or `None` if the component is not a built-in one. Only
/// these are reviewed together with the runtime, so that their token ids and issue times can be
/// trusted.
pub fn with_component(component: &[u8]) -> Option<&'static BuiltIn> {
    ALL.iter().find(|handler| handler.component == component)
}

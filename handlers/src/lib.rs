//! The built-in token handlers of Keyward, as WebAssembly components for `keyward-runtime`.
//!
//! ```
//! let signed = keyward_handlers::SIGNED;
//! assert!(signed.component().starts_with(b"\0asm"));
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
//! | `jwt` | JSON Web Tokens, also of other issuers |
//! | `session` | No tokens: identifies the users of a site by their cookies |
//!
//! [`CANARY`] is none of them: with it, a runtime proves that its sandbox holds.
//!
//! The components are built from the sources of this version with a fixed toolchain, and paths of
//! the building machine are not part of them.
//!
//! With the feature `compiled` (off by default), the build script also compiles them to machine
//! code, which any processor of the target architecture runs. A program then compiles nothing when
//! it starts. The feature makes wasmtime, with its compiler, a dependency of the build.

#![no_std]

use core::fmt;

/// Includes the machine code of a handler, which is empty if there is none.
#[cfg(feature = "compiled")]
macro_rules! code {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".cwasm"))
    };
}
#[cfg(not(feature = "compiled"))]
macro_rules! code {
    ($name:literal) => {
        b""
    };
}

include!("../components/table.rs");

/// A built-in handler, reviewed together with the runtime.
///
/// The runtime trusts it: it compiles the component in its own process and runs
/// [`code`](Self::code). Constants of this crate are the only values, apart from those that
/// [`dangerous_new`](Self::dangerous_new) creates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    name: &'static str,
    component: &'static [u8],
    sha256: [u8; 32],
    code: &'static [u8],
}

impl BuiltIn {
    /// Creates a handler that the runtime trusts like those of this crate, from a component and its
    /// SHA-256.
    ///
    /// Use it only for components of your own: the runtime compiles this one outside of the cage of
    /// the compile worker, and believes the token ids and issue times that it reports.
    pub const fn dangerous_new(name: &'static str, component: &'static [u8], sha256: [u8; 32]) -> Self {
        Self { name, component, sha256, code: b"" }
    }

    /// Returns the name, such as `signed`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the bytes of the component.
    pub const fn component(&self) -> &'static [u8] {
        self.component
    }

    /// Returns the SHA-256 of the component.
    pub const fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Returns the component's machine code, or `None` without the feature `compiled` or if the
    /// compiler does not support the target.
    pub const fn code(&self) -> Option<&'static [u8]> {
        if self.code.is_empty() { None } else { Some(self.code) }
    }
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

/// Returns the handler with this component, or `None` if the component is not a built-in one.
pub fn with_component(component: &[u8]) -> Option<&'static BuiltIn> {
    ALL.iter().find(|handler| handler.component == component)
}

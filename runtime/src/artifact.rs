//! Machine code that this process may run. The one module with unsafe code.

use crate::compile::cache::Unsealed;
use crate::compile::output::Compiled;
use keyward_handlers::BuiltIn;
use std::borrow::Cow;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The sources of machine code. Each holds a type that only the module named here creates.
pub(crate) enum Origin {
    /// A part of this program, from `keyward-handlers`.
    BuiltIn(BuiltIn),
    /// The output of the compiler, from [`compile::output`](crate::compile::output).
    Compiler(Compiled),
    /// An entry with a valid authentication code, from [`compile::cache`](crate::compile::cache).
    Cache(Unsealed),
}

/// Machine code that Keyward's own compiler has produced, unchanged since. Created only by
/// [`AuthenticArtifact::of`].
pub(crate) struct AuthenticArtifact(Cow<'static, [u8]>);

impl AuthenticArtifact {
    /// Returns the machine code from a source, or `None` if the built-in handler has none.
    pub(crate) fn of(origin: Origin) -> Option<Self> {
        Some(Self(match origin {
            Origin::BuiltIn(handler) => Cow::Borrowed(handler.code()?),
            Origin::Compiler(compiled) => Cow::Owned(compiled.into_bytes()),
            Origin::Cache(entry) => Cow::Owned(entry.into_bytes()),
        }))
    }

    /// Maps the code into memory for `engine`.
    ///
    /// # Errors
    /// The code was compiled for another version, other settings or another processor, or needs
    /// more than the engine has in a slot.
    #[expect(
        unsafe_code,
        reason = "an `AuthenticArtifact` is unchanged output of the compiler, as `deserialize` requires"
    )]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: see the type, which only `of` creates, from the three types that `Origin` lists.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

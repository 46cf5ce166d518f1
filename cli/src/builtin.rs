//! Built-in handlers. `BUILTIN_HANDLERS` of `keyward-componentize` lists them, and the build script
//! writes the constants and the table.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// A built-in handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) component: &'static [u8],
}

/// The prefix that distinguishes the name of a built-in handler from a path.
const SCHEME: &str = "builtin:";

/// Names of built-in handlers that have been replaced, with the current ones.
const RENAMED: &[(&str, &str)] = &[("opaque", "hypothesis"), ("dsatok", "auth-tokens")];

/// Returns whether bytes are the component of a built-in handler, even if they come from a file.
pub(crate) fn is_builtin(component: &[u8]) -> bool {
    ALL.iter().any(|builtin| builtin.component == component)
}

impl Builtin {
    /// Parses `builtin:NAME`. Returns `None` for a path.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such handler. The message lists the built-in ones.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        let name = text.strip_prefix(SCHEME)?;
        Some(ALL.into_iter().find(|builtin| builtin.name == name).ok_or_else(|| {
            if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
                return format!("`{text}` is now called `{SCHEME}{new}`; rename it");
            }
            let known: Vec<_> = ALL.iter().map(|builtin| format!("`{SCHEME}{}`", builtin.name)).collect();
            format!("unknown built-in handler `{text}`; use one of {}", known.join(", "))
        }))
    }

    /// Returns whether the handler's tokens end with a checksum.
    pub(crate) fn has_checksum(self) -> bool {
        self.component == STORED
    }
}

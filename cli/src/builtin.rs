//! Built-in handlers, by the names that the configuration gives them.

use keyward_handlers::{ALL, BuiltIn, STORED, named, with_component};
use keyward_runtime::component::Component;

/// The prefix that distinguishes the name of a built-in handler from a path.
const SCHEME: &str = "builtin:";

/// Names of built-in handlers that have been replaced, with the current ones.
const RENAMED: &[(&str, &str)] = &[("opaque", "hypothesis"), ("dsatok", "auth-tokens")];

/// Parses `builtin:NAME`. Returns `None` for a path.
///
/// # Errors
///
/// Returns an error if there is no such handler. The message lists the built-in ones.
pub(crate) fn parse(text: &str) -> Option<Result<&'static BuiltIn, String>> {
    let name = text.strip_prefix(SCHEME)?;
    Some(named(name).ok_or_else(|| {
        if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
            return format!("`{text}` is now called `{SCHEME}{new}`; rename it");
        }
        let known: Vec<_> = ALL.iter().map(|builtin| format!("`{SCHEME}{}`", builtin.name())).collect();
        format!("unknown built-in handler `{text}`; use one of {}", known.join(", "))
    }))
}

/// Returns the component with these bytes: the built-in one, or else a foreign one.
pub(crate) fn or_foreign(bytes: Vec<u8>) -> Component {
    match with_component(&bytes) {
        Some(builtin) => (*builtin).into(),
        None => bytes.into(),
    }
}

/// Returns whether the handler's tokens end with a checksum.
pub(crate) fn has_checksum(builtin: &BuiltIn) -> bool {
    builtin.component() == STORED.component()
}

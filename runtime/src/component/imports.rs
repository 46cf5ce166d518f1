//! The interfaces that a component may import, and their version.

use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::{MAX_NAME, escape_untrusted};

/// The package that this host supports.
const PACKAGE: &str = "keyward:handler/";
/// The version of [`PACKAGE`] that this host supports.
const VERSION: &str = "0.1.0";

/// Returns the interface of an import, such as `keys`.
///
/// # Errors
/// Returns a [`LoadError`] if this host does not provide the interface.
pub(super) fn interface(name: &str) -> Result<&str, LoadError> {
    let shown = escape_untrusted(name, MAX_NAME);
    if name.starts_with("wasi:") {
        return Err(LoadError::new(
            LoadErrorKind::WasiImport,
            format!(
                "the component imports `{shown}`, but WASI is not available: build it without WASI (in Rust, for \
                 `wasm32-unknown-unknown`; in Python, with `componentize-py componentize --stub-wasi`; in JavaScript, \
                 with `jco componentize --disable all`)"
            ),
        ));
    }
    let Some((interface, version)) = split(name).filter(|(interface, _)| provided().any(|known| known == *interface))
    else {
        return Err(LoadError::new(
            LoadErrorKind::UnknownImport,
            format!(
                "the component imports `{shown}`, which this host does not provide; it provides {}",
                provided().collect::<Vec<_>>().join(", ")
            ),
        ));
    };
    check_version(&shown, version)?;
    Ok(interface)
}

/// Returns the interfaces that this host provides: those that the world in the contract imports.
fn provided() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../../wit/world.wit").lines();
    lines.filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
}

/// Splits `keyward:handler/INTERFACE@VERSION` into interface and version. `None` if the package is
/// another.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.strip_prefix(PACKAGE)?;
    Some(name.split_once('@').unwrap_or((name, "")))
}

/// Refuses a version of the contract other than that of this host.
pub(super) fn check_version(shown: &str, version: &str) -> Result<(), LoadError> {
    if version == VERSION {
        return Ok(());
    }
    Err(LoadError::new(
        LoadErrorKind::OtherVersion,
        format!(
            "the component uses `{shown}`, but this host supports version {VERSION}: build it against that version of `wit/`"
        ),
    ))
}

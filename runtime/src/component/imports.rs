//! The interfaces that a component may import, and their version.

use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::{MAX_NAME, escape_untrusted};

/// The package that this host supports.
const PACKAGE: &str = "keyward:handler/";
/// The version of [`PACKAGE`] that this host supports.
const VERSION: &str = "0.1.0";

/// The interfaces of WASI that `host::wasi` provides, without their versions.
const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// An interface that a component imports.
pub(super) enum Import<'a> {
    /// An interface of this project, such as `keys`.
    Own(&'a str),
    /// An interface of WASI 0.2, such as `wasi:cli/stdout`.
    Wasi(&'a str),
}

/// Returns the interface of an import.
///
/// # Errors
/// Returns a [`LoadError`] if this host does not provide the interface.
pub(super) fn interface(name: &str) -> Result<Import<'_>, LoadError> {
    let shown = escape_untrusted(name, MAX_NAME);
    if name.starts_with("wasi:") {
        let (interface, version) = name.split_once('@').unwrap_or((name, ""));
        if WASI.contains(&interface) && version.starts_with("0.2.") {
            return Ok(Import::Wasi(interface));
        }
        return Err(refused(&shown, interface, version));
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
    Ok(Import::Own(interface))
}

/// Returns the error for an interface of WASI that is never provided, with a way to build without
/// it.
fn refused(shown: &str, interface: &str, version: &str) -> LoadError {
    let remedy = if interface.starts_with("wasi:http/") {
        "handlers request URLs with `keyward:handler/http`; in JavaScript, build with `componentize-js -d http \
         fetch-event`"
    } else if version.starts_with("0.3.") {
        "this host provides WASI 0.2: build without asynchronous WASI; with QuickJS, use \
         `--backend-qjs-disable-async`"
    } else {
        "this host provides the clocks, random, io and cli packages of WASI 0.2, and empty file systems and sockets: \
         build the component without this interface"
    };
    LoadError::new(
        LoadErrorKind::WasiImport,
        format!("the component imports `{shown}`, which is not available: {remedy}"),
    )
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

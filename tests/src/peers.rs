//! Third-party programs that Keyward is tested with: proxies, clients, Datasette.
//!
//! `cargo xtask peers` installs those that it can.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Folders of server programs on Debian, which may be missing from `PATH`.
const SERVERS: &[&str] = &["/usr/sbin", "/usr/local/sbin"];

/// Returns the path of a program, from the folder of `cargo xtask peers`, `PATH` or `SERVERS`.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [folder().join("venv/bin")].into_iter().chain(env::split_paths(&path));
    folders.chain(SERVERS.iter().map(PathBuf::from)).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Returns a Python that has this package, such as `authlib`.
#[must_use]
pub fn python_with(package: &str) -> Option<PathBuf> {
    let venv = folder().join("venv");
    let has = |library: &Path| library.join("site-packages").join(package).is_dir();
    let libraries = venv.join("lib").read_dir().ok()?;
    libraries.flatten().any(|library| has(&library.path())).then(|| venv.join("bin/python"))
}

/// Returns the folder of a Node.js package, such as `oauth4webapi`.
#[must_use]
pub fn node_package(package: &str) -> Option<PathBuf> {
    Some(folder().join("node_modules").join(package)).filter(|folder| folder.is_dir())
}

/// Returns the packages of the template of TypeScript.
#[must_use]
pub fn template_packages() -> Option<PathBuf> {
    Some(folder().join("template-ts/node_modules")).filter(|folder| folder.is_dir())
}

/// Reports on standard error, bypassing the tests' output capture, that a test is skipped, and why.
///
/// # Panics
///
/// Panics if `KEYWARD_REQUIRE_PROXIES` is set, as it is in CI.
pub fn skip(what: &str, why: &str) {
    assert!(!is_required(), "{what}: {why}. `cargo xtask peers` installs it, as root on Debian");
    // There is no other way to report it.
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
}

/// Returns whether a missing program is a failure.
#[must_use]
pub fn is_required() -> bool {
    env::var_os("KEYWARD_REQUIRE_PROXIES").is_some_and(|value| value != "0")
}

/// Returns the folder into which `cargo xtask peers` installs without changing the system.
fn folder() -> PathBuf {
    // This test is TARGET/PROFILE/deps/NAME.
    let test = env::current_exe().unwrap_or_default();
    test.ancestors().nth(3).unwrap_or_else(|| Path::new(".")).join("peers")
}

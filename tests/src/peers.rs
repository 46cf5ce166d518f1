//! Programs of others that Keyward is tried with: proxies, clients, Datasette. `cargo xtask peers` installs what it can.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where Debian keeps servers; not on everybody's `PATH`.
const SERVERS: &[&str] = &["/usr/sbin", "/usr/local/sbin"];

/// A program: of the peers' own folder, of `PATH`, or of where servers are.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [folder().join("venv/bin")].into_iter().chain(env::split_paths(&path));
    folders.chain(SERVERS.iter().map(PathBuf::from)).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A Python that has this package, such as `authlib`.
#[must_use]
pub fn python_with(package: &str) -> Option<PathBuf> {
    let venv = folder().join("venv");
    let has = |library: &Path| library.join("site-packages").join(package).is_dir();
    let libraries = venv.join("lib").read_dir().ok()?;
    libraries.flatten().any(|library| has(&library.path())).then(|| venv.join("bin/python"))
}

/// The folder of a Node.js package, such as `oauth4webapi`.
#[must_use]
pub fn node_package(package: &str) -> Option<PathBuf> {
    Some(folder().join("node_modules").join(package)).filter(|folder| folder.is_dir())
}

/// Says on standard error, past the capturing of tests, that something is left out, and why.
///
/// # Panics
/// It must not be: `KEYWARD_REQUIRE_PROXIES` is set, as it is in CI.
pub fn skip(what: &str, why: &str) {
    assert!(!is_required(), "{what}: {why}. `cargo xtask peers` installs it, as root on Debian");
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "skipped: {what}: {why}");
}

/// Whether a program that is not there is a failure.
#[must_use]
pub fn is_required() -> bool {
    env::var_os("KEYWARD_REQUIRE_PROXIES").is_some_and(|value| value != "0")
}

/// What `cargo xtask peers` installs without touching the machine.
fn folder() -> PathBuf {
    // This test is TARGET/PROFILE/deps/NAME.
    let test = env::current_exe().unwrap_or_default();
    test.ancestors().nth(3).unwrap_or_else(|| Path::new(".")).join("peers")
}

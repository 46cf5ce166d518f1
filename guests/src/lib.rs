//! Builds of this workspace's handlers, for `xtask` and the tests.

use keyward_kit::{Declarations, EncodeError, encode};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// An error of [`build`], with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target's standard library is missing.
    #[error("rust has no wasm32-unknown-unknown target here; run `rustup target add wasm32-unknown-unknown`")]
    NoTarget,
    /// cargo could not be run, or its output could not be read.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// cargo failed.
    #[error("cargo could not build {package}:\n{output}")]
    Build {
        /// The package that was requested.
        package: String,
        /// The output of cargo and the compiler.
        output: String,
    },
    /// The result is not a handler.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Builds a handler of this workspace, such as `keyward-guest-signed`, in its own target folder,
/// and returns the component.
///
/// Safe to call from a build script: cargo runs without the variables that the outer cargo has set
/// for its own crates.
///
/// # Errors
/// The target is not installed, cargo fails, or the result is not a handler.
pub fn build(package: &str, target_dir: &Path) -> Result<Vec<u8>, Error> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(disturbs) {
            cargo.env_remove(name);
        }
    }
    cargo.args(["build", "--profile", "guest", "--target", TARGET, "-p", package, "--target-dir"]);
    cargo.arg(target_dir).arg("--manifest-path").arg(workspace().join("Cargo.toml"));
    // Remap the paths of this machine: the same source must have the same digest everywhere.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags().join("\x1f"));
    let output = cargo.output().map_err(|error| Error::Io("cargo could not be run".to_owned(), error))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if text.contains("target may not be installed") {
            return Err(Error::NoTarget);
        }
        return Err(Error::Build { package: package.to_owned(), output: text });
    }
    let wasm = target_dir.join(TARGET).join("guest").join(package.replace('-', "_")).with_extension("wasm");
    let core = fs::read(&wasm).map_err(|error| Error::Io(format!("{} could not be read", wasm.display()), error))?;
    Ok(encode(&core, &Declarations::default())?)
}

fn flags() -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let root = workspace().canonicalize().ok();
    let remap = |folder: Option<PathBuf>, name: &str| {
        folder.map(|folder| format!("--remap-path-prefix={}={name}", folder.display()))
    };
    ["-Ctarget-feature=+simd128".to_owned()]
        .into_iter()
        .chain(remap(root, "keyward"))
        .chain(remap(home, "cargo"))
        .collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns whether a variable that cargo set for a build script, or a user for another target,
/// would change the handler: flags, wrappers such as clippy's, targets and profiles. Variables
/// about registries, the network and caches do not.
fn disturbs(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    const OTHERS: [&str; 6] = ["RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC", "__CARGO_"];
    let cargos = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargos || OTHERS.iter().any(|other| name.starts_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_cargo_does_not_affect_the_guest() {
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            "CARGO_PROFILE_GUEST_OPT_LEVEL",
            "CARGO_MANIFEST_DIR",
        ] {
            assert!(disturbs(name), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_HTTP_PROXY"] {
            assert!(!disturbs(name), "{name}");
        }
    }
}

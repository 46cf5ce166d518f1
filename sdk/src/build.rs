//! Support for a plugin author's build script.

use std::env;

/// Limits a handler's memory to one page of 64 KiB. Call it from `build.rs`, with `keyward-sdk`
/// also among the `build-dependencies`.
///
/// Each call gets a fresh instance, and the host sets up a memory of one page fastest. The stack
/// gets 16 KiB of it; a stack overflow traps. Does nothing if the target is not wasm32.
///
/// ```no_run
/// keyward_sdk::build::layout(); // the whole `main` of build.rs
/// ```
pub fn layout() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=16384");
    }
}

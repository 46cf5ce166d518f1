//! For an author's build script.

use std::env;

/// Lays a handler's memory out in one page of 64 KiB: call it from `build.rs`, with `keyward-sdk`
/// also among the `build-dependencies`.
///
/// A fresh instance serves each call, and a memory of one page is what the host makes ready
/// quickest. The stack gets 16 KiB of it; one that overflows traps. Does nothing when the target is
/// not wasm32.
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

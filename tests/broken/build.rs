//! The one line of build script that a plugin author writes.

fn main() {
    keyward_sdk::build::layout();
}

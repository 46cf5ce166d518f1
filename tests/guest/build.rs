//! The one line that an author writes.

fn main() {
    keyward_sdk::build::layout();
}

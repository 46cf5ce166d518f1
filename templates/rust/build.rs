//! Lays the memory of the handler out in one page.

fn main() {
    keyward_sdk::build::layout();
}

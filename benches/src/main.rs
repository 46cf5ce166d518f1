//! What the sandbox costs: `cargo xtask bench`.
//!
//! Every figure is a ratio within one run: the cases of a comparison take turns, round by round, so that what else the
//! machine does falls on all of them alike. Medians over the rounds are printed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot be made stops")]

mod kernel;
mod neighbours;
mod setup;
mod stats;
mod verify;

const ALL: [(&str, fn()); 4] =
    [("verify", verify::run), ("phases", verify::phases), ("kernel", kernel::run), ("neighbours", neighbours::run)];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some([count]) = wanted.strip_prefix(&["loop".to_owned()]) {
        return kernel::warm_verifies(count.parse().unwrap());
    }
    for (name, run) in ALL {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("\n## {name}");
            run();
        }
    }
}

//! Kernel work of a warm verification, which must be zero.

use crate::setup::{accepted, plain_request, runtime, signed, token};
use keyward_runtime::Registry;
use keyward_runtime::keys::Scheme;
use std::fs;
use std::process::Command;

/// Counts page faults and memory system calls of many warm verifications.
pub(crate) fn run() {
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let token = token(&registry, plain_request());
    let verify = |calls: u32| (0..calls).for_each(|_| accepted(registry.verify_blocking(&token)));
    verify(10_000);
    let before = page_faults();
    verify(100_000);
    println!("page faults in 100,000 warm verifies: {}", page_faults() - before);

    // The difference between a short and a long run under strace excludes the start.
    match (memory_calls(10_000), memory_calls(110_000)) {
        (Some(short), Some(long)) => {
            println!("mmap, munmap, mprotect, madvise, brk in 100,000 warm verifies: {}", long.saturating_sub(short));
        }
        _ => println!("(memory system calls were not counted: strace is not installed)"),
    }
}

/// Runs as the traced process.
pub(crate) fn warm_verifies(calls: u32) {
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let token = token(&registry, plain_request());
    (0..calls).for_each(|_| accepted(registry.verify_blocking(&token)));
}

/// Returns the minor and major faults of this process.
pub(crate) fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may contain spaces; it ends with the last parenthesis. Faults are fields 10 and 12
    // of the line.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [7, 9].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum()
}

fn memory_calls(calls: u32) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("strace")
        .args(["-f", "-c", "-e", "trace=mmap,munmap,mprotect,madvise,brk"])
        .arg(program)
        .args(["loop", &calls.to_string()])
        .output()
        .ok()?;
    let table = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = table.lines().find(|line| line.ends_with("total"))?;
    total.split_whitespace().rev().find_map(|word| word.parse().ok())
}

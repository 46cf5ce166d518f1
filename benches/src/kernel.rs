//! Whether a warm verify asks anything of the kernel: it must not.

use crate::setup::{accepted, plain_request, runtime, signed, token};
use keyward_runtime::{Registry, Scheme};
use std::fs;
use std::process::Command;

/// Counts page faults and memory system calls of many warm verifies.
pub(crate) fn run() {
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let token = token(&registry, plain_request());
    let verify = |calls: u32| (0..calls).for_each(|_| accepted(registry.verify_blocking(&token)));
    verify(10_000);
    let before = page_faults();
    verify(100_000);
    println!("page faults in 100,000 warm verifies: {}", page_faults() - before);

    // Counted by strace as the difference between a short run and a long one: what is left is not the start's.
    match (memory_calls(10_000), memory_calls(110_000)) {
        (Some(short), Some(long)) => {
            println!("mmap, munmap, mprotect, madvise, brk in 100,000 warm verifies: {}", long.saturating_sub(short));
        }
        _ => println!("(memory system calls were not counted: strace is not installed)"),
    }
}

/// What the traced process does.
pub(crate) fn warm_verifies(calls: u32) {
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    let token = token(&registry, plain_request());
    (0..calls).for_each(|_| accepted(registry.verify_blocking(&token)));
}

/// Minor and major faults of this process so far.
fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold spaces; it ends with the last parenthesis. Faults are fields 10 and 12 of the whole line.
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

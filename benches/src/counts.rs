//! Instructions, copied bytes and allocations of a call, counted by valgrind. They do not depend on
//! what else the machine does, so a rise in them is a change of the program.

use crate::setup::{NOW, accepted, created, native, plain_request, signed, token, verify_natively};
use keyward_runtime::keys::Scheme;
use keyward_runtime::{Registry, Runtime, RuntimeLimits};
use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const CALLS: u32 = 500;

/// The largest rise that is not reported, in percent of the recorded figure.
const TOLERANCE: u64 = 2;

/// A loop of calls that is counted.
type Case = (&'static str, fn(u32));

const CASES: [Case; 4] = [
    ("verify-hmac-sha256", |calls| verify(Scheme::HmacSha256, calls)),
    ("verify-itsdangerous", |calls| verify(Scheme::Itsdangerous, calls)),
    ("create-hmac-sha256", |calls| create(Scheme::HmacSha256, calls)),
    ("native-hmac-sha256", |calls| {
        let registry = registry(Scheme::HmacSha256);
        let token = token(&registry, plain_request());
        native(Scheme::HmacSha256).run(|| (0..calls).for_each(|_| verify_natively(black_box(&token))));
    }),
];

/// The counts of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counts {
    instructions: u64,
    copied_bytes: u64,
    allocations: u64,
    allocated_bytes: u64,
}

/// Counts each case, prints the counts, and compares them with the recorded ones.
pub(crate) fn run() {
    let Some(features) = counted(&["--tool=none"], &["features"]).map(|output| output.trim().to_owned()) else {
        println!("(nothing was counted: valgrind is not installed)");
        return;
    };
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    println!("Profile {profile}, processor features {features}.\n");
    println!("| case | instructions | copied bytes | allocations | allocated bytes | instructions recorded |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut recorded = read();
    let mut rises = Vec::new();
    for (name, _) in CASES {
        let key = format!("{profile} {features} {name}");
        let counts = count(name);
        let before = recorded.get(&key).copied();
        let Counts { instructions, copied_bytes, allocations, allocated_bytes } = counts;
        let shown = before.map_or_else(|| "none".to_owned(), |before| before.instructions.to_string());
        println!("| {name} | {instructions} | {copied_bytes} | {allocations} | {allocated_bytes} | {shown} |");
        rises.extend(before.iter().flat_map(|before| counts.rises(before)).map(|rise| format!("{name}: {rise}")));
        recorded.insert(key, counts);
    }
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        write(&recorded);
        return;
    }
    assert!(
        rises.is_empty(),
        "a call costs more than {} records:\n{}\nIf that is right, record the new counts with KEYWARD_BLESS=1.",
        path().display(),
        rises.join("\n")
    );
}

/// Runs as the counted process.
pub(crate) fn repeat(name: &str, calls: u32) {
    let (_, case) = CASES.iter().find(|(known, _)| *known == name).unwrap();
    case(calls);
}

/// Prints the features of the processor for which libraries have code of their own.
pub(crate) fn features() {
    #[cfg(target_arch = "x86_64")]
    println!(
        "{}",
        [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("sha", is_x86_feature_detected!("sha")),
        ]
        .iter()
        .filter_map(|(name, is_there)| is_there.then_some(*name))
        .fold("x86-64".to_owned(), |all, name| all + "+" + name)
    );
    #[cfg(not(target_arch = "x86_64"))]
    println!("{}", std::env::consts::ARCH);
}

/// A registry with one slot, because valgrind cannot reserve the memory of many, without ticks,
/// which come at random, and with time for a slow machine.
fn registry(scheme: Scheme) -> Registry {
    let limits = RuntimeLimits { slots: 1, ..RuntimeLimits::default() };
    let runtime = Runtime::builder().clock(NOW).limits(limits).build().unwrap();
    runtime.dangerous_stop_time();
    let mut config = signed(scheme);
    (config.limits.cpu, config.limits.wall) = (Duration::from_secs(600), Duration::from_secs(600));
    Registry::builder(&runtime).handler(config).build().unwrap()
}

fn verify(scheme: Scheme, calls: u32) {
    let registry = registry(scheme);
    let token = token(&registry, plain_request());
    (0..calls).for_each(|_| accepted(registry.verify_blocking(black_box(&token))));
}

fn create(scheme: Scheme, calls: u32) {
    let registry = registry(scheme);
    let request = plain_request();
    (0..calls).for_each(|_| drop(black_box(created(&registry, request.clone()))));
}

/// Counts as the difference of two runs, which excludes the start of the process.
fn count(name: &str) -> Counts {
    let one = |calls: u32| {
        let repeat = ["count", name, &calls.to_string()];
        let instructions = counted(&["--tool=callgrind", "--callgrind-out-file=/dev/null"], &repeat);
        let copies = counted(&["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"], &repeat);
        let heap = counted(&["--tool=dhat", "--dhat-out-file=/dev/null"], &repeat);
        let [instructions, copies, heap] = [instructions, copies, heap].map(|output| output.unwrap());
        Counts {
            instructions: number_after(&instructions, "Collected : "),
            copied_bytes: number_after(&copies, "Total:"),
            allocations: number_after(&heap, " in "),
            allocated_bytes: number_after(&heap, "Total:"),
        }
    };
    let [few, many] = [one(CALLS), one(CALLS * 2)];
    let each = |of: fn(&Counts) -> u64| of(&many).saturating_sub(of(&few)) / u64::from(CALLS);
    Counts {
        instructions: each(|counts| counts.instructions),
        copied_bytes: each(|counts| counts.copied_bytes),
        allocations: each(|counts| counts.allocations),
        allocated_bytes: each(|counts| counts.allocated_bytes),
    }
}

/// Runs this program under valgrind, and returns what both print; `None` without valgrind.
fn counted(tool: &[&str], arguments: &[&str]) -> Option<String> {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("valgrind").args(tool).arg(program).args(arguments).output().ok()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool:?} {arguments:?}: {}\n{errors}", output.status);
    // Without counts, only the output of the program is of interest.
    let text = if tool == ["--tool=none"] { &output.stdout } else { &output.stderr };
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Returns the first number after `label`, which valgrind prints with commas.
fn number_after(text: &str, label: &str) -> u64 {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no `{label}` in:\n{text}"));
    let digits = rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',');
    digits.collect::<String>().parse().unwrap()
}

impl Counts {
    /// Describes each count that is larger than the recorded one.
    fn rises(&self, recorded: &Self) -> Vec<String> {
        let pairs = self.figures().into_iter().zip(recorded.figures());
        let rise = |((what, now), (_, before)): ((&str, u64), (_, u64))| {
            // Averages of few allocations are rounded down.
            let most = before + before * TOLERANCE / 100 + 1;
            (now > most).then(|| format!("{now} {what} instead of {before}"))
        };
        pairs.filter_map(rise).collect()
    }

    fn figures(&self) -> [(&'static str, u64); 4] {
        let Self { instructions, copied_bytes, allocations, allocated_bytes } = *self;
        [
            ("instructions", instructions),
            ("copied bytes", copied_bytes),
            ("allocations", allocations),
            ("allocated bytes", allocated_bytes),
        ]
    }
}

/// The recorded counts: one line for each profile, set of processor features and case.
fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt"))
}

const HEADER: &str = "# profile, features, case: instructions, copied bytes, allocations, allocated bytes of a call\n";

fn read() -> BTreeMap<String, Counts> {
    let text = fs::read_to_string(path()).unwrap_or_default();
    let line = |line: &str| {
        let (key, counts) = line.split_once(": ").unwrap();
        let mut numbers = counts.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        let counts =
            Counts { instructions: next(), copied_bytes: next(), allocations: next(), allocated_bytes: next() };
        (key.to_owned(), counts)
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

fn write(counts: &BTreeMap<String, Counts>) {
    let line = |(key, counts): (&String, &Counts)| {
        let figures = counts.figures().map(|(_, figure)| figure.to_string());
        format!("{key}: {}\n", figures.join(" "))
    };
    let lines: String = counts.iter().map(line).collect();
    fs::write(path(), HEADER.to_owned() + &lines).unwrap();
}

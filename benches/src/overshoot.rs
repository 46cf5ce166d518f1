//! CPU time beyond `limits.cpu` of hostile handlers with WASI.

use crate::setup::runtime;
use crate::stats::{at_most, quantile};
use keyward_runtime::{Actors, HandlerConfig, Limits, Registry};
use keyward_tests::hostile::{self, Call, Case, Outcome};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

const CALLS: usize = 21;

/// The highest overshoot in milliseconds, on an idle machine.
const BOUND: f64 = 10.0;

/// Measures each case whose call exceeds a limit, and a loop that calls no function.
pub(crate) fn run() {
    println!(
        "| hostile handler | `limits.cpu` of 1 ms: beyond it, ms | at most | only `limits.cpu`, 50 ms: beyond it, ms | at most |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let is_measured = |case: &Case| {
        let is_limit = matches!(&case.outcome, Outcome::Failed(code) if code.starts_with("limit-"));
        case.grants.wasi && case.call == Call::Verify && is_limit
    };
    let plain = hostile::cases_in_wasi().into_iter().filter(|case| case.name == "loop-verify");
    let mut most: f64 = 0.0;
    for case in plain.chain(hostile::cases().into_iter().filter(is_measured)) {
        let least = Limits { cpu: Duration::from_millis(1), ..Limits::default() };
        let wall = Duration::from_secs(10);
        let only = Limits { host_calls: u32::MAX, host_work_bytes: usize::MAX, wall, ..Limits::default() };
        let [least, only] = [least, only].map(|limits| beyond(&case, limits));
        println!(
            "| {} | **{:.1}** | {:.1} | **{:.1}** | {:.1} |",
            case.what.trim_end_matches('.'),
            least.0,
            least.1,
            only.0,
            only.1
        );
        most = most.max(least.1).max(only.1);
    }
    at_most("milliseconds beyond `limits.cpu`", &[most], BOUND);
}

/// Returns the median and the maximum of the CPU time beyond the limit, in milliseconds. It is that
/// of the whole process, ticks included.
fn beyond(case: &Case, limits: Limits) -> (f64, f64) {
    let cpu = limits.cpu;
    let mut config = HandlerConfig::new("hostile", case.bytes.as_slice(), Actors::Any).prefix("ho_").wasi();
    config.limits = limits;
    let registry = Registry::builder(&runtime()).handler(config).build().unwrap();
    let mut beyond: Vec<f64> = (0..CALLS)
        .map(|_| {
            let before = process_cpu();
            // A handler that ends by itself, below the limit, is no overshoot.
            let _ = registry.verify_blocking("ho_x");
            (process_cpu() - before).saturating_sub(cpu).as_secs_f64() * 1e3
        })
        .collect();
    (quantile(&mut beyond, 0.5), quantile(&mut beyond, 1.0))
}

fn process_cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

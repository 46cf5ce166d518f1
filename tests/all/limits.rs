//! Every limit has something that hits it.

use keyward_runtime::{Limits, RuntimeLimits};
use keyward_tests::hostile::{self, Outcome};

/// Taken apart without `..`: a new field does not compile until it is named here with what hits it.
#[test]
fn every_limit_is_hit() {
    let Limits {
        memory_bytes: _,
        table_elements: _,
        cpu: _,
        wall: _,
        host_calls: _,
        host_call_bytes: _,
        token_bytes: _,
        actor_bytes: _,
        actor_depth: _,
        actor_id_bytes: _,
        message_bytes: _,
        log_lines: _,
        component_bytes: _,
        concurrent_calls: _,
    } = Limits::default();
    let RuntimeLimits { slots: _, memory_bytes: _, table_elements: _, wasm_stack_bytes: _, slow_threads: _ } =
        RuntimeLimits::default();
    // Those with a code of their own are hit by a hostile handler with that outcome.
    let outcomes: Vec<_> = hostile::cases().into_iter().map(|case| case.outcome).collect();
    for code in [
        "limit-memory",
        "limit-table",
        "limit-cpu",
        "limit-host-calls",
        "limit-host-bytes",
        "limit-actor-bytes",
        "limit-actor-depth",
        "limit-actor-id",
        "limit-stack",
    ] {
        assert!(outcomes.contains(&Outcome::Failed(code.into())), "no hostile handler hits {code}");
    }
}

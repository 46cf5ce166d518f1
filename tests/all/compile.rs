//! Compilation of foreign components in the worker, and the cache of its results.

mod bombs;
mod cache;
mod daemon;
mod flips;
mod workers;

use crate::support;
use keyward_handlers::BuiltIn;
use keyward_runtime::compile::WorkerLimits;
use keyward_runtime::component::ComponentInfo;
use keyward_runtime::{LoadError, Runtime};
use keyward_tests::cli::keyward;
use keyward_tests::hostile;

/// Returns the part of an outcome that must not depend on where a component is compiled.
fn outcome(inspected: Result<ComponentInfo, LoadError>) -> Result<ComponentInfo, (&'static str, String)> {
    inspected.map_err(|error| (error.code(), error.to_string()))
}

fn with_worker(limits: WorkerLimits) -> Runtime {
    Runtime::builder().worker_within(keyward(), limits).build().unwrap()
}

#[test]
fn hostile_components_have_the_same_outcome_from_a_worker() {
    let runtime = with_worker(WorkerLimits::default());
    for case in hostile::cases() {
        let here = outcome(support::RUNTIME.inspect(&*case.bytes));
        assert_eq!(outcome(runtime.inspect(&*case.bytes)), here, "{}", case.name);
    }
}

#[test]
fn a_runtime_without_a_worker_loads_built_in_components_only() {
    let runtime = Runtime::new().unwrap();
    for handler in keyward_handlers::ALL {
        runtime.inspect(*handler).unwrap();
    }
    let error = Runtime::new().unwrap().inspect(hostile::case("benign").bytes).unwrap_err();
    assert_eq!(error.code(), "no-compiler");
    assert!(error.to_string().contains("RuntimeBuilder::worker"), "{error}");
    // It is not even parsed by the compiler.
    let error = runtime.inspect(hostile::case("load-tail-calls").bytes).unwrap_err();
    assert_eq!(error.code(), "no-compiler");
}

/// A built-in component is compiled only if the program has no machine code for it.
#[test]
fn built_in_components_need_no_compiler() {
    let runtime = Runtime::builder().worker("no/worker").build().unwrap();
    for handler in keyward_handlers::ALL {
        runtime.inspect(*handler).unwrap();
    }
    let without_code = |handler: &BuiltIn| BuiltIn::dangerous_new("x", handler.component(), handler.sha256());
    for handler in keyward_handlers::ALL {
        let runtime = Runtime::builder().worker("no/worker").build().unwrap();
        assert_eq!(runtime.inspect(without_code(handler)).unwrap_err().code(), "compile-worker");
        with_worker(WorkerLimits::default()).inspect(without_code(handler)).unwrap();
    }
}

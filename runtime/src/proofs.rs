//! Proofs that the sandbox holds on this machine: attacks with a known outcome, to run before
//! tokens are served.

use crate::error::{Error, LoadError, LoadErrorKind};
use crate::grants::HandlerConfig;
use crate::limits::Limits;
use crate::policy::Actors;
use crate::registry::Registry;
use crate::runtime::Runtime;
use crate::verdict::Verdict;
use keyward_handlers::CANARY;
use std::time::Duration;

/// A property of the sandbox, and whether this machine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proof {
    /// The property, such as `every call gets a fresh instance`.
    pub property: &'static str,
    /// The observation that contradicts it; `None` if it holds.
    pub failure: Option<String>,
}

/// Attacks the sandbox of `runtime`, and returns whether it held. This takes some tens of
/// milliseconds.
///
/// The attacker is a built-in component. It searches each instance for leftovers of the one before
/// in its slot, computes without end, and allocates without end.
///
/// # Errors
/// The attacker does not load, which shows that no handler would.
pub fn sandbox(runtime: &Runtime) -> Result<Vec<Proof>, LoadError> {
    // Generous, because a machine that is only busy must pass.
    let calm = Duration::from_secs(10);
    let limits = Limits { cpu: calm, wall: calm, verdict_cache_bytes: 0, ..Limits::default() };
    let hurried = Limits { cpu: Duration::from_millis(10), ..limits.clone() };
    // Prefixes of the same length: the component reads the letter behind it.
    let canary = |prefix: &str, limits| HandlerConfig::new(prefix, CANARY, Actors::Any).prefix(prefix).limits(limits);
    let registry = Registry::builder(runtime).handler(canary("canary_", limits)).handler(canary("hurried", hurried));
    let registry = registry.build()?;
    let failure = |attack: &str, wanted: &str| {
        let seen = outcome(registry.verify_blocking(attack));
        (seen != wanted).then(|| format!("expected {wanted}, got {seen}"))
    };
    // More calls than there are slots, so that each call but the first finds a slot that was used.
    let calls = runtime.shared().limits.slots.saturating_add(2);
    let leftovers = |calls| (0..calls).find_map(|_| failure("canary_l", "accepted"));
    let fresh =
        failure("canary_b", "not mine").map(|seen| format!("the check for leftovers cannot detect any: {seen}"));
    let fresh = fresh.or_else(|| leftovers(calls));
    Ok(vec![
        Proof { property: "every call gets a fresh instance", failure: fresh },
        Proof { property: "a call that never returns is stopped", failure: failure("hurrieds", "limit-cpu") },
        Proof { property: "a call cannot exceed its memory", failure: failure("canary_g", "limit-memory") },
        Proof { property: "a slot is intact after a call was stopped", failure: leftovers(2) },
    ])
}

/// Lets the compile worker of `runtime` compile a component that exceeds its memory, with a limit
/// that is low enough to do so within some tens of milliseconds.
///
/// Returns `None` if `runtime` has no worker.
pub fn compile_worker(runtime: &Runtime) -> Option<Proof> {
    let error = runtime.shared().compile_bomb(&bomb())?;
    let failure = match error.map_err(|error| (error.kind(), error.to_string())) {
        Err((LoadErrorKind::CompileLimit, _)) => None,
        Err((_, text)) => Some(text),
        Ok(()) => Some("the component was compiled".to_owned()),
    };
    Some(Proof { property: "the compile worker cannot exceed its memory", failure })
}

fn outcome(verdict: Result<Verdict, Error>) -> &'static str {
    match verdict {
        Ok(Verdict::Accepted(_)) => "accepted",
        Ok(Verdict::NotMine) => "not mine",
        Ok(Verdict::Rejected(_)) => "rejected",
        Err(error) => error.code(),
    }
}

/// Returns a component with one function of 200,000 additions.
fn bomb() -> Vec<u8> {
    let mut body = vec![0];
    body.extend(b"\x20\0\x41\x07\x6a\x1a".repeat(200_000));
    body.push(0x0b);
    let mut code = vec![1];
    push(&mut code, &body);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, section) in [(1, &b"\x01\x60\x01\x7f\0"[..]), (3, b"\x01\0"), (10, &code)] {
        module.push(id);
        push(&mut module, section);
    }
    let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
    push(&mut component, &module);
    component
}

/// Appends bytes after their length in LEB128.
fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length >= 0x80 {
        to.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    to.extend(u8::try_from(length));
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bomb_compiles_within_the_default_limits() {
        let error = Runtime::builder().dangerous_compile_in_process().build().unwrap().inspect(bomb()).unwrap_err();
        assert_eq!(error.kind(), LoadErrorKind::MissingExport, "{error}");
    }

    #[test]
    fn without_a_worker_there_is_no_proof_of_one() {
        assert_eq!(compile_worker(&Runtime::new().unwrap()), None);
    }

    #[test]
    fn a_program_that_compiles_anything_is_no_cage() {
        let runtime = Runtime::builder().worker("/bin/true").build().unwrap();
        assert!(compile_worker(&runtime).unwrap().failure.is_some());
    }
}

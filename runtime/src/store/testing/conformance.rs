//! The conformance kit: what every store must do, as a table of cases.

mod changes;
mod descendants;
mod index;
mod limits;
mod log;
mod lookups;
mod revocations;
mod support;
mod tickets;

use super::super::{RecordStore, TokenStore};
use std::fmt;
use std::sync::Arc;

/// A case that a store does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the case.
    pub case: &'static str,
    /// The first difference that was found.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.case, self.text)
    }
}

/// Opens an empty store.
type Open<'a, S> = &'a dyn Fn() -> Arc<S>;

/// The name of a case, and its function.
type Case<S> = (&'static str, fn(Open<'_, S>) -> support::Outcome);

/// Checks a [`RecordStore`]: lookups, transactions and maxima, also with several threads at once.
/// `open` creates an empty store each time. Returns the cases that the store does not pass.
///
/// Durability is not checked, nor is time: a store must complete each call within a deadline of its
/// own.
pub fn check_record_store(open: impl Fn() -> Arc<dyn RecordStore>) -> Vec<Violation> {
    [lookups::CASES, changes::CASES, limits::CASES].into_iter().flat_map(|cases| violations(cases, &open)).collect()
}

/// Checks a [`TokenStore`]: all of [`check_record_store`], the log of revocations, lists and
/// counts, nodes, and tickets. `open` creates an empty store each time. Returns the cases that the
/// store does not pass.
pub fn check_token_store(open: impl Fn() -> Arc<dyn TokenStore>) -> Vec<Violation> {
    let mut violations = check_record_store(|| open() as Arc<dyn RecordStore>);
    for cases in [revocations::CASES, descendants::CASES, log::CASES, index::CASES, tickets::CASES] {
        violations.extend(self::violations(cases, &open));
    }
    violations
}

fn violations<S: ?Sized>(cases: &[Case<S>], open: Open<'_, S>) -> Vec<Violation> {
    let violation = |(case, check): &Case<S>| {
        let support::Failure(text) = check(open).err()?;
        Some(Violation { case, text })
    };
    cases.iter().filter_map(violation).collect()
}

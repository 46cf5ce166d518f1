//! The steps, chosen at random.

use super::{ACTORS, DAY, HANDLERS, LEVELS};
use proptest::prelude::*;

/// A step of the test. A token is chosen by any number, modulo the number of tokens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Creates a token, or two in the same second.
    Create {
        handler: usize,
        actor: usize,
        seconds: Option<u32>,
        level: usize,
        twice: bool,
        /// Set if a client with a quota requests it.
        by_client: bool,
    },
    /// Creates a token with another one as its parent.
    Derive {
        token: usize,
        handler: usize,
        seconds: Option<u32>,
        level: usize,
    },
    Verify {
        token: usize,
    },
    Wait {
        seconds: u32,
    },
    /// Advances to the last second in which a token is valid, or beyond.
    Outlive {
        token: usize,
    },
    RevokeToken {
        token: usize,
        keep_children: bool,
    },
    RevokeAll {
        handler: Option<usize>,
        actor: Option<usize>,
    },
    Edit {
        token: usize,
        seconds: Option<u32>,
        level: usize,
    },
    Rotate {
        token: usize,
        overlap: u32,
    },
    /// Advances the oldest possible key to its next state, and reloads.
    Keys(KeyStep),
    Import {
        actor: usize,
        seconds: Option<u32>,
    },
    List,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum KeyStep {
    Add,
    Promote,
    Retire,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let seconds = || prop::option::weighted(0.7, prop_oneof![1..100_u32, 1..90 * DAY]);
    let (token, actor) = (|| 0..usize::MAX, || 0..ACTORS.len());
    prop_oneof![
        12 => (0..HANDLERS.len(), actor(), seconds(), 0..LEVELS, prop::bool::weighted(0.2), prop::bool::ANY).prop_map(|(handler, actor, seconds, level, twice, by_client)| Step::Create { handler, actor, seconds, level, twice, by_client }),
        8 => (token(), 0..HANDLERS.len(), seconds(), 0..LEVELS).prop_map(|(token, handler, seconds, level)| Step::Derive { token, handler, seconds, level }),
        50 => token().prop_map(|token| Step::Verify { token }),
        15 => prop_oneof![8 => 0..100_u32, 3 => 0..DAY, 1 => 0..40 * DAY].prop_map(|seconds| Step::Wait { seconds }),
        3 => token().prop_map(|token| Step::Outlive { token }),
        3 => (token(), prop::bool::weighted(0.2)).prop_map(|(token, keep_children)| Step::RevokeToken { token, keep_children }),
        1 => (prop::option::of(0..HANDLERS.len()), prop::option::of(actor())).prop_map(|(handler, actor)| Step::RevokeAll { handler, actor }),
        6 => (token(), prop::option::of(0..10 * DAY), 0..LEVELS).prop_map(|(token, seconds, level)| Step::Edit { token, seconds, level }),
        5 => (token(), prop_oneof![Just(0), 1..DAY]).prop_map(|(token, overlap)| Step::Rotate { token, overlap }),
        2 => prop::sample::select(&[KeyStep::Add, KeyStep::Promote, KeyStep::Retire][..]).prop_map(Step::Keys),
        1 => (actor(), seconds()).prop_map(|(actor, seconds)| Step::Import { actor, seconds }),
        2 => Just(Step::List),
    ]
}

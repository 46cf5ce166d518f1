//! `keyward:handler/random`: the operating system's randomness.

use super::{Calls, State, Stop};
use crate::bindings::random;
use crate::error::Fault;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// The most that one call of `bytes` gives; a token has use for a few dozen.
const MAX_BYTES: usize = 65_536;

pub(crate) struct Random<'a> {
    calls: &'a mut Calls,
}

struct Has;

impl HasData for Has {
    type Data<'a> = Random<'a>;
}

impl random::Host for Random<'_> {
    async fn bytes(&mut self, count: u32) -> Result<Vec<u8>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_BYTES {
            return Err(Stop::forbidden("more than 65,536 random bytes at once"));
        }
        self.calls.enter(count)?;
        self.calls.rest().await;
        let mut bytes = vec![0; count];
        getrandom::fill(&mut bytes)
            .map_err(|error| Stop(Fault::Runtime(format!("the operating system gave no randomness: {error}"))))?;
        Ok(bytes)
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    random::add_to_linker::<State, Has>(linker, |state| Random { calls: &mut state.calls })
}

//! `keyward:handler/random`: the operating system's randomness.

use super::{Calls, HostError, State};
use crate::bindings::random;
use crate::error::ErrorKind;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// Maximum number of bytes in a call of `bytes`. A token needs a few dozen.
const MAX_BYTES: usize = 65_536;

pub(crate) struct Random<'a> {
    calls: &'a mut Calls,
}

struct HasRandom;

impl HasData for HasRandom {
    type Data<'a> = Random<'a>;
}

impl random::Host for Random<'_> {
    async fn bytes(&mut self, count: u32) -> Result<Vec<u8>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_BYTES {
            return Err(HostError::forbidden("more than 65,536 random bytes at once"));
        }
        self.calls.enter(count)?;
        self.calls.rest().await;
        let mut bytes = vec![0; count];
        getrandom::fill(&mut bytes).map_err(|error| {
            HostError(ErrorKind::Runtime(format!("the operating system's random generator failed: {error}")))
        })?;
        Ok(bytes)
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    random::add_to_linker::<State, HasRandom>(linker, |state| Random { calls: &mut state.calls })
}

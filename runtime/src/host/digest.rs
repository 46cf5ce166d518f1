//! `keyward:handler/digest`: SHA-256, which is ten times faster on the host's processor than in a
//! guest.

use super::{Calls, State};
use crate::bindings::digest;
use sha2::{Digest as _, Sha256};
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

pub(crate) struct Digest<'a> {
    calls: &'a mut Calls,
}

struct HasDigest;

impl HasData for HasDigest {
    type Data<'a> = Digest<'a>;
}

impl digest::Host for Digest<'_> {
    async fn sha256(&mut self, data: Vec<u8>) -> Result<Vec<u8>> {
        self.calls.enter_repeatable(data.len())?;
        self.calls.rest().await;
        Ok(Sha256::digest(&data).to_vec())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    digest::add_to_linker::<State, HasDigest>(linker, |state| Digest { calls: &mut state.calls })
}

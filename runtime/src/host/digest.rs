//! `keyward:handler/digest`: SHA-256, which is ten times faster on the host's processor than in a
//! guest.

use super::{Linking, State};
use sha2::{Digest as _, Sha256};
use wasmtime::component::WasmList;
use wasmtime::{Result, StoreContext};

fn sha256(store: StoreContext<'_, State>, (data,): (WasmList<u8>,)) -> Result<(Vec<u8>,)> {
    store.data().calls.enter_repeatable(data.len())?;
    Ok((Sha256::digest(data.as_le_slice(store)).to_vec(),))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("digest")?.working("sha256", sha256)
}

//! `keyward:handler/random`: the operating system's randomness.

use super::{Calls, HostError, Linking, State};
use crate::error::ErrorKind;
use wasmtime::{Result, StoreContext};

/// Maximum number of bytes in a call of `bytes`. A token needs a few dozen.
const MAX_BYTES: usize = 65_536;

/// Returns random bytes, and accounts for them.
///
/// # Errors
/// There are too many, the call exceeds a limit, or the operating system gives none.
pub(super) fn fill(calls: &Calls, count: u64) -> Result<Vec<u8>> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MAX_BYTES {
        return Err(HostError::forbidden("more than 65,536 random bytes at once"));
    }
    calls.enter(count)?;
    let mut bytes = vec![0; count];
    getrandom::fill(&mut bytes).map_err(|error| {
        HostError(ErrorKind::Runtime(format!("the operating system's random generator failed: {error}")))
    })?;
    Ok(bytes)
}

fn bytes(store: StoreContext<'_, State>, (count,): (u32,)) -> Result<(Vec<u8>,)> {
    Ok((fill(&store.data().calls, count.into())?,))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("random")?.working("bytes", bytes)
}

//! `keyward:handler/public-keys`: verification of signatures with the public keys of issuers.

use super::{HostError, Linking, Phase, State};
use crate::bindings::public_keys::{Algorithm as Named, PublicKeyError};
use crate::counts::Granted;
use crate::key_sets::{Algorithm, NoKey};
use std::time::Instant;
use wasmtime::component::{WasmList, WasmStr};
use wasmtime::{Result, StoreContext};

type Parameters = (WasmStr, Option<WasmStr>, Named, WasmList<u8>, WasmList<u8>);
type Verified = Result<bool, PublicKeyError>;

fn verify(
    store: StoreContext<'_, State>,
    (label, key_id, algorithm, message, signature): Parameters,
) -> Result<(Verified,)> {
    let state = store.data();
    let label = label.to_str(&store)?;
    let key_id = key_id.as_ref().map(|id| id.to_str(&store)).transpose()?;
    let read = label.len().saturating_add(key_id.as_ref().map_or(0, |id| id.len())).saturating_add(signature.len());
    state.calls.enter_repeatable(read)?;
    if state.phase == Phase::Instantiate {
        return Err(HostError::forbidden("`public-keys` during instantiation"));
    }
    state.bound.counters.called.note(Granted::PublicKeys);
    // The labels of other handlers are not distinguished from unknown ones.
    let Some(grant) = state.bound.public_keys.get(&*label) else { return Ok((Err(PublicKeyError::NotGranted),)) };
    let keys = match grant.candidates(key_id.as_deref(), algorithm.into(), Instant::now()) {
        Ok(keys) => keys,
        Err(NoKey::NoSuchKey) => return Ok((Err(PublicKeyError::NoSuchKey),)),
        Err(NoKey::WrongAlgorithm) => return Ok((Err(PublicKeyError::WrongAlgorithm),)),
        Err(NoKey::Unavailable) => return Ok((Err(PublicKeyError::Unavailable),)),
    };
    let (message, signature) = (message.as_le_slice(&store), signature.as_le_slice(&store));
    for key in keys {
        state.calls.charge(message.len().saturating_add(key.work()))?;
        if key.verify(message, signature) {
            // A signature that `create` verifies is not that of the new token.
            if state.phase == Phase::Verify {
                state.key.set(Some(key.name.clone()));
            }
            return Ok((Ok(true),));
        }
    }
    Ok((Ok(false),))
}

impl From<Named> for Algorithm {
    fn from(named: Named) -> Self {
        match named {
            Named::Rs256 => Self::Rs256,
            Named::Rs384 => Self::Rs384,
            Named::Rs512 => Self::Rs512,
            Named::Ps256 => Self::Ps256,
            Named::Ps384 => Self::Ps384,
            Named::Ps512 => Self::Ps512,
            Named::Es256 => Self::Es256,
            Named::Es384 => Self::Es384,
            Named::Eddsa => Self::EdDsa,
        }
    }
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    linking.interface("public-keys")?.working("verify", verify)
}

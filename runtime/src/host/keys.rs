//! `keyward:handler/keys`: signatures with keys that never leave the host.

use super::{HostError, Linking, Phase, State};
use crate::bindings::keys::KeyError;
use crate::counts::Granted;
use crate::keys::DerivedKeys;
use wasmtime::component::{WasmList, WasmStr};
use wasmtime::{Result, StoreContext};

/// Returns the [`DerivedKeys`] of a label, and charges for hashing `message` bytes with `tried`
/// keys.
///
/// `None` for a label that this handler does not have, whether or not another handler has it.
fn find<'a>(
    store: &'a StoreContext<'_, State>,
    label: &WasmStr,
    message: usize,
    tried: fn(&DerivedKeys) -> usize,
) -> Result<Option<&'a DerivedKeys>> {
    let state = store.data();
    let label = label.to_str(store)?;
    let keys = state.bound.keys.get(&*label);
    let each = message.saturating_add(keys.map_or(0, DerivedKeys::work));
    let read = each.saturating_mul(keys.map_or(1, tried)).saturating_add(label.len());
    state.calls.enter_repeatable(read)?;
    if state.phase == Phase::Instantiate {
        return Err(HostError::forbidden("`keys` during instantiation"));
    }
    state.bound.counters.called.note(Granted::Keys);
    Ok(keys)
}

type Signed = Result<Vec<u8>, KeyError>;

fn sign(store: StoreContext<'_, State>, (label, message): (WasmStr, WasmList<u8>)) -> Result<(Signed,)> {
    let state = store.data();
    let signed = match find(&store, &label, message.len(), |_| 1)? {
        None => Err(KeyError::NotGranted),
        Some(_) if state.phase != Phase::Create => Err(KeyError::NotPermittedNow),
        Some(keys) => {
            let (signature, key) = keys.sign(message.as_le_slice(&store));
            state.key.set(Some(key.clone()));
            Ok(signature)
        }
    };
    Ok((signed,))
}

type SigningKey = Result<(String, String), KeyError>;

fn signing_key(store: StoreContext<'_, State>, (label,): (WasmStr,)) -> Result<(SigningKey,)> {
    let state = store.data();
    let key = match find(&store, &label, 0, |_| 0)? {
        None => Err(KeyError::NotGranted),
        Some(_) if state.phase != Phase::Create => Err(KeyError::NotPermittedNow),
        Some(keys) => {
            let (id, algorithm) = keys.signing_key();
            Ok((id.to_owned(), algorithm.to_owned()))
        }
    };
    Ok((key,))
}

type Verified = Result<bool, KeyError>;

fn verify(
    store: StoreContext<'_, State>,
    (label, message, signature): (WasmStr, WasmList<u8>, WasmList<u8>),
) -> Result<(Verified,)> {
    let state = store.data();
    state.calls.charge(signature.len())?;
    let verified = match find(&store, &label, message.len(), DerivedKeys::len)? {
        None => Err(KeyError::NotGranted),
        Some(keys) => {
            let key = keys.verify(message.as_le_slice(&store), signature.as_le_slice(&store));
            // A signature that `create` verifies is not that of the new token.
            if let Some(key) = key
                && state.phase == Phase::Verify
            {
                state.key.set(Some(key.clone()));
            }
            Ok(key.is_some())
        }
    };
    Ok((verified,))
}

pub(crate) fn link(linking: &mut Linking<'_>) -> Result<()> {
    let mut keys = linking.interface("keys")?;
    keys.working("sign", sign)?;
    keys.quick("signing-key", signing_key)?;
    keys.working("verify", verify)
}

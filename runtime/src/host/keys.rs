//! `keyward:handler/keys`: signatures with keys that never leave the host.

use super::{Calls, HostError, Phase, State};
use crate::bindings::keys;
use crate::keys::DerivedKeys;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

pub(crate) struct Keys<'a> {
    calls: &'a mut Calls,
    labels: &'a HashMap<String, DerivedKeys>,
    phase: Phase,
    used: &'a mut Option<Arc<str>>,
}

struct HasKeys;

impl HasData for HasKeys {
    type Data<'a> = Keys<'a>;
}

impl<'a> Keys<'a> {
    /// Returns the [`DerivedKeys`] of a label, and charges for hashing `message` bytes with `tried`
    /// keys.
    ///
    /// `None` for a label that this handler does not have, whether or not another handler has it.
    async fn find(
        &mut self,
        label: &str,
        message: usize,
        tried: fn(&DerivedKeys) -> usize,
    ) -> Result<Option<&'a DerivedKeys>> {
        let keys = self.labels.get(label);
        let read = message.saturating_mul(keys.map_or(1, tried)).saturating_add(label.len());
        self.calls.enter_repeatable(read)?;
        self.calls.rest().await;
        if self.phase == Phase::Instantiate {
            return Err(HostError::forbidden("`keys` during instantiation"));
        }
        Ok(keys)
    }
}

impl keys::Host for Keys<'_> {
    async fn sign(&mut self, label: String, message: Vec<u8>) -> Result<Result<Vec<u8>, keys::KeyError>> {
        Ok(match self.find(&label, message.len(), |_| 1).await? {
            None => Err(keys::KeyError::NotGranted),
            Some(_) if self.phase != Phase::Create => Err(keys::KeyError::NotPermittedNow),
            Some(keys) => {
                let (signature, key) = keys.sign(&message);
                *self.used = Some(key.clone());
                Ok(signature)
            }
        })
    }

    async fn verify(
        &mut self,
        label: String,
        message: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<Result<bool, keys::KeyError>> {
        self.calls.charge(signature.len())?;
        Ok(match self.find(&label, message.len(), DerivedKeys::len).await? {
            None => Err(keys::KeyError::NotGranted),
            Some(keys) => {
                let key = keys.verify(&message, &signature);
                // A signature that `create` verifies is not that of the new token.
                if let Some(key) = key
                    && self.phase == Phase::Verify
                {
                    *self.used = Some(key.clone());
                }
                Ok(key.is_some())
            }
        })
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    keys::add_to_linker::<State, HasKeys>(linker, |state| Keys {
        calls: &mut state.calls,
        labels: &state.bound.keys,
        phase: state.phase,
        used: &mut state.key,
    })
}

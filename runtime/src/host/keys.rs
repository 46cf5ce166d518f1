//! `keyward:handler/keys`: signatures by keys that stay here.

use super::{Calls, Phase, State, Stop};
use crate::bindings::keys;
use crate::keys::BoundKeys;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

pub(crate) struct Keys<'a> {
    calls: &'a mut Calls,
    labels: &'a HashMap<String, BoundKeys>,
    phase: Phase,
    used: &'a mut Option<Arc<str>>,
}

struct Has;

impl HasData for Has {
    type Data<'a> = Keys<'a>;
}

impl<'a> Keys<'a> {
    /// Finds the keys of a label, and charges for a message that `tried` of them will read. Every label that this handler
    /// does not have gives the same answer, whether or not another handler has it.
    async fn find(
        &mut self,
        label: &str,
        message: usize,
        tried: fn(&BoundKeys) -> usize,
    ) -> Result<Option<&'a BoundKeys>> {
        let keys = self.labels.get(label);
        let read = message.saturating_mul(keys.map_or(1, tried)).saturating_add(label.len());
        self.calls.enter_repeatable(read)?;
        self.calls.rest().await;
        if self.phase == Phase::Instantiate {
            return Err(Stop::forbidden("`keys` while the component is being instantiated"));
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
        Ok(match self.find(&label, message.len(), BoundKeys::len).await? {
            None => Err(keys::KeyError::NotGranted),
            Some(keys) => {
                let key = keys.verify(&message, &signature);
                // What `create` looks at on its way has not signed the token.
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
    keys::add_to_linker::<State, Has>(linker, |state| Keys {
        calls: &mut state.calls,
        labels: &state.bound.keys,
        phase: state.phase,
        used: &mut state.key,
    })
}
